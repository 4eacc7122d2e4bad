"""Draws a student's own values for a lab: the same ones each time, for nobody else the same.

lab.toml says what is drawn, in its table [draw]:

    site = { from = 1, to = 199 }                    # a whole number
    advskew = { from = 40, to = 200, step = 20 }     # 40, 60, ... 200
    password = { letters = 8 }
    culprit = { choice = ["fw1", "fw2"], hidden = true }

Each value is the SHA-256 hash of the student's ID, the lab and the value's name, taken modulo the
number of choices. It is no secret, only different: whoever knows another's ID can draw his values.
Those that are `hidden` are not shown when the lab starts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carplab.errors import UsageError
from carplab.labs.toml_file import refuse_unknown, wanted

GUEST = "guest"
Value = int | float | str
LETTERS = "abcdefghijkmnopqrstuvwxyz"  # without l, which looks like 1

_ID = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Drawn:
    """One value that is drawn: out of `choices`, or that many `letters`."""

    name: str
    choices: tuple[Value, ...] = ()
    letters: int = 0
    hidden: bool = False

    def draw(self, student: str, lab: str) -> Value:
        """Return the value of this student in this lab."""
        text = "\0".join((student, lab, self.name))
        number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
        if self.choices:
            return self.choices[number % len(self.choices)]
        word = ""
        for _ in range(self.letters):
            number, index = divmod(number, len(LETTERS))
            word += LETTERS[index]
        return word


def student_id(text: str) -> str:
    """Return an ID as it is drawn from: small letters; UsageError for one that cannot be used."""
    found = text.strip().lower()
    if not _ID.fullmatch(found):
        raise UsageError(
            f"{text!r} is no ID of a student: take letters, digits and . _ @ -, at most 64"
        )
    return found


def read_drawn(name: str, table: Any, where: str) -> Drawn:
    """Return what an entry of [draw] says; UsageError, with `where` in front, if it is wrong."""
    where = f"{where}: draw.{name}"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is not a table, as in {{ from = 1, to = 99 }}")
    refuse_unknown(table, ("from", "to", "step", "letters", "choice", "hidden"), where)
    hidden = wanted(table, "hidden", bool, where, False)
    kinds = [key for key in ("from", "letters", "choice") if key in table]
    if len(kinds) != 1:
        raise UsageError(f"{where} takes one of: from and to, letters, choice")
    if kinds == ["letters"]:
        return Drawn(name, letters=wanted(table, "letters", int, where), hidden=hidden)
    choices = _numbers(table, where) if kinds == ["from"] else wanted(table, "choice", list, where)
    if not choices:
        raise UsageError(f"{where} has nothing to choose from")
    return Drawn(name, choices=tuple(choices), hidden=hidden)


def _numbers(table: Mapping[str, Any], where: str) -> range:
    first, last = wanted(table, "from", int, where), wanted(table, "to", int, where)
    step = wanted(table, "step", int, where, 1)
    if step < 1:
        raise UsageError(f"{where}: step {step} is out of range: 1 or more")
    return range(first, last + 1, step)

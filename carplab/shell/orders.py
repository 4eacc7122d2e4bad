"""What is typed after a word of ours, and what it asks for. UsageError says what is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carplab.errors import UsageError, listed
from carplab.network import parse_place
from carplab.scenario import BLACKHOLE, FLAP, LOSS, MACHINE_FAULTS, NETWORK_FAULTS

FAULTS = (*NETWORK_FAULTS, *MACHINE_FAULTS)
ALL = "all"

# Of each kind that has some: the option that is typed, what inject() calls it, and its type.
FAULT_OPTIONS: Mapping[str, Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    BLACKHOLE: {"direction": ("direction", str)},
    LOSS: {"percent": ("percent", float)},
    FLAP: {"period": ("period_s", float), "count": ("count", int)},
}
LONGEST_PLOT_S = 86400.0


@dataclass(frozen=True)
class Demotion:
    """A change of the demotion of a firewall's interface group; the group "carp" if it is empty."""

    router: str
    group: str
    delta: int


def parse_fault(words: Sequence[str]) -> dict[str, Any]:
    """Return what inject() is asked for: `KIND MACHINE [SEGMENT[/CABLE]] [OPTION=VALUE ...]`."""
    if not words:
        raise UsageError(f"which fault? There are {listed(FAULTS)}")
    kind, *rest = words
    if kind not in FAULTS:
        raise UsageError(f"there is no fault {kind!r}: there are {listed(FAULTS)}")
    places = [word for word in rest if "=" not in word]
    wanted = 1 if kind in MACHINE_FAULTS else 2
    if len(places) != wanted:
        raise UsageError(
            f"{kind} strikes {'a machine' if wanted == 1 else 'the cable of a machine'}, as in "
            f"'fault {example(kind)}'"
        )
    asked: dict[str, Any] = {"kind": kind, "host": places[0]}
    if wanted == 2:
        asked["segment"], asked["cable"] = parse_place(places[1])
    for word in rest:
        if "=" in word:
            name, value = _option(kind, word)
            asked[name] = value
    return asked


def example(kind: str) -> str:
    """Return how a fault of this kind is typed, without the word itself."""
    options = {BLACKHOLE: " direction=to_host", LOSS: " percent=20", FLAP: " count=3 period=1"}
    place = "" if kind in MACHINE_FAULTS else " outside"
    return f"{kind} fw1{place}{options.get(kind, '')}"


def _option(kind: str, word: str) -> tuple[str, Any]:
    name, _, text = word.partition("=")
    known = FAULT_OPTIONS.get(kind, {})
    if name not in known:
        there = f"there is {listed(known)}" if known else "it has none"
        raise UsageError(f"{kind} has no option {name!r}: {there}")
    parameter, parse = known[name]
    try:
        return parameter, parse(text)
    except ValueError:
        raise UsageError(f"{name}={text}: {text!r} is not a number") from None


def parse_lift(words: Sequence[str], active: Sequence[int]) -> list[int] | None:
    """Return the ids of `lift ID ...`, or None for all of them; the only one if none is given."""
    if not active:
        raise UsageError("nothing is broken: 'fault' breaks something")
    if list(words) == [ALL]:
        return None
    if not words and len(active) == 1:
        return list(active)
    if not words or not all(word.isdecimal() for word in words):
        raise UsageError(f"which one? 'lift all', or 'lift ID' with one of {listed(active)}")
    return [int(word) for word in words]


def parse_demotion(words: Sequence[str]) -> Demotion:
    """Return what `demote FIREWALL [GROUP] +N|-N` asks for."""
    if len(words) not in (2, 3) or not re.fullmatch(r"[+-][0-9]{1,9}", words[-1]):
        raise UsageError("a demotion is typed 'demote FIREWALL [GROUP] +N', or -N to take it back")
    return Demotion(words[0], words[1] if len(words) == 3 else "", int(words[-1]))


def parse_seconds(words: Sequence[str], otherwise: float | None) -> float | None:
    """Return the seconds that were typed, or what holds without."""
    if not words:
        return otherwise
    try:
        seconds = float(words[0])
    except ValueError:
        seconds = 0.0
    if len(words) > 1 or not 0 < seconds <= LONGEST_PLOT_S:
        raise UsageError(f"{' '.join(words)!r} is not a number of seconds, above 0, to a day")
    return seconds

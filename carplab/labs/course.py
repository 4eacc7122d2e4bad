"""The labs there are: their folders, and what lab.toml says.

    title = "Who is MASTER?"
    minutes = 40
    verify_as = "s7"              # optional: whose values `carplab lab verify` takes

    [draw]                        # carplab.labs.drawing
    site = { from = 1, to = 199 }

    [derived]                     # values that follow from these, as Jinja expressions
    longest_s = "(3 + advskew / 256) | round(2)"

    [network]                     # the firewall pair, in the words of `carplab run`
    site = "{{ site }}"
    design = "single"             # also firewalls, family, dialect
    settings = ["password={{ password }}", "segment.outside=bridge"]

    [traffic]                     # optional: fields of carplab.scenario.Traffic, "none" for None
    stream = "server"
    iperf = "none"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from carplab.emulation.experiment import PROJECT
from carplab.errors import UsageError, listed
from carplab.labs.drawing import GUEST, Drawn, read_drawn
from carplab.labs.toml_file import read_toml, refuse_unknown, wanted
from carplab.scenario import Traffic

LABS = PROJECT / "labs"
START, SOLUTION = "start", "solution"
CHECK_FILE, README_FILE, LAB_FILE = "check.py", "README.md", "lab.toml"

_NAME = re.compile(r"(\d\d)-[a-z0-9-]+")
_KEYS = ("title", "minutes", "verify_as", "draw", "derived", "network", "traffic")
_NETWORK_KEYS = ("site", "firewalls", "design", "family", "dialect", "settings")
# What names Jinja gives to all templates, carplab.labs.handout: nothing may be drawn under them.
_TAKEN = ("lab", "student", "own", "virtual", "prefix", "virtual_mac")


@dataclass(frozen=True)
class CourseLab:
    """A lab as it lies in its folder; `network` and `traffic` are the tables of lab.toml."""

    folder: Path
    title: str
    minutes: int
    verify_as: str
    drawn: tuple[Drawn, ...]
    derived: Mapping[str, str]
    network: Mapping[str, Any]
    traffic: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The folder's name, such as 01-who-is-master."""
        return self.folder.name

    @property
    def number(self) -> str:
        """The two digits in front of its name."""
        return self.name[:2]


def list_labs(labs: Path = LABS) -> list[CourseLab]:
    """Return the labs of the course in their order."""
    return [read_lab(path) for path in _folders(labs)]


def find_lab(text: str, labs: Path = LABS) -> CourseLab:
    """Return the lab of a number (`1`, `01`) or name; UsageError naming those there are."""
    for folder in _folders(labs):
        if text in (folder.name, folder.name[:2]) or text.zfill(2) == folder.name[:2]:
            return read_lab(folder)
    names = listed(folder.name for folder in _folders(labs)) or f"none in {labs}"
    raise UsageError(f"there is no lab {text!r}: there are {names}")


def read_lab(folder: Path) -> CourseLab:
    """Return the lab in a folder; UsageError for what is wrong in lab.toml."""
    path = folder / LAB_FILE
    table = read_toml(path)
    refuse_unknown(table, _KEYS, str(path))
    drawn = wanted(table, "draw", dict, str(path), {})
    derived = wanted(table, "derived", dict, str(path), {})
    for name in (*drawn, *derived):
        if not name.isidentifier() or name in _TAKEN or (name in drawn and name in derived):
            raise UsageError(f"{path}: a value cannot be called {name!r}: take another name")
    network = wanted(table, "network", dict, str(path), {})
    refuse_unknown(network, _NETWORK_KEYS, f"{path}: network")
    traffic = wanted(table, "traffic", dict, str(path), {})
    refuse_unknown(traffic, (field.name for field in fields(Traffic)), f"{path}: traffic")
    return CourseLab(
        folder,
        title=wanted(table, "title", str, str(path)),
        minutes=wanted(table, "minutes", int, str(path)),
        verify_as=wanted(table, "verify_as", str, str(path), GUEST),
        drawn=tuple(read_drawn(name, entry, str(path)) for name, entry in drawn.items()),
        derived={name: wanted(derived, name, str, f"{path}: derived") for name in derived},
        network=network,
        traffic=traffic,
    )


def _folders(labs: Path) -> list[Path]:
    if not labs.is_dir():
        return []
    return sorted(
        path
        for path in labs.iterdir()
        if _NAME.fullmatch(path.name) and (path / LAB_FILE).is_file()
    )

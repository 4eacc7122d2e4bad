"""A student's folder: the files of one lab, which he edits, and `student.toml`, whose they are.

    lab-01/
      README.md  student.toml  answers.toml  network.toml  fw1.toml  fw2.toml ...

A file is written where it is missing, and never over one that was edited. fw1.toml is what carpd
on fw1 reads (one without any setting in it: no carpd runs there), fw1-sync.conf the section Sync of
what conntrackd reads there, client.sh a script that runs on client when the network starts,
network.toml the settings of the network that the lab leaves to the student.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from carplab.daemon import config
from carplab.errors import UsageError, listed
from carplab.labs.course import README_FILE, find_lab
from carplab.labs.drawing import GUEST, student_id
from carplab.labs.handout import Handout
from carplab.labs.toml_file import parse_toml, read_toml, refuse_unknown, wanted
from carplab.network import Network, Router, interface_name
from carplab.recording import give_to_user, writing

STUDENT_FILE = "student.toml"
ANSWERS_FILE = "answers.toml"
NETWORK_FILE = "network.toml"


@dataclass(frozen=True)
class Workspace:
    """The folder of one student for one lab."""

    folder: Path
    handout: Handout

    @classmethod
    def open(cls, folder: Path) -> Workspace:
        """Return the workspace in a folder; UsageError if it is none."""
        path = folder / STUDENT_FILE
        if not path.is_file():
            raise UsageError(f"{folder} is no folder of a lab: it has no {STUDENT_FILE}")
        table = read_toml(path)
        refuse_unknown(table, ("lab", "student"), str(path))
        lab = find_lab(wanted(table, "lab", str, str(path)))
        return cls(folder, Handout(lab, student_id(wanted(table, "student", str, str(path)))))

    @classmethod
    def prepare(cls, folder: Path, lab: str, student: str | None) -> Workspace:
        """Return the workspace in a folder, with the files of this lab that were missing written.

        UsageError when the folder is another lab's, or another student's.
        """
        found = find_lab(lab)
        if (folder / STUDENT_FILE).exists():
            workspace = cls.open(folder)
            there = workspace.handout
            if there.lab != found:
                raise UsageError(f"{folder} is of lab {there.lab.name}: name another with --dir")
            if student is not None and student_id(student) != there.student:
                raise UsageError(
                    f"{folder} is {there.student}'s, not {student_id(student)}'s: "
                    "name another with --dir"
                )
        else:
            workspace = cls(folder, Handout(found, student_id(student or GUEST)))
        workspace.write_missing()
        return workspace

    @cached_property
    def given(self) -> dict[str, str]:
        """What the student starts with, file name -> text."""
        return {README_FILE: self.handout.readme(), **self.handout.start()}

    def write_missing(self) -> None:
        """Write each file that is not there."""
        owner = {STUDENT_FILE: _student_text(self.handout), **self.given}
        for name, text in owner.items():
            if not (self.folder / name).exists():
                self._write(name, text)

    def write_solution(self) -> None:
        """Write the solution over the files that are there."""
        for name, text in self.handout.solution().items():
            self._write(name, text)

    def edited(self) -> list[str]:
        """Return the names of the files that are not as they were given."""
        return [
            name
            for name, text in self.given.items()
            if (self.folder / name).exists() and self._read(name) != text
        ]

    def reset(self) -> dict[str, str]:
        """Go back to what was given; return under which name each edited file is kept."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S")
        kept = {name: f"{name}.{now}" for name in self.edited()}
        for name, kept_name in kept.items():
            with writing(self.folder):
                (self.folder / name).rename(self.folder / kept_name)
        self.write_missing()
        return kept

    def configurations(self) -> dict[str, str]:
        """Return what carpd reads, by firewall, checked; empty where the student runs none.

        UsageError with carpd's own sentence, which names the file and the key.
        """
        found = {}
        for router in self.handout.network().routers:
            path = self.folder / f"{router.name}.toml"
            if path.name not in self.given and not path.exists():
                continue  # the lab leaves it as the network has it
            text = self._read(path.name)
            table = parse_toml(text, path)
            found[router.name] = text if table else ""
            if table:
                _check_configuration(config.parse(text, str(path)), router)
                _refuse_hooks(table, parse_toml(self.given.get(path.name, ""), path), path)
        return found

    def scripts(self) -> dict[str, str]:
        """Return the scripts by machine: those that the lab has, no others."""
        network = self.handout.network()
        machines = [each.name for each in network.routers] + [each.name for each in network.hosts]
        return {name: self._read(f"{name}.sh") for name in machines if f"{name}.sh" in self.given}

    def sync_sections(self) -> dict[str, str]:
        """Return the section Sync of conntrackd's configuration by firewall: those the lab has."""
        return {
            router.name: self._read(f"{router.name}-sync.conf")
            for router in self.handout.network().routers
            if f"{router.name}-sync.conf" in self.given
        }

    def network(self) -> Network:
        """Return the lab's network with the student's settings; UsageError for one not his."""
        if NETWORK_FILE not in self.given:
            return self.handout.network()
        path = self.folder / NETWORK_FILE
        settings = dict(_flat(read_toml(path)))
        own = dict(_flat(parse_toml(self.given[NETWORK_FILE], path)))
        for key in settings:
            if key not in own:
                raise UsageError(f"{path}: {key} is not yours to set here: {listed(own)} can be")
        return self.handout.network(f"{key}={value}" for key, value in settings.items())

    def answers(self) -> dict[str, Any]:
        """Return the student's answers; none where the lab asks for none."""
        path = self.folder / ANSWERS_FILE
        return read_toml(path) if ANSWERS_FILE in self.given else {}

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            path = self.folder / name
            raise UsageError(f"{path} cannot be read: it is part of the lab") from None

    def _write(self, name: str, text: str) -> None:
        with writing(self.folder / name):
            if not self.folder.exists():
                self.folder.mkdir(parents=True)
                give_to_user(self.folder)
            (self.folder / name).write_text(text, encoding="utf-8")
        give_to_user(self.folder / name)


def _check_configuration(wanted: config.DaemonConfig, router: Router) -> None:
    """Say what carpd would say when it starts on that machine."""
    own = {
        interface_name(router.name, each.segment, each.cable): each.addresses
        for each in router.interfaces
    }
    ports = [port for name in wanted.interfaces for port in wanted.ports(name)]
    config.check_addresses(wanted, {port: own.get(port) for port in ports})


def _refuse_hooks(table: Mapping[str, Any], given: Mapping[str, Any], path: Path) -> None:
    """Whoever grades a folder runs it as root: commands in it are those that the lab has."""
    for key in table:
        if key.startswith("on_") and table[key] != given.get(key):
            raise UsageError(f"{path}: {key} is not part of this lab: leave it as it was given")


def _student_text(handout: Handout) -> str:
    return (
        "# Whose lab this is: the check looks for the values that are drawn for this ID.\n"
        f"lab = {json.dumps(handout.lab.name)}\n"
        f"student = {json.dumps(handout.student)}\n"
    )


def _flat(table: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return `segment.outside = "stp"`, nested or in quotes, as ("segment.outside", "stp")."""
    found = []
    for key, value in table.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            found += _flat(value, f"{name}.")
        else:
            text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
            found.append((name, text))
    return found

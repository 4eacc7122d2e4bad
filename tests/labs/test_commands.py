"""`carplab lab` as a student uses it: start, edit, apply, check, reset, stop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from carplab.labs.grading import read_csv
from carplab.labs.workspace import Workspace
from carplab.lanes import Lane
from tests.emulation.lab import command

DEADLINE_S = 120.0
NOBODY = 65534


class Student:
    """Who works in a folder, in a world of his own."""

    def __init__(self, lane: Lane, folder: Path) -> None:
        self._lane = lane
        self.folder = folder / "lab-01"

    def lab(self, *words: str | Path, code: int = 0) -> str:
        """Run `carplab lab WORDS` as from sudo, and return what it said."""
        log = self.folder.with_suffix(".log")
        sudo = ["env", f"SUDO_UID={NOBODY}", f"SUDO_GID={NOBODY}", "COLUMNS=200"]
        assert self._lane.run([*sudo, *command("lab", *words)], log, DEADLINE_S) == code, (
            log.read_text()
        )
        return log.read_text()

    def change(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def student(tmp_path: Path) -> Iterator[Student]:
    with contextlib.closing(Lane()) as lane:
        yield Student(lane, tmp_path)


@pytest.mark.mininet
def test_lab_from_its_start_to_its_end(student: Student, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "results")
    said = student.lab("start", "1", "--student", "S7", "--dir", student.folder, *out)
    vhid = Workspace.open(student.folder).handout.values["vhid_outside"]
    assert f"vhid_outside         {vhid}\n" in said and "lab check 01" in said
    assert {path.stat().st_uid for path in student.folder.iterdir()} == {NOBODY}
    assert "lab 01-who-is-master is running, not 02" in student.lab("check", "2", code=1)

    student.change("fw2.toml", f"vhid = {int(vhid) + 1}", "vhid = 300")
    said = student.lab("apply", code=2)
    assert f"{student.folder}/fw2.toml: virtual_host 1: vhid 300" in said and said.count("\n") == 1
    Workspace.open(student.folder).write_solution()
    said = student.lab("apply")
    assert "fw1: carpd runs with" in said and "fw2: carpd runs with" in said
    grades = tmp_path / "grades.csv"
    student.change("fw1.toml", "advskew = 0", "advskew = 254")  # what is not applied is not checked
    said = student.lab("check", "1", "--csv", grades)
    assert "fw1.toml has changed since fw1 took it" in said and "FAIL" not in said
    rows = read_csv(grades)
    assert {row["passed"] for row in rows} == {"yes"} and {row["student"] for row in rows} == {"s7"}
    assert grades.stat().st_uid == NOBODY

    said = student.lab("reset", "1", "--dir", student.folder, *out)
    assert "fw1.toml is as it was given; yours is" in said
    assert "lab-01-who-is-master is stopped first" in said
    assert Workspace.open(student.folder).edited() == []
    assert "nothing has changed" in student.lab("apply")
    assert "is stopped; what it recorded is in" in student.lab("stop")
    assert "no session is running" in student.lab("stop", code=1)
    assert len(list((tmp_path / "results").glob("01-who-is-master/*/probe.csv*"))) == 2

"""What counts as a lab that works: a start that fails on the network, a solution that passes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from carplab.labs.batch import Graded, Job
from carplab.labs.checking import Line
from carplab.labs.course import read_lab
from carplab.labs.grading import GOES_ON, STARTS, Grade
from carplab.labs.verifying import Verified, by_lab, write_csv
from tests.labs.made_up import write_lab

GOOD = Line(True, "fw1 is MASTER", "it is")
BAD = Line(False, "fw1 is MASTER", "fw2 is")
ANSWER = Line(False, "the prediction", "not answered yet", is_answer=True)
ENDED = Line(False, GOES_ON, "the session has ended")
REFUSED = Line(False, STARTS, "fw1.toml: not valid TOML")


def verified(folder: Path, part: str, *lines: Line) -> Verified:
    lab = read_lab(write_lab(folder))
    return Verified(lab.name, part, Graded(Job(lab, folder), Grade("s", "", folder, lines), 1.25))


@pytest.mark.parametrize(
    ("part", "lines", "is_right"),
    [
        ("start", [BAD], True),
        ("start", [GOOD, BAD, ANSWER, ENDED], True),
        ("start", [GOOD, ANSWER], False),
        ("start", [GOOD, ENDED], False),
        ("start", [REFUSED], False),
        ("start", [GOOD], False),
        ("start", [], False),
        ("solution", [GOOD], True),
        ("solution", [GOOD, ANSWER], False),
        ("solution", [], False),
    ],
)
def test_start_fails_on_the_network_and_solution_passes(
    tmp_path: Path, part: str, lines: list[Line], is_right: bool
) -> None:
    assert verified(tmp_path, part, *lines).is_right is is_right


def test_table_of_the_labs_is_a_file_too(tmp_path: Path) -> None:
    found = [
        verified(tmp_path, "solution", GOOD, BAD),
        verified(tmp_path, "start", BAD, ANSWER, ENDED),
    ]
    write_csv(tmp_path / "labs.csv", by_lab(found))
    with (tmp_path / "labs.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["lab", "part", "as_it_should", "failed", "seconds"],
        ["07-made-up", "solution", "no", "fw1 is MASTER", "1.2"],
        ["07-made-up", "start", "yes", f"fw1 is MASTER; {GOES_ON}", "1.2"],
    ]
    assert found[0].seen == ["fw1 is MASTER: fw2 is"]

"""Grading: what a check says becomes lines, rows and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.cli import main
from carplab.errors import CarplabError, UsageError
from carplab.labs import grading
from carplab.labs.checking import Line
from carplab.labs.course import read_lab
from carplab.labs.grading import Grade, append_csv, check_session, load_check, read_csv
from carplab.labs.handout import Handout
from carplab.labs.workspace import Workspace
from tests.labs.made_up import write_lab

GOOD = Line(True, "fw1 is MASTER", "it is")
BAD = Line(False, "the outage", 'it was "3 s", and more', "advbase", is_answer=True)


def graded(*lines: Line, student: str = "s1") -> Grade:
    return Grade(student, "07-made-up", Path("handed-in", student), lines)


def test_rows_are_appended_for_each_student(tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    append_csv(path, [graded(GOOD, BAD)])
    append_csv(path, [graded(GOOD, student="s2")])
    assert path.read_text().startswith("student,lab,check,passed,seen,at,answer,folder\n")
    rows = read_csv(path)
    assert [(row["student"], row["check"], row["passed"]) for row in rows] == [
        ("s1", "fw1 is MASTER", "yes"),
        ("s1", "the outage", "no"),
        ("s2", "fw1 is MASTER", "yes"),
    ]
    assert rows[1]["seen"] == BAD.seen and rows[1]["answer"] == "yes"
    assert rows[2]["folder"] == "handed-in/s2"


def test_file_with_other_columns_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("name,room\n")
    with pytest.raises(UsageError, match=r"members.csv has other columns than student,lab"):
        append_csv(path, [graded(GOOD)])
    assert path.read_text() == "name,room\n"


def test_all_lines_must_pass_and_there_must_be_one() -> None:
    assert graded(GOOD, GOOD).passed
    assert not graded(GOOD, BAD).passed and not graded().passed


def test_what_stops_a_check_is_a_line_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_session: object, _workspace: object) -> object:
        yield GOOD
        raise CarplabError("no traffic passes")

    monkeypatch.setattr(grading, "_check", check)
    told: list[Line] = []
    handout = Handout(read_lab(write_lab(tmp_path)), "s1")
    grade = check_session(None, Workspace(tmp_path, handout), told.append)
    assert [line.passed for line in grade.lines] == [True, False] and told == list(grade.lines)
    assert grade.lines[1].seen == "no traffic passes"


def test_check_that_yields_nothing_is_refused(tmp_path: Path) -> None:
    lab = read_lab(write_lab(tmp_path, check_py="def check(lab):\n    return []\n"))
    with pytest.raises(UsageError, match=r"check.py has no function check\(lab\) that yields"):
        load_check(lab)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["start", "77"], 2, "there is no lab '77': there are 01-who-is-master"),
        (["check", "1", "--lanes", "0"], 2, "--lanes 0 is out of range: 1 to 32"),
        (["check", "1", "--files", "nowhere"], 2, "nowhere is no folder of a lab"),
        (["check", "1", "--files", "nowhere", "there"], 2, "nowhere is no folder of a lab"),
        (["reset", "1", "--dir", "nowhere"], 2, "nowhere is no folder of a lab"),
        (["verify", "77"], 2, "there is no lab '77'"),
        (["verify", "1", "--student", "?"], 2, "'?' is no ID of a student"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    assert main(["lab", *words]) == code
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1


def test_labs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "list"]) == 0
    assert "01-who-is-master" in capsys.readouterr().out

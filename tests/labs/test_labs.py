"""Every lab of the course, for many students, without a network: nothing drawn makes it impossible.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.labs.building import session_spec
from carplab.labs.course import CourseLab, list_labs
from carplab.labs.grading import load_check
from carplab.labs.handout import Handout
from carplab.labs.workspace import ANSWERS_FILE, Workspace

LABS = list_labs()
STUDENTS = [f"s{number}" for number in range(20)]


def every_lab(lab: CourseLab) -> str:
    return lab.name


@pytest.mark.parametrize("lab", LABS, ids=every_lab)
def test_files_of_many_students_make_a_network(lab: CourseLab, tmp_path: Path) -> None:
    for student in STUDENTS:
        workspace = Workspace.prepare(tmp_path / student, lab.name, student)
        session_spec(workspace).configured_network()
        workspace.write_solution()
        session_spec(workspace).configured_network()


@pytest.mark.parametrize("lab", LABS, ids=every_lab)
def test_handouts_are_complete_and_differ(lab: CourseLab) -> None:
    handouts = [Handout(lab, student) for student in STUDENTS]
    readmes = [handout.readme() for handout in handouts]
    assert len(set(readmes)) == len(STUDENTS)
    for heading in ("need", "prediction", "Tasks", "verify", "Questions", "Reference"):
        assert any(heading in line for line in readmes[0].splitlines() if line.startswith("#"))
    assert (lab.folder / "teacher.md").read_text().startswith("# ")
    assert load_check(lab)


@pytest.mark.parametrize("lab", LABS, ids=every_lab)
def test_solution_answers_what_is_asked_and_nothing_else(lab: CourseLab, tmp_path: Path) -> None:
    workspace = Workspace.prepare(tmp_path, lab.name, "s1")
    if ANSWERS_FILE not in workspace.given:
        return
    asked = workspace.answers()
    assert set(asked.values()) == {"?"}
    workspace.write_solution()
    answered = workspace.answers()
    assert answered.keys() == asked.keys() and "?" not in answered.values()

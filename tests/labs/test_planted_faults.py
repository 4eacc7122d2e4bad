"""The teacher's table of which student's ID has which faults."""

from __future__ import annotations

import re

from carplab.labs.course import find_lab
from carplab.labs.handout import Handout

ROW = re.compile(r"^\| (v\d+) \| (\w+) \| (\w+) \|$", re.MULTILINE)


def test_ids_have_the_faults_that_the_teacher_is_told_and_cover_all() -> None:
    lab = find_lab("10")
    rows = ROW.findall((lab.folder / "teacher.md").read_text())
    for student, outside, inside in rows:
        values = Handout(lab, student).values
        assert (values["outside_fault"], values["inside_fault"]) == (outside, inside)
    drawn = {each.name: set(each.choices) for each in lab.drawn}
    assert {outside for _, outside, _ in rows} == drawn["outside_fault"]
    assert {inside for _, _, inside in rows} == drawn["inside_fault"]

"""A student's values: always the same ones, within what the lab says, seldom another's."""

from __future__ import annotations

from typing import Any

import pytest

from carplab.errors import UsageError
from carplab.labs.drawing import Drawn, read_drawn, student_id

SKEW = read_drawn("advskew", {"from": 40, "to": 200, "step": 20}, "lab.toml")


def test_values_stay_what_they_are() -> None:
    """Another Python or version of carplab must not change what a class is working on."""
    site, word = Drawn("site", tuple(range(1, 200))), Drawn("password", letters=8)
    assert [site.draw(name, "01-x") for name in ("guest", "s1", "s2")] == [175, 43, 184]
    assert [word.draw(name, "01-x") for name in ("guest", "s1")] == ["ffksdhxf", "xezkunsg"]


def test_values_are_spread_over_what_there_is_to_choose_from() -> None:
    drawn = [SKEW.draw(f"s{number}", "01-x") for number in range(500)]
    assert set(drawn) == {40, 60, 80, 100, 120, 140, 160, 180, 200}
    assert all(25 < drawn.count(value) < 90 for value in set(drawn))


def test_lab_and_name_change_what_is_drawn() -> None:
    site = Drawn("site", tuple(range(10_000)))
    other = Drawn("other", tuple(range(10_000)))
    drawn = {site.draw("s1", "01-x"), site.draw("s1", "02-x"), other.draw("s1", "01-x")}
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (7, "lab.toml: draw.x is not a table"),
        ({"from": 1}, "lab.toml: draw.x: to is missing"),
        ({"from": 1, "to": 9, "letters": 3}, "takes one of: from and to, letters, choice"),
        ({}, "takes one of"),
        ({"from": 1, "to": "9"}, "to '9' is not a whole number"),
        ({"from": 9, "to": 1}, "has nothing to choose from"),
        ({"choice": []}, "has nothing to choose from"),
        ({"from": 1, "to": 9, "step": 0}, "step 0 is out of range"),
        ({"letters": 3, "secret": True}, "unknown key 'secret'"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(table: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_drawn("x", table, "lab.toml")


def test_ids_are_small_letters_and_fit_into_a_table() -> None:
    assert student_id(" S123.b ") == "s123.b"
    for wrong in ("", "=1+1", "a b", "x" * 65, "../x"):
        with pytest.raises(UsageError, match="is no ID of a student"):
            student_id(wrong)

"""The drawing of the state machine has what the table has, and nothing else."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from carplab.carp.virtual_host import TRANSITIONS, Cause, State
from docs.building import state_machine
from docs.building.state_machine import draw

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str, kind: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    found = root.iter(f"{SVG}text")
    return [each.text or "" for each in found if each.get("class", "state") == kind]


def test_each_transition_is_on_an_arrow_of_its_own_pair() -> None:
    svg = draw(TRANSITIONS)
    assert sorted(texts(svg, "cause")) == sorted(cause.value for _, cause in TRANSITIONS)
    assert sorted(texts(svg, "state")) == ["BACKUP", "INIT", "MASTER"]
    pairs = {(old, new) for (old, _), new in TRANSITIONS.items()}
    assert svg.count('class="arrow"') == len(pairs)


def test_description_says_it_to_those_who_cannot_see_it() -> None:
    told = ElementTree.fromstring(draw(TRANSITIONS)).find(f"{SVG}desc")
    assert told is not None and told.text is not None
    assert "From INIT to MASTER: preempting. " in told.text
    assert "From MASTER to BACKUP: more frequent advertisement received, " in told.text


def test_a_new_transition_draws_itself() -> None:
    few = {(State.INIT, Cause.INITIALIZED): State.BACKUP}
    more = {**few, (State.BACKUP, Cause.STOPPED): State.INIT}
    assert texts(draw(few), "cause") == ["initialization complete"]
    assert texts(draw(more), "cause") == ["initialization complete", "shutting down"]


def test_a_state_without_a_place_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(state_machine.PLACES, State.MASTER)
    with pytest.raises(ValueError, match="MASTER has no place in the drawing: add it to PLACES"):
        draw(TRANSITIONS)


def test_labels_are_within_the_drawing_and_do_not_cross() -> None:
    """A character is 13 px x 0.55 wide, or narrower."""
    boxes = []
    for match in re.finditer(
        r'<text class="cause" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]*)<',
        draw(TRANSITIONS),
    ):
        x, y, width = float(match[1]), float(match[2]), 7.2 * len(match[4])
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[match[3]]
        boxes.append((left, left + width, y))
        assert left >= 0 and left + width <= state_machine.WIDTH, match[4]
        assert 0 < y < state_machine.HEIGHT, match[4]
    for number, (left, right, y) in enumerate(boxes):
        for other_left, other_right, other_y in boxes[number + 1 :]:
            apart = right <= other_left or other_right <= left
            assert apart or abs(y - other_y) >= state_machine.LINE_HEIGHT - 0.2

"""The whole course on real networks: what a student starts with fails, the solution passes."""

from __future__ import annotations

import pytest

from carplab.labs.course import SOLUTION, START, list_labs
from carplab.labs.verifying import Verified, verify

LABS = {lab.name: lab for lab in list_labs()}
LANES = 6  # a lab waits for timers more than it computes


@pytest.fixture(scope="module")
def verified(request: pytest.FixtureRequest) -> dict[tuple[str, str], Verified]:
    """Both parts of every lab that a selected test asks about, all at once."""
    wanted = {
        item.callspec.params["lab"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    }
    labs = [lab for name, lab in LABS.items() if name in wanted]
    return {(each.lab, each.part): each for each in verify(labs, LANES)}


@pytest.mark.mininet
@pytest.mark.parametrize("lab", LABS)
def test_start_fails(verified: dict[tuple[str, str], Verified], lab: str) -> None:
    start = verified[lab, START]
    assert start.is_right, start.seen


@pytest.mark.mininet
@pytest.mark.parametrize("lab", LABS)
def test_solution_passes(verified: dict[tuple[str, str], Verified], lab: str) -> None:
    solution = verified[lab, SOLUTION]
    assert solution.is_right, solution.seen

"""What is typed after a word, and the sentences about what is wrong in it."""

from __future__ import annotations

from typing import Any

import pytest

from carplab.errors import UsageError
from carplab.scenario import Fault, check_fault
from carplab.shell.orders import (
    FAULTS,
    Demotion,
    example,
    parse_demotion,
    parse_fault,
    parse_lift,
    parse_seconds,
)
from topo.firewall_pair import firewall_pair


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("link_down fw1 outside", {"host": "fw1", "segment": "outside", "cable": 1}),
        ("link_down fw1 outside/2", {"host": "fw1", "segment": "outside", "cable": 2}),
        ("crash fw2", {"host": "fw2"}),
        (
            "loss fw1 inside percent=12.5",
            {"host": "fw1", "segment": "inside", "cable": 1, "percent": 12.5},
        ),
        (
            "flap count=3 fw1 outside period=0.5",
            {"host": "fw1", "segment": "outside", "cable": 1, "count": 3, "period_s": 0.5},
        ),
        (
            "blackhole server outside direction=to_host",
            {"host": "server", "segment": "outside", "cable": 1, "direction": "to_host"},
        ),
    ],
)
def test_fault(typed: str, asked: dict[str, Any]) -> None:
    assert parse_fault(typed.split()) == {"kind": typed.split()[0], **asked}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_has_an_example_that_works(kind: str) -> None:
    asked = parse_fault(example(kind).split())
    check_fault(firewall_pair(), Fault(at_s=0, length_s=0, **asked))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "which fault? There are link_down, blackhole"),
        ("link fw1 outside", "there is no fault 'link': there are link_down"),
        ("link_down fw1", "the cable of a machine, as in 'fault link_down fw1 outside'"),
        ("crash", "crash strikes a machine, as in 'fault crash fw1'"),
        ("crash fw1 outside", "crash strikes a machine"),
        ("link_down fw1 outside percent=3", "link_down has no option 'percent': it has none"),
        ("flap fw1 outside percent=3", "flap has no option 'percent': there is period, count"),
        ("loss fw1 outside percent=much", "percent=much: 'much' is not a number"),
        ("flap fw1 outside count=1.5", "count=1.5: '1.5' is not a number"),
    ],
)
def test_fault_that_is_refused(typed: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_fault(typed.split())
    assert sentence in str(refusal.value)


def test_lift() -> None:
    assert parse_lift(["all"], [1, 2]) is None
    assert parse_lift(["2", "1"], [1, 2]) == [2, 1]
    assert parse_lift([], [7]) == [7]
    for words in ([], ["fw1"], ["all", "2"]):
        with pytest.raises(UsageError, match="'lift ID' with one of 1, 2"):
            parse_lift(words, [1, 2])
    with pytest.raises(UsageError, match="nothing is broken"):
        parse_lift(["all"], [])


def test_demotion() -> None:
    assert parse_demotion(["fw1", "+1"]) == Demotion("fw1", "", 1)
    assert parse_demotion(["fw1", "outside", "-240"]) == Demotion("fw1", "outside", -240)
    for words in ([], ["fw1"], ["+1"], ["fw1", "1"], ["fw1", "a", "b", "+1"]):
        with pytest.raises(UsageError, match="typed 'demote FIREWALL"):
            parse_demotion(words)


def test_seconds() -> None:
    assert parse_seconds([], 60.0) == 60.0
    assert parse_seconds([], None) is None
    assert parse_seconds(["2.5"], 60.0) == 2.5
    for words in (["0"], ["-3"], ["soon"], ["nan"], ["inf"], ["3", "s"]):
        with pytest.raises(UsageError, match="is not a number of seconds"):
            parse_seconds(words, 60.0)

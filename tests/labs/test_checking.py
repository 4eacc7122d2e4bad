"""What checks are written with: answers, and outages out of what a session tells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from carplab.labs.checking import Line, Outage, RunningLab, VirtualHost
from carplab.labs.recorder import CALM_S, Probes, flows_since, how_far, longest_outage


def probes(*gaps: tuple[float, float], until_s: float = 10.0) -> Probes:
    """Return probes each 10 ms from 0 on; those sent in a gap are lost."""
    rows = [
        (n, n / 100, *((math.nan,) * 2 if _within(n / 100, gaps) else (n / 100 + 1e-3,) * 2))
        for n in range(round(until_s * 100))
    ]
    return np.array(rows)


def _within(t_s: float, gaps: tuple[tuple[float, float], ...]) -> bool:
    return any(start <= t_s < end for start, end in gaps)


def test_longest_outage_and_its_lost_packets() -> None:
    length_s, lost = longest_outage(probes((2.0, 5.0), (6.0, 6.5)))
    assert length_s == pytest.approx(3.01) and lost == 300
    assert longest_outage(probes()) == (0.0, 0)
    assert longest_outage(probes()[:0]) == (0.0, 0)


def test_traffic_flows_when_all_packets_have_come_back_for_a_while() -> None:
    gap = (2.0, 5.0)
    assert flows_since(probes(gap), 2.0) == pytest.approx(5.0)
    assert flows_since(probes(gap, until_s=4.0), 2.0) is None
    assert flows_since(probes(gap, until_s=5.0 + CALM_S - 0.1), 2.0) is None
    assert flows_since(probes(), 3.0) == 3.0
    assert flows_since(probes()[:0], 0.0) is None


def test_how_far_most_packets_came() -> None:
    answers_lost = probes()
    answers_lost[:60, 3] = math.nan
    assert how_far(answers_lost, 1.0) == "server"
    assert how_far(answers_lost, 2.0) == "back"
    assert how_far(probes((0.0, 0.6)), 1.0) == "nowhere"
    assert how_far(probes((0.0, 0.4)), 1.0) == "back"
    assert how_far(probes()[:0], 1.0) == "nowhere"


def test_outage_says_how_long_it_was() -> None:
    assert str(Outage(2.904, 290, True)) == "2.90 s"
    assert str(Outage(0.0, 0, True)) == "none"
    assert str(Outage(12.3, 900, False)) == "more than 12.3 s, and no end"


class Answering(RunningLab):
    """A lab of which only the answers are looked at."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers


class Looking(RunningLab):
    """A lab of which only what the session tells is looked at."""

    def __init__(self, *masters: tuple[str, str], happened: Any = ()) -> None:
        self._masters = masters
        self._happened = happened

    def virtual_hosts(self, router: str = "", segment: str = "") -> list[VirtualHost]:
        return [
            VirtualHost(name, place, 1, "", 1, "MASTER", 1, 0, 0, ())
            for name, place in self._masters
            if segment in ("", place)
        ]

    def events(self, since_s: float = 0.0) -> list[dict[str, Any]]:
        return [event for event in self._happened if event["t_s"] >= since_s]


def test_one_firewall_is_master_of_all() -> None:
    both = Looking(("fw1", "outside"), ("fw1", "inside"))
    assert both.is_master_of_all("fw1") and not both.is_master_of_all("fw2")
    assert both.masters_text() == "MASTER of the outside: fw1; of the inside: fw1"
    split = Looking(("fw1", "outside"), ("fw2", "outside"), ("fw1", "inside"))
    assert not split.is_master_of_all("fw1")
    assert split.masters_text() == "MASTER of the outside: fw1 and fw2; of the inside: fw1"
    assert not Looking().is_master_of_all("fw1") and Looking().masters_text() == "MASTER is nobody"


def test_when_a_virtual_host_came_into_a_state() -> None:
    def event(t_s: float, source: str, detail: str) -> dict[str, Any]:
        place = {"source": source, "segment": "inside"}
        return {"t_s": t_s, "event": "carp", **place, "detail": detail}

    lab = Looking(
        happened=[
            event(1.0, "fw2", "BACKUP -> MASTER (master timed out)"),
            event(2.0, "fw1", "BACKUP -> MASTER (preempting a slower master)"),
            event(3.0, "fw2", "MASTER -> BACKUP (more frequent advertisement received)"),
            event(5.0, "fw2", "BACKUP -> MASTER (master timed out)"),
        ]
    )
    assert lab.entered_s("fw2", "inside", "MASTER", 1.5) == 3.5
    assert lab.entered_s("fw2", "inside", "BACKUP", 1.5) == 1.5
    assert lab.entered_s("fw2", "inside", "MASTER", 5.01) == 0.0  # the fault is stamped after it
    assert lab.entered_s("fw2", "outside", "MASTER", 0.0) is None
    assert lab.entered_s("fw1", "inside", "MASTER", 2.5) is None


def answered(given: Any, right: object, **options: Any) -> Line:
    line = Answering(key=given).answer("key", right, "question", "there", **options)
    assert line.is_answer
    return line


@pytest.mark.parametrize(
    ("given", "right", "within"),
    [
        (255, 255, 0.0),
        (2.9, 3, 0.2),
        (1.0, 1, 0.0),
        (" 00:00:5E:00:01:07", "00:00:5e:00:01:07", 0.0),
        (["fw2", "FW1"], ["fw1", "fw2"], 0.0),
        (False, False, 0.0),
    ],
)
def test_right_answer_passes(given: Any, right: object, within: float) -> None:
    assert answered(given, right, within=within).passed


@pytest.mark.parametrize(
    ("given", "right", "seen"),
    [
        ("?", 3, "key is not answered yet"),
        ("", "fw1", "key is not answered yet"),
        ([], ["fw1"], "key is not answered yet"),
        ("3 s", 3, "key = '3 s' is not a number, without quotes and unit (s)"),
        (True, 1, "key = True is not a number, without quotes and unit (s)"),
        (1, True, "key = 1 is not true or false (s)"),
        (3, "fw1", "key = 3 is not a text in quotes (s)"),
        ("fw1", ["fw1"], "key = 'fw1' is not a list in square brackets (s)"),
        (2, 3, "key = 2 s is not right"),
        (["fw1"], ["fw1", "fw2"], "key = ['fw1'] s is not right"),
    ],
)
def test_wrong_answer_fails_without_telling_the_right_one(
    given: Any, right: object, seen: str
) -> None:
    line = answered(given, right, unit="s")
    assert not line.passed and line.seen == seen and line.look == "there"


def test_prediction_is_shown_beside_what_was_measured() -> None:
    line = answered(2, 3.14159, within=0.5, unit="s", measured=True)
    assert not line.passed and line.seen == "key = 2 s, measured 3.142 s"
    assert answered(3, 3.14159, within=0.5, unit="s", measured=True).passed

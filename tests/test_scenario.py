"""Scenarios: what is refused, and that the draw of the phases is the documented one."""

from __future__ import annotations

import random

import pytest

from carplab.errors import UsageError
from carplab.scenario import Fault, Phases, Traffic, draw_phases, scenario
from carplab.settings import apply_settings
from topo.firewall_pair import firewall_pair

CUT = Fault("link_down", "fw1", 4, 10, segment="outside")


def test_scenario_names_the_preferred_firewall() -> None:
    assert scenario("x", firewall_pair(), [CUT], 25).preferred == "fw1"
    network = apply_settings(firewall_pair(), ["fw1.advskew=200"])
    assert scenario("x", network, [CUT], 25).preferred == "fw2"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("flood", "fw1", 4, 10), "unknown fault 'flood': known are link_down, blackhole"),
        (Fault("crash", "fw3", 4, 10), "no firewall called 'fw3': there are fw1, fw2"),
        (Fault("crash", "client", 4, 10), "no firewall called 'client'"),
        (Fault("crash", "fw1", 4, 10, segment="inside"), "strikes a whole machine"),
        (Fault("crash", "fw1", 4, 10, cable=2), "no segment or cable"),
        (
            Fault("link_down", "fw1", 4, 10, segment="inside", cable=2),
            "fw1 is not on inside/2: it is on outside, inside",
        ),
        (Fault("link_down", "fw1", 4, 10, segment="dmz"), "no segment called 'dmz'"),
        (
            Fault("link_down", "client", 4, 10, segment="outside"),
            "client is not on outside: .* inside",
        ),
        (
            Fault("link_down", "fw7", 4, 10, segment="outside"),
            "fw7 is not on outside: it is on nowhere",
        ),
        (Fault("link_down", "fw1", 20, 5, segment="outside"), "20 s for 5 s is not within .* 25 s"),
        (Fault("link_down", "fw1", 4, 0, segment="outside"), "not within"),
        (Fault("link_down", "fw1", -1, 5, segment="outside"), "not within"),
        (
            Fault("blackhole", "fw1", 4, 5, segment="outside", direction="up"),
            "unknown direction 'up'",
        ),
        (Fault("loss", "fw1", 4, 5, segment="outside"), "loss of 0 percent is out of range"),
        (Fault("loss", "fw1", 4, 5, segment="outside", percent=101), "101 percent"),
        (Fault("flap", "fw1", 4, 5, segment="outside"), "count of at least 1"),
    ],
)
def test_impossible_fault_is_one_clear_sentence(fault: Fault, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        scenario("x", firewall_pair(), [fault], 25)


def test_faults_do_not_overlap() -> None:
    later = Fault("crash", "fw2", 14, 5)
    with pytest.raises(
        UsageError, match="crash at 14 s begins before link_down at 4 s is repaired"
    ):
        scenario("x", firewall_pair(), [CUT, later], 25)


def test_unknown_traffic_end() -> None:
    with pytest.raises(UsageError, match="no host called 'laptop': there are client, server"):
        scenario("x", firewall_pair(), [CUT], 25, Traffic(client="laptop"))


def test_traffic_that_cannot_be() -> None:
    with pytest.raises(UsageError, match=r"nobody called 'both' can send .*: known are"):
        scenario("x", firewall_pair(), [CUT], 25, Traffic(stream="both"))
    with pytest.raises(UsageError, match="no host called 'laptop'"):
        scenario("x", firewall_pair(), [CUT], 25, Traffic(flows=(("laptop", "server"),)))
    with pytest.raises(UsageError, match="from client to server is given twice"):
        scenario("x", firewall_pair(), [CUT], 25, Traffic(flows=(("client", "server"),)))


def test_phases_are_drawn_as_documented() -> None:
    generator = random.Random(7)
    expected = [Phases(generator.random(), generator.random()) for _ in range(4)]
    drawn = list(draw_phases(7, 2, 2))
    assert [phases for repetition in drawn for phases in repetition] == expected
    assert list(draw_phases(7, 5, 2))[:2] == drawn


def test_phases_cover_the_interval_evenly() -> None:
    phases = [phases[0].fault for phases in draw_phases(1, 1000, 1)]
    assert all(0 <= phase < 1 for phase in phases)
    assert all(60 < sum(low / 10 <= p < (low + 1) / 10 for p in phases) < 140 for low in range(10))

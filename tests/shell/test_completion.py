"""What the Tab key offers, place by place."""

from __future__ import annotations

import pytest

from carplab.shell.completion import candidates, names_of
from topo.firewall_pair import firewall_pair

PAIR = names_of(firewall_pair())
TWO_CABLES = names_of(firewall_pair(design="grouped-separate"))


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("fault l", ["link_down", "loss"]),
        ("fault link_down ", ["client", "fw1", "fw2", "server"]),
        ("fault crash ", ["fw1", "fw2"]),
        ("fault link_down fw1 ", ["inside", "outside"]),
        ("fault link_down client ", ["inside"]),
        ("fault link_down nobody ", []),
        ("fault link_down fw1 outside ", []),
        ("fault crash fw1 ", []),
        ("fault flap fw1 outside ", ["count=", "period="]),
        ("fault blackhole fw1 outside dir", ["direction="]),
        (
            "fault blackhole fw1 outside direction=",
            ["direction=both", "direction=from_host", "direction=to_host"],
        ),
        ("lift ", ["3", "4", "all"]),
        ("lift 3 ", ["4", "all"]),
        ("lift all ", []),
        ("demote ", ["fw1", "fw2"]),
        ("demote fw1 ", ["+1", "-1"]),
        ("client ping s", ["server"]),
        ("fw1 tcpdump -ni fw1-", ["fw1-inside", "fw1-outside"]),
        ("xterm f", ["fw1", "fw2"]),
    ],
)
def test_candidates(line: str, offered: list[str]) -> None:
    *before, text = line.split(" ")
    assert candidates(before, text, PAIR, lambda: [3, 4]) == offered


def test_second_cables_are_offered() -> None:
    given = ["fault", "link_down", "fw1"]
    assert "outside/2" in candidates(given, "out", TWO_CABLES, list)
    assert "fw1-outside-2" in candidates(["fw1", "ethtool"], "fw1-o", TWO_CABLES, list)

"""Rows of a session's status."""

from __future__ import annotations

from carplab.emulation.states import Place, States
from carplab.session.virtual_hosts import by_router, rows
from topo.firewall_pair import firewall_pair


def test_each_cable_has_the_demotion_of_its_own_groups() -> None:
    network = firewall_pair(design="grouped-demotion")
    states, _ = States(network).snapshot()
    second = network.router("fw1").interface("outside", 2).virtual_hosts[0]
    demotions = by_router(network, {("fw1", second.groups[0]): 1})
    assert demotions["fw2"] == {}
    found = {(row["router"], row["segment"], row["cable"]): row for row in rows(
        network, states, demotions
    )}
    assert len(found) == 8
    assert found["fw1", "outside", 2]["demotion"] == 1
    assert found["fw1", "outside", 1]["demotion"] == 0
    assert found["fw1", "outside", 2]["interface"] == "fw1-outside-2"


def test_what_has_no_state_yet_is_left_out() -> None:
    network = firewall_pair()
    demotions = by_router(network, {})
    (row,) = rows(network, {Place("fw2", "inside", 2): "BACKUP"}, demotions)
    assert (row["router"], row["state"], row["advskew"]) == ("fw2", "BACKUP", 100)
    assert row["addresses"] == ["10.0.2.1"]

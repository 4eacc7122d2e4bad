"""When a network counts as settled, and whose advertisement gives the phase of a fault."""

from __future__ import annotations

from carplab.emulation.states import BACKUP, MASTER, Place, States
from carplab.network import Network
from topo.firewall_pair import firewall_pair


def settled(network: Network, masters: set[Place]) -> States:
    """States in which these places are MASTER and all others are BACKUPs that hear them."""
    states = States(network)
    for router, interface, virtual_host in network.virtual_hosts():
        place = states.place(router.carp_interface(interface), virtual_host.vhid)
        states.set_state(place, MASTER if place in masters else BACKUP)
        if place not in masters:
            states.set_heard(place)
    return states


def test_balanced_network_has_settled_with_each_firewall_master_of_its_own() -> None:
    network = firewall_pair(design="balanced")
    shares = {Place("fw1", "outside", 1), Place("fw1", "inside", 2)}
    shares |= {Place("fw2", "outside", 3), Place("fw2", "inside", 4)}
    assert settled(network, shares).has_settled()
    all_of_one = {Place("fw1", "outside", vhid) for vhid in (1, 3)}
    all_of_one |= {Place("fw1", "inside", vhid) for vhid in (2, 4)}
    states = settled(network, all_of_one)
    assert not states.has_settled()
    assert "fw1 MASTER on outside (vhid 3)" in states.describe()


def test_only_the_most_willing_cable_is_master() -> None:
    network = firewall_pair(design="grouped-separate")
    first = {Place("fw1", "outside", 1), Place("fw1", "inside", 2)}
    assert settled(network, first).has_settled()
    second = {Place("fw1", "outside", 1, cable=2), Place("fw1", "inside", 2)}
    states = settled(network, second)
    assert not states.has_settled()
    assert "fw1 MASTER on outside/2" in states.describe()


def test_failover_set_is_one_place() -> None:
    states = States(firewall_pair(design="grouped-failover"))
    assert states.place("fw2-outside-set", 1) == Place("fw2", "outside", 1)


def test_demoted_network_has_not_settled() -> None:
    network = firewall_pair()
    states = settled(network, {Place("fw1", "outside", 1), Place("fw1", "inside", 2)})
    states.set_demotion("fw2", "carp", 1)
    assert not states.has_settled()
    states.set_demotion("fw2", "carp", 0)
    assert states.has_settled()


def test_backup_that_hears_nobody_has_not_settled() -> None:
    states = States(firewall_pair())
    for name, state in (("fw1", MASTER), ("fw2", BACKUP)):
        for segment, vhid in (("outside", 1), ("inside", 2)):
            states.set_state(states.place(f"{name}-{segment}", vhid), state)
    states.set_heard(Place("fw2", "outside", 1))
    assert not states.has_settled()
    states.set_heard(Place("fw2", "inside", 2))
    assert states.has_settled()


def test_last_advertisement_is_of_the_struck_firewall_if_it_is_master_there() -> None:
    network = firewall_pair(design="balanced")
    masters = {Place("fw1", "outside", 1), Place("fw2", "outside", 3), Place("fw2", "inside", 4)}
    states = settled(network, masters)
    for number, place in enumerate(sorted(masters, key=lambda place: place.vhid)):
        states.set_sent(place, float(number))
    assert states.last_advertisement("outside", "fw1") == (Place("fw1", "outside", 1), 0.0)
    assert states.last_advertisement("outside", "fw2") == (Place("fw2", "outside", 3), 1.0)
    assert states.last_advertisement("inside", "fw1") == (Place("fw2", "inside", 4), 2.0)
    assert states.last_advertisement("", "fw1") == (Place("fw1", "outside", 1), 0.0)
    assert settled(network, set()).last_advertisement("", "fw1") is None

"""Interface groups, and several interfaces of one machine on one segment."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from carplab.carp import packet
from carplab.carp.actions import Announce, DemotionChanged, Heard, SendAdvertisement
from carplab.carp.dialect import FREEBSD, OPENBSD, OPENBSD_3_8, Dialect
from carplab.carp.node import Node, NodeConfig
from tests.carp.wire import BACKUP, EVERY_DIALECT, INIT, MASTER, Network, host, pair, states


def grouped_pair() -> Network:
    """Two firewalls whose two segments are in a group each, and both in the group "both"."""
    network = Network()
    for name, skew in (("fw1", 0), ("fw2", 100)):
        hosts = [host(s, skew, groups=(s, "both")) for s in ("outside", "inside")]
        network.add(name, hosts, OPENBSD)
    network.run_until(6.0)
    assert states(network, "fw1") == (MASTER, MASTER)
    return network


def two_cables(groups: bool, dialect: Dialect = OPENBSD) -> Network:
    """Each firewall has two cables to the outside, with the same virtual host on both."""
    network = Network()
    for name, skew in (("fw1", 0), ("fw2", 100)):
        hosts = [
            host("outside", skew, groups=("outside1",) if groups else ("carp",)),
            host("outside/2", skew + 50, groups=("outside2",) if groups else ("carp",)),
            host("inside", skew, vhid=2, groups=("inside",) if groups else ("carp",)),
        ]
        network.add(name, hosts, dialect)
        network.run_for(0.2)
    network.run_until(8.0)
    return network


def outside_masters(network: Network) -> list[tuple[str, str]]:
    return [
        (name, interface)
        for interface in ("outside", "outside/2")
        for name in network.masters(interface)
    ]


# Demotion by group


def test_demoting_a_group_moves_only_its_virtual_hosts() -> None:
    network = grouped_pair()
    network.call("fw1", lambda node: node.demote(1, "user", network.now, "outside"))
    network.run_for(0.0)
    assert states(network, "fw1") == (BACKUP, MASTER)
    network.call("fw1", lambda node: node.demote(1, "user", network.now, "both"))
    network.run_for(0.0)
    assert states(network, "fw1") == (BACKUP, BACKUP)


def test_the_demotion_of_a_virtual_host_is_the_sum_over_its_groups() -> None:
    network = grouped_pair()
    for group, delta in (("outside", 2), ("inside", 4), ("both", 8), ("carp", 16)):
        network.call("fw1", lambda node, g=group, d=delta: node.demote(d, "user", network.now, g))
    status = network.nodes["fw1"].status()
    assert status.demotions == {"carp": 16, "outside": 2, "both": 8, "inside": 4}
    assert [s.demotion for s in status.virtual_hosts] == [10, 12]
    assert [s.groups for s in status.virtual_hosts] == [("outside", "both"), ("inside", "both")]
    network.run_for(1.0)
    last = {a.key.interface: packet.decode(a.payload).demote for a in network.sent("fw1")}
    assert last == {"outside": 10, "inside": 12}


def test_the_advertised_demotion_fits_its_byte() -> None:
    network = grouped_pair()
    network.call("fw1", lambda node: node.demote(1, "user", network.now, "outside"))
    network.call("fw1", lambda node: node.demote(299, "user", network.now, "outside"))
    network.crash("fw2")
    network.run_for(5.0)
    counts = {packet.decode(a.payload).demote for a in network.sent("fw1")[-4:]}
    assert counts == {0, 255}


def test_every_master_advertises_when_a_group_s_count_rises_to_one() -> None:
    network = grouped_pair()
    for expected in (2, 0):
        before = len(network.sent("fw1"))
        network.call("fw1", lambda node: node.demote(1, "user", network.now, "carp"))
        assert len(network.sent("fw1")) - before == expected


def test_a_lost_carrier_demotes_every_group_of_its_virtual_host_and_gives_all_back() -> None:
    network = grouped_pair()
    network.link("fw1", "outside", up=False)
    assert network.demotions("fw1") == {"carp": 0, "outside": 1, "both": 1, "inside": 0}
    network.link("fw1", "outside", up=True)
    assert set(network.demotions("fw1").values()) == {0}
    changes = [a for _, a in network.log if isinstance(a, DemotionChanged)]
    assert [(c.group, c.old, c.new, c.reason) for c in changes] == [
        ("outside", 0, 1, "interface down"),
        ("both", 0, 1, "interface down"),
        ("outside", 1, 0, "interface up"),
        ("both", 1, 0, "interface up"),
    ]


def test_send_errors_demote_the_groups_of_their_virtual_host() -> None:
    network = grouped_pair()
    network.failing.add(("fw1", "inside"))
    network.run_for(3.2)
    assert network.demotions("fw1") == {"carp": 0, "outside": 0, "both": 1, "inside": 1}


@EVERY_DIALECT
def test_an_unknown_group_is_refused_and_carp_is_always_known(dialect: Dialect) -> None:
    node = Node(NodeConfig((host(),), dialect), lambda: 1)
    with pytest.raises(ValueError, match="no group wan here, only carp"):
        node.demote(1, "user", 0.0, "wan")
    node.demote(1, "user", 0.0)
    assert node.status().demotions == {"carp": 1}


@pytest.mark.parametrize("dialect", [OPENBSD_3_8, FREEBSD])
def test_other_groups_are_openbsd_s_only(dialect: Dialect) -> None:
    with pytest.raises(ValueError, match="knows the one group carp"):
        NodeConfig((host(groups=("outside1",)),), dialect)
    with pytest.raises(ValueError, match="knows the one group carp"):
        NodeConfig((host(groups=("carp", "outside1")),), dialect)


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [((), "in no group"), (("",), "without a name"), (("a", "a"), "same group twice")],
)
def test_wrong_groups_are_refused(groups: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        host(groups=groups)


# Two interfaces on one segment


def test_with_a_group_each_the_other_interface_keeps_the_machine_master() -> None:
    network = two_cables(groups=True)
    assert outside_masters(network) == [("fw1", "outside")]
    network.link("fw1", "outside", up=False)
    network.run_for(3 + 50 / 256)
    assert outside_masters(network) == [("fw1", "outside/2")]
    assert network.masters("inside", vhid=2) == ["fw1"]
    network.link("fw1", "outside", up=True)
    network.run_for(1 + 50 / 256)
    assert outside_masters(network) == [("fw1", "outside")]
    assert network.masters("inside", vhid=2) == ["fw1"]
    moved = [text for at, text in network.transitions("fw1") if at > 8.0 and "@inside" in text]
    assert not moved


@EVERY_DIALECT
def test_in_one_group_a_lost_cable_moves_everything(dialect: Dialect) -> None:
    network = two_cables(groups=False, dialect=dialect)
    network.link("fw1", "outside", up=False)
    network.run_for(8.0)
    assert [name for name, _ in outside_masters(network)] == ["fw2"]
    assert network.masters("inside", vhid=2) == ["fw2"]


@EVERY_DIALECT
def test_two_interfaces_of_a_machine_hear_each_other_as_anybody(dialect: Dialect) -> None:
    network = two_cables(groups=False, dialect=dialect)
    assert outside_masters(network) == [("fw1", "outside")]
    network.crash("fw2")
    network.run_for(5.0)
    assert outside_masters(network) == [("fw1", "outside")]
    heard = [a for n, a in network.log if n == "fw1" and isinstance(a, Heard) and a.at_s > 8.1]
    assert {str(a.key) for a in heard} == {"1@outside/2"}
    assert network.nodes["fw1"].status().statistics["badauth"] == 0


def test_a_cookie_tells_one_s_own_advertisement_from_a_sibling_s() -> None:
    network = two_cables(groups=True)
    node = network.nodes["fw1"]
    cookies: dict[str, set[int]] = {}
    network.link("fw1", "outside", up=False)
    network.run_for(4.0)
    for action in network.sent("fw1"):
        counter = packet.decode(action.payload).counter
        cookies.setdefault(action.key.interface, set()).add(counter)
    assert [len(cookies[name]) for name in ("outside", "outside/2")] == [1, 1]
    assert cookies["outside"] != cookies["outside/2"]
    assert node.status().statistics["badauth"] == 0


# A failover set


@EVERY_DIALECT
def test_a_moved_link_makes_its_masters_advertise_and_announce_at_once(dialect: Dialect) -> None:
    network = pair(dialect)
    network.run_for(0.5)
    for name, expected in (("fw1", 1), ("fw2", 0)):
        before = len(network.log)
        network.call(name, lambda node: node.link_moved("outside", network.now))
        new = [action for owner, action in network.log[before:] if owner == name]
        assert [a.key.interface for a in new if isinstance(a, SendAdvertisement)] == (
            ["outside"] * expected
        )
        assert [a.addresses for a in new if isinstance(a, Announce)] == (
            [(IPv4Address("192.0.2.1"),)] * expected
        )
    before = len(network.sent("fw1"))
    network.run_for(0.999)
    assert "outside" not in {a.key.interface for a in network.sent("fw1")[before:]}
    with pytest.raises(ValueError, match="no virtual host on interface wan"):
        network.nodes["fw1"].link_moved("wan", network.now)


def test_a_moved_link_does_not_wake_what_is_in_init() -> None:
    network = pair(OPENBSD)
    network.link("fw1", "outside", up=False)
    before = len(network.sent("fw1"))
    network.call("fw1", lambda node: node.link_moved("outside", network.now))
    assert network.state("fw1", "outside") is INIT
    assert len(network.sent("fw1")) == before

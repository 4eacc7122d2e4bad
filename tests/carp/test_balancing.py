"""ARP balancing: of the virtual hosts that share an address, which one answers whom."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carplab.carp.actions import Announce, VirtualHostKey
from carplab.carp.dialect import FREEBSD, OPENBSD, OPENBSD_3_8, Dialect
from carplab.carp.node import Node, NodeConfig
from carplab.carp.virtual_host import VirtualHostConfig
from tests.carp.test_convergence import NAMES, Event, link, make_whole, names, segments
from tests.carp.wire import EVERY_DIALECT, MASTER, Network, host

BALANCING = pytest.mark.parametrize("dialect", [OPENBSD_3_8, OPENBSD], ids=repr)
SHARED = "192.0.2.1"
MAC = "02:00:0a:00:02:64"


def shared_hosts(number: int, count: int) -> list[VirtualHostConfig]:
    """Firewall `number` of `count` is preferred for the virtual host `number` of each segment."""
    return [
        host(segment, advskew=100 * ((vhid - number) % count), vhid=vhid)
        for segment in ("outside", "inside")
        for vhid in range(1, count + 1)
    ]


def balanced(dialect: Dialect, count: int, preempt: bool = True) -> Network:
    network = Network()
    for number, name in enumerate(NAMES[:count], start=1):
        network.add(name, shared_hosts(number, count), dialect, preempt, arp_balance=True)
    network.run_until(8.0)
    return network


# Who answers whom


@BALANCING
@pytest.mark.parametrize("count", [2, 3])
def test_each_firewall_answers_its_share(dialect: Dialect, count: int) -> None:
    network = balanced(dialect, count)
    for number in range(20):
        address, mac = IPv4Address("10.0.2.100") + number, f"02:00:00:00:00:{number:02x}"
        answers = network.answering("inside", str(address), mac, SHARED)
        index = int(address) if dialect is OPENBSD_3_8 else 0x02 ^ number
        vhid = index % count + 1
        assert answers == [(NAMES[vhid - 1], VirtualHostKey("inside", vhid))]


def test_by_address_only_the_address_counts_and_by_mac_only_the_mac() -> None:
    by_address, by_mac = balanced(OPENBSD_3_8, 2), balanced(OPENBSD, 2)
    for network, address, mac in (
        (by_address, "10.0.2.100", "02:00:00:00:00:01"),
        (by_mac, "10.0.2.101", MAC),
    ):
        before = network.answering("inside", "10.0.2.100", MAC, SHARED)
        assert network.answering("inside", address, mac, SHARED) == before
    assert by_address.answering("inside", "10.0.2.101", MAC, SHARED) == [
        ("fw2", VirtualHostKey("inside", 2))
    ]
    assert by_mac.answering("inside", "10.0.2.100", "03:00:0a:00:02:64", SHARED) == [
        ("fw2", VirtualHostKey("inside", 2))
    ]


@pytest.mark.parametrize(("dialect", "counted"), [(OPENBSD_3_8, 2), (OPENBSD, 3)], ids=repr)
def test_what_does_not_run_counts_by_mac_only(dialect: Dialect, counted: int) -> None:
    config = NodeConfig(
        tuple(host(vhid=vhid) for vhid in (3, 1, 2)), dialect, preempt=True, arp_balance=True
    )
    node = Node(config, lambda: 1)
    node.link_changed("outside", True, 0.0)
    node.handle_timer(4.0)
    node.disable(VirtualHostKey("outside", 1), 4.0)
    answers = [
        node.answer_arp("outside", IPv4Address(n), bytes([0, 0, 0, 0, 0, n]), IPv4Address(SHARED))
        for n in range(counted)
    ]
    running = [VirtualHostKey("outside", 2), VirtualHostKey("outside", 3)]
    assert answers == ([None, *running] if dialect is OPENBSD else running)


@BALANCING
def test_nobody_answers_where_nothing_runs(dialect: Dialect) -> None:
    config = NodeConfig((host(vhid=1), host(vhid=2)), dialect, arp_balance=True)
    node = Node(config, lambda: 1)
    for number in range(4):
        question = (IPv4Address(number), bytes([0] * 5 + [number]), IPv4Address(SHARED))
        assert node.answer_arp("outside", *question) is None


@BALANCING
def test_an_address_that_is_not_shared_is_not_balanced(dialect: Dialect) -> None:
    own = "192.0.2.9"
    network = Network()
    hosts = [host(vhid=1, addresses=(SHARED, own)), host(vhid=2), host("inside")]
    network.add("fw1", hosts, dialect, arp_balance=True)
    network.run_until(4.0)
    assert network.state("fw1", "outside") is MASTER
    assert network.answering("outside", "10.0.2.1", MAC, SHARED)
    assert not network.answering("outside", "10.0.2.1", MAC, own)
    assert not network.answering("inside", "10.0.2.1", MAC, SHARED)


happenings = st.one_of(
    st.floats(0.001, 6).map(lambda seconds: lambda network: network.run_for(seconds)),
    st.builds(link, names, segments, st.booleans()),
    names.map(lambda name: lambda network: network.partition(name)),
    st.just(lambda network: network.partition()),
)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
requesters = st.tuples(st.ip_addresses(v=4).map(str), macs)


@BALANCING
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    count=st.integers(2, 3),
    preempt=st.booleans(),
    happened=st.lists(happenings, max_size=15),
    asking=st.lists(requesters, min_size=1, max_size=5),
)
def test_once_settled_exactly_one_machine_answers_each_requester(
    dialect: Dialect,
    count: int,
    preempt: bool,
    happened: list[Event],
    asking: list[tuple[str, str]],
) -> None:
    network = balanced(dialect, count, preempt)
    for happening in happened:
        happening(network)
    make_whole(network)
    network.run_for(8.0)
    for address, mac in asking:
        for segment in ("outside", "inside"):
            assert len(network.answering(segment, address, mac, SHARED)) == 1


@BALANCING
@pytest.mark.parametrize("count", [2, 3])
def test_after_a_cable_pull_the_others_answer_for_everybody(dialect: Dialect, count: int) -> None:
    network = balanced(dialect, count)
    network.link("fw1", "inside", up=False)
    network.run_for(4.0)
    for number in range(12):
        mac = f"02:00:00:00:00:{number:02x}"
        answers = network.answering("inside", f"10.0.2.{number}", mac, SHARED)
        assert len(answers) == 1
        assert answers[0][0] != "fw1"


# What is announced


@pytest.mark.parametrize(
    ("dialect", "announced"),
    [(OPENBSD_3_8, [SHARED, "192.0.2.9"]), (OPENBSD, ["192.0.2.9"])],
    ids=repr,
)
def test_openbsd_does_not_announce_what_it_balances(dialect: Dialect, announced: list[str]) -> None:
    network = Network()
    hosts = [host(vhid=1, addresses=(SHARED, "192.0.2.9")), host(vhid=2)]
    network.add("fw1", hosts, dialect, arp_balance=True)
    network.run_until(4.0)
    announcements = {a.key.vhid: a for _, a in network.log if isinstance(a, Announce)}
    assert [str(address) for address in announcements[1].addresses] == announced
    assert (2 in announcements) == (SHARED in announced)


# What is refused


def test_freebsd_has_no_arp_balancing() -> None:
    with pytest.raises(ValueError, match="freebsd: it was removed"):
        NodeConfig((host(),), FREEBSD, arp_balance=True)


@EVERY_DIALECT
def test_without_balancing_an_address_is_in_one_virtual_host_of_an_interface(
    dialect: Dialect,
) -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.1 is in vhids 1 and 2 of outside"):
        NodeConfig((host(vhid=2), host(vhid=1)), dialect)
    NodeConfig((host("outside"), host("outside/2")), dialect)


def test_an_ipv6_address_is_not_balanced() -> None:
    both = [host(vhid=vhid, addresses=(SHARED, "2001:db8::1")) for vhid in (1, 2)]
    with pytest.raises(ValueError, match="only an IPv4 one"):
        NodeConfig(tuple(both), OPENBSD, arp_balance=True)

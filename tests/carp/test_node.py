"""The protocol on an in-memory wire with a virtual clock: what each dialect does, case by case."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address

import pytest

from carplab.carp import packet
from carplab.carp.actions import SendAdvertisement, TakeAddresses, VirtualHostKey
from carplab.carp.dialect import FREEBSD, OPENBSD, OPENBSD_3_8, Dialect
from carplab.carp.frames import Datagram
from carplab.carp.node import Node, NodeConfig
from carplab.carp.virtual_host import TransitionError, VirtualHostConfig
from tests.carp.wire import BACKUP, EVERY_DIALECT, INIT, MASTER, Network, host, pair, states

OUTSIDE = VirtualHostKey("outside", 1)


# One machine alone


@EVERY_DIALECT
def test_a_host_alone_becomes_master(dialect: Dialect) -> None:
    network = Network()
    network.add("fw1", [host(advskew=100)], dialect)
    network.run_until(10.0)
    at_s, text = network.transitions("fw1")[-1]
    if dialect.init_to_master:
        assert (at_s, text) == (0.0, "1@outside: INIT -> MASTER (preempting)")
    else:
        assert text == "1@outside: BACKUP -> MASTER (master timed out)"
        assert at_s == 3 + 100 / 256


def test_2005_without_preempt_starts_as_backup() -> None:
    network = Network()
    network.add("fw1", [host()], OPENBSD_3_8, preempt=False)
    assert network.state("fw1", "outside") is BACKUP


@EVERY_DIALECT
def test_advertisements_keep_time_when_the_driver_is_late(dialect: Dialect) -> None:
    node = Node(NodeConfig((host(advskew=64),), dialect), lambda: 1)
    node.link_changed("outside", True, 0.0)
    node.handle_timer(node.get_timer() or 0.0)  # MASTER
    first = node.get_timer()
    assert first is not None
    for n in range(1, 50):
        due = node.get_timer()
        assert due == pytest.approx(first + (n - 1) * 1.25, abs=1e-9)
        node.handle_timer(due + 0.3)


def test_a_master_stopped_for_long_sends_no_burst() -> None:
    node = Node(NodeConfig((host(),), OPENBSD), lambda: 1)
    node.link_changed("outside", True, 0.0)
    node.handle_timer(3.0)
    while node.next_action():
        pass
    node.handle_timer(100.0)
    sent = []
    while action := node.next_action():
        sent.append(action)
    assert len([a for a in sent if isinstance(a, SendAdvertisement)]) == 1
    assert node.get_timer() == 101.0


def test_becoming_master_advertises_then_takes_then_announces() -> None:
    node = Node(NodeConfig((host(),), FREEBSD), lambda: 1)
    node.link_changed("outside", True, 0.0)
    while node.next_action():
        pass
    node.handle_timer(3.0)
    kinds = []
    while action := node.next_action():
        kinds.append(type(action).__name__)
    assert kinds == ["SendAdvertisement", "Transition", "TakeAddresses", "Announce"]


@pytest.mark.parametrize(("dialect", "times"), [(OPENBSD_3_8, 1), (OPENBSD, 2), (FREEBSD, 1)])
def test_repeated_announcement(dialect: Dialect, times: int) -> None:
    network = Network()
    network.add("fw1", [host()], dialect)
    network.run_until(20.0)
    assert network.announcements("fw1") == times


# Two machines


@EVERY_DIALECT
@pytest.mark.parametrize("preempt", [True, False])
def test_a_crash_is_detected_at_the_master_down_time(dialect: Dialect, preempt: bool) -> None:
    network = pair(dialect, preempt)
    assert states(network, "fw1") == (MASTER, MASTER)
    last = network.now - network.now % 1.0
    network.crash("fw1")
    network.run_for(4.0)
    takeover, text = network.transitions("fw2")[-1]
    assert text.endswith("BACKUP -> MASTER (master timed out)")
    assert takeover - last == pytest.approx(3 + 100 / 256)


@EVERY_DIALECT
def test_bow_out_hands_over_at_once(dialect: Dialect) -> None:
    network = pair(dialect)
    at = network.now
    network.call("fw1", lambda node: node.stop(at))
    network.run_for(0.0)
    assert states(network, "fw2") == (MASTER, MASTER)
    bow_out = packet.decode(network.sent("fw1")[-1].payload)
    assert bow_out.is_bow_out


@EVERY_DIALECT
@pytest.mark.parametrize("preempt", [True, False])
def test_the_preferred_host_returns_only_with_preempt(dialect: Dialect, preempt: bool) -> None:
    network = pair(dialect, preempt)
    network.call("fw1", lambda node: node.disable(OUTSIDE, network.now))
    network.run_for(5.0)
    network.call("fw1", lambda node: node.enable(OUTSIDE, network.now))
    network.run_for(5.0)
    assert network.masters("outside") == (["fw1"] if preempt else ["fw2"])


@EVERY_DIALECT
def test_a_cable_pull_moves_the_other_segment_at_once(dialect: Dialect) -> None:
    network = pair(dialect)
    network.link("fw1", "outside", up=False)
    network.run_for(0.0)
    assert states(network, "fw1") == (INIT, BACKUP)
    assert network.state("fw2", "inside") is MASTER
    assert network.state("fw2", "outside") is BACKUP  # hears nothing, has to wait
    network.run_for(3.5)
    assert states(network, "fw2") == (MASTER, MASTER)


@EVERY_DIALECT
def test_without_preempt_a_cable_pull_splits_except_in_openbsd(dialect: Dialect) -> None:
    network = pair(dialect, preempt=False)
    network.link("fw1", "outside", up=False)
    network.run_for(5.0)
    # OpenBSD compares demotion counts whatever preempt says
    assert network.state("fw2", "inside") is (MASTER if dialect is OPENBSD else BACKUP)


@EVERY_DIALECT
def test_after_a_cable_pull_each_segment_returns_at_the_slower_masters_next_advertisement(
    dialect: Dialect,
) -> None:
    network = pair(dialect)
    network.link("fw1", "outside", up=False)
    network.run_for(8.3)
    repaired = network.now
    network.link("fw1", "outside", up=True)
    # the count is still up when the interface leaves INIT: even 2005's preempt gives BACKUP
    assert network.state("fw1", "outside") is BACKUP
    network.run_for(1 + 100 / 256)
    assert states(network, "fw1") == (MASTER, MASTER)
    returns = [
        at for at, text in network.transitions("fw1") if at > repaired and "MASTER (" in text
    ]
    assert len(returns) == 2
    assert all(0 < at - repaired <= 1 + 100 / 256 for at in returns)


@EVERY_DIALECT
def test_a_partition_makes_two_masters_and_healing_leaves_the_faster(dialect: Dialect) -> None:
    network = pair(dialect)
    network.partition("fw1")
    network.run_for(5.0)
    assert network.masters("outside") == ["fw1", "fw2"]
    network.partition()
    network.run_for(1.0)
    assert network.masters("outside") == ["fw1"]
    assert network.transitions("fw2")[-1][1].endswith("(more frequent advertisement received)")


@EVERY_DIALECT
def test_one_lost_advertisement_changes_nothing_three_do(dialect: Dialect) -> None:
    network = pair(dialect)
    before = len(network.log)
    network.drop = lambda sender, *_: sender == "fw1"
    network.run_for(2.5)
    network.drop = lambda *_: False
    network.run_for(2.0)
    assert not [a for _, a in network.log[before:] if isinstance(a, TakeAddresses)]
    network.drop = lambda sender, *_: sender == "fw1"
    network.run_for(4.0)
    assert network.masters("outside") == ["fw1", "fw2"]


@EVERY_DIALECT
def test_wrong_password_makes_two_masters_and_counts(dialect: Dialect) -> None:
    network = Network()
    network.add("fw1", [host()], dialect)
    network.add("fw2", [host(advskew=100, password="other")], dialect)
    network.run_until(10.0)
    assert network.masters("outside") == ["fw1", "fw2"]
    for node in network.nodes.values():
        assert node.status().statistics["badauth"] >= 5


@EVERY_DIALECT
def test_another_vhid_is_counted_and_ignored(dialect: Dialect) -> None:
    network = Network()
    network.add("fw1", [host()], dialect)
    network.add("fw2", [host(advskew=100, vhid=2)], dialect)
    network.run_until(10.0)
    assert network.masters("outside", vhid=1) == ["fw1"]
    assert network.masters("outside", vhid=2) == ["fw2"]
    assert network.nodes["fw1"].status().statistics["badvhid"] >= 5


@pytest.mark.parametrize(
    ("order", "same"),
    [(("192.0.2.9", "192.0.2.10"), True), (("192.0.2.10", "192.0.2.9"), False)],
)
def test_2005_wants_the_addresses_in_the_same_order(order: tuple[str, ...], same: bool) -> None:
    network = Network()
    network.add("fw1", [host(addresses=("192.0.2.9", "192.0.2.10"))], OPENBSD_3_8)
    network.add("fw2", [host(advskew=100, addresses=order)], OPENBSD_3_8)
    network.run_until(10.0)
    assert network.masters("outside") == (["fw1"] if same else ["fw1", "fw2"])


def test_later_dialects_do_not_care_for_the_order() -> None:
    network = Network()
    network.add("fw1", [host(addresses=("192.0.2.9", "192.0.2.10"))], OPENBSD)
    network.add("fw2", [host(advskew=100, addresses=("192.0.2.10", "192.0.2.9"))], FREEBSD)
    network.run_until(10.0)
    assert network.masters("outside") == ["fw1"]


@EVERY_DIALECT
def test_equal_intervals_leave_the_one_that_speaks_first(dialect: Dialect) -> None:
    """A MASTER that hears an equal interval steps down: of two, the next to speak stays."""
    network = pair(dialect, skews=(0, 0))
    network.partition("fw1")
    network.run_for(0.4)
    network.link("fw2", "outside", up=False)
    network.link("fw2", "outside", up=True)  # out of step with fw1
    network.run_for(5.0)
    assert network.masters("outside") == ["fw1", "fw2"]
    network.partition()
    heard_last = network.sent("fw1")[-1], network.sent("fw2")[-1]
    network.run_for(0.999)
    assert heard_last != (network.sent("fw1")[-1], network.sent("fw2")[-1])
    assert len(network.masters("outside")) == 1


@EVERY_DIALECT
def test_equal_intervals_in_step_never_agree(dialect: Dialect) -> None:
    """Equal hosts in step become MASTER together and step down together, again and again."""
    network = Network()
    network.delay_s = 0.01
    for name in ("fw1", "fw2"):
        network.add(name, [host()], dialect, links_up=False)
    for name in ("fw1", "fw2"):
        network.link(name, "outside", up=True)
    both, none = ["fw1", "fw2"], []
    first = 0.0 if dialect.init_to_master else 3.0
    for round_start in (first, first + 3.01, first + 6.02):
        network.run_until(round_start + 0.005)
        assert network.masters("outside") == both
        network.run_until(round_start + 2.9)
        assert network.masters("outside") == none


# Demotion


@pytest.mark.parametrize(
    ("dialect", "advskew", "effective", "header"),
    [
        (OPENBSD_3_8, 100, 240, 0),
        (OPENBSD_3_8, 250, 250, 0),
        (OPENBSD, 100, 100, 1),
        (FREEBSD, 100, 240, 0),
        (FREEBSD, 250, 240, 0),
    ],
)
def test_what_a_demoted_master_advertises(
    dialect: Dialect, advskew: int, effective: int, header: int
) -> None:
    network = Network()
    hosts = [host("outside", advskew), host("inside", advskew)]
    network.add("fw1", hosts, dialect)
    network.run_until(6.0)
    network.link("fw1", "inside", up=False)
    advertisement = packet.decode(network.sent("fw1")[-1].payload)
    assert (advertisement.advskew, advertisement.demote) == (effective, header)


@EVERY_DIALECT
def test_the_first_demotion_advertises_at_once(dialect: Dialect) -> None:
    network = pair(dialect)
    network.run_for(0.5)
    sent = len(network.sent("fw1"))
    network.call("fw1", lambda node: node.demote(1, "user", network.now))
    assert len(network.sent("fw1")) == sent + 2
    network.call("fw1", lambda node: node.demote(1, "user", network.now))
    more = 2 if dialect is FREEBSD else 0
    # a demotion by 1 does not cost FreeBSD's fw1 its place: its skew is 2 of 100
    assert len(network.sent("fw1")) == sent + 2 + more


def test_freebsd_adds_and_clips() -> None:
    node = Node(NodeConfig((host(advskew=100),), FREEBSD), lambda: 1)
    for delta, effective in [(50, 150), (200, 240), (-400, 0), (150, 100)]:
        node.demote(delta, "user", 0.0)
        assert node.status().virtual_hosts[0].effective_advskew == effective


@pytest.mark.parametrize("dialect", [OPENBSD_3_8, OPENBSD])
def test_counts_do_not_go_below_zero(dialect: Dialect) -> None:
    node = Node(NodeConfig((host(),), dialect), lambda: 1)
    node.demote(-5, "user", 0.0)
    assert node.status().demotions["carp"] == 0


def test_openbsd_the_lower_count_wins_against_a_smaller_interval() -> None:
    network = pair(OPENBSD, preempt=False)
    network.call("fw1", lambda node: node.demote(1, "user", network.now))
    network.run_for(2.0)
    assert states(network, "fw2") == (MASTER, MASTER)
    assert network.transitions("fw1")[-1][1].endswith("(less demoted advertisement received)") or (
        network.transitions("fw1")[-1][1].endswith("BACKUP (more frequent advertisement received)")
    )


@EVERY_DIALECT
def test_three_send_errors_demote_and_three_good_sends_restore(dialect: Dialect) -> None:
    network = Network()
    hosts = [host("outside"), host("inside")]
    network.add("fw1", hosts, dialect)
    network.run_until(6.5)
    network.failing.add(("fw1", "outside"))
    network.run_for(2.2)
    assert network.nodes["fw1"].status().demotions["carp"] == 0
    network.run_for(1.0)
    assert network.nodes["fw1"].status().demotions["carp"] == dialect.send_error_demotion
    network.failing.clear()
    network.run_for(10.0)
    assert network.nodes["fw1"].status().demotions["carp"] == 0
    assert network.nodes["fw1"].status().statistics["oerrors"] >= 3


@EVERY_DIALECT
def test_an_interface_without_carrier_at_the_start_demotes_until_it_comes(dialect: Dialect) -> None:
    network = Network()
    node = network.add("fw1", [host("outside"), host("inside")], dialect, links_up=False)
    network.link("fw1", "outside", up=True)
    network.link("fw1", "inside", up=False)
    assert node.status().demotions["carp"] == dialect.interface_down_demotion
    network.link("fw1", "inside", up=False)
    assert node.status().demotions["carp"] == dialect.interface_down_demotion
    network.link("fw1", "inside", up=True)
    assert node.status().demotions["carp"] == 0


# Counter, replay, own frames


@pytest.mark.parametrize("dialect", [OPENBSD_3_8, FREEBSD])
def test_a_new_master_goes_on_counting(dialect: Dialect) -> None:
    network = pair(dialect)
    last = packet.decode(network.sent("fw1")[-1].payload).counter
    heard = {packet.decode(a.payload).counter for a in network.sent("fw1")}
    network.crash("fw1")
    network.run_for(6.0)
    counters = [packet.decode(a.payload).counter for a in network.sent("fw2")]
    for first, second in zip(counters[0::2], counters[2::2], strict=False):
        assert second in (first + 1, last + 1, *(h + 1 for h in heard))


def test_counter_wraps() -> None:
    node = Node(NodeConfig((host(),), FREEBSD), lambda: 1)
    node.link_changed("outside", True, 0.0)
    heard = signed(host(), counter=2**64 - 1, advskew=200)
    node.receive_datagram("outside", heard, 0.5)
    node.handle_timer(3.5)
    sent = []
    while action := node.next_action():
        if isinstance(action, SendAdvertisement):
            sent.append(packet.decode(action.payload))
    assert [a.counter for a in sent] == [0]


def test_counter_is_random_until_somebody_was_heard_and_a_cookie_stays() -> None:
    for dialect, distinct in [(FREEBSD, 5), (OPENBSD_3_8, 5), (OPENBSD, 1)]:
        draws = iter(range(100, 200))
        node = Node(NodeConfig((host(),), dialect), lambda draws=draws: next(draws))
        node.link_changed("outside", True, 0.0)
        counters = []
        while len(counters) < 5:
            node.handle_timer(node.get_timer() or 0.0)
            while action := node.next_action():
                if isinstance(action, SendAdvertisement):
                    counters.append(packet.decode(action.payload).counter)
        assert len(set(counters)) == distinct


@EVERY_DIALECT
def test_own_advertisement_replayed(dialect: Dialect) -> None:
    """Only a cookie can tell: elsewhere the MASTER steps down from its own equal interval."""
    network = Network()
    node = network.add("fw1", [host()], dialect)
    network.run_until(6.0)
    last = network.sent("fw1")[-1]
    replay = Datagram(4, ip_address("192.0.2.201"), last.destination, 255, last.payload)
    network.call("fw1", lambda n: n.receive_datagram("outside", replay, network.now))
    expected = MASTER if dialect is OPENBSD else BACKUP
    assert node.status().virtual_hosts[0].state is expected
    assert node.status().statistics["badauth"] == (1 if dialect is OPENBSD else 0)


# What is dropped, and counted under which name


def signed(config: VirtualHostConfig, counter: int = 7, advskew: int = 0) -> Datagram:
    mac = packet.digest(config.password, config.vhid, packet.ascending(config.addresses), counter)
    payload = packet.encode(packet.Advertisement(config.vhid, 1, advskew, counter, mac))
    return Datagram(4, ip_address("192.0.2.202"), packet.MULTICAST_GROUP[4], 255, payload)


def resummed(payload: bytes, **changes: int) -> bytes:
    return packet.encode(dataclasses.replace(packet.decode(payload), **changes))


@EVERY_DIALECT
def test_each_drop_has_its_counter_and_changes_nothing(dialect: Dialect) -> None:
    node = Node(NodeConfig((host(advskew=100),), dialect), lambda: 1)
    node.link_changed("outside", True, 0.0)
    node.force(OUTSIDE, MASTER, 1.0)
    good = signed(host())
    drops = {
        "badttl": dataclasses.replace(good, ttl=254),
        "badlen": dataclasses.replace(good, payload=good.payload[:20]),
        "badsum": dataclasses.replace(good, payload=good.payload[:-1] + b"\0"),
        "badvhid": dataclasses.replace(good, payload=resummed(good.payload, vhid=9)),
        "badver": dataclasses.replace(good, payload=resummed(good.payload, version_type=0x31)),
        "badauth": dataclasses.replace(good, payload=resummed(good.payload, counter=8)),
    }
    for statistic, datagram in drops.items():
        node.receive_datagram("outside", datagram, 1.1)
        assert node.status().statistics[statistic] == 1
        assert node.status().virtual_hosts[0].state is MASTER
    assert node.status().statistics["ipackets"] == len(drops)
    node.receive_datagram("outside", good, 1.2)
    assert node.status().virtual_hosts[0].state is BACKUP


def test_the_digest_does_not_cover_advbase_advskew_and_demote() -> None:
    node = Node(NodeConfig((host(),), OPENBSD), lambda: 1)
    node.link_changed("outside", True, 0.0)
    node.force(OUTSIDE, MASTER, 1.0)
    forged = dataclasses.replace(
        signed(host()), payload=resummed(signed(host()).payload, advbase=1, advskew=0, demote=0)
    )
    node.receive_datagram("outside", forged, 1.1)
    assert node.status().virtual_hosts[0].state is BACKUP


# Both families


@EVERY_DIALECT
def test_each_family_has_its_own_master_down_timer(dialect: Dialect) -> None:
    both = ("192.0.2.1", "2001:db8::1")
    network = Network()
    network.add("fw1", [host(addresses=both)], dialect)
    network.add("fw2", [host(addresses=both, advskew=100)], dialect)
    network.run_until(6.0)
    assert network.masters("outside") == ["fw1"]
    network.drop = lambda sender, _, action: sender == "fw1" and action.family == 6
    network.run_for(4.0)
    assert any("master timed out" in text for at, text in network.transitions("fw2") if at > 6.0)


def test_openbsd_accepts_link_local_addresses_in_the_digest_and_sends_without() -> None:
    addresses = ("fe80::1", "2001:db8::1")
    config = host(addresses=addresses)
    node = Node(NodeConfig((config,), OPENBSD), lambda: 1)
    node.link_changed("outside", True, 0.0)
    node.receive_datagram("outside", signed(config), 1.0)
    assert node.status().statistics["badauth"] == 0
    node.handle_timer(9.0)
    while action := node.next_action():
        if isinstance(action, SendAdvertisement):
            sent = packet.decode(action.payload)
    short = packet.digest("secret", 1, [ip_address("2001:db8::1")], sent.counter)
    assert sent.digest == short


# What the user asks for


@EVERY_DIALECT
def test_force_and_its_limits(dialect: Dialect) -> None:
    network = pair(dialect, preempt=False)
    network.call("fw2", lambda node: node.force(OUTSIDE, MASTER, network.now))
    assert network.state("fw2", "outside") is MASTER
    network.call("fw2", lambda node: node.force(OUTSIDE, BACKUP, network.now))
    assert network.state("fw2", "outside") is BACKUP
    node = network.nodes["fw1"]
    node.disable(OUTSIDE, network.now)
    for wrong in (
        lambda: node.force(OUTSIDE, MASTER, 9.0),
        lambda: node.disable(OUTSIDE, 9.0),
    ):
        with pytest.raises(TransitionError):
            wrong()
        assert network.state("fw1", "outside") is INIT
    with pytest.raises(ValueError, match="no virtual host 9@outside"):
        node.force(VirtualHostKey("outside", 9), MASTER, 9.0)
    with pytest.raises(ValueError, match="no virtual host on interface wan"):
        node.link_changed("wan", True, 9.0)


@EVERY_DIALECT
def test_addresses_are_held_by_the_master_only(dialect: Dialect) -> None:
    network = pair(dialect)
    network.link("fw1", "inside", up=False)
    network.run_for(5.0)
    network.link("fw1", "inside", up=True)
    network.run_for(5.0)
    for (name, key), held in network.holds.items():
        assert held == (network.state(name, key.interface) is MASTER)


# Unicast, advbase 0, configuration


def test_a_unicast_peer_replaces_the_group() -> None:
    config = dataclasses.replace(host(), peers=(ip_address("192.0.2.202"),))
    network = Network()
    network.add("fw1", [config], FREEBSD)
    network.run_until(4.0)
    assert {str(a.destination) for a in network.sent("fw1")} == {"192.0.2.202"}


@pytest.mark.parametrize(("advskew", "interval"), [(0, 1 / 256), (64, 64 / 256)])
def test_openbsd_advbase_zero(advskew: int, interval: float) -> None:
    config = host(advbase=0, advskew=advskew)
    assert config.master_down_s == 3 * interval
    node = Node(NodeConfig((config,), OPENBSD), lambda: 1)
    node.link_changed("outside", True, 0.0)
    node.handle_timer(10.0)
    assert node.get_timer() == 10.0 + interval
    for dialect in (OPENBSD_3_8, FREEBSD):
        with pytest.raises(ValueError, match="advbase 0"):
            NodeConfig((config,), dialect)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vhid": 0}, "vhid 0 is not in 1 to 255"),
        ({"vhid": 256}, "vhid 256 is not in 1 to 255"),
        ({"advskew": 255}, "advskew 255 is not in 0 to 254"),
        ({"advbase": 255}, "advbase 255 is not in 0 to 254"),
        ({"password": "x" * 21}, "21 bytes"),
        ({"addresses": ()}, "has no address"),
        ({"addresses": ("192.0.2.1", "192.0.2.1")}, "same address twice"),
    ],
)
def test_wrong_configuration_says_the_value(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        host(**change)  # type: ignore[arg-type]


def test_one_vhid_twice_on_an_interface_is_refused() -> None:
    with pytest.raises(ValueError, match="vhid 1 is configured twice on interface outside"):
        NodeConfig((host(), host()), OPENBSD)
    NodeConfig((host("outside"), host("inside")), OPENBSD)

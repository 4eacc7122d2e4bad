"""The extensions: what is ours, case by case in each dialect, and what holds for all of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carplab.carp.actions import DemotionChanged, Heard, Transition, VirtualHostKey
from carplab.carp.dialect import OPENBSD, OPENBSD_3_8, Dialect
from carplab.carp.extensions import Extensions, Settled
from carplab.carp.node import Node, NodeConfig
from tests.carp.test_convergence import (
    NAMES,
    SEGMENTS,
    Event,
    call,
    keys,
    link,
    make_whole,
    names,
    segments,
)
from tests.carp.wire import (
    BACKUP,
    EVERY_DIALECT,
    INIT,
    MASTER,
    Network,
    Port,
    host,
    pair,
    states,
)

OUTSIDE = VirtualHostKey("outside", 1)
DELAYED = Extensions(link_up_delay_s=30.0)
BOTH_SETTLED = pytest.mark.parametrize("settled", list(Settled), ids=lambda settled: settled.value)


def pull(network: Network, segment: str = "outside", seconds: float = 8.3) -> float:
    """Pull fw1's cable to a segment for some time. Returns when it was put back."""
    network.link("fw1", segment, up=False)
    network.run_for(seconds)
    network.link("fw1", segment, up=True)
    return network.now


def block(network: Network, segment: str = "outside") -> None:
    """The port of fw1 on a segment has carrier and forwards nothing, as with spanning tree."""
    network.drop = lambda sender, receiver, action: (
        action.key.interface == segment and "fw1" in (sender, receiver)
    )


def unblock(network: Network) -> None:
    network.drop = lambda *_: False


def demotion_log(network: Network, name: str = "fw1") -> list[tuple[float, int, int, str]]:
    return [
        (a.at_s, a.old, a.new, a.reason)
        for owner, a in network.log
        if owner == name and isinstance(a, DemotionChanged)
    ]


# link_up_delay_s


@EVERY_DIALECT
def test_a_held_interface_stays_init_and_demoted_for_the_whole_delay(dialect: Dialect) -> None:
    network = pair(dialect, extensions=DELAYED, settled_s=40.0)
    assert states(network, "fw1") == (MASTER, MASTER)
    restored = pull(network)
    network.run_until(restored + 29.999)
    assert states(network, "fw1") == (INIT, BACKUP)
    assert network.demotions("fw1") == {"carp": dialect.interface_down_demotion}
    assert states(network, "fw2") == (MASTER, MASTER)
    assert network.nodes["fw1"].status().virtual_hosts[0].interface_up
    network.run_until(restored + 30.0)
    assert states(network, "fw1") == (BACKUP, BACKUP)
    assert network.demotions("fw1") == {"carp": 0}
    network.run_for(1 + 100 / 256)
    assert states(network, "fw1") == (MASTER, MASTER)


@EVERY_DIALECT
def test_the_delay_holds_from_the_first_news_of_a_link(dialect: Dialect) -> None:
    network = Network()
    network.add("fw1", [host()], dialect, extensions=DELAYED)
    network.run_until(29.999)
    assert network.state("fw1", "outside") is INIT
    network.run_until(30.0)
    assert network.state("fw1", "outside") is (MASTER if dialect.init_to_master else BACKUP)


@EVERY_DIALECT
def test_a_flap_starts_the_delay_anew(dialect: Dialect) -> None:
    network = pair(dialect, extensions=DELAYED, settled_s=40.0)
    pull(network)
    network.run_for(20.0)
    restored = pull(network, seconds=1.0)
    network.run_until(restored + 29.999)
    assert network.state("fw1", "outside") is INIT
    changes = demotion_log(network)
    assert [reason for *_, reason in changes] == ["interface down"]
    network.run_until(restored + 30.0)
    assert network.state("fw1", "outside") is BACKUP


@EVERY_DIALECT
def test_a_link_that_goes_down_again_is_not_let_run(dialect: Dialect) -> None:
    network = pair(dialect, extensions=DELAYED, settled_s=40.0)
    pull(network)
    network.run_for(20.0)
    network.link("fw1", "outside", up=False)
    network.run_for(60.0)
    assert network.state("fw1", "outside") is INIT
    assert network.demotions("fw1") == {"carp": dialect.interface_down_demotion}


def test_a_disabled_virtual_host_stays_init_after_the_delay_and_an_enabled_one_during_it() -> None:
    network = pair(OPENBSD, extensions=DELAYED, settled_s=40.0)
    restored = pull(network)
    network.call("fw1", lambda node: node.disable(OUTSIDE, network.now))
    network.call("fw1", lambda node: node.enable(OUTSIDE, network.now))
    assert network.state("fw1", "outside") is INIT
    network.call("fw1", lambda node: node.disable(OUTSIDE, network.now))
    assert network.demotions("fw1") == {"carp": 1}
    network.run_until(restored + 31.0)
    assert network.state("fw1", "outside") is INIT
    assert network.demotions("fw1") == {"carp": 0}


def test_a_stopped_machine_is_not_woken_by_the_end_of_a_delay() -> None:
    network = pair(OPENBSD, extensions=DELAYED, settled_s=40.0)
    pull(network)
    network.call("fw1", lambda node: node.stop(network.now))
    network.run_for(60.0)
    assert states(network, "fw1") == (INIT, INIT)


# demote_until_settled


@EVERY_DIALECT
def test_without_it_a_blocked_port_splits_for_as_long_as_it_is_blocked(dialect: Dialect) -> None:
    network = pair(dialect)
    block(network)
    pull(network)
    network.run_for(29.0)
    assert states(network, "fw1") == (MASTER, MASTER)
    assert states(network, "fw2") == (MASTER, BACKUP)


@EVERY_DIALECT
def test_until_heard_a_blocked_port_does_not_pull_the_other_segment_back(dialect: Dialect) -> None:
    network = pair(dialect, extensions=Extensions(demote_until_settled=Settled.HEARD))
    block(network)
    restored = pull(network)
    for _ in range(29):
        network.run_for(1.0)
        assert network.state("fw1", "inside") is BACKUP
        assert network.state("fw2", "inside") is MASTER
    assert network.state("fw1", "outside") is MASTER  # on its own
    unblock(network)
    network.run_for(2 * (1 + 100 / 256))
    assert states(network, "fw1") == (MASTER, MASTER)
    assert network.masters("outside") == network.masters("inside") == ["fw1"]
    *_, (at_s, _, new, reason) = demotion_log(network)
    assert (new, reason) == (0, "interface settled")
    assert at_s > restored + 29


@EVERY_DIALECT
def test_until_heard_or_master_it_lasts_for_the_master_down_time_alone(dialect: Dialect) -> None:
    network = pair(dialect, extensions=Extensions(demote_until_settled=Settled.HEARD_OR_MASTER))
    block(network)
    restored = pull(network)
    network.run_until(restored + 2.999)
    assert states(network, "fw1") == (BACKUP, BACKUP)
    network.run_until(restored + 3.0)
    assert network.demotions("fw1") == {"carp": 0}
    network.run_for(1 + 100 / 256)
    assert states(network, "fw1") == (MASTER, MASTER)
    assert demotion_log(network)[-1][0] == pytest.approx(restored + 3.0)


@EVERY_DIALECT
@BOTH_SETTLED
def test_a_port_that_forwards_settles_at_the_first_advertisement(
    dialect: Dialect, settled: Settled
) -> None:
    network = pair(dialect, extensions=Extensions(demote_until_settled=settled))
    restored = pull(network)
    assert states(network, "fw1") == (BACKUP, BACKUP)
    assert network.demotions("fw1") == {"carp": dialect.interface_down_demotion}
    network.run_for(2 * (1 + 100 / 256))
    assert states(network, "fw1") == (MASTER, MASTER)
    heard = [
        a.at_s
        for n, a in network.log
        if n == "fw1" and isinstance(a, Heard) and a.key == OUTSIDE and a.at_s > restored
    ]
    assert demotion_log(network)[-1] == (
        heard[0],
        dialect.interface_down_demotion,
        0,
        "interface settled",
    )


@EVERY_DIALECT
@BOTH_SETTLED
def test_with_nobody_else_alive_it_is_master_and_only_heard_keeps_it_demoted(
    dialect: Dialect, settled: Settled
) -> None:
    network = pair(dialect, extensions=Extensions(demote_until_settled=settled))
    network.crash("fw2")
    pull(network)
    network.run_for(60.0)
    assert states(network, "fw1") == (MASTER, MASTER)
    kept = dialect.interface_down_demotion if settled is Settled.HEARD else 0
    assert network.demotions("fw1") == {"carp": kept}


@EVERY_DIALECT
@BOTH_SETTLED
def test_only_heard_can_keep_two_machines_split_that_both_came_back_alone(
    dialect: Dialect, settled: Settled
) -> None:
    network = pair(dialect, extensions=Extensions(demote_until_settled=settled))
    for name in ("fw1", "fw2"):
        for segment in SEGMENTS:
            network.link(name, segment, up=False)
    network.run_for(1.0)
    network.link("fw1", "outside", up=True)
    network.link("fw2", "inside", up=True)
    network.run_for(5.0)
    network.link("fw1", "inside", up=True)
    network.link("fw2", "outside", up=True)
    network.run_for(60.0)
    stuck = settled is Settled.HEARD and dialect is not OPENBSD
    assert states(network, "fw1") == (MASTER, BACKUP if stuck else MASTER)
    assert states(network, "fw2") == (BACKUP, MASTER if stuck else BACKUP)


def test_a_neighbour_on_the_same_interface_proves_it_for_all_of_it() -> None:
    network = Network()
    extensions = Extensions(demote_until_settled=Settled.HEARD)
    hosts = [host(vhid=1), host(vhid=2, addresses=("192.0.2.2",))]
    network.add("fw1", hosts, OPENBSD, extensions=extensions)
    network.add("fw2", [host(advskew=100)], OPENBSD)
    network.run_until(6.0)
    pull(network)
    assert network.demotions("fw1") == {"carp": 2}
    network.run_for(1 + 100 / 256)
    assert network.demotions("fw1") == {"carp": 0}


def test_another_s_advertisement_or_a_wrong_one_proves_nothing() -> None:
    network = pair(OPENBSD, extensions=Extensions(demote_until_settled=Settled.HEARD))
    network.crash("fw2")
    network.add("fw3", [host(vhid=7)], OPENBSD)
    network.add("fw4", [host(password="other")], OPENBSD)
    pull(network)
    network.run_for(20.0)
    assert network.demotions("fw1") == {"carp": 1}


@BOTH_SETTLED
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_what_is_disabled_has_nothing_to_wait_for(settled: Settled, before: bool) -> None:
    network = pair(OPENBSD, extensions=Extensions(demote_until_settled=settled))
    network.crash("fw2")
    if before:
        network.call("fw1", lambda node: node.disable(OUTSIDE, network.now))
    pull(network)
    assert network.demotions("fw1") == {"carp": 0 if before else 1}
    if not before:
        network.call("fw1", lambda node: node.disable(OUTSIDE, network.now))
    assert network.demotions("fw1") == {"carp": 0}


@BOTH_SETTLED
def test_a_second_pull_before_it_settled_demotes_no_further(settled: Settled) -> None:
    network = pair(OPENBSD, extensions=Extensions(demote_until_settled=settled))
    block(network)
    pull(network)
    pull(network)
    assert network.demotions("fw1") == {"carp": 1}


# demotion_first


@EVERY_DIALECT
def test_demotion_first_skips_backup_in_2005_only(dialect: Dialect) -> None:
    network = pair(dialect, extensions=Extensions(demotion_first=True))
    restored = pull(network)
    assert network.state("fw1", "outside") is (MASTER if dialect is OPENBSD_3_8 else BACKUP)
    outside = [text for at, text in network.transitions("fw1") if at == restored]
    state = "MASTER (preempting)" if dialect is OPENBSD_3_8 else "BACKUP (initialization complete)"
    assert outside == [f"1@outside: INIT -> {state}"]
    order = [
        type(a)
        for n, a in network.log
        if n == "fw1" and isinstance(a, Transition | DemotionChanged) and a.at_s == restored
    ]
    assert order == [DemotionChanged, Transition]


def test_demotion_first_lowers_for_all_virtual_hosts_of_the_interface() -> None:
    network = Network()
    hosts = [host(vhid=1), host(vhid=2, addresses=("192.0.2.2",))]
    network.add("fw1", hosts, OPENBSD_3_8, extensions=Extensions(demotion_first=True))
    pull(network)
    assert [s.state for s in network.nodes["fw1"].status().virtual_hosts] == [MASTER, MASTER]


def test_demotion_first_after_a_delay_and_not_with_another_link_down() -> None:
    extensions = Extensions(demotion_first=True, link_up_delay_s=5.0)
    network = pair(OPENBSD_3_8, extensions=extensions, settled_s=12.0)
    network.link("fw1", "inside", up=False)
    restored = pull(network)
    network.run_until(restored + 5.0)
    assert states(network, "fw1") == (BACKUP, INIT)
    network.link("fw1", "inside", up=True)
    network.run_for(5.0)
    assert network.state("fw1", "inside") is MASTER


# bulk_hold_s


@EVERY_DIALECT
def test_a_bulk_update_demotes_from_the_start_and_from_each_return(dialect: Dialect) -> None:
    network = Network()
    extensions = Extensions(bulk_hold_s=30.0)
    node = network.add("fw1", [host(), host("inside")], dialect, extensions=extensions)
    network.run_until(40.0)
    restored = pull(network)
    assert network.state("fw1", "outside") is BACKUP
    assert node.status().demotions == {"carp": dialect.interface_down_demotion}
    network.run_until(restored + 29.999)
    assert node.status().demotions == {"carp": dialect.interface_down_demotion}
    network.run_until(restored + 30.0)
    amount = dialect.interface_down_demotion
    assert demotion_log(network) == [
        (0.0, 0, amount, "bulk update start"),
        (30.0, amount, 0, "bulk update done"),
        (40.0, 0, amount, "interface down"),
        (restored, amount, 2 * amount, "bulk update start"),
        (restored, 2 * amount, amount, "interface up"),
        (restored + 30.0, amount, 0, "bulk update done"),
    ]


@EVERY_DIALECT
def test_a_return_during_a_bulk_update_starts_its_time_anew(dialect: Dialect) -> None:
    network = pair(dialect, extensions=Extensions(bulk_hold_s=30.0), settled_s=40.0)
    pull(network)
    network.run_for(20.0)
    restored = pull(network, "inside", 2.0)
    assert network.demotions("fw1") == {"carp": dialect.interface_down_demotion}
    network.run_until(restored + 29.999)
    assert network.demotions("fw1") == {"carp": dialect.interface_down_demotion}
    assert states(network, "fw2") == (MASTER, MASTER)
    network.run_until(restored + 30.0)
    assert network.demotions("fw1") == {"carp": 0}
    network.run_for(1 + 100 / 256)
    assert states(network, "fw1") == (MASTER, MASTER)


def test_a_bulk_update_begins_at_the_start_also_without_carrier() -> None:
    node = Node(NodeConfig((host(),), OPENBSD, extensions=Extensions(bulk_hold_s=30.0)), lambda: 1)
    assert node.get_timer() is None
    node.link_changed("outside", False, 5.0)
    assert node.status().demotions == {"carp": 2}
    assert node.get_timer() == 35.0
    node.handle_timer(35.0)
    assert node.status().demotions == {"carp": 1}


# What is refused


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"link_up_delay_s": -1}, "link_up_delay_s -1"),
        ({"link_up_delay_s": math.inf}, "link_up_delay_s inf"),
        ({"bulk_hold_s": math.nan}, "bulk_hold_s nan"),
        ({"demotion_first": True, "demote_until_settled": Settled.HEARD}, "excludes"),
    ],
)
def test_wrong_extensions_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(Extensions(), **change)


# For all of them

extensions_on = st.builds(
    Extensions,
    link_up_delay_s=st.sampled_from([0.0, 0.5, 5.0]),
    demote_until_settled=st.sampled_from([None, *Settled]),
    bulk_hold_s=st.sampled_from([0.0, 7.0]),
) | st.builds(
    Extensions,
    link_up_delay_s=st.sampled_from([0.0, 5.0]),
    bulk_hold_s=st.sampled_from([0.0, 7.0]),
    demotion_first=st.just(True),
)
happenings = st.one_of(
    st.floats(0.001, 9).map(lambda seconds: lambda network: network.run_for(seconds)),
    st.builds(link, names, segments, st.booleans()),
    names.map(lambda name: lambda network: network.partition(name)),
    st.just(lambda network: network.partition()),
    st.builds(lambda n, k: call(n, lambda node, now: node.disable(k, now)), names, keys),
    st.builds(lambda n, k: call(n, lambda node, now: node.enable(k, now)), names, keys),
    st.builds(
        lambda n, k, s: call(n, lambda node, now: node.force(k, s, now)),
        names,
        keys,
        st.sampled_from([MASTER, BACKUP]),
    ),
)


def owes(network: Network, name: str, segment: str, settled: Settled | None) -> bool:
    """Whether a link that is up may still demote: what it waits for has not come since."""
    if settled is not Settled.HEARD or network.state(name, segment) is INIT:
        return False
    for owner, action in reversed(network.log):
        if owner != name or getattr(action, "key", None) != VirtualHostKey(segment, 1):
            continue
        if isinstance(action, Heard):
            return False
        if isinstance(action, Transition) and action.old == "INIT":
            return True
    return False


@EVERY_DIALECT
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    extensions=extensions_on,
    preempt=st.booleans(),
    count=st.integers(1, 3),
    happened=st.lists(happenings, max_size=20),
)
def test_demotion_is_never_negative_and_ends_when_all_is_over(
    dialect: Dialect,
    extensions: Extensions,
    preempt: bool,
    count: int,
    happened: list[Event],
) -> None:
    network = Network()
    for number, name in enumerate(NAMES[:count]):
        hosts = [host(segment, 50 * number) for segment in SEGMENTS]
        network.add(name, hosts, dialect, preempt, extensions=extensions)
    for happening in happened:
        happening(network)
    make_whole(network)
    network.run_for(16.0)
    for name in network.nodes:
        assert all(new >= 0 for _, _, new, _ in demotion_log(network, name))
        waiting = [s for s in SEGMENTS if owes(network, name, s, extensions.demote_until_settled)]
        demotion = network.demotions(name)["carp"]
        assert demotion % dialect.interface_down_demotion == 0
        assert demotion <= len(waiting) * dialect.interface_down_demotion


@EVERY_DIALECT
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(delay_s=st.floats(0.1, 20), happened=st.lists(happenings, max_size=15))
def test_nothing_leaves_init_before_its_link_was_up_for_the_whole_delay(
    dialect: Dialect, delay_s: float, happened: list[Event]
) -> None:
    network = Network()
    for name in NAMES[:2]:
        hosts = [host(segment, 100) for segment in SEGMENTS]
        network.add(name, hosts, dialect, extensions=Extensions(link_up_delay_s=delay_s))
    up_since = up_links(network, {})
    for happening in [*happened, lambda network: network.run_for(delay_s)]:
        before = len(network.log)
        happening(network)
        for name, action in network.log[before:]:
            if isinstance(action, Transition) and action.old == "INIT":
                port = (name, action.key.interface)
                assert port in up_since
                # an enabled one may come later, but none of them sooner
                assert action.at_s >= up_since[port] + delay_s
        up_since = up_links(network, up_since)


def up_links(network: Network, before: dict[Port, float]) -> dict[Port, float]:
    """Since when which links are up, from what was known before the last event."""
    return {
        (name, status.key.interface): before.get((name, status.key.interface), network.now)
        for name, node in network.nodes.items()
        for status in node.status().virtual_hosts
        if status.interface_up
    }

"""Whatever happened before, a whole wire left alone soon has exactly one MASTER a segment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carplab.carp.actions import SendAdvertisement, VirtualHostKey
from carplab.carp.dialect import DIALECTS, DemotionEffect, Dialect
from carplab.carp.frames import Datagram
from carplab.carp.node import Node
from carplab.carp.virtual_host import State, TransitionError, VirtualHostConfig
from tests.carp.wire import Network

SEGMENTS = ("outside", "inside")
NAMES = ("fw1", "fw2", "fw3")

names = st.sampled_from(NAMES)
segments = st.sampled_from(SEGMENTS)
Event = Callable[[Network], None]


@dataclass(frozen=True)
class Machine:
    advbase: int
    advskew: int


# No two intervals are equal: what equal ones do stands in test_node.py.
machines = st.lists(
    st.builds(Machine, advbase=st.integers(1, 2), advskew=st.integers(0, 239)),
    min_size=2,
    max_size=3,
    unique_by=lambda machine: machine.advskew,
)


def call(name: str, driver: Callable[[Node, float], None]) -> Event:
    """An event for one machine; one that does not fit the state is refused, and that is all."""

    def event(network: Network) -> None:
        if name not in network.nodes:
            return
        with contextlib.suppress(TransitionError):
            driver(network.nodes[name], network.now)
        network.settle(name)

    return event


def link(name: str, segment: str, up: bool) -> Event:
    return lambda network: network.link(name, segment, up) if name in network.nodes else None


def fail(name: str, segment: str, failing: bool) -> Event:
    def event(network: Network) -> None:
        (network.failing.add if failing else network.failing.discard)((name, segment))

    return event


def replay(name: str, segment: str, back: int) -> Event:
    """Somebody sends an old advertisement of the segment again, to one machine."""

    def event(network: Network) -> None:
        seen = [
            action
            for _, action in network.log
            if isinstance(action, SendAdvertisement) and action.key.interface == segment
        ]
        if name in network.nodes and len(seen) > back:
            old = seen[-1 - back]
            source = ip_address("192.0.2.250")
            datagram = Datagram(old.family, source, old.destination, 255, old.payload)
            network.nodes[name].receive_datagram(segment, datagram, network.now)
            network.settle(name)

    return event


keys = st.builds(VirtualHostKey, segments, st.just(1))
events = st.one_of(
    st.floats(0.001, 6).map(lambda seconds: lambda network: network.run_for(seconds)),
    st.builds(link, names, segments, st.booleans()),
    st.builds(fail, names, segments, st.booleans()),
    st.builds(replay, names, segments, st.integers(0, 5)),
    names.map(lambda name: lambda network: network.partition(name)),
    st.just(lambda network: network.partition()),
    st.builds(lambda n, k: call(n, lambda node, now: node.disable(k, now)), names, keys),
    st.builds(lambda n, k: call(n, lambda node, now: node.enable(k, now)), names, keys),
    st.builds(
        lambda n, k, s: call(n, lambda node, now: node.force(k, s, now)),
        names,
        keys,
        st.sampled_from([State.MASTER, State.BACKUP]),
    ),
    st.builds(
        lambda n, d: call(n, lambda node, now: node.demote(d, "user", now)),
        names,
        st.integers(-3, 3),
    ),
)


def build(dialect: Dialect, preempt: bool, specs: list[Machine], delay_s: float) -> Network:
    network = Network()
    network.delay_s = delay_s
    for name, spec in zip(NAMES, specs, strict=False):
        hosts = [
            VirtualHostConfig(s, 1, (ip_address("192.0.2.1"),), spec.advbase, spec.advskew, "p")
            for s in SEGMENTS
        ]
        network.add(name, hosts, dialect, preempt)
    return network


def make_whole(network: Network) -> None:
    network.partition()
    network.failing.clear()
    for name in network.nodes:
        for segment in SEGMENTS:
            network.link(name, segment, up=True)


def demoted_to_a_draw(network: Network, dialect: Dialect) -> bool:
    """Whether two machines advertise the same interval because both are demoted."""
    if dialect.effect is DemotionEffect.HEADER:
        return False
    ranks = []
    for node in network.nodes.values():
        status = node.status().virtual_hosts[0]
        ranks.append((status.advbase, status.effective_advskew))
    return len(set(ranks)) < len(ranks)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    preempt=st.booleans(),
    specs=machines,
    delay_s=st.sampled_from([0.0, 0.0005, 0.02]),
    happenings=st.lists(events, max_size=25),
)
def test_one_master_a_segment(
    dialect: Dialect,
    preempt: bool,
    specs: list[Machine],
    delay_s: float,
    happenings: list[Event],
) -> None:
    network = build(dialect, preempt, specs, delay_s)
    for happening in happenings:
        happening(network)
    make_whole(network)
    network.run_for(3 * max(spec.advbase for spec in specs) + 2)
    if demoted_to_a_draw(network, dialect):
        return
    for segment in SEGMENTS:
        running = [n for n in network.nodes if network.state(n, segment) is not State.INIT]
        assert len(network.masters(segment)) == (1 if running else 0), segment
    for (name, key), held in network.holds.items():
        assert held == (network.state(name, key.interface) is State.MASTER)

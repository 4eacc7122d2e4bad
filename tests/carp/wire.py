"""An in-memory network for protocol tests: segments, a virtual clock, loss, delay, partition.

Nothing sleeps: run_until() jumps from one due time to the next.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, ip_address

import pytest

from carplab.carp.actions import (
    Action,
    Announce,
    ReleaseAddresses,
    SendAdvertisement,
    TakeAddresses,
    Transition,
    VirtualHostKey,
)
from carplab.carp.dialect import DIALECTS, Dialect
from carplab.carp.extensions import Extensions
from carplab.carp.frames import Datagram, mac_bytes
from carplab.carp.node import Node, NodeConfig
from carplab.carp.packet import TTL
from carplab.carp.virtual_host import State, VirtualHostConfig

Port = tuple[str, str]  # (node name, interface)
EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
MASTER, BACKUP, INIT = State.MASTER, State.BACKUP, State.INIT


def segment(interface: str) -> str:
    return interface.split("/")[0]


class Network:
    """Nodes by name; an interface is named after its segment: "outside", a second one "outside/2".

    `drop(sender, receiver, action)` decides what is lost; `delay_s` is one-way.
    """

    def __init__(self, seed: int = 1) -> None:
        self.now = 0.0
        self.nodes: dict[str, Node] = {}
        self.delay_s = 0.0
        self.drop: Callable[[str, str, SendAdvertisement], bool] = lambda *_: False
        self.failing: set[Port] = set()
        self.log: list[tuple[str, Action]] = []
        self.holds: dict[tuple[str, VirtualHostKey], bool] = {}
        self._sources: dict[str, str] = {}
        self._random = random.Random(seed)
        self._in_flight: list[tuple[float, int, str, str, Datagram]] = []
        self._order = itertools.count()
        self._cut: set[Port] = set()
        self._dead: set[str] = set()

    def add(
        self,
        name: str,
        hosts: Iterable[VirtualHostConfig],
        dialect: Dialect,
        preempt: bool = True,
        links_up: bool = True,
        arp_balance: bool = False,
        extensions: Extensions | None = None,
    ) -> Node:
        config = NodeConfig(tuple(hosts), dialect, preempt, arp_balance, extensions or Extensions())
        node = Node(config, lambda: self._random.getrandbits(64))
        self.nodes[name] = node
        self._sources[name] = f"192.0.2.{200 + len(self.nodes)}"
        if links_up:
            for interface in self.interfaces(name):
                node.link_changed(interface, True, self.now)
            self.settle(name)
        return node

    def interfaces(self, name: str) -> list[str]:
        hosts = self.nodes[name].config.virtual_hosts
        return sorted({host.interface for host in hosts})

    # What happens to it

    def link(self, name: str, interface: str, up: bool) -> None:
        (self._cut.discard if up else self._cut.add)((name, interface))
        self.nodes[name].link_changed(interface, up, self.now)
        self.settle(name)

    def partition(self, *names: str) -> None:
        """Nothing passes between the named nodes and the others; with no name the wire is whole."""
        self.drop = lambda sender, receiver, _: (sender in names) != (receiver in names)

    def crash(self, name: str) -> None:
        self._dead.add(name)

    def call(self, name: str, driver: Callable[[Node], None]) -> None:
        driver(self.nodes[name])
        self.settle(name)

    # Time

    def run_until(self, end: float) -> None:
        while (due := self._next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self._deliver_due()
            for name in self._alive():
                timer = self.nodes[name].get_timer()
                if timer is not None and timer <= self.now:
                    self.nodes[name].handle_timer(self.now)
                    self.settle(name)
        self.now = end

    def run_for(self, seconds: float) -> None:
        self.run_until(self.now + seconds)

    # What is seen

    def state(self, name: str, interface: str, vhid: int = 1) -> State:
        statuses = self.nodes[name].status().virtual_hosts
        return next(s.state for s in statuses if s.key == VirtualHostKey(interface, vhid))

    def masters(self, interface: str, vhid: int = 1) -> list[str]:
        return [n for n in self._alive() if self._is_master(n, VirtualHostKey(interface, vhid))]

    def answering(
        self, interface: str, requester: str, mac: str, target: str
    ) -> list[tuple[str, VirtualHostKey]]:
        """Who answers an ARP request that all of the segment hear, and as which virtual host."""
        question = (interface, IPv4Address(requester), mac_bytes(mac), IPv4Address(target))
        answers = [(name, self.nodes[name].answer_arp(*question)) for name in self._alive()]
        return [(name, key) for name, key in answers if key is not None]

    def demotions(self, name: str) -> Mapping[str, int]:
        return self.nodes[name].status().demotions

    def transitions(self, name: str) -> list[tuple[float, str]]:
        return [
            (action.at_s, f"{action.key}: {action.old} -> {action.new} ({action.reason})")
            for owner, action in self.log
            if owner == name and isinstance(action, Transition)
        ]

    def sent(self, name: str) -> list[SendAdvertisement]:
        return [a for owner, a in self.log if owner == name and isinstance(a, SendAdvertisement)]

    def announcements(self, name: str) -> int:
        return sum(owner == name and isinstance(action, Announce) for owner, action in self.log)

    # Inside

    def settle(self, name: str) -> None:
        """Perform a node's actions."""
        node = self.nodes[name]
        while (action := node.next_action()) is not None:
            self.log.append((name, action))
            if isinstance(action, SendAdvertisement):
                self._transmit(name, action)
            elif isinstance(action, TakeAddresses):
                self.holds[name, action.key] = True
            elif isinstance(action, ReleaseAddresses):
                self.holds[name, action.key] = False

    def _transmit(self, name: str, action: SendAdvertisement) -> None:
        port = (name, action.key.interface)
        self.nodes[name].sent(action.key, port not in self.failing, self.now)
        if port in self.failing or port in self._cut:
            return
        source = ip_address(self._sources[name])
        if action.family == 6:
            source = ip_address("fe80::1")
        datagram = Datagram(action.family, source, action.destination, TTL, action.payload)
        for receiver in self._alive():
            if self.drop(name, receiver, action):
                continue
            for interface in self.interfaces(receiver):
                there = (receiver, interface)
                if there == port or there in self._cut or segment(interface) != segment(port[1]):
                    continue
                entry = (self.now + self.delay_s, next(self._order), *there, datagram)
                heapq.heappush(self._in_flight, entry)

    def _deliver_due(self) -> None:
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, receiver, interface, datagram = heapq.heappop(self._in_flight)
            if receiver not in self._dead and (receiver, interface) not in self._cut:
                self.nodes[receiver].receive_datagram(interface, datagram, self.now)
                self.settle(receiver)

    def _next_due(self) -> float | None:
        due = [timer for n in self._alive() if (timer := self.nodes[n].get_timer()) is not None]
        if self._in_flight:
            due.append(self._in_flight[0][0])
        return min(due, default=None)

    def _alive(self) -> list[str]:
        return [name for name in self.nodes if name not in self._dead]

    def _is_master(self, name: str, key: VirtualHostKey) -> bool:
        statuses = self.nodes[name].status().virtual_hosts
        return any(s.key == key and s.state is State.MASTER for s in statuses)


def host(
    interface: str = "outside",
    advskew: int = 0,
    vhid: int = 1,
    password: str = "secret",
    addresses: tuple[str, ...] = ("192.0.2.1",),
    advbase: int = 1,
    groups: tuple[str, ...] = ("carp",),
) -> VirtualHostConfig:
    return VirtualHostConfig(
        interface=interface,
        vhid=vhid,
        advbase=advbase,
        advskew=advskew,
        password=password,
        addresses=tuple(ip_address(a) for a in addresses),
        groups=groups,
    )


def pair(
    dialect: Dialect,
    preempt: bool = True,
    skews: tuple[int, int] = (0, 100),
    extensions: Extensions | None = None,
    settled_s: float = 6.0,
) -> Network:
    """Two firewalls on an outside and an inside segment, started 0.2 s apart, settled."""
    network = Network()
    for number, skew in enumerate(skews, start=1):
        hosts = [host("outside", skew), host("inside", skew)]
        network.add(f"fw{number}", hosts, dialect, preempt, extensions=extensions)
        network.run_for(0.2)
    network.run_until(settled_s)
    return network


def states(network: Network, name: str) -> tuple[State, State]:
    return network.state(name, "outside"), network.state(name, "inside")

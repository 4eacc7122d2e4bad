"""One machine that runs CARP: its interfaces, its virtual hosts, its demotion, its statistics.

The node has no clock, no sockets and no threads. A driver calls it with the present time of a
monotonic clock when something happens (a datagram arrived, a link changed, a timer is due, the user
asks for something), and then takes the actions that follow from next_action(), in order, until it
returns None:

    node.receive_datagram(interface, datagram, now)
    while (action := node.next_action()) is not None:
        perform(action)
    wait_until(node.get_timer())
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from carplab.carp.actions import (
    Action,
    DemotionChanged,
    Heard,
    Rejected,
    SendAdvertisement,
    Transition,
    VirtualHostKey,
)
from carplab.carp.dialect import Dialect
from carplab.carp.frames import Datagram
from carplab.carp.packet import TTL, VERSION_TYPE, Address, Advertisement, PacketError, decode
from carplab.carp.virtual_host import State, TransitionError, VirtualHost, VirtualHostConfig

__all__ = [
    "Action",
    "Datagram",
    "Node",
    "NodeConfig",
    "NodeStatus",
    "TransitionError",
    "VirtualHostConfig",
    "VirtualHostKey",
    "VirtualHostStatus",
]

# struct carpstats of the BSD kernels; "preempt" counts what netstat calls transitions to master
STATISTICS = (
    "ipackets",
    "ipackets6",
    "badttl",
    "hdrops",  # the IP header is cut short or wrong: counted by the driver
    "badlen",
    "badsum",
    "badvhid",
    "badver",
    "badauth",
    "opackets",
    "opackets6",
    "oerrors",
    "preempt",
)


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """A machine's virtual hosts, its dialect, and whether its hosts preempt slower MASTERs.

    Raises ValueError with one sentence where the virtual hosts contradict each other or the
    dialect.
    """

    virtual_hosts: tuple[VirtualHostConfig, ...]
    dialect: Dialect
    preempt: bool = False

    def __post_init__(self) -> None:
        keys = [host.key for host in self.virtual_hosts]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(
                    f"vhid {key.vhid} is configured twice on interface {key.interface}"
                )
        for host in self.virtual_hosts:
            if host.advbase == 0 and not self.dialect.advbase_zero:
                raise ValueError(
                    f"vhid {host.key} has advbase 0, dialect {self.dialect.name} takes 1 to 254"
                )


@dataclass(frozen=True, slots=True)
class VirtualHostStatus:
    """What `ifconfig` would show of one virtual host. The advskews are in 1/256 s."""

    key: VirtualHostKey
    state: State
    enabled: bool
    interface_up: bool
    advbase: int
    advskew: int
    effective_advskew: int
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A snapshot. `demotion` is in the dialect's unit, `statistics` has the names of STATISTICS."""

    dialect: str
    preempt: bool
    demotion: int
    virtual_hosts: tuple[VirtualHostStatus, ...]
    statistics: Mapping[str, int]


class Node:
    """The virtual hosts of one machine, and what they share.

    Links are unknown at first: call link_changed() for each interface once, and at each change.
    `random_counter` returns a random 64-bit number.
    """

    def __init__(self, config: NodeConfig, random_counter: Callable[[], int]) -> None:
        self.config = config
        self._actions: deque[Action] = deque()
        # Others wait for an advertisement, and taking or giving up addresses takes milliseconds.
        self._sends: deque[SendAdvertisement] = deque()
        self._demotion = 0
        self._statistics = dict.fromkeys(STATISTICS, 0)
        self._hosts = {
            host.key: VirtualHost(
                host,
                config.dialect,
                config.preempt,
                lambda: self._demotion,
                random_counter,
                self._emit,
            )
            for host in config.virtual_hosts
        }
        self._links: dict[str, bool | None] = {key.interface: None for key in self._hosts}

    # What to do, and when to call again

    def next_action(self) -> Action | None:
        """The next thing to do, or None. Take all of them, in order, after each call.

        What is to be sent comes first, then the rest as it came about.
        """
        if self._sends:
            return self._sends.popleft()
        return self._actions.popleft() if self._actions else None

    def get_timer(self) -> float | None:
        """When handle_timer() is due, in the driver's clock, or None."""
        timers = (host.next_timer() for host in self._hosts.values())
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for host in self._hosts.values():
            host.handle_timer(now)

    def status(self) -> NodeStatus:
        return NodeStatus(
            self.config.dialect.name,
            self.config.preempt,
            self._demotion,
            tuple(_host_status(host) for host in self._hosts.values()),
            dict(self._statistics),
        )

    # What arrives

    def receive_datagram(self, interface: str, datagram: Datagram, now: float) -> None:
        """A datagram of protocol 112 arrived. What is not for us is counted and dropped."""
        self._count("ipackets" if datagram.family == 4 else "ipackets6")
        try:
            host, advertisement = self._accept(interface, datagram)
        except PacketError as error:
            self.reject(interface, error.statistic, datagram.source, now)
            return
        self._emit(Heard(host.config.key, datagram.source, advertisement, now))
        host.hear(datagram.family, advertisement, now)

    def reject(self, interface: str, statistic: str, source: Address | None, now: float) -> None:
        """Count and log a datagram that was dropped, here or already by the driver."""
        self._count(statistic)
        self._emit(Rejected(interface, statistic, source, now))

    def link_changed(self, interface: str, up: bool, now: float) -> None:
        """The carrier of `interface` came or went. The same news twice does nothing."""
        if interface not in self._links:
            raise ValueError(f"no virtual host on interface {interface}")
        if self._links[interface] == up:
            return
        self._links[interface] = up
        hosts = [host for key, host in self._hosts.items() if key.interface == interface]
        if up:
            self._interface_up(hosts, now)
        else:
            self._interface_down(hosts, now)

    # What the user asks for

    def demote(self, delta: int, reason: str, now: float) -> None:
        """Raise or lower the machine's demotion by `delta`, in the dialect's unit."""
        old = self._demotion
        new = old + delta if self.config.dialect.negative_demotion else max(0, old + delta)
        self._demotion = new
        if new == old:
            return
        self._emit(DemotionChanged(old, new, reason, now))
        if self.config.dialect.advertise_every_change or (delta > 0 and new == 1):
            for host in self._hosts.values():
                host.advertise_if_master(now)

    def enable(self, key: VirtualHostKey, now: float) -> None:
        """Let a disabled virtual host run again. Raises TransitionError if it is enabled."""
        self._host(key).enable(now)

    def disable(self, key: VirtualHostKey, now: float) -> None:
        """Take a virtual host out, with a bow-out if MASTER. Raises TransitionError if out."""
        self._host(key).disable(now)

    def force(self, key: VirtualHostKey, state: State, now: float) -> None:
        """Put a virtual host in MASTER or BACKUP. Raises TransitionError where that cannot be."""
        self._host(key).force(state, now)

    def stop(self, now: float) -> None:
        """Shut down in an orderly way: each MASTER bows out. The node is done afterwards."""
        for host in self._hosts.values():
            host.stop(now)

    # What became of an action

    def sent(self, key: VirtualHostKey, ok: bool, now: float) -> None:
        """The result of one SendAdvertisement: three failures in a row demote the machine."""
        if not ok:
            self._count("oerrors")
        delta = self._host(key).sent(ok)
        if delta:
            self.demote(delta, "send error" if delta > 0 else "send errors over", now)

    # Inside

    def _accept(self, interface: str, datagram: Datagram) -> tuple[VirtualHost, Advertisement]:
        """The virtual host an advertisement is for; the checks stand in the kernels' order."""
        if datagram.ttl != TTL:
            raise PacketError("badttl", f"TTL {datagram.ttl}")
        advertisement = decode(datagram.payload)
        host = self._hosts.get(VirtualHostKey(interface, advertisement.vhid))
        if host is None or host.state is State.INIT:
            raise PacketError("badvhid", f"vhid {advertisement.vhid} does not run here")
        if advertisement.version_type != VERSION_TYPE:
            raise PacketError("badver", f"version and type {advertisement.version_type:#04x}")
        if not host.signs(advertisement):
            raise PacketError("badauth", "the digest does not hold")
        if host.is_own(advertisement):
            raise PacketError("badauth", "our own advertisement came back")
        return host, advertisement

    def _interface_up(self, hosts: list[VirtualHost], now: float) -> None:
        # Out of INIT first, the demotion down after it: the kernels' order, in every generation.
        for host in hosts:
            host.interface_came_up(now)
            if host.suppressing:
                host.suppressing = False
                self.demote(-self.config.dialect.interface_down_demotion, "interface up", now)

    def _interface_down(self, hosts: list[VirtualHost], now: float) -> None:
        for host in hosts:
            host.interface_went_down(now)
        for host in hosts:
            host.suppressing = True
            self.demote(self.config.dialect.interface_down_demotion, "interface down", now)

    def _host(self, key: VirtualHostKey) -> VirtualHost:
        try:
            return self._hosts[key]
        except KeyError:
            raise ValueError(f"no virtual host {key}") from None

    def _emit(self, action: Action) -> None:
        if isinstance(action, SendAdvertisement):
            self._count("opackets" if action.family == 4 else "opackets6")
            self._sends.append(action)
            return
        if isinstance(action, Transition) and action.new == State.MASTER.value:
            self._count("preempt")
        self._actions.append(action)

    def _count(self, statistic: str) -> None:
        self._statistics[statistic] += 1


def _host_status(host: VirtualHost) -> VirtualHostStatus:
    return VirtualHostStatus(
        host.config.key,
        host.state,
        host.enabled,
        host.interface_up,
        host.config.advbase,
        host.config.advskew,
        host.effective_advskew,
        host.config.addresses,
    )

"""One machine that runs CARP: its interfaces, its virtual hosts, their demotion, its statistics.

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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from ipaddress import IPv4Address
from operator import xor

from carplab.carp.actions import (
    Action,
    DemotionChanged,
    Heard,
    Rejected,
    SendAdvertisement,
    Transition,
    VirtualHostKey,
)
from carplab.carp.dialect import BalancingRule, Dialect
from carplab.carp.extensions import Extensions
from carplab.carp.frames import Datagram
from carplab.carp.packet import TTL, VERSION_TYPE, Address, Advertisement, PacketError, decode
from carplab.carp.virtual_host import (
    DEFAULT_GROUP,
    SETTLED,
    State,
    TransitionError,
    VirtualHost,
    VirtualHostConfig,
)

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

    With `arp_balance`, virtual hosts of one interface may share IPv4 addresses; answer_arp() then
    says which of them answers. Raises ValueError with one sentence where the virtual hosts
    contradict each other or the dialect.
    """

    virtual_hosts: tuple[VirtualHostConfig, ...]
    dialect: Dialect
    preempt: bool = False
    arp_balance: bool = False
    extensions: Extensions = field(default_factory=Extensions)

    def __post_init__(self) -> None:
        if self.arp_balance and self.dialect.balancing is None:
            raise ValueError(
                f"arp_balance does not go with dialect {self.dialect.name}: it was removed there"
            )
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
            if host.groups != (DEFAULT_GROUP,) and not self.dialect.interface_groups:
                raise ValueError(
                    f"vhid {host.key} is in {', '.join(host.groups)}, but dialect "
                    f"{self.dialect.name} knows the one group {DEFAULT_GROUP}"
                )
        self._refuse_shared_addresses()

    @property
    def groups(self) -> tuple[str, ...]:
        """The interface groups that can be demoted: "carp" and what the virtual hosts name."""
        named = [group for host in self.virtual_hosts for group in host.groups]
        return tuple(dict.fromkeys([DEFAULT_GROUP, *named]))

    def sharing(self, interface: str, address: Address) -> tuple[VirtualHostConfig, ...]:
        """The virtual hosts of an interface that have this address, in order of vhid."""
        hosts = [
            host
            for host in self.virtual_hosts
            if host.interface == interface and address in host.addresses
        ]
        return tuple(sorted(hosts, key=lambda host: host.vhid))

    def balances(self, interface: str, address: Address) -> bool:
        """Whether an address is shared, so that answer_arp() decides who answers for it."""
        return len(self.sharing(interface, address)) > 1

    def announced(self, host: VirtualHostConfig) -> tuple[Address, ...]:
        """The addresses that a virtual host announces when it becomes MASTER."""
        return tuple(
            address
            for address in host.addresses
            if self.dialect.announces_shared or not self.balances(host.interface, address)
        )

    def _refuse_shared_addresses(self) -> None:
        for host in self.virtual_hosts:
            for address in host.addresses:
                if self.balances(host.interface, address) and not (
                    self.arp_balance and address.version == 4
                ):
                    vhids = [str(other.vhid) for other in self.sharing(host.interface, address)]
                    raise ValueError(
                        f"{address} is in vhids {' and '.join(vhids)} of {host.interface}: only "
                        "with arp_balance may virtual hosts share an address, and only an IPv4 one"
                    )


@dataclass(frozen=True, slots=True)
class VirtualHostStatus:
    """What `ifconfig` would show of one virtual host.

    The advskews are in 1/256 s. `interface_up` is its carrier, `demotion` the sum over its groups,
    in the dialect's unit.
    """

    key: VirtualHostKey
    state: State
    enabled: bool
    interface_up: bool
    advbase: int
    advskew: int
    effective_advskew: int
    addresses: tuple[Address, ...]
    groups: tuple[str, ...]
    demotion: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A snapshot. `demotions` has each group's, in the dialect's unit.

    `statistics` has the names of STATISTICS.
    """

    dialect: str
    preempt: bool
    demotions: Mapping[str, int]
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
        self._demotions = dict.fromkeys(config.groups, 0)
        self._statistics = dict.fromkeys(STATISTICS, 0)
        self._hosts = {
            host.key: VirtualHost(
                host,
                config.announced(host),
                config.dialect,
                config.preempt,
                config.extensions,
                partial(self._demotion_of, host.groups),
                partial(self._demote_groups, host.groups),
                random_counter,
                self._emit,
            )
            for host in config.virtual_hosts
        }
        self._links: dict[str, bool | None] = {key.interface: None for key in self._hosts}
        # interfaces whose link is up but kept from their virtual hosts, and until when
        self._held: dict[str, float] = {}
        self._bulk_due: float | None = None

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
        timers = [host.next_timer() for host in self._hosts.values()]
        timers += [*self._held.values(), self._bulk_due]
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: float) -> None:
        for interface in [name for name, due in self._held.items() if due <= now]:
            self._let_run(interface, now)
        if self._bulk_due is not None and self._bulk_due <= now:
            self._end_bulk_hold(now)
        for host in self._hosts.values():
            host.handle_timer(now)

    def status(self) -> NodeStatus:
        return NodeStatus(
            self.config.dialect.name,
            self.config.preempt,
            dict(self._demotions),
            tuple(self._host_status(host) for host in self._hosts.values()),
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
        for neighbour in self._hosts_on(interface):
            neighbour.lift_suppression(SETTLED, now)
        host.hear(datagram.family, advertisement, now)

    def reject(self, interface: str, statistic: str, source: Address | None, now: float) -> None:
        """Count and log a datagram that was dropped, here or already by the driver."""
        self._count(statistic)
        self._emit(Rejected(interface, statistic, source, now))

    def link_changed(self, interface: str, up: bool, now: float) -> None:
        """The carrier of `interface` came or went. The same news twice does nothing."""
        self._require_interface(interface)
        if self._links[interface] == up:
            return
        starting = all(known is None for known in self._links.values())
        returning = up and self._links[interface] is False
        if starting or returning:
            self._start_bulk_hold(now)
        self._links[interface] = up
        if up:
            self._interface_up(interface, now)
        else:
            self._interface_down(interface, now)

    def link_moved(self, interface: str, now: float) -> None:
        """A failover set moved to another port: its MASTERs advertise and announce at once."""
        self._require_interface(interface)
        for host in self._hosts_on(interface):
            host.interface_moved(now)

    def answer_arp(
        self, interface: str, requester: IPv4Address, requester_mac: bytes, target: IPv4Address
    ) -> VirtualHostKey | None:
        """Which virtual host answers an ARP request for the shared address `target`.

        None: stay silent, for another machine answers, or the address is not a shared one. Changes
        nothing.
        """
        if not self.config.balances(interface, target):
            return None
        hosts = [self._hosts[host.key] for host in self.config.sharing(interface, target)]
        if self.config.dialect.balancing is BalancingRule.BY_ADDRESS:
            hosts = [host for host in hosts if host.state is not State.INIT]
            number = int(requester)
        else:
            number = reduce(xor, requester_mac)
        if not hosts:
            return None
        chosen = hosts[number % len(hosts)]
        return chosen.config.key if chosen.state is State.MASTER else None

    # What the user asks for

    def demote(self, delta: int, reason: str, now: float, group: str = DEFAULT_GROUP) -> None:
        """Raise or lower a group's demotion by `delta`, in the dialect's unit.

        Raises ValueError for a group that no virtual host is in.
        """
        if group not in self._demotions:
            raise ValueError(f"no group {group} here, only {', '.join(self._demotions)}")
        self._demote_groups((group,), delta, reason, now)

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
        self._held.clear()
        for host in self._hosts.values():
            host.stop(now)

    # What became of an action

    def sent(self, key: VirtualHostKey, ok: bool, now: float) -> None:
        """The result of one SendAdvertisement: three failures in a row demote its groups."""
        if not ok:
            self._count("oerrors")
        self._host(key).sent(ok, now)

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

    def _interface_up(self, interface: str, now: float) -> None:
        if self.config.extensions.link_up_delay_s > 0:
            self._held[interface] = now + self.config.extensions.link_up_delay_s
        else:
            self._let_run(interface, now)

    def _let_run(self, interface: str, now: float) -> None:
        self._held.pop(interface, None)
        if self.config.extensions.demotion_first:
            for host in self._hosts_on(interface):
                host.lift_suppression("interface up", now)
        for host in self._hosts_on(interface):
            host.interface_came_up(now)

    def _interface_down(self, interface: str, now: float) -> None:
        self._held.pop(interface, None)
        for host in self._hosts_on(interface):
            host.interface_went_down(now)
        for host in self._hosts_on(interface):
            host.suppress(now)

    def _start_bulk_hold(self, now: float) -> None:
        if self.config.extensions.bulk_hold_s == 0:
            return
        if self._bulk_due is None:
            amount = self.config.dialect.interface_down_demotion
            self.demote(amount, "bulk update start", now)
        self._bulk_due = now + self.config.extensions.bulk_hold_s

    def _end_bulk_hold(self, now: float) -> None:
        self._bulk_due = None
        self.demote(-self.config.dialect.interface_down_demotion, "bulk update done", now)

    def _demote_groups(self, groups: Iterable[str], delta: int, reason: str, now: float) -> None:
        dialect = self.config.dialect
        changes = []
        for group in groups:
            old = self._demotions[group]
            new = old + delta if dialect.negative_demotion else max(0, old + delta)
            self._demotions[group] = new
            if new != old:
                self._emit(DemotionChanged(group, old, new, reason, now))
                changes.append(new)
        if changes and (dialect.advertise_every_change or (delta > 0 and 1 in changes)):
            for host in self._hosts.values():
                host.advertise_if_master(now)

    def _demotion_of(self, groups: Iterable[str]) -> int:
        return sum(self._demotions[group] for group in groups)

    def _require_interface(self, interface: str) -> None:
        if interface not in self._links:
            raise ValueError(f"no virtual host on interface {interface}")

    def _hosts_on(self, interface: str) -> list[VirtualHost]:
        return [host for key, host in self._hosts.items() if key.interface == interface]

    def _host(self, key: VirtualHostKey) -> VirtualHost:
        try:
            return self._hosts[key]
        except KeyError:
            raise ValueError(f"no virtual host {key}") from None

    def _host_status(self, host: VirtualHost) -> VirtualHostStatus:
        config = host.config
        return VirtualHostStatus(
            config.key,
            host.state,
            host.enabled,
            self._links[config.interface] is True,
            config.advbase,
            config.advskew,
            host.effective_advskew,
            config.addresses,
            config.groups,
            self._demotion_of(config.groups),
        )

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

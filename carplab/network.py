"""What a network is: segments, routers with interfaces and virtual hosts, hosts, direct links.

Plain data. The same description is built on Mininet, rendered into carpd's configuration and
written into the record of a run. It needs nothing but the standard library, so that Mininet's own
`mn` can load it too.

Interfaces are named after both ends: `fw1-outside` on the firewall, `outside-fw1` on the switch of
the segment; with a second cable between the two, `fw1-outside-2` and `outside-fw1-2`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum, EnumMeta
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from itertools import repeat
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from carplab.carp.extensions import Extensions
from carplab.carp.packet import Address, master_down_s, timer_s
from carplab.errors import UsageError, listed

Prefix = IPv4Network | IPv6Network
InterfaceAddress = IPv4Interface | IPv6Interface
_ADDRESSES: Mapping[Any, Callable[[str], Any]] = {
    Address: ip_address,
    InterfaceAddress: ip_interface,
    Prefix: ip_network,
}

DEFAULT_DIALECT = "openbsd"
LONGEST_INTERFACE_NAME = 15  # IFNAMSIZ - 1, linux/if.h

OPENFLOW = "openflow"
BRIDGE = "bridge"
STP = "stp"
STP_EDGE = "stp-edge"
RYU_STP = "ryu-stp"
SNOOPING = "snooping"
SNOOPING_STRICT = "snooping-strict"
LOOP = "loop"
SEGMENT_KINDS = (OPENFLOW, BRIDGE, STP, STP_EDGE, RYU_STP, SNOOPING, SNOOPING_STRICT, LOOP)
OPEN_VSWITCH_KINDS = (OPENFLOW, RYU_STP)  # the others are Linux bridges
SPANNING_TREE_KINDS = (STP, RYU_STP, LOOP)  # their ports pass no frames for 2 forward delays
DEFAULT_FORWARD_DELAY_S = 15  # IEEE 802.1D
FORWARD_DELAYS_S = range(2, 31)  # what Linux takes; 802.1D itself begins at 4
NO_NAT, STATIC_NAT, SYNCED_NAT, COMMITTED_NAT = "none", "static", "synced", "committed"
NATS = (NO_NAT, STATIC_NAT, SYNCED_NAT, COMMITTED_NAT)
SHARED_NATS = (SYNCED_NAT, COMMITTED_NAT)  # conntrackd tells the other firewall of connections
SYNC = "sync"
OUTSIDE = "outside"  #: the segment on whose far side NAT shows the virtual address only
SYNC_ADDRESSES = (IPv4Interface("10.0.3.11/24"), IPv4Interface("10.0.3.12/24"))


@dataclass(frozen=True)
class VirtualHost:
    """One CARP virtual host on a router's interface; interval = advbase + advskew/256 s.

    `groups` are the interface groups whose demotion counts for it.
    """

    vhid: int
    addresses: tuple[Address, ...]
    advbase: int = 1
    advskew: int = 0
    password: str = ""
    groups: tuple[str, ...] = ("carp",)

    @property
    def interval_s(self) -> float:
        """Seconds between two advertisements."""
        return timer_s(self.advbase, self.advskew)

    @property
    def master_down_s(self) -> float:
        """Seconds without an advertisement after which a BACKUP becomes MASTER."""
        return master_down_s(self.advbase, self.advskew)


@dataclass(frozen=True)
class Interface:
    """A router's interface on a segment, with its own addresses and its virtual hosts.

    `cable` counts the router's cables to that segment, from 1.
    """

    segment: str
    addresses: tuple[InterfaceAddress, ...]
    virtual_hosts: tuple[VirtualHost, ...] = ()
    cable: int = 1


@dataclass(frozen=True)
class FailoverSet:
    """Cables of a router to one segment that carry its virtual hosts one at a time.

    The first one that has carrier does, as with trunk(4)'s failover. Its virtual hosts are those of
    the interface of the first cable; `name` is what carpd calls the set.
    """

    name: str
    segment: str
    cables: tuple[int, ...]


@dataclass(frozen=True)
class Router:
    """A machine that forwards and runs carpd; everything but the interfaces holds for all of it.

    nat: "none"; "static" translates the inside's addresses to the outside's virtual address;
    "synced" also puts the connections into the other firewall's kernel, "committed" into a cache
    there, which goes into the kernel when that firewall becomes MASTER. tcp_loose: a connection met
    in its middle is taken up (nf_conntrack_tcp_loose).
    """

    name: str
    interfaces: tuple[Interface, ...]
    preempt: bool = True
    dialect: str = DEFAULT_DIALECT
    arp_balance: bool = False
    extensions: Extensions = field(default_factory=Extensions)
    nat: str = "none"
    tcp_loose: bool = True
    failover_sets: tuple[FailoverSet, ...] = ()

    def interface(self, segment: str, cable: int = 1) -> Interface:
        """Return the interface on `segment`; KeyError where there is none."""
        for interface in self.interfaces:
            if (interface.segment, interface.cable) == (segment, cable):
                return interface
        raise KeyError(place_text(segment, cable))

    def carp_interface(self, interface: Interface) -> str:
        """Return what carpd calls this interface: its name, or its failover set's."""
        for failover_set in self.failover_sets:
            if failover_set.segment == interface.segment:
                return failover_set.name
        return interface_name(self.name, interface.segment, interface.cable)


@dataclass(frozen=True)
class Route:
    """A static route of a host."""

    destination: Prefix
    via: Address


@dataclass(frozen=True)
class Host:
    """A machine at the edge, with one interface."""

    name: str
    segment: str
    addresses: tuple[InterfaceAddress, ...]
    routes: tuple[Route, ...] = ()

    @property
    def mac(self) -> str:
        """The MAC address of its interface."""
        return mac_address(self.addresses)


@dataclass(frozen=True)
class Segment:
    """One Ethernet segment, a switch of its own, with the prefixes used on it.

    `kind` says what the switch is, one of SEGMENT_KINDS. With spanning tree, a port that comes up
    listens for `forward_delay_s`, learns for as long, and only then passes frames.
    """

    name: str
    prefixes: tuple[Prefix, ...]
    kind: str = OPENFLOW
    forward_delay_s: int = DEFAULT_FORWARD_DELAY_S


@dataclass(frozen=True)
class Link:
    """A cable from one router straight to another; the ends are (router, address)."""

    name: str
    ends: tuple[tuple[str, InterfaceAddress], tuple[str, InterfaceAddress]]


@dataclass(frozen=True)
class Network:
    """The whole network; the order of its segments gives the switches' datapath ids, from 1."""

    name: str
    segments: tuple[Segment, ...]
    routers: tuple[Router, ...]
    hosts: tuple[Host, ...]
    links: tuple[Link, ...] = field(default=())

    def router(self, name: str) -> Router:
        """Return the router called `name`; UsageError naming those there are otherwise."""
        return _named(self.routers, name, "firewall")

    def host(self, name: str) -> Host:
        """Return the host called `name`; UsageError naming those there are otherwise."""
        return _named(self.hosts, name, "host")

    def segment(self, name: str) -> Segment:
        """Return the segment called `name`; UsageError naming those there are otherwise."""
        return _named(self.segments, name, "segment")

    def attachments(self) -> Iterator[tuple[str, str, int]]:
        """Yield (machine, segment, cable) for each cable between a machine and a switch."""
        for router in self.routers:
            for interface in router.interfaces:
                yield router.name, interface.segment, interface.cable
        for host in self.hosts:
            yield host.name, host.segment, 1

    def macs(self) -> dict[tuple[str, str, int], str]:
        """Return the MAC address of each machine's interface, by machine, segment and cable."""
        found = {
            (router.name, interface.segment, interface.cable): mac_address(interface.addresses)
            for router in self.routers
            for interface in router.interfaces
        }
        found.update({(host.name, host.segment, 1): host.mac for host in self.hosts})
        return found

    def virtual_hosts(self) -> Iterator[tuple[Router, Interface, VirtualHost]]:
        """Yield every virtual host with the router and interface that carry it."""
        for router in self.routers:
            for interface in router.interfaces:
                for virtual_host in interface.virtual_hosts:
                    yield router, interface, virtual_host

    def master_down_s(self) -> float:
        """Return the longest master-down time of any virtual host, seconds."""
        return max(virtual_host.master_down_s for _, _, virtual_host in self.virtual_hosts())

    def hold_s(self) -> float:
        """Return the longest time for which carpd is told to hold a restored interface back."""
        return max(
            router.extensions.link_up_delay_s + router.extensions.bulk_hold_s
            for router in self.routers
        )

    def blocked_s(self) -> float:
        """Return the longest time for which a switch's port that came up passes no frames."""
        return max(
            2.0 * segment.forward_delay_s if segment.kind in SPANNING_TREE_KINDS else 0.0
            for segment in self.segments
        )

    def interval_s(self) -> float:
        """Return the longest advertisement interval of any virtual host, seconds."""
        return max(virtual_host.interval_s for _, _, virtual_host in self.virtual_hosts())


def interface_name(host: str, segment: str, cable: int = 1) -> str:
    """Return the name of the interface of `host` on `segment`, or on that direct link."""
    return plug_name(f"{host}-{segment}", cable)


def port_name(segment: str, host: str, cable: int = 1) -> str:
    """Return the name of the port of `segment`'s switch that `host` is plugged into."""
    return f"{segment}-{plug_name(host, cable)}"


def plug_name(host: str, cable: int) -> str:
    """Return what a segment's switch calls a cable of `host`: its name, `fw1-2` for the second."""
    return host if cable == 1 else f"{host}-{cable}"


def place_text(segment: str, cable: int) -> str:
    """Return how a run's record names a cable: by its segment, `outside/2` for the second there."""
    return segment if cable == 1 else f"{segment}/{cable}"


def parse_place(text: str) -> tuple[str, int]:
    """Return segment and cable of `outside/2`; a place without a number is the first cable."""
    segment, _, cable = text.partition("/")
    return segment, int(cable) if cable.isdecimal() else 1


def mac_address(addresses: Sequence[InterfaceAddress]) -> str:
    """Return the MAC address of the interface with these addresses: the same in every run.

    02:00, locally administered, and the four bytes of its first IPv4 address; without one, the
    first four of a hash of its first IPv6 address.
    """
    for address in addresses:
        if isinstance(address, IPv4Interface):
            return _mac(address.ip.packed)
    return _mac(hashlib.sha256(addresses[0].ip.packed).digest()[:4])


def _mac(tail: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in b"\x02\x00" + tail)


def preferred_interfaces(network: Network) -> dict[tuple[str, int], tuple[str, int]]:
    """Return who is MASTER of each (segment, vhid) while nothing is wrong: (router, cable).

    It is where the advertisement interval is the shortest. UsageError when two tie.
    """
    winners: dict[tuple[str, int], tuple[str, int]] = {}
    best: dict[tuple[str, int], float] = {}
    for router, interface, virtual_host in network.virtual_hosts():
        key = (interface.segment, virtual_host.vhid)
        if key in best and best[key] == virtual_host.interval_s:
            winner, cable = winners[key]
            there = place_text(interface.segment, interface.cable)
            own = winner == router.name
            raise UsageError(
                f"{winner} on {place_text(key[0], cable)} and {router.name} on {there} advertise "
                f"vhid {key[1]} equally often: give one of them a higher advskew, "
                f"as in --set {router.name}{'.' + there if own else ''}.advskew=100"
            )
        if key not in best or virtual_host.interval_s < best[key]:
            best[key], winners[key] = virtual_host.interval_s, (router.name, interface.cable)
    return winners


def preferred_masters(network: Network) -> dict[tuple[str, int], str]:
    """Return the router that is MASTER of each (segment, vhid) while nothing is wrong."""
    return {key: router for key, (router, _) in preferred_interfaces(network).items()}


def preferred_router(network: Network) -> str:
    """Return the router that matters most, which faults strike by default.

    It is the one preferred everywhere; where several virtual hosts share an address, each with a
    MASTER of its own, the first router. UsageError when without such balancing no router is
    preferred everywhere: then the network has no state that counts as whole.
    """
    winners = preferred_masters(network)
    names = set(winners.values())
    if len(names) == 1:
        return names.pop()
    if _is_balanced(network):
        return network.routers[0].name
    places = ", ".join(
        f"{name} on {segment} (vhid {vhid})" for (segment, vhid), name in winners.items()
    )
    raise UsageError(
        f"no firewall is preferred everywhere, but {places}: "
        "give one firewall the lowest advbase and advskew on every segment"
    )


def _is_balanced(network: Network) -> bool:
    """Whether on every segment each virtual host has a preferred router of its own."""
    masters: dict[str, list[str]] = {}
    for (segment, _), router in preferred_masters(network).items():
        masters.setdefault(segment, []).append(router)
    return all(1 < len(names) == len(set(names)) for names in masters.values())


def with_sync_link(network: Network) -> Network:
    """Return the network with a direct link between its two firewalls, if it has none yet."""
    if any(link.name == SYNC for link in network.links):
        return network
    if len(network.routers) != 2:
        raise UsageError(f"a sync link joins two firewalls, not {len(network.routers)}")
    left, right = (
        (router.name, address)
        for router, address in zip(network.routers, SYNC_ADDRESSES, strict=True)
    )
    return replace(network, links=(*network.links, Link(SYNC, (left, right))))


# --- plain values ---


def as_plain(value: Any) -> Any:
    """Return dataclasses, tuples and addresses as dicts, lists and strings, for JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, (list, tuple)):
        return [as_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def network_from_plain(plain: Mapping[str, Any]) -> Network:
    """Return the network that `as_plain` has made dicts, lists and strings of."""
    network: Network = _from_plain(Network, plain)
    return network


def _from_plain(kind: Any, value: Any) -> Any:
    """Return a plain value as the type that a field is annotated with."""
    if kind in _ADDRESSES:
        return _ADDRESSES[kind](value)
    if isinstance(kind, type) and is_dataclass(kind):
        kinds = get_type_hints(kind)
        return kind(**{name: _from_plain(kinds[name], each) for name, each in value.items()})
    of = get_args(kind)
    if get_origin(kind) is tuple:
        each_of = repeat(of[0]) if of[-1] is ... else of
        return tuple(_from_plain(*pair) for pair in zip(each_of, value, strict=False))
    if type(None) in of:
        return None if value is None else _from_plain(of[0], value)
    return kind(value) if isinstance(kind, EnumMeta) else value


_Item = TypeVar("_Item", Segment, Router, Host)


def _named(items: Iterable[_Item], name: str, what: str) -> _Item:
    found = {item.name: item for item in items}
    if name not in found:
        raise UsageError(f"there is no {what} called {name!r}: there are {listed(found)}")
    return found[name]


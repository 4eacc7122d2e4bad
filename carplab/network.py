"""What a network is: segments, routers with interfaces and virtual hosts, hosts, direct links.

Plain data. The same description is built on Mininet, rendered into carpd's configuration and
written into the record of a run. It needs nothing but the standard library, so that Mininet's own
`mn` can load it too.

Interfaces are named after both ends: `fw1-outside` on the firewall, `outside-fw1` on the switch of
the segment; with a second cable between the two, `fw1-outside-2` and `outside-fw1-2`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, TypeVar

from carplab.carp.dialect import DIALECTS
from carplab.carp.extensions import Extensions, Settled
from carplab.carp.node import NodeConfig, VirtualHostConfig
from carplab.carp.packet import Address, master_down_s, timer_s
from carplab.errors import UsageError

Prefix = IPv4Network | IPv6Network
InterfaceAddress = IPv4Interface | IPv6Interface

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


# --- validation ---


def validate(network: Network) -> None:
    """Check everything that building the network would trip over; UsageError with one sentence."""
    _check_names(network)
    for segment in network.segments:
        _check_segment(segment)
    for router in network.routers:
        if router.dialect not in DIALECTS:
            raise UsageError(f"unknown dialect {router.dialect!r}: known are {_listed(DIALECTS)}")
        for interface in router.interfaces:
            _check_addresses(network, router.name, interface.segment, interface.addresses)
            _check_virtual_hosts(network, router, interface)
        _check_failover_sets(router)
        _check_node(router)
    for host in network.hosts:
        _check_addresses(network, host.name, host.segment, host.addresses)
    _check_unique_addresses(network)
    _check_links(network)
    _check_nat(network)


def _check_names(network: Network) -> None:
    named: list[Segment | Router | Host | Link] = [
        *network.segments,
        *network.routers,
        *network.hosts,
        *network.links,
    ]
    names = [item.name for item in named]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the name {name!r} is given twice in the network {network.name!r}")
        if not name.isidentifier() or not name.isascii():
            raise UsageError(f"{name!r} is no usable name: take ASCII letters, digits and _")
    attachments = list(network.attachments())
    attachments += [(router, link.name, 1) for link in network.links for router, _ in link.ends]
    for machine, place, cable in attachments:
        name = interface_name(machine, place, cable)
        if len(name) > LONGEST_INTERFACE_NAME:
            raise UsageError(
                f"the interface name {name!r} has more than "
                f"{LONGEST_INTERFACE_NAME} characters: shorten {machine!r} or {place!r}"
            )
        if attachments.count((machine, place, cable)) > 1:
            raise UsageError(
                f"{machine} is plugged into {place} twice with cable {cable}: number its cables"
            )


def _check_segment(segment: Segment) -> None:
    if segment.kind not in SEGMENT_KINDS:
        raise UsageError(
            f"unknown kind {segment.kind!r} of the segment {segment.name}: "
            f"known are {_listed(SEGMENT_KINDS)}"
        )
    if segment.forward_delay_s not in FORWARD_DELAYS_S:
        raise UsageError(
            f"a forward delay of {segment.forward_delay_s} s on {segment.name} is out of range: "
            f"{FORWARD_DELAYS_S[0]} to {FORWARD_DELAYS_S[-1]}"
        )
    if (
        segment.kind not in SPANNING_TREE_KINDS
        and segment.forward_delay_s != DEFAULT_FORWARD_DELAY_S
    ):
        raise UsageError(
            f"{segment.name} is of the kind {segment.kind}, which has no forward delay: "
            f"{_listed(SPANNING_TREE_KINDS)} have one"
        )


def _check_addresses(
    network: Network, machine: str, place: str, addresses: Iterable[InterfaceAddress]
) -> None:
    segment = network.segment(place)
    for address in addresses:
        if address.network not in segment.prefixes:
            raise UsageError(
                f"the address {address} of {machine} is outside the segment {place}, "
                f"which has {_listed(segment.prefixes)}"
            )


def _check_virtual_hosts(network: Network, router: Router, interface: Interface) -> None:
    where = f"{router.name} on {place_text(interface.segment, interface.cable)}"
    seen: set[int] = set()
    for virtual_host in interface.virtual_hosts:
        _check_virtual_host(router, interface, virtual_host)
        if virtual_host.vhid in seen:
            raise UsageError(
                f"{where} has two virtual hosts with vhid {virtual_host.vhid}: "
                "each needs a vhid of its own"
            )
        seen.add(virtual_host.vhid)
        prefixes = network.segment(interface.segment).prefixes
        for address in virtual_host.addresses:
            if not address.is_link_local and not any(address in prefix for prefix in prefixes):
                raise UsageError(
                    f"the virtual address {address} of {where} is outside the segment, "
                    f"which has {_listed(prefixes)}"
                )
    _check_shared_vhids(network, interface)


def _check_virtual_host(router: Router, interface: Interface, virtual_host: VirtualHost) -> None:
    """The limits are the protocol's own."""
    try:
        config = _virtual_host_config(router, interface, virtual_host)
        NodeConfig((config,), DIALECTS[router.dialect])
    except ValueError as error:
        where = place_text(interface.segment, interface.cable)
        raise UsageError(f"{router.name} on {where}: {error}") from None


def _check_node(router: Router) -> None:
    """What the virtual hosts of one machine must agree on."""
    configs = tuple(
        _virtual_host_config(router, interface, virtual_host)
        for interface in router.interfaces
        for virtual_host in interface.virtual_hosts
    )
    dialect = DIALECTS[router.dialect]
    try:
        NodeConfig(configs, dialect, router.preempt, router.arp_balance, router.extensions)
    except ValueError as error:
        raise UsageError(f"{router.name}: {error}") from None


def _virtual_host_config(
    router: Router, interface: Interface, virtual_host: VirtualHost
) -> VirtualHostConfig:
    return VirtualHostConfig(
        router.carp_interface(interface),
        virtual_host.vhid,
        virtual_host.addresses,
        virtual_host.advbase,
        virtual_host.advskew,
        virtual_host.password,
        groups=virtual_host.groups,
    )


def _check_failover_sets(router: Router) -> None:
    for failover_set in router.failover_sets:
        where = f"the failover set {failover_set.name!r} of {router.name}"
        there = [each for each in router.interfaces if each.segment == failover_set.segment]
        if sorted(each.cable for each in there) != sorted(set(failover_set.cables)):
            raise UsageError(
                f"{where} has the cables {_listed(failover_set.cables)}: it takes each of the "
                f"firewall's cables to {failover_set.segment} once"
            )
        if any(each.virtual_hosts for each in there if each.cable != failover_set.cables[0]):
            raise UsageError(
                f"{where} has virtual hosts on several cables: they belong to its first one"
            )


def _check_shared_vhids(network: Network, interface: Interface) -> None:
    """Virtual hosts of one segment that share a vhid are one group: same addresses."""
    groups: dict[int, set[Address]] = {}
    for router, other, virtual_host in network.virtual_hosts():
        if other.segment != interface.segment:
            continue
        addresses = groups.setdefault(virtual_host.vhid, set(virtual_host.addresses))
        if addresses != set(virtual_host.addresses):
            raise UsageError(
                f"two virtual hosts on {other.segment} use vhid {virtual_host.vhid} for different "
                f"addresses ({_listed(sorted(map(str, addresses)))}; {router.name}: "
                f"{_listed(virtual_host.addresses)}): give each its own vhid"
            )


def _check_unique_addresses(network: Network) -> None:
    owners: dict[Address, str] = {}
    machines = [
        (router.name, interface.addresses)
        for router in network.routers
        for interface in router.interfaces
    ]
    machines += [(host.name, host.addresses) for host in network.hosts]
    machines += [(router, (address,)) for link in network.links for router, address in link.ends]
    for machine, addresses in machines:
        for address in addresses:
            if address.ip in owners:
                raise UsageError(
                    f"the address {address.ip} is given to both {owners[address.ip]} and {machine}"
                )
            owners[address.ip] = machine
    for router, _, virtual_host in network.virtual_hosts():
        for virtual_address in virtual_host.addresses:
            if virtual_address in owners:
                raise UsageError(
                    f"the virtual address {virtual_address} of {router.name} is also "
                    f"the address of {owners[virtual_address]}"
                )


def _check_links(network: Network) -> None:
    for link in network.links:
        for router, _ in link.ends:
            network.router(router)


def _check_nat(network: Network) -> None:
    for router in network.routers:
        if router.nat not in NATS:
            raise UsageError(
                f"{router.nat!r} is no kind of NAT for {router.name}: known are {_listed(NATS)}"
            )
        outside = [each for each in router.interfaces if each.segment == OUTSIDE]
        if router.nat != NO_NAT and not any(each.virtual_hosts for each in outside):
            raise UsageError(
                f"nat={router.nat} needs a virtual host of {router.name} on a segment called "
                f"{OUTSIDE!r}: its address is what the outside sees"
            )
    shared = [router.nat for router in network.routers if router.nat in SHARED_NATS]
    if not shared:
        return
    alike = [router.name for router in network.routers if router.nat == shared[0]]
    if len(network.routers) != 2 or len(alike) != 2:
        raise UsageError(
            f"nat={shared[0]} needs exactly two firewalls, both with it: the network has "
            f"{len(network.routers)}, {_listed(alike)} with it"
        )
    if not any(link.name == SYNC for link in network.links):
        raise UsageError(f"nat={shared[0]} needs a link called {SYNC!r} between the firewalls")


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


# --- settings ---


def apply_settings(network: Network, settings: Iterable[str]) -> Network:
    """Return the network with each `KEY=VALUE` applied, in order, and validated.

    KEY is a setting's name, with the machine, the segment or both in front where it is meant for
    those only: `advbase=2`, `fw2.advskew=100`, `outside.password=x`, `fw1.outside.password=x`. A
    segment means all cables to it, `outside/2` the second ones. A segment's own settings are
    `segment.outside=stp` and `segment.outside.forward_delay=2`. With nat=synced or committed the
    firewalls get their sync link. UsageError names what there is when a part is unknown.
    """
    for setting in settings:
        network = _apply_setting(network, setting)
    if len(network.routers) == 2 and any(each.nat in SHARED_NATS for each in network.routers):
        network = with_sync_link(network)
    validate(network)
    return network


def _apply_setting(network: Network, setting: str) -> Network:
    key, equals, text = setting.partition("=")
    *places, name = key.strip().split(".")
    if not equals or not name:
        raise UsageError(f"the setting {setting!r} has no form KEY=VALUE, as in fw2.advskew=100")
    if places and places[0] == "segment":
        return _set_segment(network, [*places[1:], name], text.strip(), setting)
    known = {**_VIRTUAL_HOST_SETTINGS, **_INTERFACE_SETTINGS, **_ROUTER_SETTINGS}
    if name not in known:
        raise UsageError(f"unknown setting {name!r} in {setting!r}: known are {_listed(known)}")
    router_name, place = _places(network, places, setting)
    value = _parsed(known[name], name, text, setting)
    if name in _ROUTER_SETTINGS and place:
        raise UsageError(f"{name} belongs to a whole firewall: leave {place!r} out of {setting!r}")
    if name in _INTERFACE_SETTINGS and not (router_name and place):
        raise UsageError(
            f"{name} belongs to one interface: write it as in fw1.outside.{name}={text}"
        )
    routers = tuple(
        _change_router(router, place, name, value)
        if router_name in (None, router.name)
        else router
        for router in network.routers
    )
    return replace(network, routers=routers)


def _set_segment(network: Network, words: list[str], text: str, setting: str) -> Network:
    """`words` is what stands behind "segment.": a segment's name, then perhaps forward_delay."""
    changed = network.segment(words[0])
    if len(words) == 1:
        changed = replace(changed, kind=text)
    elif words[1:] == ["forward_delay"]:
        changed = replace(
            changed, forward_delay_s=_parsed(int, "forward_delay", text, setting)
        )
    else:
        raise UsageError(
            f"unknown setting {'.'.join(words[1:])!r} of a segment in {setting!r}: known are "
            f"segment.{words[0]}=KIND and segment.{words[0]}.forward_delay=SECONDS"
        )
    segments = tuple(changed if each.name == words[0] else each for each in network.segments)
    return replace(network, segments=segments)


def _places(network: Network, places: list[str], setting: str) -> tuple[str | None, str | None]:
    """Return the firewall and the segment or cable (`outside`, `outside/2`) a setting is for."""
    routers = [router.name for router in network.routers]
    segments = [segment.name for segment in network.segments]
    cables = [f"{segment}/{cable}" for _, segment, cable in network.attachments()]
    router_name: str | None = None
    cable_name: str | None = None
    for place in places:
        if place in routers and router_name is None and cable_name is None:
            router_name = place
        elif place in segments + cables and cable_name is None:
            cable_name = place
        else:
            raise UsageError(
                f"{place!r} in {setting!r} is no firewall or interface of the network: "
                f"there are the firewalls {_listed(routers)} on the segments {_listed(segments)}, "
                f"as in {routers[0]}.{segments[0]}"
            )
    return router_name, cable_name


def _change_router(router: Router, place: str | None, name: str, value: Any) -> Router:
    if name in _EXTENSIONS:
        return replace(router, extensions=_extended(router, _EXTENSIONS[name], value))
    if name in _ROUTER_SETTINGS:
        return replace(router, **{name: value})
    interfaces = tuple(
        _change_interface(interface, name, value)
        if place in (None, interface.segment, f"{interface.segment}/{interface.cable}")
        else interface
        for interface in router.interfaces
    )
    return replace(router, interfaces=interfaces)


def _extended(router: Router, name: str, value: Any) -> Extensions:
    try:
        return replace(router.extensions, **{name: value})
    except ValueError as error:
        raise UsageError(f"{router.name}: {error}") from None


def _change_interface(interface: Interface, name: str, value: Any) -> Interface:
    if name in _INTERFACE_SETTINGS:
        return replace(interface, addresses=value)
    virtual_hosts = tuple(
        replace(each, **{_FIELDS.get(name, name): value}) for each in interface.virtual_hosts
    )
    return replace(interface, virtual_hosts=virtual_hosts)


def _parsed(parse: Callable[[str], Any], name: str, text: str, setting: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise UsageError(
            f"{text!r} in {setting!r} is no value for {name}: {_EXPECTED[name]}"
        ) from None


def _boolean(text: str) -> bool:
    words = {
        "yes": True,
        "on": True,
        "true": True,
        "1": True,
        "no": False,
        "off": False,
        "false": False,
        "0": False,
    }
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(text)
    return seconds


def _settled(text: str) -> Settled | None:
    return None if text == "off" else Settled(text)


def _nat(text: str) -> str:
    if text not in NATS:
        raise ValueError(text)
    return text


def _virtual_addresses(text: str) -> tuple[Address, ...]:
    return tuple(ipaddress.ip_address(part.strip()) for part in text.split(","))


def _interface_addresses(text: str) -> tuple[InterfaceAddress, ...]:
    return tuple(ipaddress.ip_interface(part.strip()) for part in text.split(","))


_VIRTUAL_HOST_SETTINGS: dict[str, Callable[[str], Any]] = {
    "advbase": int,
    "advskew": int,
    "vhid": int,
    "password": str,
    "virtual_address": _virtual_addresses,
}
_INTERFACE_SETTINGS: dict[str, Callable[[str], Any]] = {"address": _interface_addresses}
_ROUTER_SETTINGS: dict[str, Callable[[str], Any]] = {
    "preempt": _boolean,
    "dialect": str,
    "nat": _nat,
    "tcp_loose": _boolean,
    "arp_balance": _boolean,
    "link_up_delay": _seconds,
    "demote_until_settled": _settled,
    "bulk_hold": _seconds,
    "demotion_first": _boolean,
}
_EXTENSIONS = {  # setting -> its field of Extensions
    "link_up_delay": "link_up_delay_s",
    "demote_until_settled": "demote_until_settled",
    "bulk_hold": "bulk_hold_s",
    "demotion_first": "demotion_first",
}
_FIELDS = {"virtual_address": "addresses"}
_EXPECTED = {
    "advbase": "a whole number of seconds is expected",
    "advskew": "a whole number, 0 to 254, is expected",
    "vhid": "a whole number, 1 to 255, is expected",
    "virtual_address": "an IP address is expected, or several with commas between",
    "address": "an IP address with its prefix length is expected, as in 10.0.1.11/24",
    "preempt": "yes or no is expected",
    "forward_delay": "a whole number of seconds is expected",
    "nat": f"{', '.join(NATS)} are possible",
    "tcp_loose": "yes or no is expected",
    "arp_balance": "yes or no is expected",
    "link_up_delay": "a number of seconds is expected, 0 or more",
    "demote_until_settled": "off, heard or heard_or_master is expected",
    "bulk_hold": "a number of seconds is expected, 0 or more",
    "demotion_first": "yes or no is expected",
}


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


_Item = TypeVar("_Item", Segment, Router, Host)


def _named(items: Iterable[_Item], name: str, what: str) -> _Item:
    found = {item.name: item for item in items}
    if name not in found:
        raise UsageError(f"there is no {what} called {name!r}: there are {_listed(found)}")
    return found[name]


def _listed(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)

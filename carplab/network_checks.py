"""What a network must be to be built: each check is a sentence that names what is wrong."""

from __future__ import annotations

from collections.abc import Iterable

from carplab.carp.dialect import DIALECTS
from carplab.carp.node import NodeConfig, VirtualHostConfig
from carplab.carp.packet import Address
from carplab.errors import UsageError, listed
from carplab.network import (
    DEFAULT_FORWARD_DELAY_S,
    FORWARD_DELAYS_S,
    LONGEST_INTERFACE_NAME,
    NATS,
    NO_NAT,
    OUTSIDE,
    SEGMENT_KINDS,
    SHARED_NATS,
    SPANNING_TREE_KINDS,
    SYNC,
    Host,
    Interface,
    InterfaceAddress,
    Link,
    Network,
    Router,
    Segment,
    VirtualHost,
    interface_name,
    place_text,
)


def check_network(network: Network) -> None:
    """Check everything that building the network would trip over; UsageError with one sentence."""
    _check_names(network)
    for segment in network.segments:
        _check_segment(segment)
    for router in network.routers:
        if router.dialect not in DIALECTS:
            raise UsageError(f"unknown dialect {router.dialect!r}: known are {listed(DIALECTS)}")
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
            f"known are {listed(SEGMENT_KINDS)}"
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
            f"{listed(SPANNING_TREE_KINDS)} have one"
        )


def _check_addresses(
    network: Network, machine: str, place: str, addresses: Iterable[InterfaceAddress]
) -> None:
    segment = network.segment(place)
    for address in addresses:
        if address.network not in segment.prefixes:
            raise UsageError(
                f"the address {address} of {machine} is outside the segment {place}, "
                f"which has {listed(segment.prefixes)}"
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
                    f"which has {listed(prefixes)}"
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
                f"{where} has the cables {listed(failover_set.cables)}: it takes each of the "
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
                f"addresses ({listed(sorted(map(str, addresses)))}; {router.name}: "
                f"{listed(virtual_host.addresses)}): give each its own vhid"
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
                f"{router.nat!r} is no kind of NAT for {router.name}: known are {listed(NATS)}"
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
            f"{len(network.routers)}, {listed(alike)} with it"
        )
    if not any(link.name == SYNC for link in network.links):
        raise UsageError(f"nat={shared[0]} needs a link called {SYNC!r} between the firewalls")

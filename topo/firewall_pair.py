"""Two firewalls (or more) between an outside and an inside segment: what most experiments use.

    client --- inside === fw1, fw2, ... === outside --- server

The firewalls share one virtual address on each segment; the clients' default route and the servers'
way back lead there. How CARP is laid over them is the design:

- single: one virtual host a segment, fw1 preferred everywhere.
- balanced: as many virtual hosts a segment as firewalls, each firewall preferred for one of them,
  all with the same IPv4 address: ARP balancing. Four clients and two servers share them out. It is
  for IPv4 only: with IPv6 each virtual host has addresses of its own, and the hosts take turns.
- grouped-demotion, grouped-failover, grouped-separate: each firewall has two cables to each
  segment. With demotion and separate, both carry the segment's virtual host, the second cable less
  willingly, so that one of them is MASTER; with demotion each cable is in an interface group of its
  own, and a lost one demotes nothing else. With failover one virtual host uses whichever works.

Also a custom topology for Mininet's own command, with a controller listening:

    sudo mn --custom topo/firewall_pair.py --topo firewall_pair,firewalls=3,design=balanced \\
        --controller remote,port=6653
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, NamedTuple

# `mn` executes this file without `__file__` and without the project on its path; the code still
# knows its file.
sys.path.insert(0, str(Path((lambda: None).__code__.co_filename).resolve().parent.parent))

from carplab.errors import UsageError
from carplab.network import (
    FailoverSet,
    Host,
    Interface,
    InterfaceAddress,
    Network,
    Route,
    Router,
    Segment,
    VirtualHost,
    with_sync_link,
)
from carplab.network_checks import check_network  # `mn` would call what is called `validate`

SINGLE = "single"
BALANCED = "balanced"
GROUPED_DEMOTION = "grouped-demotion"
GROUPED_FAILOVER = "grouped-failover"
GROUPED_SEPARATE = "grouped-separate"
GROUPED = (GROUPED_DEMOTION, GROUPED_FAILOVER, GROUPED_SEPARATE)
DESIGNS = (SINGLE, BALANCED, *GROUPED)

IPV4, IPV6, BOTH = "ipv4", "ipv6", "both"
FAMILIES = (IPV4, IPV6, BOTH)
SITES = range(256)  # what one byte holds

# The last number of a firewall's own address is 10 + its number, of its second cable's 30 + it; the
# hosts have 100 and up, and the virtual addresses 1 and up.
MOST_FIREWALLS = {SINGLE: 80, BALANCED: 9, **dict.fromkeys(GROUPED, 20)}
CABLES = {design: 2 if design in GROUPED else 1 for design in DESIGNS}
PASSWORD = "carplab"
PLACES = (("outside", 1), ("inside", 2))  # segment, third number of its IPv4 prefix
# `mn` takes every name here for its own: HOSTS would be its kinds of hosts.
EDGE = {
    SINGLE: (("client", "inside"), ("server", "outside")),
    BALANCED: (
        ("client", "inside"),
        ("client2", "inside"),
        ("client3", "inside"),
        ("client4", "inside"),
        ("server", "outside"),
        ("server2", "outside"),
    ),
}


def firewall_pair(
    firewalls: int = 2,
    sync: bool = False,
    design: str = SINGLE,
    family: str = IPV4,
    site: int = 0,
) -> Network:
    """Return the network with this many firewalls; `sync` adds a direct link between two.

    `site` is the second number of every IPv4 address, and the second byte of every fd00 one.

    vhid 1 is on the outside, vhid 2 on the inside; balanced: 1, 3, ... and 2, 4, .... advbase is 1.
    The preferred firewall has advskew 0, the others 100 and 200 where that fits, spread evenly up
    to 254 for more; with two cables it is 0, 50 for fw1's, 100, 150 for fw2's.
    """
    for value, known, what in ((design, DESIGNS, "design"), (family, FAMILIES, "family")):
        if value not in known:
            raise UsageError(f"unknown {what} {value!r}: known are {', '.join(known)}")
    if not 2 <= firewalls <= MOST_FIREWALLS[design]:
        raise UsageError(
            f"{firewalls} firewalls are not possible: 2 to {MOST_FIREWALLS[design]}, "
            f"with the design {design}"
        )
    if site not in SITES:
        raise UsageError(f"a site of {site} is out of range: {SITES[0]} to {SITES[-1]}")
    network = _Plan(firewalls, design, family, site).network()
    if sync:
        network = with_sync_link(network)
    check_network(network)
    return network


class _Plan(NamedTuple):
    # No dataclass: that would look for the module, and `mn` has none.
    firewalls: int
    design: str
    family: str
    site: int

    def network(self) -> Network:
        return Network(
            name="firewall_pair",
            segments=tuple(
                Segment(name, tuple(ip_network(prefix) for prefix in self._prefixes(net)))
                for name, net in PLACES
            ),
            routers=tuple(self._firewall(number) for number in range(1, self.firewalls + 1)),
            hosts=tuple(self._hosts()),
        )

    @property
    def _balances_arp(self) -> bool:
        return self.design == BALANCED and self.family != IPV6

    def _prefixes(self, net: int) -> list[str]:
        prefixes = {4: f"{self._ipv4(net)}.0/24", 6: f"{self._ipv6(net)}::/64"}
        return [prefixes[version] for version in self._versions()]

    def _versions(self) -> tuple[int, ...]:
        return {IPV4: (4,), IPV6: (6,), BOTH: (4, 6)}[self.family]

    def _own(self, net: int, number: int) -> tuple[InterfaceAddress, ...]:
        own = {4: f"{self._ipv4(net)}.{number}/24", 6: f"{self._ipv6(net)}::{number}/64"}
        return tuple(ip_interface(own[version]) for version in self._versions())

    def _ipv4(self, net: int) -> str:
        return f"10.{self.site}.{net}"

    def _ipv6(self, net: int) -> str:
        return f"fd{self.site:02x}:{net}"

    def _firewall(self, number: int) -> Router:
        name = f"fw{number}"
        cables = range(1, CABLES[self.design] + 1)
        interfaces = tuple(
            Interface(
                segment,
                self._own(net, 20 * cable - 10 + number),
                tuple(self._virtual_hosts(number, segment, net, cable)),
                cable,
            )
            for segment, net in PLACES
            for cable in cables
        )
        sets = tuple(
            FailoverSet(f"{name}-{segment}-set", segment, tuple(cables)) for segment, _ in PLACES
        )
        return Router(
            name,
            interfaces,
            arp_balance=self._balances_arp,
            failover_sets=sets if self.design == GROUPED_FAILOVER else (),
        )

    def _virtual_hosts(
        self, number: int, segment: str, net: int, cable: int
    ) -> Iterator[VirtualHost]:
        """Yield what this firewall carries on this cable; `rank` is how far it is from MASTER."""
        if self.design == BALANCED:
            for index in range(self.firewalls):
                rank = (number - 1 - index) % self.firewalls
                yield self._virtual_host(net, index, self._advskew(rank, self.firewalls))
        elif self.design in (GROUPED_DEMOTION, GROUPED_SEPARATE):
            rank = 2 * (number - 1) + cable - 1
            groups = (f"{segment}{cable}",) if self.design == GROUPED_DEMOTION else ("carp",)
            yield self._virtual_host(net, 0, self._advskew(rank, 2 * self.firewalls), groups)
        elif cable == 1:
            yield self._virtual_host(net, 0, self._advskew(number - 1, self.firewalls))

    def _advskew(self, rank: int, ranks: int) -> int:
        widest = 50 if CABLES[self.design] == 2 and self.design != GROUPED_FAILOVER else 100
        return rank * min(widest, 254 // (ranks - 1))

    def _virtual_host(
        self, net: int, index: int, advskew: int, groups: tuple[str, ...] = ("carp",)
    ) -> VirtualHost:
        """Return the segment's virtual host number `index`, from 0."""
        addresses = {
            4: (f"{self._ipv4(net)}.1",),
            6: (f"{self._ipv6(net)}::{index + 1}", self._link_local(net, index)),
        }
        texts = [text for version in self._versions() for text in addresses[version]]
        vhid = 2 * index + net
        return VirtualHost(vhid, tuple(map(ip_address, texts)), 1, advskew, PASSWORD, groups)

    def _link_local(self, net: int, index: int) -> str:
        return f"fe80::{net}:{index + 1}"

    def _hosts(self) -> Iterator[Host]:
        nets = dict(PLACES)
        count = dict.fromkeys(nets, 0)
        for name, segment in EDGE.get(self.design, EDGE[SINGLE]):
            order, net = count[segment], nets[segment]
            count[segment] += 1
            yield Host(name, segment, self._own(net, 100 + order), tuple(self._routes(net, order)))

    def _routes(self, net: int, order: int) -> Iterator[Route]:
        """Yield the routes of a segment's host number `order`: outside only what leads inside."""
        index = order % self.firewalls if self.design == BALANCED else 0
        ways = {4: f"{self._ipv4(net)}.1", 6: self._link_local(net, index)}
        everything = {4: "0.0.0.0/0", 6: "::/0"}
        inside = dict(zip(self._versions(), self._prefixes(dict(PLACES)["inside"]), strict=True))
        for version in self._versions():
            destination = inside[version] if net == dict(PLACES)["outside"] else everything[version]
            yield Route(ip_network(destination), ip_address(ways[version]))


def _mininet_topology(
    firewalls: int = 2, sync: int = 0, design: str = SINGLE, family: str = IPV4
) -> Any:
    """What `mn` calls with what is behind `--topo firewall_pair,`."""
    from carplab.emulation.topology import NetworkTopo, standalone_options

    network = firewall_pair(firewalls, bool(sync), design, family)
    return NetworkTopo(network, **standalone_options())


topos = {"firewall_pair": _mininet_topology}

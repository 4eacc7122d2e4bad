"""Network address translation on a firewall: what pf's `nat` does on BSD, by nftables.

What leaves for the outside gets the outside's virtual address, so that answers come back to
whichever firewall is MASTER there. The firewall's own address (nftables' `masquerade`) could
survive no failover: answers would go on to the firewall that failed.

Translating makes state (netfilter's connection tracking), and a failover loses it unless the
firewalls share it: :mod:`carplab.emulation.conntrackd_config`. A packet from outside that belongs
to no connection is then one for the virtual address itself, and the firewall's kernel answers it
with a reset. What connection tracking finds invalid (outside of the connection's window, or from
the middle of an unknown one where tcp_loose is off) is dropped, as pf does: from inside it would
leave untranslated, since only the first packet of a connection looks at the rules.

Where the other firewall's connections are committed at a promotion only (nat=committed), there is a
time when packets for them are already sent here and the kernel does not know them yet. Those from
outside are for the virtual address itself then: the firewall drops what is TCP of an unknown
connection without being its first segment, where it would answer with a reset.
"""

from __future__ import annotations

from collections.abc import Iterable

from carplab.network import (
    COMMITTED_NAT,
    NO_NAT,
    OUTSIDE,
    Network,
    Prefix,
    Router,
    interface_name,
)

# What begins a TCP connection has SYN without ACK.
_NO_SYN = "ct state new tcp flags & (syn | ack) != syn"


def nat_commands(network: Network, router: Router) -> list[str]:
    """Return the shell commands that make this firewall translate; silent on success."""
    if router.nat == NO_NAT:
        return []
    loose = f"net.netfilter.nf_conntrack_tcp_loose={int(router.tcp_loose)}"
    return [f"nft '{ruleset(network, router)}'", f"sysctl -q -w {loose}"]


def ruleset(network: Network, router: Router) -> str:
    """Return the nftables rules of this firewall, in one line."""
    there = [each for each in router.interfaces if each.segment == OUTSIDE]
    names = [f'"{interface_name(router.name, OUTSIDE, each.cable)}"' for each in there]
    rules = " ".join(
        f"oifname {_set(names)} {family} saddr {_set(inside)} snat {family} to {address};"
        for family, inside, address in _translations(network, router)
    )
    own = f"chain own {{ type filter hook input priority filter; {_NO_SYN} drop; }}; "
    return (
        f"table inet carplab {{ {own if router.nat == COMMITTED_NAT else ''}"
        "chain check { type filter hook prerouting priority filter; ct state invalid drop; }; "
        f"chain postrouting {{ type nat hook postrouting priority srcnat; {rules} }}; }}"
    )


def _translations(network: Network, router: Router) -> Iterable[tuple[str, list[Prefix], object]]:
    """Yield each family in nftables' words with what is inside and what it becomes outside."""
    virtual = [
        address
        for interface in router.interfaces
        if interface.segment == OUTSIDE
        for virtual_host in interface.virtual_hosts
        for address in virtual_host.addresses
        if not address.is_link_local
    ]
    for version, family in ((4, "ip"), (6, "ip6")):
        inside = [
            prefix
            for segment in network.segments
            if segment.name != OUTSIDE
            for prefix in segment.prefixes
            if prefix.version == version
        ]
        address = next((each for each in virtual if each.version == version), None)
        if inside and address:
            yield family, inside, address


def _set(values: Iterable[object]) -> str:
    return f"{{ {', '.join(map(str, values))} }}"

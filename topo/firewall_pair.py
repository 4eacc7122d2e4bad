"""Two firewalls (or more) between an outside and an inside segment: what most experiments use.

    client --- inside === fw1, fw2, ... === outside --- server

The firewalls share one virtual address on each segment; the client's default route and the server's
way back lead there. Also a custom topology for Mininet's own command, with a controller listening:

    sudo mn --custom topo/firewall_pair.py --topo firewall_pair,firewalls=3 \\
        --controller remote,port=6653
"""

from __future__ import annotations

import sys
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

# `mn` executes this file without `__file__` and without the project on its path; the code still
# knows its file.
sys.path.insert(0, str(Path((lambda: None).__code__.co_filename).resolve().parent.parent))

from carplab.errors import UsageError
from carplab.network import (
    Host,
    Interface,
    Link,
    Network,
    Route,
    Router,
    Segment,
    VirtualHost,
)
from carplab.network import validate as check_network  # `mn` calls what a file calls `validate`

MOST_FIREWALLS = 80  # 10.0.1.11 and up, below the server's 10.0.1.100
PASSWORD = "carplab"


def firewall_pair(firewalls: int = 2, sync: bool = False) -> Network:
    """Return the network with this many firewalls, fw1 preferred; `sync` adds a direct link.

    vhid 1 is on the outside, vhid 2 on the inside, advbase 1. advskew is 0, 100, 200 where that
    fits, and spread evenly up to 254 for more firewalls.
    """
    if not 2 <= firewalls <= MOST_FIREWALLS:
        raise UsageError(f"{firewalls} firewalls are not possible: 2 to {MOST_FIREWALLS}")
    if sync and firewalls != 2:
        raise UsageError(f"a sync link joins two firewalls, not {firewalls}")
    network = Network(
        name="firewall_pair",
        segments=(
            Segment("outside", (ip_network("10.0.1.0/24"),)),
            Segment("inside", (ip_network("10.0.2.0/24"),)),
        ),
        routers=tuple(_firewall(number, firewalls) for number in range(1, firewalls + 1)),
        hosts=(
            Host(
                "client",
                "inside",
                (ip_interface("10.0.2.100/24"),),
                (Route(ip_network("0.0.0.0/0"), ip_address("10.0.2.1")),),
            ),
            Host(
                "server",
                "outside",
                (ip_interface("10.0.1.100/24"),),
                (Route(ip_network("10.0.2.0/24"), ip_address("10.0.1.1")),),
            ),
        ),
        links=(_sync_link(),) if sync else (),
    )
    check_network(network)
    return network


def _firewall(number: int, firewalls: int) -> Router:
    advskew = (number - 1) * min(100, 254 // (firewalls - 1))
    interfaces = tuple(
        Interface(
            segment,
            (ip_interface(f"10.0.{net}.{10 + number}/24"),),
            (VirtualHost(vhid, (ip_address(f"10.0.{net}.1"),), 1, advskew, PASSWORD),),
        )
        for segment, net, vhid in (("outside", 1, 1), ("inside", 2, 2))
    )
    return Router(f"fw{number}", interfaces)


def _sync_link() -> Link:
    return Link(
        "sync", (("fw1", ip_interface("10.0.3.11/24")), ("fw2", ip_interface("10.0.3.12/24")))
    )


def _mininet_topology(firewalls: int = 2, sync: int = 0) -> Any:
    """What `mn` calls with the numbers behind `--topo firewall_pair,`."""
    from carplab.emulation.topology import NetworkTopo, standalone_options

    return NetworkTopo(firewall_pair(firewalls, bool(sync)), **standalone_options())


topos = {"firewall_pair": _mininet_topology}

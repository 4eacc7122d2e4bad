"""Which machine each host believes to be behind a virtual address: its neighbour entries."""

from __future__ import annotations

import json
from collections.abc import Iterator

from carplab.emulation.mininet_network import EmulatedNetwork
from carplab.network import Network

UNKNOWN = "unknown"


def find_neighbours(network: Network, emulated: EmulatedNetwork) -> Iterator[tuple[str, str, str]]:
    """Yield host, virtual address on its segment, and its MAC address there or "unknown"."""
    for host in network.hosts:
        listed = json.loads(emulated.run(host.name, "ip", "-json", "neighbour", "show") or "[]")
        macs = {entry["dst"]: entry.get("lladdr", UNKNOWN) for entry in listed}
        for address in _virtual_addresses(network, host.segment):
            yield host.name, address, macs.get(address, UNKNOWN)


def _virtual_addresses(network: Network, segment: str) -> list[str]:
    """Each once: firewalls share them, and balanced virtual hosts do too."""
    addresses = [
        str(address)
        for _, interface, virtual_host in network.virtual_hosts()
        if interface.segment == segment
        for address in virtual_host.addresses
    ]
    return list(dict.fromkeys(addresses))

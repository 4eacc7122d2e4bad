"""The virtual hosts of a session's firewalls, as its status tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carplab.emulation.states import Place
from carplab.network import Network

Demotions = Mapping[str, Mapping[str, int]]  #: firewall -> interface group -> its demotion


def rows(network: Network, states: Mapping[Place, str], demotions: Demotions) -> list[Any]:
    """Return a row for each virtual host of `network` whose state is known."""
    return [
        {
            "router": router.name,
            "segment": interface.segment,
            "cable": interface.cable,
            "vhid": each.vhid,
            "state": states[place],
            "interface": router.carp_interface(interface),
            "advbase": each.advbase,
            "advskew": each.advskew,
            "addresses": [str(address) for address in each.addresses],
            "demotion": sum(demotions[router.name].get(group, 0) for group in each.groups),
        }
        for router, interface, each in network.virtual_hosts()
        for place in [Place(router.name, interface.segment, each.vhid, interface.cable)]
        if place in states
    ]


def by_router(
    network: Network, demotions: Mapping[tuple[str, str], int]
) -> dict[str, dict[str, int]]:
    """Return the demotions by firewall and group; a firewall without any has an empty entry."""
    found: dict[str, dict[str, int]] = {router.name: {} for router in network.routers}
    for (router, group), value in demotions.items():
        found[router][group] = value
    return found

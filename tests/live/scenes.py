"""Networks, statuses and scenes for the tests of the live view."""

from __future__ import annotations

from typing import Any

from carplab.live.sources import LIVE, Message, Scene
from carplab.network import Network, as_plain, preferred_interfaces
from topo.firewall_pair import SINGLE, firewall_pair

PULLED = {"id": 1, "kind": "link_down", "host": "fw1", "segment": "outside", "cable": 1}


def plain(firewalls: int = 2, design: str = SINGLE) -> dict[str, Any]:
    """Return a firewall pair as plain data."""
    network: dict[str, Any] = as_plain(firewall_pair(firewalls, design=design))
    return network


def scene(network: dict[str, Any]) -> Scene:
    """Return a network as a session would be shown."""
    return Scene(LIVE, "test", network, "client", "server", "results/session/1")


def status(
    network: Network | None = None, t_s: float = 0.0, faults: list[dict[str, Any]] | None = None
) -> Message:
    """Return the status of a network in which nobody has moved yet."""
    network = network or firewall_pair()
    homes = preferred_interfaces(network)
    return {
        "kind": "status",
        "t_s": t_s,
        "virtual_hosts": [
            {
                "router": router.name, "segment": interface.segment, "cable": interface.cable,
                "interface": "", "vhid": each.vhid, "advbase": each.advbase,
                "advskew": each.advskew, "demotion": 0, "addresses": [],
                "state": "MASTER"
                if homes[interface.segment, each.vhid] == (router.name, interface.cable)
                else "BACKUP",
            }
            for router, interface, each in network.virtual_hosts()
        ],
        "demotions": {},
        "carpd": {router.name: "running" for router in network.routers},
        "faults": faults or [],
    }  # fmt: skip


def with_state(message: Message, router: str, segment: str, state: str) -> Message:
    """Return a status in which a firewall's virtual hosts on a segment have another state."""
    changed = [
        {**each, "state": state} if (each["router"], each["segment"]) == (router, segment) else each
        for each in message["virtual_hosts"]
    ]
    return {**message, "virtual_hosts": changed}


def event(
    t_s: float, source: str, kind: str, segment: str = "", vhid: int | None = None, detail: str = ""
) -> Message:
    """Return an event as a session tells it."""
    return {
        "kind": "event", "t_s": t_s, "source": source, "event": kind, "segment": segment,
        "vhid": vhid, "detail": detail,
    }  # fmt: skip


def probes(*rows: tuple[float, float | None]) -> Message:
    """Return a batch of the probe: when each packet was sent, and when it was back."""
    return {
        "kind": "probe",
        "rows": [[number, sent_s, back_s, back_s] for number, (sent_s, back_s) in enumerate(rows)],
    }

"""IPv6: a router's link-local virtual address beside its global one.

The client's default route leads to the link-local one, as a router advertisement would have it; the
firewalls route between two networks on the one segment, the client's and the server's.
"""

from __future__ import annotations

import json
import time
from ipaddress import IPv6Address
from typing import Any

import pytest

from tests.daemon.lab import VIRTUAL_ADDRESS6, Capture, Carpd, Lab, wait_for
from tests.daemon.test_carpd import FAST, SLOW, VIRTUAL_MAC, settled_state

pytestmark = pytest.mark.root

LINK_LOCAL = "fe80::1:1"
SERVER = "fd00:2::100"
ADDRESSES = [VIRTUAL_ADDRESS6, LINK_LOCAL]
FAILOVERS = pytest.mark.parametrize("crash", ["pulled cable", "end"])
_ROUTER_AND_OVERRIDE = 0xA0


class Routed:
    """fw1 MASTER, fw2 BACKUP, both routers; a client and a server with a default route each."""

    def __init__(self, lab: Lab) -> None:
        self.client = lab.client()
        self.server = lab.segment.add_host("server", f"{SERVER}/64")
        self.first = self._router(lab, 1, FAST)
        self.first.wait_for_state("MASTER")
        self.second = self._router(lab, 2, SLOW)
        self.second.wait_for_state("BACKUP")
        for host in (self.client, self.server, self.first.host, self.second.host):
            settled_state(host)
        for host in (self.client, self.server):
            route = f"-6 route add default via {LINK_LOCAL} dev {host.interface}"
            host.run("ip", *route.split())

    def _router(self, lab: Lab, number: int, settings: dict[str, Any]) -> Carpd:
        host = lab.firewall(number)
        host.run("sysctl", "-q", "net.ipv6.conf.all.forwarding=1")
        host.run("ip", "addr", "add", f"fd00:2::{10 + number}/64", "dev", host.interface, "nodad")
        return lab.carpd(host, addresses=ADDRESSES, **settings)

    def reaches(self, address: str) -> bool:
        command = ("ping", "-6", "-c", "1", "-W", "2", "-I", self.client.interface, address)
        return " 1 received" in self.client.run(*command, check=False)

    def default_router(self) -> dict[str, Any]:
        """The client's neighbour entry of its default route."""
        entries: list[dict[str, Any]] = json.loads(self.client.run("ip", "-j", "-6", "neigh"))
        return next(entry for entry in entries if entry["dst"] == LINK_LOCAL)


def advertised(capture: Capture, since_s: float) -> set[tuple[str, int]]:
    """The addresses and flags of the unsolicited neighbour advertisements from the virtual MAC."""
    return {
        (str(IPv6Address(heard.frame[62:78])), heard.frame[58])
        for heard in tuple(capture.frames)
        if heard.at_s >= since_s
        and heard.source_mac == VIRTUAL_MAC
        and heard.frame[:6].hex(":") == "33:33:00:00:00:01"
        and heard.frame[54] == 136
    }


@FAILOVERS
def test_a_default_route_via_the_link_local_address_outlives_a_failover(
    lab: Lab, crash: str
) -> None:
    capture = lab.capture(lab.segment.add_host("watcher"))
    routed = Routed(lab)
    for address in (SERVER, *ADDRESSES):
        assert routed.reaches(address), address
    before = routed.default_router()
    assert (before["lladdr"], "router" in before) == (VIRTUAL_MAC, True)
    failed_s = time.monotonic()
    if crash == "end":
        routed.first.end()
    else:
        routed.first.host.pull_cable()
    routed.second.wait_for_state("MASTER")
    announced = {(address, _ROUTER_AND_OVERRIDE) for address in ADDRESSES}
    wait_for("both are announced", lambda: advertised(capture, failed_s) == announced)
    for address in (SERVER, *ADDRESSES):
        assert routed.reaches(address), address
    after = routed.default_router()
    assert (after["lladdr"], "router" in after) == (VIRTUAL_MAC, True)
    # and who has forgotten everything asks anew
    for host in (routed.client, routed.server):
        host.run("ip", "-6", "neigh", "flush", "all")
    assert routed.reaches(SERVER)


def test_nothing_is_left_behind(lab: Lab) -> None:
    host = lab.firewall(1)
    before = settled_state(host)
    carpd = lab.carpd(host, addresses=ADDRESSES)
    carpd.wait_for_state("MASTER")
    assert f"inet6 {LINK_LOCAL}/64 scope link" in host.run("ip", "addr")
    carpd.request("force", vhid=1, state="BACKUP")
    wait_for("released", lambda: LINK_LOCAL not in host.run("ip", "addr"))
    assert carpd.end() == 0
    assert host.state() == before

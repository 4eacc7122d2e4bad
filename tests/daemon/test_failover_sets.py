"""One virtual host over two interfaces: carpd moves to the next one that has its carrier.

Timers as in test_carpd.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.daemon.lab import Capture, Carpd, Host, Lab, wait_for
from tests.daemon.test_carpd import BOTH, FAST, SLOW, VIRTUAL_MAC, ask_for, settled_state

pytestmark = pytest.mark.root

SET = "outside"
FIRST_SOURCE, SECOND_SOURCE = "10.0.1.11", "10.0.1.31"


class TwoCables:
    """fw1 over its set, MASTER through its first cable, and a client that listens."""

    def __init__(self, lab: Lab, **settings: Any) -> None:
        self.first = lab.firewall(1)
        self.second = lab.segment.add_cable(self.first, "10.0.1.31/24", "fd00:1::31/64")
        self.client = lab.client()
        self.capture = lab.capture(self.client)
        ports = [self.first.interface, self.second.interface]
        for family in (4, 6):
            setting = f"net.ipv{family}.conf.all.ignore_routes_with_linkdown=1"
            self.first.run("sysctl", "-q", setting)
        self.before = settled_state(self.first)
        whole = {"interface": SET, "failover": {SET: ports}, "addresses": BOTH, **FAST}
        self.carpd = lab.carpd(self.first, **{**whole, **settings})
        self.carpd.wait_for_state("MASTER")

    def wait_for_port(self, host: Host) -> None:
        wait_for(f"it works through {host.interface}", lambda: self.ports()[-1] == host.interface)
        wait_for("with the addresses there only", lambda: holders(host) == [host.interface])

    def ports(self) -> list[str]:
        return [event["new"] for event in self.carpd.events("port")]

    def transitions(self) -> list[str]:
        return [event["new"] for event in self.carpd.events("transition")]


def holders(host: Host) -> list[str]:
    """The interfaces below the macvlans that are up and have the virtual addresses."""
    links = json.loads(host.run("ip", "-j", "addr"))
    return [
        link["link"]
        for link in links
        if link["ifname"].startswith("carp1-")
        and "UP" in link["flags"]
        and {*BOTH} <= {address["local"] for address in link["addr_info"]}
    ]


def backup(lab: Lab) -> Carpd:
    other = lab.carpd(lab.firewall(2), addresses=BOTH, **SLOW)
    other.wait_for_state("BACKUP")
    wait_for("fw2 hears fw1", lambda: other.events("heard"))
    return other


def first_from(capture: Capture, source: str, since_s: float) -> float:
    return wait_for(
        f"an advertisement from {source}", lambda: capture.advertisements(since_s, source)
    )[0][0]


def test_one_pulled_cable_changes_no_state(lab: Lab) -> None:
    cables = TwoCables(lab)
    other = backup(lab)
    assert ask_for(cables.client, BOTH[0]) == [VIRTUAL_MAC]
    pulled_s = time.monotonic()
    cables.first.pull_cable()
    # at once, not at the next interval's end
    assert first_from(cables.capture, SECOND_SOURCE, pulled_s) - pulled_s < 0.09
    cables.wait_for_port(cables.second)
    assert cables.carpd.request("status")["ports"] == {SET: cables.second.interface}
    announced = [arp for arp in cables.capture.arps(pulled_s) if arp[0] == "request"]
    assert ("request", VIRTUAL_MAC, BOTH[0], BOTH[0]) in announced
    for address in BOTH:
        cables.client.run("ping", "-c", "1", "-W", "2", address)
    assert ask_for(cables.client, BOTH[0]) == [VIRTUAL_MAC]
    plugged_s = time.monotonic()
    cables.first.plug_cable()
    first_from(cables.capture, FIRST_SOURCE, plugged_s)
    cables.wait_for_port(cables.first)
    for address in BOTH:
        cables.client.run("ping", "-c", "1", "-W", "2", address)
    first, second = cables.first.interface, cables.second.interface
    assert cables.ports() == [first, second, first]
    assert cables.transitions() == ["BACKUP", "MASTER"]
    assert [event["new"] for event in cables.carpd.events("carrier")] == ["up"]
    assert cables.carpd.events("demotion") == []
    assert [event["new"] for event in other.events("transition")] == ["BACKUP"]
    assert cables.carpd.end() == 0
    assert cables.first.state() == cables.before


def test_the_last_pulled_cable_is_a_lost_carrier(lab: Lab) -> None:
    cables = TwoCables(lab)
    other = backup(lab)
    cables.first.pull_cable()
    cables.wait_for_port(cables.second)
    cables.second.pull_cable()
    cables.carpd.wait_for_state("INIT")
    other.wait_for_state("MASTER")
    wait_for("no addresses", lambda: holders(cables.first) == [])
    cables.first.plug_cable()
    cables.carpd.wait_for_state("MASTER")
    cables.wait_for_port(cables.first)
    assert [event["new"] for event in cables.carpd.events("carrier")] == ["up", "down", "up"]


def test_a_returned_link_is_used_after_link_up_delay_only(lab: Lab) -> None:
    delay_s = 0.5
    cables = TwoCables(lab, link_up_delay=delay_s)
    cables.first.pull_cable()
    cables.wait_for_port(cables.second)
    plugged_s = time.monotonic()
    cables.first.plug_cable()
    cables.wait_for_port(cables.first)
    back_s = cables.carpd.events("port")[-1]["monotonic_s"]
    assert delay_s <= back_s - plugged_s < delay_s + 0.3
    cables.first.pull_cable()
    cables.wait_for_port(cables.second)
    cables.first.plug_cable()
    cables.second.pull_cable()
    cables.wait_for_port(cables.first)  # there is no other
    assert "INIT" not in cables.transitions()


def test_a_deleted_interface_is_like_a_pulled_cable(lab: Lab) -> None:
    cables = TwoCables(lab)
    cables.first.run("ip", "link", "delete", cables.first.interface)
    cables.wait_for_port(cables.second)
    assert cables.transitions() == ["BACKUP", "MASTER"]
    assert cables.carpd.events("error") == []
    assert cables.carpd.end() == 0
    assert "carp1-" not in cables.first.run("ip", "link")


def test_what_it_hears_of_itself_is_nobody_elses(lab: Lab) -> None:
    """The dialect that cannot tell its own advertisements, and steps down for equal ones."""
    cables = TwoCables(lab, dialect="openbsd-3.8", advbase=1, advskew=0)
    own = wait_for("two of them", lambda: cables.capture.advertisements()[3:] and cables.capture)
    frame = next(heard.frame for heard in own.frames if heard.datagram and heard.frame[23] == 112)
    assert cables.carpd.statistics()["ipackets"] == 0, "the second port hears the first one's"
    cables.first.pull_cable()
    cables.wait_for_port(cables.second)
    with cables.client.packet_socket() as packet:
        packet.send(frame)
        packet.send(frame[:29] + bytes((99,)) + frame[30:])
    cables.carpd.wait_for_state("BACKUP")
    assert [event["source"] for event in cables.carpd.events("heard")] == ["10.0.1.99"]

"""ARP balancing: two firewalls, two virtual hosts with one address, each MASTER of one of them."""

from __future__ import annotations

import json
import select
import time
from collections import defaultdict
from functools import reduce
from ipaddress import ip_address
from operator import xor
from typing import Any

import pytest

from carplab.carp.frames import mac_bytes
from carplab.carp.packet import virtual_mac
from tests.daemon.lab import VIRTUAL_ADDRESS, Carpd, HeardFrame, Host, Lab, wait_for
from tests.daemon.test_carpd import arp_request, settled_state

pytestmark = pytest.mark.root

UNSHARED = "10.0.1.5"
# IPv4 and MAC addresses that differ in what they make of a requester
REQUESTERS = [
    ("10.0.1.100", "02:00:00:00:00:10"),
    ("10.0.1.101", "02:00:00:00:00:11"),
    ("10.0.1.102", "02:00:00:00:00:13"),
    ("10.0.1.103", "02:00:00:00:00:16"),
]
# the preferred MASTER's and the other one's advskew, with advbase 0 where the dialect has that
SKEWS = {"openbsd-3.8": (1, 0, 100), "openbsd": (0, 25, 50)}
DIALECTS = pytest.mark.parametrize("dialect", SKEWS)


class Balanced:
    """fw1 MASTER of vhid 1, fw2 of vhid 2; vhid 1 has a second address that is its alone."""

    def __init__(self, lab: Lab, dialect: str) -> None:
        self.dialect = dialect
        self.client = lab.client()
        self.firewalls = [lab.firewall(1), lab.firewall(2)]
        self.before = settled_state(self.firewalls[0])
        self.carpds = [self._launch(lab, number) for number in (0, 1)]
        self.wait_until_balanced()

    def _launch(self, lab: Lab, number: int) -> Carpd:
        advbase, *skews = SKEWS[self.dialect]
        hosts: list[dict[str, Any]] = [
            {
                "vhid": vhid,
                "advbase": advbase,
                "advskew": skews[number != vhid - 1],
                "addresses": [VIRTUAL_ADDRESS, UNSHARED][: 3 - vhid],
            }
            for vhid in (1, 2)
        ]
        carpd = lab.launch(
            self.firewalls[number], hosts=hosts, dialect=self.dialect, arp_balance=True
        )
        return carpd.wait_until_running()

    def wait_until_balanced(self) -> None:
        for number, carpd in enumerate(self.carpds):
            carpd.wait_for_state("MASTER", vhid=1 + number)
            carpd.wait_for_state("BACKUP", vhid=2 - number)

    def chosen_mac(self, requester: tuple[str, str]) -> str:
        address, mac = requester
        by_address = self.dialect == "openbsd-3.8"
        number = int(ip_address(address)) if by_address else reduce(xor, mac_bytes(mac))
        return virtual_mac(1 + number % 2)

    def answers(self) -> dict[str, list[str]]:
        """The MAC addresses that answer each of the requesters, by its IPv4 address."""
        frames = [arp_request(*requester, VIRTUAL_ADDRESS) for requester in REQUESTERS]
        return answers_to(self.client, *frames)

    def expected(self) -> dict[str, list[str]]:
        return {requester[0]: [self.chosen_mac(requester)] for requester in REQUESTERS}


def answers_to(client: Host, *frames: bytes, seconds: float = 0.4) -> dict[str, list[str]]:
    """Send ARP requests; return what answered whom: the sender MACs by the requester's address."""
    answers: dict[str, list[str]] = defaultdict(list)
    with client.packet_socket() as packet:
        for frame in frames:
            packet.send(frame)
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            if not select.select([packet], [], [], left_s)[0]:
                break
            heard = HeardFrame(0, packet.recv(2048))
            arp = heard.arp()
            if arp is not None and arp[0] == "reply":
                assert heard.source_mac == arp[1], "the switches learn where the virtual MAC is"
                answers[arp[3]].append(arp[1])
    return dict(answers)


def neighbours(client: Host) -> dict[str, str]:
    """The MAC addresses that the client's neighbour table has by address."""
    entries = json.loads(client.run("ip", "-j", "neigh"))
    return {entry["dst"]: entry["lladdr"] for entry in entries if "lladdr" in entry}


@DIALECTS
def test_one_answer_for_each_requester_whoever_lives(lab: Lab, dialect: str) -> None:
    balanced = Balanced(lab, dialect)
    expected = balanced.expected()
    assert {mac for macs in expected.values() for mac in macs} == {virtual_mac(1), virtual_mac(2)}
    assert balanced.answers() == expected
    first, second = balanced.carpds
    told = {
        (event["requester"], event["vhid"])
        for carpd in (first, second)
        for event in carpd.events("arp")
    }
    assert told == {(address, int(macs[0][-1])) for address, macs in expected.items()}
    first.host.pull_cable()
    second.wait_for_state("MASTER", vhid=1)
    # the survivor answers for both, with the same virtual MACs: what is known stays true
    assert balanced.answers() == expected
    first.host.plug_cable()
    balanced.wait_until_balanced()
    assert balanced.answers() == expected
    assert first.end() == 0
    assert first.host.state() == balanced.before


def test_what_else_is_asked(lab: Lab) -> None:
    balanced = Balanced(lab, "openbsd")
    client = balanced.client
    requesters = {balanced.chosen_mac(requester): requester for requester in REQUESTERS}
    mine, others = requesters[virtual_mac(1)], requesters[virtual_mac(2)]

    def asked(requester: tuple[str, str], address: str, to_mac: str) -> list[str]:
        answers = answers_to(client, arp_request(*requester, address, to_mac), seconds=0.2)
        return answers.get(requester[0], [])

    # neighbours check what they know by asking that MAC address alone
    assert asked(mine, VIRTUAL_ADDRESS, virtual_mac(1)) == [virtual_mac(1)]
    assert asked(others, VIRTUAL_ADDRESS, virtual_mac(2)) == [virtual_mac(2)]
    assert asked(others, VIRTUAL_ADDRESS, virtual_mac(1)) == [], "he asks everybody next"
    # an address of one virtual host only, in spite of its macvlan's silence
    for requester in (mine, others):
        assert asked(requester, UNSHARED, "ff:ff:ff:ff:ff:ff") == [virtual_mac(1)]
    # a duplicate's probe is answered, an announcement is not
    announced = (VIRTUAL_ADDRESS, "02:00:00:00:00:10")
    assert asked(("0.0.0.0", mine[1]), VIRTUAL_ADDRESS, "ff:ff:ff:ff:ff:ff") == [virtual_mac(1)]
    assert asked(announced, VIRTUAL_ADDRESS, "ff:ff:ff:ff:ff:ff") == []
    # the machines' own addresses are the kernel's, as ever
    own = json.loads(balanced.firewalls[0].run("ip", "-j", "link", "show", "fw1-outside"))
    assert asked(mine, "10.0.1.11", "ff:ff:ff:ff:ff:ff") == [own[0]["address"]]


@DIALECTS
def test_established_clients_go_on_through_a_failover(lab: Lab, dialect: str) -> None:
    balanced = Balanced(lab, dialect)
    first, second = balanced.carpds
    clients = [balanced.client, lab.segment.add_host("other", "10.0.1.101/24")]
    for client, (address, mac) in zip(clients, REQUESTERS[:2], strict=True):
        client.run("ip", "link", "set", client.interface, "address", mac)
        client.run("ping", "-c", "1", "-W", "2", VIRTUAL_ADDRESS)
        assert neighbours(client)[VIRTUAL_ADDRESS] == balanced.chosen_mac((address, mac))
    known = [neighbours(client)[VIRTUAL_ADDRESS] for client in clients]
    assert set(known) == {virtual_mac(1), virtual_mac(2)}
    first.host.pull_cable()
    second.wait_for_state("MASTER", vhid=1)
    wait_for("it took the addresses", lambda: UNSHARED in second.host.run("ip", "addr"))
    for client in clients:
        client.run("ping", "-c", "1", "-W", "2", VIRTUAL_ADDRESS)
    after = [neighbours(client)[VIRTUAL_ADDRESS] for client in clients]
    # the code of 2005 announces the shared address too, which turns everybody to the one MAC
    assert after == (known if dialect == "openbsd" else [virtual_mac(1)] * 2)

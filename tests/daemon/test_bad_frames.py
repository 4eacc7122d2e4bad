"""Frames that carpd must count and ignore, sent to a running one."""

from __future__ import annotations

import functools
import itertools
import random
import struct
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from carplab.carp.frames import carp_datagram, ethernet
from carplab.carp.packet import (
    MULTICAST_GROUP,
    Address,
    Advertisement,
    checksum,
    digest,
    encode,
)
from tests.daemon.lab import PASSWORD, VIRTUAL_ADDRESS, Carpd, Lab, wait_for

pytestmark = pytest.mark.root

PEER = IPv4Address("10.0.1.12")
PEER6 = IPv6Address("fe80::12")
PEER_MAC = "02:00:00:00:00:12"
GROUP_MAC = "01:00:5e:00:00:12"
Send = Callable[[bytes], None]


def signed(counter: int = 7, **changes: int) -> Advertisement:
    """A valid advertisement of a slow, so harmless, peer."""
    fields = {"vhid": 1, "advbase": 3, "advskew": 200, "counter": counter, **changes}
    mac = digest(PASSWORD, 1, [ip_address(VIRTUAL_ADDRESS)], counter)
    return Advertisement(**fields, digest=mac)


def ip(payload: bytes, source: Address = PEER) -> bytes:
    return carp_datagram(source, MULTICAST_GROUP[source.version], payload)


def with_ttl(ttl: int) -> bytes:
    packet = bytearray(ip(encode(signed())))
    packet[8] = ttl
    return bytes(packet)


def vrrp(version: int) -> bytes:
    """An advertisement of the protocol that shares number and group (RFC 3768, RFC 5798)."""
    head = struct.pack("!BBBBBBH", version << 4 | 1, 1, 100, 1, 0, 1, 0)
    message = head + IPv4Address(VIRTUAL_ADDRESS).packed + bytes(8 if version == 2 else 0)
    return message[:6] + struct.pack("!H", checksum(message)) + message[8:]


def resummed(payload: bytes) -> bytes:
    zeroed = payload[:6] + b"\0\0" + payload[8:]
    return payload[:6] + struct.pack("!H", checksum(zeroed)) + payload[8:]


GOOD = encode(signed())
BAD_FRAMES = [
    ("hdrops", ip(GOOD)[:12], "half an IP header"),
    ("hdrops", b"\x4f" + ip(GOOD)[1:50], "a header longer than the packet"),
    ("hdrops", b"\x41" + ip(GOOD)[1:], "a header shorter than a header"),
    ("hdrops", ip(GOOD)[:40], "cut off in the payload"),
    ("hdrops", ip(GOOD)[:6] + b"\x20\x00" + ip(GOOD)[8:], "a fragment"),
    ("hdrops", ip(GOOD, PEER6)[:60], "an IPv6 packet that is cut off"),
    ("badttl", with_ttl(254), "a TTL from beyond a router"),
    ("badlen", ip(GOOD[:20]), "a short advertisement"),
    ("badlen", ip(GOOD + b"\0"), "one byte too many"),
    ("badlen", ip(GOOD + bytes(1400)), "an oversized one"),
    ("badlen", ip(b""), "an empty one"),
    ("badlen", ip(vrrp(2)), "VRRPv2"),
    ("badlen", ip(vrrp(3)), "VRRPv3"),
    ("badsum", ip(GOOD[:6] + b"\xff\xff" + GOOD[8:]), "a wrong checksum"),
    ("badvhid", ip(encode(signed(vhid=9))), "a virtual host that is not here"),
    ("badver", ip(resummed(b"\x31" + GOOD[1:])), "version 3"),
    ("badauth", ip(resummed(GOOD[:-1] + bytes((GOOD[-1] ^ 1,)))), "a wrong digest"),
]

BAD = {statistic for statistic, _, _ in BAD_FRAMES}


def bad_frames(carpd: Carpd) -> dict[str, int]:
    return {name: count for name, count in carpd.statistics().items() if name in BAD}


def differs(carpd: Carpd, before: dict[str, int]) -> bool:
    return bad_frames(carpd) != before


@pytest.fixture
def carpd(lab: Lab) -> Carpd:
    started = lab.carpd(lab.firewall(1), dialect="openbsd-3.8")
    started.wait_for_state("MASTER")
    return started


@pytest.fixture
def send(lab: Lab, carpd: Carpd) -> Iterator[Send]:
    with lab.client().packet_socket() as packet:

        def send_packet(ip_packet: bytes) -> None:
            ethertype = 0x86DD if ip_packet[:1] and ip_packet[0] >> 4 == 6 else 0x0800
            packet.send(ethernet(PEER_MAC, GROUP_MAC, ethertype, ip_packet))

        yield send_packet


def test_each_bad_frame_is_counted_under_its_name(carpd: Carpd, send: Send) -> None:
    for statistic, packet, what in BAD_FRAMES:
        before = bad_frames(carpd)
        send(packet)
        wait_for(f"{what} is counted", functools.partial(differs, carpd, before))
        assert bad_frames(carpd) == {**before, statistic: before[statistic] + 1}, what
    assert carpd.status()["state"] == "MASTER"
    rejected = carpd.events("rejected")
    assert {event["statistic"] for event in rejected} == BAD
    assert any(event["source"] == "10.0.1.12" for event in rejected)


def test_a_replayed_advertisement_of_a_slower_peer_changes_nothing(
    carpd: Carpd, send: Send
) -> None:
    for _ in range(5):
        send(ip(GOOD))
    wait_for("five are heard", lambda: len(carpd.events("heard")) == 5)
    assert carpd.status()["state"] == "MASTER"
    assert len(carpd.events("transition")) == 1


def test_other_peoples_frames_are_not_even_counted(carpd: Carpd, lab: Lab) -> None:
    """To another MAC, in a VLAN, of another protocol: none of our business."""
    tagged = GROUP_MAC, "02:00:00:00:00:12"
    with lab.segment.add_host("other").packet_socket() as packet:
        packet.send(ethernet(PEER_MAC, "02:00:00:00:00:99", 0x0800, ip(GOOD)))
        vlan = struct.pack("!HH", 5, 0x0800) + ip(GOOD)
        packet.send(ethernet(tagged[1], tagged[0], 0x8100, vlan))
        udp = bytearray(ip(GOOD))
        udp[9] = 17
        packet.send(ethernet(PEER_MAC, GROUP_MAC, 0x0800, bytes(udp)))
        # the one behind them is heard: those before it have been seen and passed over
        packet.send(ethernet(PEER_MAC, GROUP_MAC, 0x0800, ip(GOOD)))
    wait_for("the last one is heard", lambda: carpd.events("heard"))
    statistics = carpd.statistics()
    assert statistics["ipackets"] == 1
    assert len(carpd.events("heard")) == 1


def test_a_storm_of_damaged_frames(carpd: Carpd, send: Send) -> None:
    """For two seconds: carpd goes on advertising each second, answers, and counts."""
    seed = random.Random(2026)
    sent = 0
    end_s = time.monotonic() + 2.2
    while time.monotonic() < end_s:
        for _ in range(20):
            packet = bytearray(ip(GOOD))
            for _ in range(seed.randint(1, 6)):
                packet[seed.randrange(len(packet))] = seed.randrange(256)
            packet[9] = 112
            send(bytes(packet[: seed.randint(10, len(packet))]))
            sent += 1
        time.sleep(0.005)
    assert carpd.status()["state"] == "MASTER"
    assert carpd.process.poll() is None
    assert "Traceback" not in carpd.log.read_text()
    # those cut before the protocol number cannot be told from anything else
    assert sum(bad_frames(carpd).values()) > sent / 2
    times = [event["monotonic_s"] for event in carpd.events("sent")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) >= 3
    assert max(gaps) < 1.25

"""Packets against the captures of real CARP speakers, and against themselves."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carplab.carp import packet
from carplab.carp.frames import parse_ip
from carplab.carp.packet import Advertisement, PacketError

PCAPS = Path(__file__).parent.parent / "data" / "pcaps"

advertisements = st.builds(
    Advertisement,
    vhid=st.integers(1, 255),
    advbase=st.integers(0, 255),
    advskew=st.integers(0, 255),
    counter=st.integers(0, 2**64 - 1),
    digest=st.binary(min_size=20, max_size=20),
    demote=st.integers(0, 255),
)


def carp_packets(name: str) -> list[bytes]:
    """The IP datagrams of protocol 112 in a classic little-endian pcap of Ethernet frames."""
    data = (PCAPS / name).read_bytes()
    assert data[:4] == b"\xd4\xc3\xb2\xa1"
    offset, packets = 24, []
    while offset < len(data):
        (size,) = struct.unpack_from("<I", data, offset + 8)
        ip = data[offset + 16 + 14 : offset + 16 + size]
        if (ip[0] == 0x45 and ip[9] == 112) or (ip[0] >> 4 == 6 and ip[6] == 112):
            packets.append(ip)
        offset += 16 + size
    return packets


@pytest.mark.parametrize(
    ("name", "vhid", "advskew", "password", "addresses"),
    [
        ("freebsd9-vhid1-ipv4.pcap", 1, 0, "secret", ["192.0.2.1"]),
        ("freebsd9-vhid1-ipv6.pcap", 1, 0, "secret", ["2001:db8::1"]),
        ("freebsd9-vhid7-two-addresses.pcap", 7, 100, "correcthorse", ["192.0.2.10", "192.0.2.9"]),
        ("ucarp-vhid1-ipv4.pcap", 1, 0, "secret", ["192.0.2.1"]),
    ],
)
def test_real_speakers(
    name: str, vhid: int, advskew: int, password: str, addresses: list[str]
) -> None:
    packets = carp_packets(name)
    assert len(packets) >= 5
    covered = packet.ascending([ip_address(a) for a in addresses])
    for ip in packets:
        datagram = parse_ip(ip)
        assert datagram.ttl == 255
        assert datagram.destination == packet.MULTICAST_GROUP[datagram.family]
        advertisement = packet.decode(datagram.payload)
        assert (advertisement.vhid, advertisement.advbase) == (vhid, 1)
        assert advertisement.advskew == advskew
        right = packet.digest(password, vhid, covered, advertisement.counter)
        assert advertisement.digest == right
        assert packet.digest("wrong", vhid, covered, advertisement.counter) != right
        assert packet.encode(advertisement) == datagram.payload


def test_digest_depends_on_the_order_of_addresses() -> None:
    ten, nine = ip_address("192.0.2.10"), ip_address("192.0.2.9")
    assert packet.digest("p", 7, [ten, nine], 5) != packet.digest("p", 7, [nine, ten], 5)


def test_address_orders() -> None:
    six, ten, nine = (ip_address(a) for a in ("2001:db8::1", "192.0.2.10", "192.0.2.9"))
    assert packet.ascending([six, ten, nine]) == (nine, ten, six)
    assert packet.ipv4_first([six, ten, nine]) == (ten, nine, six)


def test_link_local_address_enters_the_digest_without_its_scope() -> None:
    bare, scoped = ip_address("fe80::1"), ip_address("fe80::1%eth0")
    assert packet.digest("p", 1, [bare], 1) == packet.digest("p", 1, [scoped], 1)


def test_password_of_21_bytes_is_refused() -> None:
    assert packet.digest("x" * 20, 1, [], 0)
    with pytest.raises(ValueError, match="21 bytes"):
        packet.digest("x" * 21, 1, [], 0)


@given(advertisements)
def test_round_trip(advertisement: Advertisement) -> None:
    data = packet.encode(advertisement)
    assert len(data) == packet.SIZE
    assert packet.decode(data) == advertisement


@given(advertisements, st.integers(0, packet.SIZE * 8 - 1))
def test_one_flipped_bit_is_found(advertisement: Advertisement, bit: int) -> None:
    data = bytearray(packet.encode(advertisement))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PacketError):
        packet.decode(bytes(data))


@given(st.binary(max_size=80))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PacketError, match=r"bytes|checksum"):
        packet.decode(data)


@pytest.mark.parametrize("size", [0, 1, 8, 35, 37, 60])
def test_other_lengths_are_badlen(size: int) -> None:
    whole = packet.encode(Advertisement(1, 1, 0, 7, bytes(20))) + bytes(24)
    with pytest.raises(PacketError) as caught:
        packet.decode(whole[:size])
    assert caught.value.statistic == "badlen"


def test_vrrp_is_refused() -> None:
    vrrp2 = struct.pack("!BBBBBBH4s8s", 0x21, 1, 100, 1, 0, 1, 0, bytes([192, 0, 2, 1]), bytes(8))
    vrrp3_with_seven_addresses = struct.pack("!BBBBHH28s", 0x31, 1, 100, 7, 100, 0xBEEF, bytes(28))
    for foreign in (vrrp2, vrrp3_with_seven_addresses):
        with pytest.raises(PacketError):
            packet.decode(foreign)


def test_checksum_of_rfc_1071() -> None:
    # the example of RFC 1071, section 3
    assert packet.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert packet.checksum(b"\xff") == 0x00FF


def test_intervals_and_virtual_mac() -> None:
    assert packet.interval_s(1, 100) == 1.390625
    assert packet.virtual_mac(17) == "00:00:5e:00:01:11"
    bow_out = Advertisement(1, 255, 255, 0, bytes(20))
    assert bow_out.is_bow_out
    assert bow_out.interval_s > 255

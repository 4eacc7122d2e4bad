"""Headers around advertisements, byte for byte those of the captures where they hold some."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carplab.carp import frames
from carplab.carp.packet import MULTICAST_GROUP, checksum
from tests.carp.test_packet import PCAPS, carp_packets


def test_an_ipv4_datagram_is_built_as_freebsd_builds_it() -> None:
    seen = carp_packets("freebsd9-vhid1-ipv4.pcap")[0]
    datagram = frames.parse_ip(seen)
    built = frames.carp_datagram(datagram.source, datagram.destination, datagram.payload)
    # all but the identification field, and the checksum over it
    assert built[:4] + built[6:10] + built[12:] == seen[:4] + seen[6:10] + seen[12:]
    assert checksum(built[:20]) == 0


def test_an_ipv6_datagram_is_built_as_freebsd_builds_it() -> None:
    seen = carp_packets("freebsd9-vhid1-ipv6.pcap")[0]
    datagram = frames.parse_ip(seen)
    built = frames.carp_datagram(datagram.source, datagram.destination, datagram.payload)
    assert built == seen


def test_gratuitous_arp_is_freebsd_s() -> None:
    capture = (PCAPS / "freebsd9-vhid1-ipv4.pcap").read_bytes()
    request_from_virtual_mac = bytes.fromhex("0001 00005e000101 c0000201")
    start = capture.index(request_from_virtual_mac) - 14 - 6
    interface_mac = capture[start + 6 : start + 12].hex(":")
    frame = frames.gratuitous_arp(interface_mac, "00:00:5e:00:01:01", IPv4Address("192.0.2.1"))
    assert capture[start : start + len(frame)] == frame


def test_an_arp_request_and_its_answer() -> None:
    asked = bytes.fromhex("ffffffffffff 020000000099 0806 0001080006040001 020000000099 0a000164")
    asked += bytes(6) + IPv4Address("10.0.1.1").packed
    request = frames.parse_arp_request(asked + bytes(18))
    assert request == frames.ArpRequest(
        "ff:ff:ff:ff:ff:ff",
        IPv4Address("10.0.1.100"),
        bytes.fromhex("020000000099"),
        IPv4Address("10.0.1.1"),
    )
    assert frames.arp_reply("00:00:5e:00:01:02", request) == bytes.fromhex(
        "020000000099 00005e000102 0806 0001080006040002"
        "00005e000102 0a000101 020000000099 0a000164"
    )


def test_what_is_no_arp_request() -> None:
    mac = "00:00:5e:00:01:01"
    announced = frames.gratuitous_arp(mac, mac, IPv4Address("10.0.1.1"))
    assert frames.parse_arp_request(announced)
    for size in range(len(announced)):
        assert frames.parse_arp_request(announced[:size]) is None
    fields = {12: "type", 15: "hardware", 17: "protocol", 19: "length", 21: "reply"}
    for at, what in fields.items():
        changed = announced[:at] + bytes((announced[at] ^ 2,)) + announced[at + 1 :]
        assert frames.parse_arp_request(changed) is None, what


def test_unsolicited_neighbour_advertisement() -> None:
    frame = frames.unsolicited_na("00:00:5e:00:01:01", IPv6Address("2001:db8::1"))
    assert frame[:6] == bytes.fromhex("333300000001")
    ip = frame[14:]
    pseudo = ip[8:40] + (32).to_bytes(4, "big") + (58).to_bytes(4, "big")
    assert checksum(pseudo + ip[40:]) == 0
    assert ip[7] == 255
    assert ip[44] == 0xA0  # router and override
    assert ip[48:64] == IPv6Address("2001:db8::1").packed
    assert ip[66:72] == bytes.fromhex("00005e000101")


def test_ethernet_padding_is_left_out() -> None:
    ip = frames.carp_datagram(ip_address("10.0.0.1"), MULTICAST_GROUP[4], b"x" * 36)
    assert frames.parse_ip(ip + bytes(10)).payload == b"x" * 36


@pytest.mark.parametrize("family", [4, 6])
def test_a_datagram_cut_short_is_refused(family: int) -> None:
    source = {4: "10.0.0.1", 6: "fe80::1"}[family]
    ip = frames.carp_datagram(ip_address(source), MULTICAST_GROUP[family], b"x" * 36)
    for size in range(len(ip)):
        with pytest.raises(frames.FrameError):
            frames.parse_ip(ip[:size])


def test_fragments_and_other_protocols_are_refused() -> None:
    ip = bytearray(frames.carp_datagram(ip_address("10.0.0.1"), MULTICAST_GROUP[4], bytes(36)))
    udp = bytes(ip[:9]) + b"\x11" + bytes(ip[10:])
    fragment = bytes(ip[:6]) + b"\x20\x00" + bytes(ip[8:])
    for refused in (udp, fragment):
        with pytest.raises(frames.FrameError):
            frames.parse_ip(refused)


@given(st.binary(max_size=80))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    try:
        frames.parse_ip(data)
    except frames.FrameError:
        return


def test_multicast_macs() -> None:
    assert frames.multicast_mac(MULTICAST_GROUP[4]) == "01:00:5e:00:00:12"
    assert frames.multicast_mac(MULTICAST_GROUP[6]) == "33:33:00:00:00:12"
    assert frames.multicast_mac(IPv4Address("239.129.2.3")) == "01:00:5e:01:02:03"

"""The layers an advertisement travels in: Ethernet and IP headers, and the frames that announce an
address.

Only what CARP needs: no IP options are written, no fragments are put together, no extension headers
are followed. Everything takes and returns bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from carplab.carp.packet import PROTOCOL, TTL, Address, checksum

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
ALL_NODES = IPv6Address("ff02::1")

_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_OVER_ETHERNET = (1, ETHERTYPE_IPV4, 6, 4)  # hardware and protocol, and their address lengths
_ARP_REQUEST, _ARP_REPLY = 1, 2
_IPTOS_LOWDELAY = 0x10
_DONT_FRAGMENT = 0x4000
_ICMPV6 = 58
_NEIGHBOUR_ADVERTISEMENT = 136
_ROUTER_AND_OVERRIDE = 0xA000_0000
_TARGET_LINK_LAYER_ADDRESS = 2


class FrameError(ValueError):
    """The headers in front of a payload are cut short or contradict themselves."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """What the protocol sees of a received IP datagram. `ttl` is IPv6's hop limit there."""

    family: int  # 4 or 6
    source: Address
    destination: Address
    ttl: int
    payload: bytes


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def multicast_mac(group: Address) -> str:
    """The Ethernet address of a multicast group (RFC 1112, section 6.4; RFC 2464, section 7)."""
    if group.version == 4:
        low = int(group) & 0x7FFFFF
        return f"01:00:5e:{low >> 16:02x}:{low >> 8 & 0xFF:02x}:{low & 0xFF:02x}"
    return "33:33:" + ":".join(f"{byte:02x}" for byte in group.packed[-4:])


def ethernet(source_mac: str, destination_mac: str, ethertype: int, payload: bytes) -> bytes:
    return _ETHERNET.pack(mac_bytes(destination_mac), mac_bytes(source_mac), ethertype) + payload


def carp_datagram(source: Address, destination: Address, payload: bytes) -> bytes:
    """An IP datagram as the kernels send it: TTL 255, and over IPv4 TOS 0x10 and DF."""
    if isinstance(source, IPv4Address):
        return _carp_ipv4(source, destination, payload)
    return (
        _IPV6.pack(6 << 28, len(payload), PROTOCOL, TTL, source.packed, destination.packed)
        + payload
    )


def parse_ip(packet: bytes) -> Datagram:
    """The datagram in `packet`, which starts at the IP header and may carry Ethernet padding behind
    it.

    Raises FrameError when the header is cut short or claims more than there is, or when the
    datagram is not of protocol 112.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _parse_ipv4(packet)
    if version == 6:
        return _parse_ipv6(packet)
    raise FrameError(f"IP version {version}")


def gratuitous_arp(interface_mac: str, virtual_mac: str, address: IPv4Address) -> bytes:
    """A broadcast ARP request for one's own address, as the kernels' carp_send_arp() makes it.

    The Ethernet source is the interface's own MAC, the sender hardware address the virtual one.
    """
    arp = _ARP.pack(
        *_ARP_OVER_ETHERNET,
        _ARP_REQUEST,
        mac_bytes(virtual_mac),
        address.packed,
        bytes(6),
        address.packed,
    )
    return ethernet(interface_mac, BROADCAST_MAC, ETHERTYPE_ARP, arp)


@dataclass(frozen=True, slots=True)
class ArpRequest:
    """Who asks for the MAC address of `target`; `destination_mac` is where the frame was sent."""

    destination_mac: str
    requester: IPv4Address
    requester_mac: bytes
    target: IPv4Address


def parse_arp_request(frame: bytes) -> ArpRequest | None:
    """The ARP request in an Ethernet frame; None if it is no request for an IPv4 address."""
    if len(frame) < _ETHERNET.size + _ARP.size:
        return None
    destination, _, ethertype = _ETHERNET.unpack_from(frame)
    *kind, requester_mac, requester, _, target = _ARP.unpack_from(frame, _ETHERNET.size)
    if ethertype != ETHERTYPE_ARP or tuple(kind) != (*_ARP_OVER_ETHERNET, _ARP_REQUEST):
        return None
    return ArpRequest(
        destination.hex(":"), IPv4Address(requester), requester_mac, IPv4Address(target)
    )


def arp_reply(virtual_mac: str, request: ArpRequest) -> bytes:
    """The answer to a request: the target is at the virtual MAC, which is the Ethernet source too.
    """
    arp = _ARP.pack(
        *_ARP_OVER_ETHERNET,
        _ARP_REPLY,
        mac_bytes(virtual_mac),
        request.target.packed,
        request.requester_mac,
        request.requester.packed,
    )
    return ethernet(virtual_mac, request.requester_mac.hex(":"), ETHERTYPE_ARP, arp)


def unsolicited_na(virtual_mac: str, address: IPv6Address) -> bytes:
    """A neighbour advertisement with router and override flags (RFC 4861, section 7.2.6)."""
    option = struct.pack("!BB6s", _TARGET_LINK_LAYER_ADDRESS, 1, mac_bytes(virtual_mac))
    rest = struct.pack("!I16s", _ROUTER_AND_OVERRIDE, address.packed) + option
    pseudo = address.packed + ALL_NODES.packed + struct.pack("!II", 4 + len(rest), _ICMPV6)
    zeroed = struct.pack("!BBH", _NEIGHBOUR_ADVERTISEMENT, 0, 0) + rest
    icmp = struct.pack("!BBH", _NEIGHBOUR_ADVERTISEMENT, 0, checksum(pseudo + zeroed)) + rest
    header = _IPV6.pack(6 << 28, len(icmp), _ICMPV6, TTL, address.packed, ALL_NODES.packed)
    return ethernet(virtual_mac, multicast_mac(ALL_NODES), ETHERTYPE_IPV6, header + icmp)


def _carp_ipv4(source: Address, destination: Address, payload: bytes) -> bytes:
    def header(header_checksum: int) -> bytes:
        return _IPV4.pack(
            0x45,
            _IPTOS_LOWDELAY,
            _IPV4.size + len(payload),
            0,
            _DONT_FRAGMENT,
            TTL,
            PROTOCOL,
            header_checksum,
            source.packed,
            destination.packed,
        )

    return header(checksum(header(0))) + payload


def _parse_ipv4(packet: bytes) -> Datagram:
    if len(packet) < _IPV4.size:
        raise FrameError(f"an IPv4 header of {len(packet)} bytes")
    first, _, total, _, fragment, ttl, protocol, _, source, destination = _IPV4.unpack_from(packet)
    header_size = (first & 0x0F) * 4
    if not _IPV4.size <= header_size <= total <= len(packet):
        raise FrameError(
            f"IPv4 lengths: header {header_size}, total {total}, received {len(packet)}"
        )
    if fragment & 0x3FFF:
        raise FrameError("a fragment")
    if protocol != PROTOCOL:
        raise FrameError(f"protocol {protocol}")
    payload = packet[header_size:total]
    return Datagram(4, IPv4Address(source), IPv4Address(destination), ttl, payload)


def _parse_ipv6(packet: bytes) -> Datagram:
    if len(packet) < _IPV6.size:
        raise FrameError(f"an IPv6 header of {len(packet)} bytes")
    _, length, protocol, hop_limit, source, destination = _IPV6.unpack_from(packet)
    if _IPV6.size + length > len(packet):
        raise FrameError(f"IPv6 payload length {length}, received {len(packet) - _IPV6.size}")
    if protocol != PROTOCOL:
        raise FrameError(f"next header {protocol}")
    payload = packet[_IPV6.size : _IPV6.size + length]
    return Datagram(6, IPv6Address(source), IPv6Address(destination), hop_limit, payload)

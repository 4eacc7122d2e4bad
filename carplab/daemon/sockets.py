"""Advertisements in and out of one interface, and ARP requests in where carpd answers them.

One packet socket an interface receives for all its virtual hosts, and sends whole frames, because
the source MAC of an advertisement is the virtual one (packet(7)). It sees frames before any macvlan
on the interface can take them away. A multicast membership is held besides, so that the interface
lets the group in and a switch with IGMP or MLD snooping learns that somebody listens here.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct
from collections.abc import Iterable

from carplab.carp.frames import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    carp_datagram,
    ethernet,
    multicast_mac,
)
from carplab.carp.packet import MULTICAST_GROUP, PROTOCOL, TTL, Address

_ETH_P_ALL = 0x0003
_SO_ATTACH_FILTER = 26
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2
_IPTOS_LOWDELAY = 0x10
_MAX_FRAME_BYTES = 1 << 16
_ETHERNET_HEADER_BYTES = 14

# linux/filter.h
_LOAD_BYTE, _LOAD_HALF, _IF_EQUAL, _IF_GREATER, _RETURN = 0x30, 0x28, 0x15, 0x25, 0x06
_PACKET_TYPE = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_VLAN_TAG_PRESENT = 0xFFFFF000 + 48  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
_PACKET_MULTICAST = 2  # linux/if_packet.h: 0 to us, 1 broadcast, 2 multicast, 3 to others
_Program = tuple[tuple[int, int, int, int], ...]
_ADVERTISEMENTS: _Program = (
    (_LOAD_BYTE, 0, 0, _PACKET_TYPE),
    (_IF_GREATER, 10, 0, _PACKET_MULTICAST),
    # the kernel takes the tag off: without this a VLAN's advertisements would count as the trunk's
    (_LOAD_BYTE, 0, 0, _VLAN_TAG_PRESENT),
    (_IF_EQUAL, 0, 8, 0),
    (_LOAD_HALF, 0, 0, 12),
    (_IF_EQUAL, 0, 2, ETHERTYPE_IPV4),
    (_LOAD_BYTE, 0, 0, _ETHERNET_HEADER_BYTES + 9),
    (_IF_EQUAL, 3, 4, PROTOCOL),
    (_IF_EQUAL, 0, 3, ETHERTYPE_IPV6),
    (_LOAD_BYTE, 0, 0, _ETHERNET_HEADER_BYTES + 6),
    (_IF_EQUAL, 0, 1, PROTOCOL),
    (_RETURN, 0, 0, _MAX_FRAME_BYTES),
    (_RETURN, 0, 0, 0),
)
_ARP_REQUESTS: _Program = (
    (_LOAD_BYTE, 0, 0, _VLAN_TAG_PRESENT),
    (_IF_EQUAL, 0, 5, 0),
    (_LOAD_HALF, 0, 0, 12),
    (_IF_EQUAL, 0, 3, ETHERTYPE_ARP),
    (_LOAD_HALF, 0, 0, _ETHERNET_HEADER_BYTES + 6),
    (_IF_EQUAL, 0, 1, 1),  # a request
    (_RETURN, 0, 0, _MAX_FRAME_BYTES),
    (_RETURN, 0, 0, 0),
)


class CarpSocket:
    """Receives and sends on one interface. `families` are the IP versions its virtual hosts use.

    Raises OSError with the kernel's errno.
    """

    def __init__(self, interface: str, index: int, families: Iterable[int]) -> None:
        self._interface = interface
        self._peer_sockets: dict[int, socket.socket] = {}
        self._packet = _packet_socket(interface, _ADVERTISEMENTS)
        self._memberships = [_join(family, index) for family in families]

    def fileno(self) -> int:
        return self._packet.fileno()

    def close(self) -> None:
        for owned in (self._packet, *self._memberships, *self._peer_sockets.values()):
            owned.close()

    def receive(self) -> bytes | None:
        """The next IP packet of protocol 112 without its Ethernet header, or None for now."""
        frame = _receive(self._packet)
        return None if frame is None else frame[_ETHERNET_HEADER_BYTES:]

    def send_frame(self, frame: bytes) -> None:
        self._packet.send(frame)

    def advertise(
        self, virtual_mac: str, source: Address, destination: Address, payload: bytes
    ) -> None:
        """Send to the group from the virtual MAC, or to a peer from the real one."""
        if destination == MULTICAST_GROUP[destination.version]:
            ethertype = ETHERTYPE_IPV4 if destination.version == 4 else ETHERTYPE_IPV6
            datagram = carp_datagram(source, destination, payload)
            self.send_frame(ethernet(virtual_mac, multicast_mac(destination), ethertype, datagram))
        else:
            self._peer_socket(destination.version).sendto(payload, (str(destination), 0))

    def _peer_socket(self, family: int) -> socket.socket:
        """A raw IP socket: it leaves the peer's MAC address to the kernel."""
        if family not in self._peer_sockets:
            self._peer_sockets[family] = _raw_socket(self._interface, family)
        return self._peer_sockets[family]


class ArpSocket:
    """Hears the ARP requests of one interface, also those to a macvlan's MAC, and answers.

    Raises OSError with the kernel's errno.
    """

    def __init__(self, interface: str) -> None:
        self._packet = _packet_socket(interface, _ARP_REQUESTS)

    def fileno(self) -> int:
        return self._packet.fileno()

    def close(self) -> None:
        self._packet.close()

    def receive(self) -> bytes | None:
        """The next frame with a request, or None for now."""
        return _receive(self._packet)

    def send(self, frame: bytes) -> None:
        self._packet.send(frame)


def _packet_socket(interface: str, program: _Program) -> socket.socket:
    # protocol 0 receives nothing: the filter is in place before the first frame
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    packet.setblocking(False)
    packet.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    _attach_filter(packet, program)
    packet.bind((interface, _ETH_P_ALL))
    return packet


def _receive(packet: socket.socket) -> bytes | None:
    try:
        return packet.recv(_MAX_FRAME_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        # the interface went down or away: the link watch tells, here it is only silence
        return None


def _raw_socket(interface: str, family: int) -> socket.socket:
    domain = socket.AF_INET if family == 4 else socket.AF_INET6
    raw = socket.socket(domain, socket.SOCK_RAW, PROTOCOL)
    raw.setblocking(False)
    # it only sends: what the kernel queues for reading is thrown away early
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    if family == 4:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _IPTOS_LOWDELAY)
        raw.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
    else:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
    return raw


def _join(family: int, index: int) -> socket.socket:
    """A socket that holds a membership in the CARP group on the interface with this index."""
    group = MULTICAST_GROUP[family].packed
    if family == 4:
        member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        request = struct.pack("=4s4si", group, bytes(4), index)  # struct ip_mreqn
        option = (socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP)
    else:
        member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        request = struct.pack("=16si", group, index)  # struct ipv6_mreq
        option = (socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP)
    with contextlib.ExitStack() as on_error:
        on_error.callback(member.close)
        member.setsockopt(*option, request)
        on_error.pop_all()
    return member


def _attach_filter(packet: socket.socket, program: _Program) -> None:
    steps = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in program))
    address, _ = steps.buffer_info()
    packet.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), address)
    )

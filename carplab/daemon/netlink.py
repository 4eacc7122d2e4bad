"""The few rtnetlink messages carpd needs: links, macvlans, addresses, and news about them.

Why not pyroute2: importing it took 0.23 to 0.29 s on the machine this was written on, and carpd's
whole budget from process start to first frame is 0.3 s. What it needs fits on these pages.

Messages and attributes as in linux/netlink.h, rtnetlink.h, if_link.h and if_addr.h; rtnetlink(7)
describes them. A request the kernel refuses raises OSError with the kernel's errno.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import TypeAlias

from carplab.carp.packet import Address

IFF_UP = 0x1
IFF_RUNNING = 0x40
IFF_LOWER_UP = 0x10000
IFA_F_NODAD = 0x02
IFA_F_DADFAILED = 0x08

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x1
_NLM_F_ACK = 0x4
_NLM_F_DUMP = 0x300
_NLM_F_CREATE_EXCLUSIVELY = 0x600
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_LINKINFO = 1, 3, 5, 18
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_IFLA_MACVLAN_MODE, _MACVLAN_MODE_PRIVATE = 1, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_LINK_LOCAL_LENGTH = 64
_ATTRIBUTE_TYPE_MASK = 0x3FFF  # the two high bits flag nested and big-endian attributes

_MESSAGE = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK_HEADER = struct.Struct("=BxHiII")
_ADDRESS_HEADER = struct.Struct("=BBBBI")
_RECEIVE_BYTES = 1 << 18
# a burst of link news must not overflow the watcher while carpd is busy elsewhere
_WATCH_BUFFER_BYTES = 1 << 20

Interface: TypeAlias = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. `parent` is the index of the one it sits on, or 0."""

    index: int
    name: str
    flags: int
    mac: str
    kind: str
    parent: int

    @property
    def is_up(self) -> bool:
        """Whether it is administratively up and has its carrier, so that frames can pass."""
        needed = IFF_UP | IFF_RUNNING | IFF_LOWER_UP
        return self.flags & needed == needed


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An IP address with its prefix length on the interface with this index."""

    index: int
    interface: Interface
    flags: int


@dataclass(frozen=True, slots=True)
class LinkRemoved:
    """The interface with this index is gone."""

    index: int


@dataclass(frozen=True, slots=True)
class AddressesChanged:
    """The interface with this index got or lost an address."""

    index: int


@dataclass(frozen=True, slots=True)
class NewsLost:
    """The kernel had more to tell than the socket could hold: look at everything again."""


News: TypeAlias = Link | LinkRemoved | AddressesChanged | NewsLost


class RouteSocket:
    """Asks the kernel and waits for its answer, which it gives at once."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def link(self, name: str) -> Link | None:
        """The interface of this name, or None."""
        return next((link for link in self.links() if link.name == name), None)

    def links(self) -> list[Link]:
        """All interfaces of this network namespace."""
        answers = self._ask(_RTM_GETLINK, _NLM_F_DUMP, link_header(0))
        return [parse_link(body) for kind, body in answers if kind == _RTM_NEWLINK]

    def addresses(self, index: int) -> list[LinkAddress]:
        """The addresses of one interface, in the kernel's order: the first added comes first."""
        answers = self._ask(_RTM_GETADDR, _NLM_F_DUMP, _ADDRESS_HEADER.pack(0, 0, 0, 0, 0))
        found = [parse_address(body) for kind, body in answers if kind == _RTM_NEWADDR]
        return [address for address in found if address.index == index]

    def create_macvlan(self, name: str, parent: int, mac: str) -> int:
        """Create a macvlan in private mode, down, on the interface `parent`. Returns its index."""
        self._ask(_RTM_NEWLINK, _NLM_F_CREATE_EXCLUSIVELY, encode_macvlan(name, parent, mac))
        link = self.link(name)
        if link is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return link.index

    def delete_link(self, index: int) -> None:
        self._ask(_RTM_DELLINK, 0, link_header(index))

    def set_up(self, index: int, up: bool) -> None:
        """Set an interface administratively up or down."""
        self._ask(_RTM_NEWLINK, 0, link_header(index, IFF_UP if up else 0, IFF_UP))

    def add_address(self, index: int, address: Address) -> None:
        """Add a host address (/32 or /128), over IPv6 without duplicate address detection.

        A link-local one is added as /64: answers from it need a route on its own interface.
        """
        self._ask(_RTM_NEWADDR, _NLM_F_CREATE_EXCLUSIVELY, encode_address(index, address))

    def delete_address(self, index: int, address: Address) -> None:
        self._ask(_RTM_DELADDR, 0, encode_address(index, address))

    def _ask(self, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
        self._sequence += 1
        if flags != _NLM_F_DUMP:
            flags |= _NLM_F_ACK
        self._socket.send(encode_message(kind, flags | _NLM_F_REQUEST, self._sequence, body))
        answers: list[tuple[int, bytes]] = []
        while True:
            for answer, sequence, payload in parse_messages(self._socket.recv(_RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue
                if answer == _NLMSG_DONE:
                    return answers
                if answer == _NLMSG_ERROR:
                    raise_refusal(payload)
                    return answers
                answers.append((answer, payload))


class RouteWatch:
    """Hears what changes about links and addresses. Never blocks: read it when it is readable."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WATCH_BUFFER_BYTES)
        self._socket.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> Iterator[News]:
        """Everything that has happened since the last call, in order."""
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield NewsLost()
                continue
            for kind, _, body in parse_messages(data):
                yield from _news(kind, body)


def encode_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One netlink message: the header and `body`."""
    return _MESSAGE.pack(_MESSAGE.size + len(body), kind, flags, sequence, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to 4 bytes as netlink wants it."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def link_header(index: int, flags: int = 0, change: int = 0) -> bytes:
    """struct ifinfomsg: of the flags, those in `change` are to be set."""
    return _LINK_HEADER.pack(socket.AF_UNSPEC, 0, index, flags, change)


def encode_macvlan(name: str, parent: int, mac: str) -> bytes:
    """The body of a request for a new macvlan in private mode."""
    mode = attribute(_IFLA_MACVLAN_MODE, struct.pack("=I", _MACVLAN_MODE_PRIVATE))
    info = attribute(_IFLA_INFO_KIND, b"macvlan") + attribute(_IFLA_INFO_DATA, mode)
    return (
        link_header(0)
        + attribute(_IFLA_IFNAME, name.encode() + b"\0")
        + attribute(_IFLA_LINK, struct.pack("=i", parent))
        + attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
        + attribute(_IFLA_LINKINFO, info)
    )


def encode_address(index: int, address: Address) -> bytes:
    """The body of a request to add or remove an address, as RouteSocket.add_address() adds it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    flags = IFA_F_NODAD if address.version == 6 else 0
    is_link_local = address.version == 6 and address.is_link_local
    length = _LINK_LOCAL_LENGTH if is_link_local else address.max_prefixlen
    return (
        _ADDRESS_HEADER.pack(family, length, flags, 0, index)
        + attribute(_IFA_LOCAL, address.packed)
        + attribute(_IFA_ADDRESS, address.packed)
    )


def parse_messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and body of each message in what one recv() returned."""
    offset = 0
    while offset + _MESSAGE.size <= len(data):
        length, kind, _, sequence, _ = _MESSAGE.unpack_from(data, offset)
        if length < _MESSAGE.size:
            return
        yield kind, sequence, data[offset + _MESSAGE.size : offset + length]
        offset += length + -length % 4


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by type."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _ATTRIBUTE_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4
    return found


def parse_link(body: bytes) -> Link:
    """The interface an RTM_NEWLINK message describes."""
    _, _, index, flags, _ = _LINK_HEADER.unpack_from(body)
    attributes = parse_attributes(body[_LINK_HEADER.size :])
    info = parse_attributes(attributes.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=_text(attributes.get(_IFLA_IFNAME, b"")),
        flags=flags,
        mac=attributes.get(_IFLA_ADDRESS, b"").hex(":"),
        kind=_text(info.get(_IFLA_INFO_KIND, b"")),
        parent=struct.unpack("=i", attributes.get(_IFLA_LINK, bytes(4)))[0],
    )


def parse_address(body: bytes) -> LinkAddress:
    """The address an RTM_NEWADDR message describes."""
    _, prefix_length, flags, _, index = _ADDRESS_HEADER.unpack_from(body)
    attributes = parse_attributes(body[_ADDRESS_HEADER.size :])
    # on a point-to-point link IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL without one
    packed = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS, b""))
    if _IFA_FLAGS in attributes:
        flags = struct.unpack("=I", attributes[_IFA_FLAGS])[0]
    return LinkAddress(index, ip_interface((packed, prefix_length)), flags)


def raise_refusal(payload: bytes) -> None:
    """Raise what an NLMSG_ERROR message says; its error number 0 is an acknowledgement."""
    number = -struct.unpack_from("=i", payload)[0]
    if number:
        raise OSError(number, os.strerror(number))


def _news(kind: int, body: bytes) -> Iterator[News]:
    if kind == _RTM_NEWLINK:
        yield parse_link(body)
    elif kind == _RTM_DELLINK:
        yield LinkRemoved(parse_link(body).index)
    elif kind in (_RTM_NEWADDR, _RTM_DELADDR):
        yield AddressesChanged(_ADDRESS_HEADER.unpack_from(body)[4])


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")

"""Carrier changes as the machines themselves see them: netlink, one socket in each namespace.

It is independent of carpd, which may be dead, and of the controller, which only asks for the
change.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from carplab.errors import CarplabError

CLONE_NEWNET = 0x40000000  # sched.h
RTM_NEWLINK = 16  # linux/rtnetlink.h
RTMGRP_LINK = 1
IFLA_IFNAME = 3  # linux/if_link.h
IFF_LOWER_UP = 0x10000  # linux/if.h
ATTRIBUTE_TYPE = 0x3FFF  # NLA_TYPE_MASK: above are flags, linux/netlink.h
RECEIVE_BYTES = 65536
WAIT_S = 0.5

_MESSAGE = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type

OnCarrier = Callable[[float, str, str, bool], None]  # monotonic seconds, machine, interface, up


@dataclass(frozen=True, slots=True)
class LinkMessage:
    """One RTM_NEWLINK: what it is about, and its attributes as they came."""

    family: int
    flags: int
    attributes: bytes


class CarrierWatcher:
    """Reports each change of carrier on the watched interfaces, from a thread of its own."""

    def __init__(self, on_carrier: OnCarrier) -> None:
        self._on_carrier = on_carrier
        self._up: dict[tuple[str, str], bool] = {}
        self._changed_s: dict[tuple[str, str], float] = {}
        self._change = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._watch, name="carrier", daemon=True)

    def add(self, machine: str, pid: int, interfaces: list[str]) -> None:
        """Watch these interfaces of the namespace of `pid`; they have carrier now."""
        for interface in interfaces:
            self._up[machine, interface] = True
        self._selector.register(_netlink_socket(pid), selectors.EVENT_READ, machine)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def wait_for(self, machine: str, interface: str, up: bool, since_s: float) -> float | None:
        """Return when the interface got into this state, if that was after `since_s`.

        Waits a moment for it to come, and returns None if it does not.
        """
        key = (machine, interface)

        def has_come() -> bool:
            return self._up[key] == up and self._changed_s.get(key, since_s) > since_s

        with self._change:
            return self._changed_s[key] if self._change.wait_for(has_come, WAIT_S) else None

    def stop(self) -> None:
        """Stop reporting and close the sockets."""
        os.write(self._wake_write, b"x")
        if self._thread.ident is not None:
            self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _watch(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if not isinstance(key.fileobj, socket.socket):
                    return
                self._read(key.data, key.fileobj)

    def _read(self, machine: str, sock: socket.socket) -> None:
        try:
            data = sock.recv(RECEIVE_BYTES)
        except OSError:
            # ENOBUFS: the kernel dropped messages; the next one tells the state again.
            return
        now_s = time.monotonic()
        for name, up in parse_links(data):
            if self._up.get((machine, name), up) != up:
                with self._change:
                    self._up[machine, name] = up
                    self._changed_s[machine, name] = now_s
                    self._change.notify_all()
                self._on_carrier(now_s, machine, name, up)


def parse_links(data: bytes) -> list[tuple[str, bool]]:
    """Return (interface, has carrier) for each RTM_NEWLINK message in a netlink datagram."""
    links = []
    for message in link_messages(data):
        name = attribute(message.attributes, IFLA_IFNAME)
        if name is not None:
            links.append((name.rstrip(b"\0").decode(), bool(message.flags & IFF_LOWER_UP)))
    return links


def link_messages(data: bytes) -> Iterator[LinkMessage]:
    """Yield the RTM_NEWLINK messages in a netlink datagram."""
    offset = 0
    while offset + _MESSAGE.size <= len(data):
        length, kind, _, _, _ = _MESSAGE.unpack_from(data, offset)
        if length < _MESSAGE.size:
            break
        if kind == RTM_NEWLINK:
            body = data[offset + _MESSAGE.size : offset + length]
            family, _, _, flags, _ = _LINK.unpack_from(body)
            yield LinkMessage(family, flags, body[_LINK.size :])
        offset += _aligned(length)


def attribute(data: bytes, wanted: int) -> bytes | None:
    """Return the payload of the attribute of this type, None where there is none."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return None
        if kind & ATTRIBUTE_TYPE == wanted:
            return data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)
    return None


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _netlink_socket(pid: int) -> socket.socket:
    """Open a socket in the namespace of `pid`: a thread enters it, and the socket stays there."""
    opened: list[socket.socket] = []
    failed: list[OSError] = []

    def enter_and_open() -> None:
        try:
            _enter_namespace(pid)
            opened.append(link_socket())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=enter_and_open)
    thread.start()
    thread.join()
    if failed:
        raise CarplabError(f"cannot watch the links in the namespace of process {pid}: {failed[0]}")
    return opened[0]


def _enter_namespace(pid: int) -> None:
    # os.setns came with Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)


def link_socket() -> socket.socket:
    """Open a socket that gets the news of all links of this thread's namespace."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    sock.bind((0, RTMGRP_LINK))
    return sock

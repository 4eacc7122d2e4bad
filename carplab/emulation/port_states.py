"""The states of the ports that machines are plugged into, as Linux bridges report them.

The kernel tells each change by netlink: RTM_NEWLINK of the family AF_BRIDGE, the state within
IFLA_PROTINFO (linux/if_link.h).
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

from carplab.emulation.carrier import (
    IFLA_IFNAME,
    RECEIVE_BYTES,
    attribute,
    link_messages,
    link_socket,
)
from carplab.emulation.segments import FORWARDING
from carplab.network import OPEN_VSWITCH_KINDS, Network, place_text, port_name

AF_BRIDGE = 7  # linux/socket.h
IFLA_PROTINFO = 12
IFLA_BRPORT_STATE = 1
STATES = ("disabled", "listening", "learning", FORWARDING, "blocking")  # linux/if_bridge.h

OnPortState = Callable[[float, str, str, str, str], None]
"""Monotonic seconds, the machine behind the port, its cable, old and new state."""


class PortStateWatcher:
    """Reports each change of a port's state, from a thread of its own; all ports forward now."""

    def __init__(self, network: Network, on_port_state: OnPortState) -> None:
        self._on_port_state = on_port_state
        bridged = {each.name for each in network.segments if each.kind not in OPEN_VSWITCH_KINDS}
        self._places = {
            port_name(segment, machine, cable): (machine, place_text(segment, cable))
            for machine, segment, cable in network.attachments()
            if segment in bridged
        }
        self._states = dict.fromkeys(self._places, FORWARDING)
        self._socket = link_socket()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="port states", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reporting."""
        os.write(self._wake_write, b"x")
        self._thread.join()
        self._socket.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _watch(self) -> None:
        while True:
            readable, _, _ = select.select([self._socket, self._wake_read], [], [])
            if self._wake_read in readable:
                return
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except OSError:
                # ENOBUFS: the kernel dropped messages; the next one tells the state again.
                continue
            now_s = time.monotonic()
            for port, state in parse_port_states(data):
                self._note(now_s, port, state)

    def _note(self, now_s: float, port: str, state: str) -> None:
        old = self._states.get(port, state)
        if old != state:
            self._states[port] = state
            self._on_port_state(now_s, *self._places[port], old, state)


def parse_port_states(data: bytes) -> list[tuple[str, str]]:
    """Return (port, state) for each message about a bridge's port in a netlink datagram."""
    ports = []
    for message in link_messages(data):
        if message.family != AF_BRIDGE:
            continue
        name = attribute(message.attributes, IFLA_IFNAME)
        protocol = attribute(message.attributes, IFLA_PROTINFO)
        state = attribute(protocol, IFLA_BRPORT_STATE) if protocol else None
        if name and state:
            ports.append((name.rstrip(b"\0").decode(), STATES[state[0]]))
    return ports

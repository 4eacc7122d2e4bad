"""The states of the ports that machines are plugged into, as the switches report them.

For Linux bridges the kernel tells each change by netlink: RTM_NEWLINK of the family AF_BRIDGE, the
state within IFLA_PROTINFO (linux/if_link.h). Ryu's spanning tree prints its own.
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
from carplab.network import OPENFLOW, RYU_STP, Network, place_text, port_name

AF_BRIDGE = 7  # linux/socket.h
IFLA_PROTINFO = 12
IFLA_BRPORT_STATE = 1
DISABLED = "disabled"
STATES = (DISABLED, "listening", "learning", FORWARDING, "blocking")  # linux/if_bridge.h

OnPortState = Callable[[float, str, str, str, str], None]
"""Monotonic seconds, the machine behind the port, its cable, old and new state."""


class PortStates:
    """The state of every machine's port; each change is reported. Any thread may call."""

    def __init__(self, network: Network, on_port_state: OnPortState) -> None:
        self._on_port_state = on_port_state
        self._lock = threading.Lock()
        self._places: dict[str, tuple[str, str]] = {}
        self._states: dict[str, str] = {}
        for machine, segment, cable in network.attachments():
            kind = network.segment(segment).kind
            if kind != OPENFLOW:
                port = port_name(segment, machine, cable)
                self._places[port] = machine, place_text(segment, cable)
                # A bridge is watched from when it forwards on; Ryu's spanning tree from its start.
                self._states[port] = DISABLED if kind == RYU_STP else FORWARDING

    def note(self, monotonic_s: float, port: str, state: str) -> None:
        """Note what a switch has reported; ports of no machine are passed over."""
        with self._lock:
            old = self._states.get(port, state)
            if old == state:
                return
            self._states[port] = state
        self._on_port_state(monotonic_s, *self._places[port], old, state)

    def blocked(self) -> str:
        """Return the ports that do not forward and their states; "" when all do."""
        with self._lock:
            ports = sorted(self._states.items())
        return ", ".join(f"{port} {state}" for port, state in ports if state != FORWARDING)


class BridgeWatcher:
    """Notes what Linux bridges report of their ports, from a thread of its own."""

    def __init__(self, states: PortStates) -> None:
        self._port_states = states
        self._socket = link_socket()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="port states", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
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
                self._port_states.note(now_s, port, state)


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

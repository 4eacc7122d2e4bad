"""Captures what CARP says on the firewalls' interfaces, for `carplab decode` and Wireshark."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from carplab.emulation.mininet_network import EmulatedNetwork
from carplab.errors import CarplabError
from carplab.network import Network, interface_name
from carplab.recording import give_to_user

# CARP, and what tells the hosts where the virtual addresses are. Not the traffic: that would be
# megabytes, and writing them would disturb what is measured.
FILTER = "ip proto 112 or ip6 proto 112 or arp or icmp6"
START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 5.0


class Capture:
    """One tcpdump on each interface of each firewall, into a file called after it."""

    def __init__(self, folder: Path, on_start: Callable[[str, int], None]) -> None:
        self._folder = folder
        self._on_start = on_start
        self._processes: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self, network: Network, emulated: EmulatedNetwork) -> None:
        """Start capturing; returns when every tcpdump listens. CarplabError if one does not."""
        for router in network.routers:
            for interface in router.interfaces:
                name = interface_name(router.name, interface.segment, interface.cable)
                path = self._folder / f"{name}.pcap"
                # -Z root: Debian's tcpdump would drop to a user who may not write here.
                command = ["tcpdump", "-n", "-U", "-Z", "root", "-i", name, "-w", str(path), FILTER]
                process = emulated.popen(
                    router.name,
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
                self._processes[path] = process
                self._on_start(f"tcpdump on {name}", process.pid)
        deadline_s = time.monotonic() + START_DEADLINE_S
        for path, process in self._processes.items():
            _wait_listening(path, process, deadline_s)

    def stop(self) -> None:
        """End the captures. Never raises."""
        for process in self._processes.values():
            process.terminate()
        for path, process in self._processes.items():
            try:
                process.communicate(timeout=STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            if path.exists():
                give_to_user(path)
        self._processes = {}


def _wait_listening(path: Path, process: subprocess.Popen[bytes], deadline_s: float) -> None:
    assert process.stderr
    said = b""
    while b"listening on" not in said:
        remaining_s = max(0.0, deadline_s - time.monotonic())
        readable, _, _ = select.select([process.stderr], [], [], remaining_s)
        line = process.stderr.readline() if readable else b""
        if not line:
            words = said.decode(errors="replace").strip() or "it said nothing"
            raise CarplabError(f"tcpdump for {path.name} does not start: {words}")
        said += line

"""A real Open vSwitch bridge with cables to raw sockets, and a controller process, for tests.

The far end of each cable stays in the root namespace and has no addresses: tests send and receive
whole Ethernet frames. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from carplab.emulation import machine

REPOSITORY = Path(__file__).resolve().parents[2]
BRIDGE = "bench"
DPID = 0xBE
VIRTUAL_MAC = "00:00:5e:00:01:01"
CARP_GROUP = "01:00:5e:00:00:12"
BROADCAST = "ff:ff:ff:ff:ff:ff"

_ETHERTYPE = 0x88B5  # IEEE 802: for local experiments, so nothing else sends it
_PACKET_IGNORE_OUTGOING = 23
_SOL_PACKET = 263
_RTMGRP_LINK = 1
_RTM_NEWLINK = 16
_IFF_LOWER_UP = 0x10000
T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T | None], deadline_s: float = 8.0) -> T:
    """Poll until `condition` returns something true; a test fails when it does not in time."""
    end_s = time.monotonic() + deadline_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.005)


def run(command: str) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(command.split(), capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Host:
    """The far end of a cable."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.switch_port = f"{BRIDGE}-{name}"
        self.interface = f"{name}-{BRIDGE}"
        self.mac = f"02:00:00:00:00:{sum(name.encode()) % 256:02x}"
        self._numbers = 0

    def plug_in(self) -> None:
        run(f"ip link add {self.switch_port} type veth peer name {self.interface}")
        for interface in (self.switch_port, self.interface):
            Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
        run(f"ip link set {self.interface} address {self.mac} up")
        run(f"ip link set {self.switch_port} up")
        run(f"ovs-vsctl add-port {BRIDGE} {self.switch_port}")
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((self.interface, _ETHERTYPE))

    def unplug(self) -> None:
        self.socket.close()
        subprocess.run(["ip", "link", "delete", self.switch_port], capture_output=True)

    @property
    def has_carrier(self) -> bool:
        return Path(f"/sys/class/net/{self.interface}/carrier").read_text().strip() == "1"

    def send(self, destination: str, source: str | None = None, text: bytes = b"") -> None:
        addresses = destination + (source or self.mac)
        header = bytes.fromhex(addresses.replace(":", "")) + _ETHERTYPE.to_bytes(2, "big")
        self.socket.send(header + text.ljust(46, b"\0"))

    def receive(self, timeout_s: float = 0.0) -> bytes | None:
        """The text of the next frame, None if none comes in time."""
        if not select.select([self.socket], [], [], timeout_s)[0]:
            return None
        return self.socket.recv(2048)[14:].rstrip(b"\0")

    def drain(self) -> list[bytes]:
        """The texts of all frames that have come."""
        texts = []
        while (text := self.receive()) is not None:
            texts.append(text)
        return texts

    def collect(self, number: int) -> list[bytes]:
        """The texts of the next frames, at least `number` of them."""
        texts: list[bytes] = []

        def is_enough() -> bool:
            texts.extend(self.drain())
            return len(texts) >= number

        wait_for(f"{number} frames at {self.name}", is_enough)
        return texts

    def wait_for_carrier(self, up: bool) -> None:
        wait_for(f"carrier of {self.name} {up}", lambda: self.has_carrier == up)


class Bench:
    """One bridge, and hosts a, b, c."""

    def __init__(self) -> None:
        self.a, self.b, self.c = self.hosts = tuple(Host(name) for name in "abc")

    def __enter__(self) -> Bench:
        datapath = "system" if machine.examine().datapath == "kernel" else "netdev"
        self._remove()
        run(
            f"ovs-vsctl add-br {BRIDGE} -- set bridge {BRIDGE} datapath_type={datapath} "
            f"fail_mode=secure protocols=OpenFlow13 other-config:datapath-id={DPID:016x}"
        )
        for host in self.hosts:
            host.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()
        for host in self.hosts:
            host.unplug()

    def _remove(self) -> None:
        run(f"ovs-vsctl --if-exists del-br {BRIDGE}")
        for host in self.hosts:
            subprocess.run(["ip", "link", "delete", host.switch_port], capture_output=True)

    def connect(self, controller: Controller) -> None:
        """Join the bridge to a controller; it has no flows of another one's then."""
        run(f"ovs-vsctl set-controller {BRIDGE} tcp:127.0.0.1:{controller.ofp_port}")
        wait_for("the switch is shown", lambda: controller.get("/v1/switches")["switches"])

    def flows(self) -> str:
        return run(f"ovs-ofctl -O OpenFlow13 dump-flows {BRIDGE}")

    def port_config(self, host: Host) -> str:
        """What the switch says of the port's configuration: 0 or names of bits."""
        described = run(f"ovs-ofctl -O OpenFlow13 dump-ports-desc {BRIDGE} {host.switch_port}")
        return described.partition("config:")[2].split()[0]


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    content: Any
    headers: dict[str, str]


class Controller:
    """A controller process, started by the launcher. `path` is where it finds its programs."""

    def __init__(self, framework: str, *arguments: str, path: Path | None = None) -> None:
        self.framework = framework
        self._arguments = arguments
        self._environment = {**os.environ, **({"PATH": str(path)} if path else {})}

    def __enter__(self) -> Controller:
        command = ["-m", "controllers.launch", "--framework", self.framework, *self._arguments]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=REPOSITORY,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        first_line = self.process.stdout.readline()
        if first_line:
            self.ready = json.loads(first_line)
            self.ofp_port, self.api_port = self.ready["ofp_port"], self.ready.get("api_port")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _problem: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it; its exit code and what it wrote on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            _output, complaints = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, complaints

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        raw_body: bytes | None = None,
    ) -> Reply:
        """One HTTP request; `body` is sent as JSON, `raw_body` as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=10)
        if body is not None:
            raw_body = json.dumps(body).encode()
        with contextlib.closing(connection):
            connection.request(method, path, raw_body, headers or {})
            response = connection.getresponse()
            content = json.loads(response.read() or "null")
            return Reply(response.status, content, dict(response.getheaders()))

    def get(self, path: str) -> Any:
        reply = self.request("GET", path)
        assert reply.status == 200, reply
        return reply.content

    def inject(self, host: str, kind: str, **options: Any) -> Any:
        """Inject a fault on the port of a host."""
        body = {"kind": kind, "switch": BRIDGE, "host": host, **options}
        reply = self.request("POST", "/v1/faults", body)
        assert reply.status == 201, reply
        return reply.content

    def lift(self, fault: Any) -> Any:
        reply = self.request("DELETE", f"/v1/faults/{fault['id']}")
        assert reply.status == 200, reply
        return reply.content

    def state(self) -> Any:
        """Everything the API shows."""
        return self.get("/v1/switches"), self.get("/v1/faults")


@contextlib.contextmanager
def watch_carrier(host: Host) -> Iterator[list[tuple[float, bool]]]:
    """Collects (when, up) for each change of a host's carrier, as rtnetlink(7) tells the host."""
    changes: list[tuple[float, bool]] = []
    over = threading.Event()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as reader:
        reader.bind((0, _RTMGRP_LINK))
        reader.settimeout(0.05)
        arguments = (reader, socket.if_nametoindex(host.interface), changes, over)
        thread = threading.Thread(target=_collect_carrier, args=arguments)
        thread.start()
        try:
            yield changes
        finally:
            over.set()
            thread.join()


def _collect_carrier(
    reader: socket.socket, index: int, changes: list[tuple[float, bool]], over: threading.Event
) -> None:
    up = True
    while not over.is_set():
        try:
            message = reader.recv(65536)
        except TimeoutError:
            continue
        now_s = time.monotonic()
        _length, kind, *_rest, message_index, flags = struct.unpack_from("=IHHIIBBHiI", message)
        if (kind, message_index) == (_RTM_NEWLINK, index) and bool(flags & _IFF_LOWER_UP) != up:
            up = not up
            changes.append((now_s, up))

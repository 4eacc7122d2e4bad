"""A segment for tests: hosts in network namespaces of their own, joined by a Linux bridge.

The bridge has a namespace to itself, so that the machine's own bridge settings and firewall do not
matter. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from carplab.carp.frames import Datagram, FrameError, parse_ip
from carplab.carp.packet import Advertisement, PacketError, decode
from carplab.daemon import control
from carplab.errors import CarplabError

REPOSITORY = Path(__file__).resolve().parents[2]
VIRTUAL_ADDRESS = "10.0.1.1"
VIRTUAL_ADDRESS6 = "fd00:1::1"
PASSWORD = "secret"

# what a configuration has once, beside its virtual hosts
WHOLE_KEYS = (
    "dialect",
    "preempt",
    "failover",
    "arp_balance",
    "on_master",
    "on_backup",
    "on_init",
    "link_up_delay",
)

_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 0x0003
_SO_TIMESTAMPNS = 35
_LIBC = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)
T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T | None], deadline_s: float = 8.0) -> T:
    """Poll until `condition` returns something true; a test fails when it does not in time."""
    end = time.monotonic() + deadline_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.01)


def in_namespace(name: str, function: Callable[[], T]) -> T:
    """Call `function` in a thread inside network namespace `name`; its sockets stay there."""
    results: list[T] = []

    def enter_and_call() -> None:
        with open(f"/run/netns/{name}") as namespace:
            if _LIBC.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {name}")
        results.append(function())

    thread = threading.Thread(target=enter_and_call)
    thread.start()
    thread.join()
    return results[0]


class Segment:
    """A bridge and its hosts: `fw1` has interface `fw1-outside`, its bridge port is `p-fw1`."""

    def __init__(self) -> None:
        self._prefix = f"cpt{os.getpid()}x{next(_numbers)}"
        self.switch = f"{self._prefix}-switch"
        self._namespaces: list[str] = []
        self._add_namespace(self.switch)
        _ip(
            f"-n {self.switch} link add segment type bridge mcast_snooping 0",
            f"-n {self.switch} link set segment up",
        )
        self._keep_netfilter_off_the_bridge()

    def add_host(self, name: str, *addresses: str) -> Host:
        """A host with these addresses (with prefix length), connected and up."""
        host = Host(self, name, f"{self._prefix}-{name}", f"{name}-outside", f"p-{name}")
        self._add_namespace(host.namespace)
        self._connect(host, *addresses)
        return host

    def add_cable(self, host: Host, *addresses: str) -> Host:
        """A second cable from a host: the host again, with that one's interface and port."""
        second = replace(host, interface=f"{host.interface}-2", port=f"{host.port}-2")
        self._connect(second, *addresses)
        return second

    def _connect(self, host: Host, *addresses: str) -> None:
        _ip(
            f"-n {self.switch} link add {host.port} type veth "
            f"peer name {host.interface} netns {host.namespace}",
            f"-n {self.switch} link set {host.port} master segment up",
            *(
                f"-n {host.namespace} addr add {address} dev {host.interface} nodad"
                if ":" in address
                else f"-n {host.namespace} addr add {address} dev {host.interface}"
                for address in addresses
            ),
            f"-n {host.namespace} link set {host.interface} up",
        )

    def delete(self) -> None:
        for namespace in self._namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], check=True)

    def _keep_netfilter_off_the_bridge(self) -> None:
        """Where br_netfilter is loaded it drops malformed IP, which some tests are about."""
        for family in ("arp", "ip", "ip6"):
            name = f"net.bridge.bridge-nf-call-{family}tables"
            if Path("/proc/sys", *name.split(".")).exists():
                command = ("ip", "netns", "exec", self.switch, "sysctl", "-q", f"{name}=0")
                subprocess.run(command, check=True)

    def _add_namespace(self, name: str) -> None:
        _ip(f"netns add {name}", f"-n {name} link set lo up")
        self._namespaces.append(name)


@dataclass(frozen=True)
class Host:
    segment: Segment
    name: str
    namespace: str
    interface: str
    port: str

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command on this host and return what it printed."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *command],
            check=check,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["ip", "netns", "exec", self.namespace, *command], **options)

    def pull_cable(self) -> None:
        """The host loses its carrier."""
        _ip(f"-n {self.segment.switch} link set {self.port} down")

    def plug_cable(self) -> None:
        _ip(f"-n {self.segment.switch} link set {self.port} up")

    def packet_socket(self) -> socket.socket:
        """A packet socket on this host's interface, for frames of any kind."""

        def open_socket() -> socket.socket:
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            opened.bind((self.interface, _ETH_P_ALL))
            return opened

        return in_namespace(self.namespace, open_socket)

    def state(self) -> dict[str, Any]:
        """Everything carpd could leave behind here: links, addresses, kernel settings."""
        links = json.loads(self.run("ip", "-j", "addr"))
        settings = self.run("sysctl", "-a", "--pattern", r"net\.ipv[46]\.conf")
        return {"links": links, "settings": settings}


@dataclass(frozen=True)
class HeardFrame:
    """A frame seen on the wire, with the time the kernel gave it."""

    at_s: float
    frame: bytes

    @property
    def source_mac(self) -> str:
        return self.frame[6:12].hex(":")

    @property
    def datagram(self) -> Datagram | None:
        """The CARP datagram in it, if there is one."""
        try:
            return parse_ip(self.frame[14:])
        except FrameError:
            return None

    @property
    def advertisement(self) -> Advertisement | None:
        try:
            return decode(self.datagram.payload) if self.datagram else None
        except PacketError:
            return None

    def arp(self) -> tuple[str, str, str, str] | None:
        """Of an ARP: "request" or "reply", sender MAC, sender address, target address."""
        if self.frame[12:14] != b"\x08\x06":
            return None
        operation = {1: "request", 2: "reply"}[self.frame[21]]
        sender, target = (socket.inet_ntoa(self.frame[at : at + 4]) for at in (28, 38))
        return operation, self.frame[22:28].hex(":"), sender, target


class Capture:
    """All frames that reach a host's interface, read in a thread of its own."""

    def __init__(self, host: Host) -> None:
        self._socket = host.packet_socket()
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.settimeout(0.05)
        self._wall_offset_s = time.time() - time.monotonic()
        self._ended = False
        self.frames: list[HeardFrame] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._ended:
            try:
                frame, ancillary, _, _ = self._socket.recvmsg(2048, 64)
            except OSError:
                continue
            seconds, nanoseconds = memoryview(ancillary[0][2]).cast("q")
            at_s = seconds + nanoseconds / 1e9 - self._wall_offset_s
            self.frames.append(HeardFrame(at_s, frame))

    def advertisements(
        self, since_s: float = 0.0, source: str | None = None
    ) -> list[tuple[float, Advertisement]]:
        """When which advertisement came, of one source address or of all."""
        found = []
        for heard in tuple(self.frames):
            datagram, advertisement = heard.datagram, heard.advertisement
            if datagram is None or advertisement is None or heard.at_s < since_s:
                continue
            if source is None or str(datagram.source) == source:
                found.append((heard.at_s, advertisement))
        return found

    def arps(self, since_s: float = 0.0) -> list[tuple[str, str, str, str]]:
        found = (heard.arp() for heard in tuple(self.frames) if heard.at_s >= since_s)
        return [arp for arp in found if arp is not None]


class Carpd:
    """A carpd process on a host."""

    def __init__(self, host: Host, config: Path, log: Path, run_dir: Path) -> None:
        self.host = host
        self.socket = run_dir / f"{host.name}.sock"
        self.log = log
        self.started_s = time.monotonic()
        with log.open("ab") as stderr:
            self.process = host.start(
                sys.executable,
                "-m",
                "carplab.daemon.main",
                "run",
                str(config),
                stderr=stderr,
                cwd=REPOSITORY,
            )

    def wait_until_running(self) -> Carpd:
        wait_for(f"{self.host.name} runs: {self.log.read_text()}", self._answers)
        return self

    def request(self, command: str, **details: Any) -> dict[str, Any]:
        return control.request(self.socket, {"command": command, **details})

    def status(self, vhid: int = 1) -> dict[str, Any]:
        hosts = self.request("status")["virtual_hosts"]
        return next(host for host in hosts if host["vhid"] == vhid)

    def statistics(self) -> dict[str, int]:
        statistics: dict[str, int] = self.request("status")["statistics"]
        return statistics

    def wait_for_state(self, state: str, vhid: int = 1, deadline_s: float = 8.0) -> None:
        wait_for(
            f"{self.host.name} vhid {vhid} is {state}",
            lambda: self.status(vhid)["state"] == state,
            deadline_s,
        )

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        with control.EventStream(self.socket, follow=False) as stream:
            return [event for event in stream if kind in (None, event["kind"])]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=5)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"carpd on {self.host.name} ended: {self.log.read_text()}")
        with contextlib.suppress(CarplabError):
            self.request("status")
            return True
        return False


class Lab:
    """One segment with what runs on it; everything is gone after the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.segment = Segment()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._captures: list[Capture] = []

    def firewall(self, number: int) -> Host:
        """fw1 has 10.0.1.11 and fd00:1::11, fw2 .12, and so on."""
        last = 10 + number
        return self.segment.add_host(f"fw{number}", f"10.0.1.{last}/24", f"fd00:1::{last}/64")

    def client(self) -> Host:
        return self.segment.add_host("client", "10.0.1.100/24", "fd00:1::100/64")

    def capture(self, host: Host) -> Capture:
        capture = Capture(host)
        self._captures.append(capture)
        return capture

    def configure(
        self,
        host: Host,
        hosts: Iterable[Mapping[str, object]] = ({},),
        dialect: str = "openbsd-3.8",
        preempt: bool = True,
        failover: Mapping[str, Iterable[str]] | None = None,
        **others: object,
    ) -> Path:
        """Write a configuration; each of `hosts` overrides what a virtual host has by default.

        `failover` has the interfaces of each set by its name; `others` are further top-level keys.
        """
        run_dir = json.dumps(str(self.run_dir))
        lines = [
            f'name = "{host.name}"',
            f'dialect = "{dialect}"',
            f"preempt = {str(preempt).lower()}",
            f"run_dir = {run_dir}",
            *(f"{key} = {json.dumps(value)}" for key, value in others.items()),
        ]
        for name, interfaces in (failover or {}).items():
            lines += ["[[failover]]", f'name = "{name}"', f"interfaces = {json.dumps(interfaces)}"]
        for changes in hosts:
            lines.append("[[virtual_host]]")
            defaults: dict[str, object] = {
                "interface": host.interface,
                "vhid": 1,
                "password": PASSWORD,
                "addresses": [VIRTUAL_ADDRESS],
            }
            # JSON's numbers, texts and lists are TOML's
            lines += [
                f"{key} = {json.dumps(value)}" for key, value in {**defaults, **changes}.items()
            ]
        path = self.folder / f"{host.name}.toml"
        path.write_text("\n".join(lines))
        return path

    def launch(self, host: Host, config: Path | None = None, **settings: Any) -> Carpd:
        """Start carpd on a host; `settings` are those of configure()."""
        path = config or self.configure(host, **settings)
        carpd = Carpd(host, path, self.folder / f"{host.name}.log", self.run_dir)
        self._processes.append(carpd.process)
        return carpd

    def carpd(self, host: Host, **settings: Any) -> Carpd:
        """The same for one virtual host, given by the keys that differ, and wait until it runs."""
        whole = {key: settings.pop(key) for key in WHOLE_KEYS if key in settings}
        return self.launch(host, hosts=[settings], **whole).wait_until_running()

    def start(self, host: Host, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        process = host.start(*command, **options)
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for capture in self._captures:
            capture.close()
        self.segment.delete()


@contextlib.contextmanager
def open_lab(folder: Path) -> Iterator[Lab]:
    """An empty segment; what is added to it is gone afterwards."""
    created = Lab(folder)
    try:
        yield created
    finally:
        created.close()


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)

"""The UDP probe: a packet each millisecond, client to server and back. Windows come from it alone.

The two processes are in :mod:`carplab.emulation.probe_process`, which also explains the stamps.
This module starts them and joins what they recorded into the rows of probe.csv, or of
probe-CLIENT-SERVER.csv for a flow besides the main one.
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from carplab.emulation import probe_process
from carplab.emulation.traffic import READY_DEADLINE_S, Endpoint, Process, Traffic
from carplab.recording import PROBE, Row, flow_table

PORT = 7112
INTERVAL_S = 0.001


class ProbeTraffic(Traffic):
    """One probe of a run. ``interval_s`` is the spacing of its packets in seconds.

    ``flow`` names client and server of one besides the main probe; each needs a port of its own.
    """

    name = "probe"
    compressed = True

    def __init__(
        self,
        interval_s: float = INTERVAL_S,
        port: int = PORT,
        flow: tuple[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._port = port
        self.table = flow_table(*flow) if flow else PROBE
        # Names of processes are unique within a run: the record of what to clean up goes by them.
        self._label = "probe" if flow is None else f"probe {flow[0]}-{flow[1]}"

    def start(self, client: Endpoint, server: Endpoint, raw_dir: Path) -> None:
        token = secrets.token_hex(8)
        to = [server.address, str(self._port), token]
        self._raw_dir = raw_dir
        echoed = self.server_file(raw_dir)
        self._server = _run(server, f"{self._label} echo", ["echo", *to, str(echoed)])
        self._wait(
            lambda: "listening" in read_raw(echoed).remarks,
            READY_DEADLINE_S,
            f"the probe's echo on {server.name} did not start within {READY_DEADLINE_S:g} s",
        )
        arguments = ["send", *to, str(self.client_file(raw_dir)), str(self._interval_s)]
        self._client = _run(client, f"{self._label} sender", arguments)

    def client_file(self, raw_dir: Path) -> Path:
        """What the sender recorded."""
        return raw_dir / f"{self._stem}-client.txt"

    def server_file(self, raw_dir: Path) -> Path:
        """What the echo recorded."""
        return raw_dir / f"{self._stem}-server.txt"

    def read(self, raw_dir: Path, origin_s: float) -> list[Row]:
        client, server = self.client_file(raw_dir), self.server_file(raw_dir)
        return merge(read_raw(client), read_raw(server), origin_s)

    def _has_flowed(self, raw_dir: Path) -> bool:
        return bool(read_raw(self.client_file(raw_dir)).received_ns)

    @property
    def _stem(self) -> str:
        return Path(self.table.file_name).stem


def find_raw_flows(raw_dir: Path) -> list[tuple[str, str]]:
    """Client and server of each probe besides the main one that left raw files."""
    stems = (file.stem.split("-") for file in sorted(raw_dir.glob("probe-*-*-client.txt")))
    return [(client, server) for _, client, server, _ in stems]  # a host's name has no hyphen


@dataclass(frozen=True, slots=True)
class Raw:
    """What one side of the probe recorded: monotonic nanoseconds by sequence number.

    A packet that arrived more than once counts with its first arrival.
    """

    sent_ns: dict[int, int]
    received_ns: dict[int, int]
    remarks: list[str]


def read_raw(path: Path) -> Raw:
    """Read a raw file, also one that ends in the middle of a line, or is not there."""
    raw = Raw({}, {}, [])
    if not path.exists():
        return raw
    with open(path, "rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            if line.startswith(b"#"):
                raw.remarks.append(line[1:].decode(errors="replace").strip())
                continue
            kind, sequence, time_ns = line.split()
            times = raw.sent_ns if kind == b"s" else raw.received_ns
            times.setdefault(int(sequence), int(time_ns))
    return raw


def merge(client: Raw, server: Raw, origin_s: float) -> list[Row]:
    """Join both sides by sequence number: when sent, when at the server, when back; None if never.

    Times are seconds minus ``origin_s``.
    """
    origin_ns = round(origin_s * 1e9)

    def seconds(times_ns: dict[int, int], sequence: int) -> float | None:
        time_ns = times_ns.get(sequence)
        return None if time_ns is None else (time_ns - origin_ns) / 1e9

    return [
        (
            sequence,
            seconds(client.sent_ns, sequence),
            seconds(server.received_ns, sequence),
            seconds(client.received_ns, sequence),
        )
        for sequence in sorted(client.sent_ns)
    ]


def _run(host: Endpoint, label: str, arguments: list[str]) -> Process:
    """Start one side, isolated: it needs nothing installed, and its folder hides no module."""
    program = [sys.executable, "-I", "-S", str(Path(probe_process.__file__).resolve())]
    words = Path(arguments[4]).with_suffix(".err")
    return Process(label, host, [*program, *arguments], words, stamped=False)

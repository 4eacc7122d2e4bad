"""The UDP probe: a packet each millisecond, client to server and back. Windows come from it alone.

The two processes are in :mod:`carplab.emulation.probe_process`, which also explains the stamps.
This module starts them and joins what they recorded into the rows of probe.csv.
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from carplab.emulation import probe_process
from carplab.emulation.traffic import READY_DEADLINE_S, Endpoint, Process, Traffic
from carplab.recording import PROBE, Row

PORT = 7112
INTERVAL_S = 0.001
CLIENT_FILE = "probe-client.txt"
SERVER_FILE = "probe-server.txt"


class ProbeTraffic(Traffic):
    """The probe of one run. ``interval_s`` is the spacing of its packets in seconds."""

    name = "probe"
    table = PROBE

    def __init__(self, interval_s: float = INTERVAL_S, port: int = PORT) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._port = port

    def start(self, client: Endpoint, server: Endpoint, raw_dir: Path) -> None:
        token = secrets.token_hex(8)
        to = [server.address, str(self._port), token]
        self._raw_dir = raw_dir
        echoed = raw_dir / SERVER_FILE
        self._server = _run(server, "probe echo", ["echo", *to, str(echoed)])
        self._wait(
            lambda: "listening" in read_raw(echoed).remarks,
            READY_DEADLINE_S,
            f"the probe's echo on {server.name} did not start within {READY_DEADLINE_S:g} s",
        )
        arguments = ["send", *to, str(raw_dir / CLIENT_FILE), str(self._interval_s)]
        self._client = _run(client, "probe sender", arguments)

    @classmethod
    def read(cls, raw_dir: Path, origin_s: float) -> list[Row]:
        return merge(read_raw(raw_dir / CLIENT_FILE), read_raw(raw_dir / SERVER_FILE), origin_s)

    @classmethod
    def _has_flowed(cls, raw_dir: Path) -> bool:
        return bool(read_raw(raw_dir / CLIENT_FILE).received_ns)


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

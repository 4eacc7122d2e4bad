"""What the traffic tools write, read as it comes: rows for those who follow a session.

The tables of a run are made from the same files afterwards, by the tools themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from carplab.emulation.iperf import IperfTraffic, parse_interval
from carplab.emulation.ping import CLIENT_FILE, PingTraffic, parse_answer
from carplab.emulation.probe import ProbeTraffic
from carplab.emulation.traffic import Traffic, parse_line
from carplab.recording import Row

LOST_AFTER_S = 1.0  # a probe's packet that is not back by then is given as lost
SERVER_GRACE_S = 0.2  # the two sides write each 50 ms, not at the same time
_NS = 1_000_000_000


class Tail(Protocol):
    """The rows of one tool since they were last asked for."""

    kind: str

    def rows(self, now_s: float) -> list[Row]:
        """Return the new rows; times are monotonic seconds."""
        ...


def tail_of(tool: Traffic, raw_dir: Path, first_number: int) -> Tail | None:
    """Return who reads what `tool` writes; its packets are counted from `first_number`."""
    if isinstance(tool, ProbeTraffic):
        files = tool.client_file(raw_dir), tool.server_file(raw_dir)
        return ProbeTail(*files, first_number)
    if isinstance(tool, PingTraffic):
        return PingTail(raw_dir / CLIENT_FILE, first_number)
    if isinstance(tool, IperfTraffic):
        return IperfTail(tool.server_file(raw_dir))
    return None


class ProbeTail:
    """The probe's packets: number, sent, at the server, back; None for where they did not come."""

    kind = "probe"

    def __init__(self, client: Path, server: Path, first_number: int) -> None:
        self._client, self._server = _Lines(client), _Lines(server)
        self._first_number = first_number
        self._pending: dict[int, _Packet] = {}
        self._at_server_s: dict[int, float] = {}  # of packets that the client has yet to mention

    def rows(self, now_s: float) -> list[Row]:
        self._at_server_s |= {number: time_s for _, number, time_s in _stamps(self._server)}
        for kind, number, time_s in _stamps(self._client):
            if kind == "s":
                self._pending[number] = _Packet(time_s)
            elif number in self._pending:
                self._pending[number].back_s = time_s
        for number in self._pending.keys() & self._at_server_s.keys():
            self._pending[number].server_s = self._at_server_s.pop(number)
        done = [number for number, packet in self._pending.items() if packet.is_done(now_s)]
        return [(number + self._first_number, *self._pending.pop(number).times) for number in done]


@dataclass
class _Packet:
    sent_s: float
    server_s: float | None = None
    back_s: float | None = None

    @property
    def times(self) -> tuple[float, float | None, float | None]:
        return self.sent_s, self.server_s, self.back_s

    def is_done(self, now_s: float) -> bool:
        if self.back_s is None:
            return now_s - self.sent_s > LOST_AFTER_S
        return self.server_s is not None or now_s - self.back_s > SERVER_GRACE_S


class PingTail:
    """ping's requests: number, when sent, round trip in ms; None for one that ping misses."""

    kind = "ping"

    def __init__(self, file: Path, first_number: int) -> None:
        self._lines = _Lines(file)
        self._first_number = first_number

    def rows(self, now_s: float) -> list[Row]:
        answers = (parse_answer(parse_line(line)) for line in self._lines.read())
        return [
            (answer[0] + self._first_number, *answer[1:]) for answer in answers if answer
        ]


class IperfTail:
    """iperf's intervals: start, end, Mbit/s."""

    kind = "iperf"

    def __init__(self, file: Path) -> None:
        self._lines = _Lines(file)
        self._began_s = float("inf")
        self._ended_s = 0.0

    def rows(self, now_s: float) -> list[Row]:
        rows: list[Row] = []
        for text in self._lines.read():
            line = parse_line(text)
            interval = parse_interval(line.text)
            if interval is None or interval[0] < self._ended_s:
                continue
            start_s, self._ended_s, mbps = interval
            self._began_s = min(self._began_s, line.arrived_s - self._ended_s)
            rows.append((self._began_s + start_s, self._began_s + self._ended_s, mbps))
        return rows


class _Lines:
    """The whole lines of a file that have come since it was last read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_bytes = 0

    def read(self) -> list[str]:
        try:
            with open(self._file, "rb") as content:
                content.seek(self._read_bytes)
                data = content.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return whole.decode(errors="replace").splitlines()


def _stamps(lines: _Lines) -> Iterator[tuple[str, int, float]]:
    for line in lines.read():
        if not line.startswith("#"):
            kind, number, time_ns = line.split()
            yield kind, int(number), int(time_ns) / _NS


def shifted(kind: str, origin_s: float) -> Callable[[Row], list[object]]:
    """Return what makes a row's monotonic times seconds since `origin_s`."""
    columns = {"probe": (1, 2, 3), "ping": (1,), "iperf": (0, 1)}[kind]

    def shift(row: Row) -> list[object]:
        return [
            round(float(cell) - origin_s, 6) if number in columns and cell is not None else cell
            for number, cell in enumerate(row)
        ]

    return shift

"""TCP throughput from the client to the server as the receiver sees it, by iperf3 or iperf 2.

The sender's kernel paces the connection (``--fq-rate``: SO_MAX_PACING_RATE; TCP needs no fq
queueing discipline for it). A rate limit in the network would cost a switch in user space a whole
processor, and iperf's own ``-b`` keeps an average over the whole test: it makes up for an outage
with a burst at full speed, in the very moment that is measured.

Each line of the server is stamped when it arrives. iperf says when an interval began and ended in
seconds since its test began; the test began no later than any line's arrival minus the end of its
interval. The earliest of these is the anchor: late by the fastest line's way through the pipe.
iperf3 rounds its times to 10 ms.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from carplab.emulation.traffic import (
    READY_DEADLINE_S,
    Endpoint,
    Line,
    Process,
    Traffic,
    read_lines,
)
from carplab.recording import IPERF, Row

RATE_MBPS = 20.0
INTERVAL_S = 0.1
_BLOCK = "16K"  # bytes a read: at 20 Mbit/s the default of 128K would be one or two an interval

_INTERVAL = re.compile(
    r"\[ *\d+\] +(?P<start>[\d.]+)- *(?P<end>[\d.]+) +sec +[\d.]+ +[KMG]?Bytes"
    r" +(?P<rate>[\d.]+) +(?P<unit>[KMG]?)bits/sec"
)
_CONNECTED = re.compile(r"\[ *\d+\] local \S+ port \d+ connected with ")
_MEGA = {"": 1e-6, "K": 1e-3, "M": 1.0, "G": 1e3}


class IperfTraffic(Traffic):
    """One TCP connection of a run: its rate in Mbit/s, the length of an interval in seconds."""

    name = "iperf"
    table = IPERF
    tool: ClassVar[str]

    def __init__(
        self, rate_mbps: float = RATE_MBPS, interval_s: float = INTERVAL_S, port: int = 5201
    ) -> None:
        super().__init__()
        self._rate_mbps = rate_mbps
        self._interval_s = interval_s
        self._port = port

    def start(self, client: Endpoint, server: Endpoint, raw_dir: Path) -> None:
        self._raw_dir = raw_dir
        argv, output = self._server_command(server.address), self.server_file(raw_dir)
        self._server = Process(f"{self.tool} server", server, argv, output, stamped=True)
        self._wait(
            self._listens,
            READY_DEADLINE_S,
            f"the {self.tool} server on {server.name} did not listen on port {self._port} "
            f"within {READY_DEADLINE_S:g} s",
        )
        argv, output = self._client_command(server.address), raw_dir / f"{self.tool}-client.txt"
        self._client = Process(f"{self.tool} client", client, argv, output, stamped=True)

    def read(self, raw_dir: Path, origin_s: float) -> list[Row]:
        return parse(read_lines(self.server_file(raw_dir)), origin_s)

    def server_file(self, raw_dir: Path) -> Path:
        """What the server printed."""
        return raw_dir / f"{self.tool}-server.txt"

    def _has_flowed(self, raw_dir: Path) -> bool:
        return any(row[2] for row in self.read(raw_dir, 0.0))

    def _listens(self) -> bool:
        return self._server is not None and "Server listening on" in self._server.text()

    def _pacing(self) -> list[str]:
        """Plain bits/s, for both tools: iperf 2 takes the M of 20M for megabytes here."""
        return ["--fq-rate", str(round(self._rate_mbps * 1e6))]

    @abstractmethod
    def _server_command(self, address: str) -> list[str]: ...

    @abstractmethod
    def _client_command(self, address: str) -> list[str]: ...


class Iperf3Traffic(IperfTraffic):
    """iperf3 3.12 (Debian 12) or 3.18 (Debian 13). ``--forceflush``: a line when it is due."""

    tool = "iperf3"

    def _server_command(self, _address: str) -> list[str]:
        return self._command("-s", "-i", f"{self._interval_s:g}")

    def _client_command(self, address: str) -> list[str]:
        until_stopped = ["-t", "0"]
        return self._command("-c", address, *self._pacing(), "-l", _BLOCK, *until_stopped)

    def _command(self, *arguments: str) -> list[str]:
        common = ["-p", str(self._port), "-f", "k", "--forceflush"]
        return ["env", "LC_ALL=C", "iperf3", *arguments, *common]


class Iperf2Traffic(IperfTraffic):
    """iperf 2.1.8 (Debian 12) or 2.2.1 (Debian 13)."""

    tool = "iperf"

    def __init__(
        self, rate_mbps: float = RATE_MBPS, interval_s: float = INTERVAL_S, port: int = 5001
    ) -> None:
        super().__init__(rate_mbps, interval_s, port)

    def _server_command(self, address: str) -> list[str]:
        return self._command(address, "-s", "-i", f"{self._interval_s:g}")

    def _client_command(self, address: str) -> list[str]:
        a_day = ["-t", "86400"]
        return self._command(address, "-c", address, *self._pacing(), *a_day)

    def _command(self, address: str, *arguments: str) -> list[str]:
        family = ["-V"] if ":" in address else []
        common = ["-p", str(self._port), "-f", "k", "-l", _BLOCK]
        return ["env", "LC_ALL=C", "iperf", *family, *arguments, *common]


def parse(lines: Iterable[Line], origin_s: float) -> list[Row]:
    """Turn the server's output, of iperf3 or iperf 2, into rows: start, end (seconds), Mbit/s.

    The summary at the end is left out; it begins before the last interval ended.
    """
    began_s = float("inf")
    intervals: list[tuple[float, float, float]] = []
    ended_s = 0.0
    for line in lines:
        if _CONNECTED.match(line.text):  # only iperf 2 says so at once
            began_s = min(began_s, line.arrived_s)
        interval = parse_interval(line.text)
        if interval is None or interval[0] < ended_s:
            continue
        start_s, ended_s, _ = interval
        began_s = min(began_s, line.arrived_s - ended_s)
        if ended_s > start_s:
            intervals.append(interval)
    anchor_s = began_s - origin_s
    return [(anchor_s + start_s, anchor_s + end_s, mbps) for start_s, end_s, mbps in intervals]


def parse_interval(text: str) -> tuple[float, float, float] | None:
    """Turn a line of the server into start, end (seconds of its test) and Mbit/s."""
    match = _INTERVAL.match(text)
    if match is None:
        return None
    mbps = float(match["rate"]) * _MEGA[match["unit"]]
    return float(match["start"]), float(match["end"]), mbps

"""The stream: one TCP connection from client to server, numbered messages each 10 ms.

It shows what the probe cannot: whether a connection outlives a failover. The two processes are in
:mod:`carplab.emulation.stream_process`. A stream that breaks is a result of the run, not an error:
the processes go on living and the events tell how each end saw it end. One end may see nothing at
all: the end that sends learns of a lost connection, the one that only listens waits for ever.
"""

from __future__ import annotations

import sys
from pathlib import Path

from carplab.emulation.probe import Raw, read_raw
from carplab.emulation.traffic import READY_DEADLINE_S, Endpoint, Process, Traffic
from carplab.recording import STREAM, Event, Row

PORT = 7111
INTERVAL_S = 0.01
CLIENT_FILE = "stream-client.txt"
SERVER_FILE = "stream-server.txt"


class StreamTraffic(Traffic):
    """The stream of one run. ``who`` sends: "server", "client" or "echo"."""

    name = "stream"
    table = STREAM
    compressed = True

    def __init__(self, who: str, interval_s: float = INTERVAL_S, port: int = PORT) -> None:
        super().__init__()
        self._who = who
        self._interval_s = interval_s
        self._port = port

    def start(self, client: Endpoint, server: Endpoint, raw_dir: Path) -> None:
        self._raw_dir = raw_dir
        seen = raw_dir / SERVER_FILE
        self._server = self._run("listen", server, server.address, seen)
        self._wait(
            lambda: "listening" in read_raw(seen).remarks,
            READY_DEADLINE_S,
            f"the stream's server on {server.name} did not listen on port {self._port} "
            f"within {READY_DEADLINE_S:g} s",
        )
        self._client = self._run("connect", client, server.address, raw_dir / CLIENT_FILE)

    def read(self, raw_dir: Path, origin_s: float) -> list[Row]:
        return merge(read_raw(raw_dir / CLIENT_FILE), read_raw(raw_dir / SERVER_FILE), origin_s)

    def read_events(self, raw_dir: Path) -> list[Event]:
        return find_events(read_raw(raw_dir / CLIENT_FILE), read_raw(raw_dir / SERVER_FILE))

    def _has_flowed(self, raw_dir: Path) -> bool:
        return any(read_raw(raw_dir / name).received_ns for name in (CLIENT_FILE, SERVER_FILE))

    def _run(self, end: str, host: Endpoint, address: str, output: Path) -> Process:
        program = [sys.executable, "-m", "carplab.emulation.stream_process"]
        what = [end, self._who, host.name, address, str(self._port), str(output)]
        label = "stream server" if end == "listen" else "stream client"
        argv = [*program, *what, f"{self._interval_s:g}"]
        return Process(label, host, argv, output.with_suffix(".err"), stamped=False)


def merge(client: Raw, server: Raw, origin_s: float) -> list[Row]:
    """Join both ends: number, when sent, when received, None if never; seconds - ``origin_s``.

    Only one end sends. An echoed message was received when it was back.
    """
    origin_ns = round(origin_s * 1e9)
    sent_ns = client.sent_ns or server.sent_ns
    received_ns = client.received_ns or server.received_ns
    return [
        (
            sequence,
            (time_ns - origin_ns) / 1e9,
            (received_ns[sequence] - origin_ns) / 1e9 if sequence in received_ns else None,
        )
        for sequence, time_ns in sorted(sent_ns.items())
    ]


def find_events(client: Raw, server: Raw) -> list[Event]:
    """What both ends noted of the connection, but not what was the end of the run."""
    events = []
    stopped_s = float("inf")
    for remark in (*client.remarks, *server.remarks):
        word, _, rest = remark.partition(" ")
        if word == "stopped":
            stopped_s = min(stopped_s, int(rest) / 1e9)
        elif word == "event":
            time_ns, name, detail = rest.split(" ", 2)
            events.append(Event(int(time_ns) / 1e9, name, "stream", detail=detail))
    return [event for event in events if event.monotonic_s < stopped_s]

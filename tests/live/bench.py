"""Measures what viewers cost the network they look at: as root, `python -m tests.live.bench`.

One session with its live view; rounds without and with viewers take turns, so that whatever else
the machine does hits both. A quarter of the viewers read nothing: they are slow. The viewers run on
the same machine, at its lowest priority, and would cost less on one of their own.

jitter: by how much the time between two of the probe's packets at the server differs from their
interval. lateness: how much later than the earliest, against the probe's own beat, a packet was
sent. Then a cable is pulled and plugged in again a few times: how long after carpd said so a change
of a virtual host's state is at a viewer's socket.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import ClientSession

from carplab.analysis.load import load_run
from carplab.emulation.experiment import PROJECT
from carplab.session.client import Session, find_session
from tests.live.browser import live_view

REFERENCE = PROJECT / "results" / "reference" / "live"
SETTLE_S = 2.0  # after viewers have come or gone
JITTER = (
    "round", "viewers", "n", "jitter_p50_ms", "jitter_p99_ms", "jitter_max_ms",
    "lateness_p50_ms", "lateness_p99_ms", "lateness_max_ms", "lost", "texts_read",
)  # fmt: skip
LATENCY = ("change", "latency_ms")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.live.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="of each sort (%(default)s)")
    parser.add_argument("--seconds", type=float, default=15.0, help="a round (%(default)g)")
    parser.add_argument("--viewers", type=int, default=20, help="(%(default)s)")
    parser.add_argument("--pulls", type=int, default=5, help="of the cable (%(default)s)")
    parser.add_argument("--out", type=Path, default=REFERENCE, help="folder (%(default)s)")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        live_view("--out", folder) as address,
        find_session() as session,
    ):
        spans = [
            (viewers, *measure(session, address, viewers, asked.seconds))
            for _ in range(asked.rounds)
            for viewers in (0, asked.viewers)
        ]
        run = session.export(Path(folder) / "bench")
        interval_s = json.loads((run / "run.json").read_text())["scenario"]["traffic"][
            "probe_interval_s"
        ]
        probe = load_run(run).probe.to_numpy()
        rows = [
            (1 + index // 2, viewers, *figures(probe, interval_s, start_s, end_s), texts)
            for index, (viewers, start_s, end_s, texts) in enumerate(spans)
        ]
        latencies = asyncio.run(measure_latency(session, address, asked.pulls))
    write(asked.out / "jitter.csv", JITTER, rows)
    write(asked.out / "latency.csv", LATENCY, latencies)
    show(rows, latencies)


def measure(
    session: Session, address: str, viewers: int, seconds: float
) -> tuple[float, float, int]:
    """Return from when to when so many looked on, in the session's time, and what they read."""
    texts = multiprocessing.Value("l", 0)
    crowd = multiprocessing.Process(target=look_on, args=(address, viewers, texts), daemon=True)
    if viewers:
        crowd.start()
    time.sleep(SETTLE_S)
    start_s = session.status()["t_s"]
    time.sleep(seconds)
    end_s = session.status()["t_s"]
    if viewers:
        crowd.terminate()
        crowd.join()
    return start_s, end_s, texts.value


def look_on(address: str, viewers: int, texts: Any) -> None:
    """Be so many viewers; each fourth one reads nothing after the greeting."""
    os.nice(19)

    async def look(session: ClientSession, is_slow: bool) -> None:
        async with session.ws_connect(f"{address}stream", max_msg_size=0) as socket:
            await socket.receive()
            if is_slow:  # aiohttp's own queue fills up, then the socket does
                await asyncio.Event().wait()
            async for _ in socket:
                with texts.get_lock():
                    texts.value += 1

    async def look_all() -> None:
        async with ClientSession() as session:
            await asyncio.gather(*(look(session, each % 4 == 0) for each in range(viewers)))

    asyncio.run(look_all())


def figures(
    probe: np.ndarray[Any, Any], interval_s: float, start_s: float, end_s: float
) -> tuple[float, ...]:
    """Return n; p50, p99 and maximum of the jitter and of the lateness, ms; how many were lost."""
    sequence, sent_s, server_s, back_s = probe[
        (probe[:, 1] >= start_s) & (probe[:, 1] < end_s)
    ].T
    jitter_s = np.abs(np.diff(server_s) - interval_s * np.diff(sequence))
    beat_s = sent_s - interval_s * sequence
    return (
        len(sequence),
        *in_ms(jitter_s[~np.isnan(jitter_s)]),
        *in_ms(beat_s - beat_s.min()),
        int(np.isnan(back_s).sum()),
    )


def in_ms(values_s: np.ndarray[Any, Any]) -> list[float]:
    return [round(1000 * float(np.quantile(values_s, part)), 3) for part in (0.5, 0.99, 1.0)]


async def measure_latency(
    session: Session, address: str, pulls: int
) -> list[tuple[str, float]]:
    """Pull a cable and plug it in again; how long after it a viewer knows of each change, ms."""
    origin_s = session.describe()["origin_monotonic_s"]
    found: list[tuple[str, float]] = []
    async with ClientSession() as client, client.ws_connect(f"{address}stream") as socket:
        await socket.receive()
        for _ in range(pulls):
            fault = session.inject("link_down", "fw1", "outside")
            found += await changes(socket, origin_s, "fw2 is MASTER everywhere")
            session.lift(fault["id"])
            found += await changes(socket, origin_s, "fw1 is MASTER everywhere")
    return found


async def changes(socket: Any, origin_s: float, until: str) -> list[tuple[str, float]]:
    """Return each transition up to that state of the network, and its latency."""
    found = []
    while True:
        text = json.loads(await socket.receive_str())
        now_s = time.monotonic() - origin_s
        for message in text["messages"]:
            if message.get("event") == "carp":
                name = f"{message['source']} {message['segment']} {message['detail']}"
                found.append((name, round(1000 * (now_s - message["t_s"]), 1)))
        if any(message.get("masters") == until for message in text["messages"]):
            return found


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def show(rows: Sequence[Sequence[Any]], latencies: Sequence[tuple[str, float]]) -> None:
    for viewers in sorted({row[1] for row in rows}):
        own = [row for row in rows if row[1] == viewers]
        print(f"{viewers} viewers: {len(own)} rounds, n {sum(row[2] for row in own)}")
        for column, name in enumerate(JITTER[3:9], start=3):
            values = [row[column] for row in own]
            print(
                f"  {name}: median {statistics.median(values):.3f} "
                f"({min(values):.3f}-{max(values):.3f})"
            )
    values = [latency for _, latency in latencies]
    print(
        f"change of state to viewer: n {len(values)}, median {statistics.median(values):.1f} ms, "
        f"longest {max(values):.1f} ms"
    )


if __name__ == "__main__":
    main()

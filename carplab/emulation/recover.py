"""The traffic of a run whose runner was killed: its tools' raw files are still there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from carplab.emulation.generations import read_generations
from carplab.emulation.iperf import Iperf2Traffic, Iperf3Traffic
from carplab.emulation.ping import PingTraffic
from carplab.emulation.probe import ProbeTraffic, find_raw_flows
from carplab.emulation.stream import StreamTraffic
from carplab.emulation.traffic import Traffic
from carplab.recording import Row, RunFolder
from carplab.scenario import STREAM_SENDERS


def recover_traffic(folder: RunFolder) -> list[str]:
    """Turn raw files into the run's tables, remove them, and return the names of the tables.

    Raises CarplabError when a table cannot be written; the raw files are then still there.
    """
    recovered = []
    for tool, rows in read_traffic(folder.raw_dir, folder.origin.monotonic_s):
        path = folder.write_rows(tool.table, rows, compress=tool.compressed)
        recovered.append(path.name)
    folder.drop_raw()
    return recovered


def read_traffic(raw_dir: Path, origin_s: float) -> Iterator[tuple[Traffic, list[Row]]]:
    """Yield each tool that has left raw files, and the rows of its table."""
    tools: list[Traffic] = [ProbeTraffic()]
    tools += [ProbeTraffic(flow=flow) for flow in find_raw_flows(raw_dir)]
    tools += [StreamTraffic(STREAM_SENDERS[0]), PingTraffic(), Iperf3Traffic(), Iperf2Traffic()]
    for tool in tools:
        rows = read_generations(tool, raw_dir, origin_s)
        if rows:
            yield tool, rows

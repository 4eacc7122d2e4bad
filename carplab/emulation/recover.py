"""The traffic of a run whose runner was killed: its tools' raw files are still there."""

from __future__ import annotations

from carplab.emulation.iperf import Iperf2Traffic, Iperf3Traffic
from carplab.emulation.ping import PingTraffic
from carplab.emulation.probe import ProbeTraffic
from carplab.emulation.traffic import Traffic
from carplab.recording import PROBE, RunFolder

TOOLS: tuple[type[Traffic], ...] = (ProbeTraffic, PingTraffic, Iperf3Traffic, Iperf2Traffic)


def recover_traffic(folder: RunFolder) -> list[str]:
    """Turn raw files into the run's tables, remove them, and return the names of the tables.

    Raises CarplabError when a table cannot be written; the raw files are then still there.
    """
    recovered = []
    for tool in TOOLS:
        rows = tool.read(folder.raw_dir, folder.origin.monotonic_s)
        if rows:
            path = folder.write_rows(tool.table, rows, compress=tool.table is PROBE)
            recovered.append(path.name)
    folder.drop_raw()
    return recovered

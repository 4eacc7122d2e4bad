"""The raw files of tools that were started more than once, as in a session that goes on for hours.

The first start of a tool leaves its raw files in the run's raw folder, each further one in a folder
within it: `raw/probe-2`, `raw/probe-3`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from carplab.emulation.traffic import Traffic
from carplab.recording import PING, PROBE, Row, Table

_NUMBERED = {PROBE.columns, PING.columns}  # tables that begin with a sequence number


def generation_dir(raw_dir: Path, tool: Traffic, number: int) -> Path:
    """Return where the raw files of a tool's start are, counted from 1; it may not be there."""
    return raw_dir if number == 1 else raw_dir / f"{Path(tool.table.file_name).stem}-{number}"


def read_generations(tool: Traffic, raw_dir: Path, origin_s: float) -> list[Row]:
    """Return the rows of all starts of a tool; their numbers go on from one to the next."""
    rows: list[Row] = []
    for folder in _generations(raw_dir, tool):
        shift = next_number(rows, tool.table)
        for row in tool.read(folder, origin_s):
            rows.append((int(row[0]) + shift, *row[1:]) if shift and row[0] is not None else row)
    return rows


def next_number(rows: list[Row], table: Table) -> int:
    """Return the sequence number behind the last row's; 0 for a table that has none."""
    if table.columns not in _NUMBERED or not rows:
        return 0
    return int(rows[-1][0] or 0) + 1


def _generations(raw_dir: Path, tool: Traffic) -> Iterator[Path]:
    number = 1
    while (folder := generation_dir(raw_dir, tool, number)).is_dir():
        yield folder
        number += 1

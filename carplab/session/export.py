"""What a session has recorded so far, as a finished run of its own that the analysis reads.

It is made from the files of the session's run, which goes on being written meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from carplab.emulation.recover import read_traffic
from carplab.recording import RAW_FOLDER, Event, Origin, Row, RunFolder, read_events, read_run

BEFORE_S = 2.0  # of what was before a fault
_OF_A_MOMENT = ("sent", "heard", "arp", "hook", "neighbour", "fault", "repair", "phase")
_OWN = ("format", "run", "outcome", "reason", "origin", "repetition", "started_wall", "phase")


def export_run(
    source: Path, to: Path, seconds: float | None, active_since_s: Sequence[float]
) -> Path:
    """Write the run in `source`, or its last seconds, as a new run into `to`, and analyse it.

    `active_since_s` are the times of the faults that are still there. The window is made longer
    where a fault began before it, so that its effect is in it. Of what was before, what tells the
    states at the beginning is kept, at negative times.
    """
    about = read_run(source)
    began = Origin(**about["origin"])
    now_s = time.monotonic() - began.monotonic_s
    faults = _whole(about["scenario"]["faults"], now_s, active_since_s)
    from_s = 0.0 if seconds is None else _beginning(faults, max(0.0, now_s - seconds))
    origin = Origin(began.monotonic_s + from_s, began.wall_s + from_s)
    folder = RunFolder.create(to, about["experiment"], origin)
    fields = {key: value for key, value in about.items() if key not in _OWN}
    scenario = {**about["scenario"], "faults": _since(faults, from_s)}
    folder.write_run(**{**fields, "duration_s": now_s - from_s, "scenario": scenario})
    start_s = origin.monotonic_s
    folder.event(start_s, "runner", "phase", detail="settled")
    for event in _events(read_events(source, began), start_s):
        folder.event(
            event.monotonic_s,
            event.source,
            event.kind,
            segment=event.segment,
            vhid=event.vhid,
            detail=event.detail,
        )
    for tool, rows in read_traffic(source / RAW_FOLDER, start_s):
        within = _rows_since(rows, tool.table.columns)
        folder.write_rows(tool.table, within, compress=tool.compressed)
    folder.finish("finished")
    return _analysed(folder.path)


def _analysed(folder: Path) -> Path:
    from carplab.analysis.run import analyse_run

    analyse_run(folder, True)
    return folder


def _whole(
    faults: Iterable[Mapping[str, Any]], now_s: float, active_since_s: Sequence[float]
) -> list[dict[str, Any]]:
    """Return the faults with their lengths so far."""
    return [
        {**fault, "length_s": now_s - fault["at_s"] if lasts else fault["length_s"]}
        for fault in faults
        for lasts in [fault["at_s"] in active_since_s]
    ]


def _beginning(faults: Sequence[Mapping[str, Any]], from_s: float) -> float:
    """Return `from_s`, or a moment before the first of the faults that reach beyond it."""
    for fault in sorted(faults, key=lambda fault: -float(fault["at_s"])):
        if fault["at_s"] < from_s + BEFORE_S and fault["at_s"] + fault["length_s"] > from_s:
            from_s = max(0.0, fault["at_s"] - BEFORE_S)
    return from_s


def _since(faults: Sequence[Mapping[str, Any]], from_s: float) -> list[dict[str, Any]]:
    within = (fault for fault in faults if fault["at_s"] >= from_s)
    return [{**fault, "at_s": fault["at_s"] - from_s} for fault in within]


def _events(events: Sequence[Event], start_s: float) -> list[Event]:
    """Return the events since then, and those before that tell a state which still holds."""
    return [
        event
        for event in events
        if event.kind not in _OF_A_MOMENT
        or (event.monotonic_s >= start_s and (event.kind, event.detail) != ("phase", "settled"))
    ]


def _rows_since(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    time_column = next(n for n, name in enumerate(columns) if name.endswith("_t_s"))
    return [row for row in rows if float(row[time_column] or 0.0) >= 0]

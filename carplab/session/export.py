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

_FREQUENT = ("sent", "heard", "arp", "neighbour")  # events that say nothing about a later time
_OWN = ("format", "run", "outcome", "reason", "origin", "repetition", "started_wall", "phase")


def export_run(
    source: Path, to: Path, seconds: float | None, active_since_s: Sequence[float]
) -> Path:
    """Write the run in `source`, or its last seconds, as a new run into `to`, and analyse it.

    `active_since_s` are the times of the faults that are still there. Of what was before the
    window, what tells the states at its beginning is kept, at negative times.
    """
    about = read_run(source)
    began = Origin(**about["origin"])
    now_s = time.monotonic()
    start_s = began.monotonic_s if seconds is None else max(began.monotonic_s, now_s - seconds)
    origin = Origin(start_s, began.wall_s + start_s - began.monotonic_s)
    folder = RunFolder.create(to, about["experiment"], origin)
    fields = {key: value for key, value in about.items() if key not in _OWN}
    scenario = dict(about["scenario"])
    scenario["faults"] = _faults(
        scenario["faults"], start_s - began.monotonic_s, now_s - began.monotonic_s, active_since_s
    )
    folder.write_run(**{**fields, "duration_s": now_s - start_s, "scenario": scenario})
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
        folder.write_rows(tool.table, _since(rows, tool.table.columns), compress=tool.compressed)
    folder.finish("finished")
    return _analysed(folder.path)


def _analysed(folder: Path) -> Path:
    from carplab.analysis.run import analyse_run

    analyse_run(folder, True)
    return folder


def _faults(
    faults: Iterable[Mapping[str, Any]],
    start_s: float,
    now_s: float,
    active_since_s: Sequence[float],
) -> list[dict[str, Any]]:
    """Return those that were there since `start_s`, their times counted from it."""
    kept = []
    for fault in faults:
        at_s = float(fault["at_s"])
        end_s = now_s if at_s in active_since_s else at_s + float(fault["length_s"])
        if end_s >= start_s:
            kept.append({**fault, "at_s": at_s - start_s, "length_s": end_s - at_s})
    return kept


def _events(events: Sequence[Event], start_s: float) -> list[Event]:
    """Return the events since then, and those before that still mean something."""
    kept = []
    for number, event in enumerate(events):
        before = event.monotonic_s < start_s
        if before and (event.kind in _FREQUENT or _is_over(events, number, start_s)):
            continue
        kept.append(event)
    return kept


def _is_over(events: Sequence[Event], number: int, start_s: float) -> bool:
    """Tell whether an event is about a fault that was repaired before `start_s`."""
    event = events[number]
    if event.kind == "repair" or (event.kind == "phase" and event.detail in ("fault", "repair")):
        return True
    return event.kind == "fault" and any(
        (other.kind, other.source, other.segment, other.detail)
        == ("repair", event.source, event.segment, event.detail)
        and other.monotonic_s < start_s
        for other in events[number + 1 :]
    )


def _since(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    time_column = next(n for n, name in enumerate(columns) if name.endswith("_t_s"))
    return [row for row in rows if float(row[time_column] or 0.0) >= 0]

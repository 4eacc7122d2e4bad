"""A run as a notebook wants it: opened by its folder, as DataFrames with the units in their names.

    from carplab.analysis.notebook import open_runs, windows_table

    runs = open_runs("results/crash/2026-11-22T11-30-00")
    windows_table(runs["01"])

The probe, ping, iperf and stream of a run are DataFrames already: `analysed.run.probe` and so on,
with the columns of their files (module `recording`). The words are those of module `windows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import pandas as pd

from carplab.analysis.analysed import AnalysedRun, read_run
from carplab.analysis.load import is_series, repetitions


def open_run(folder: str | Path) -> AnalysedRun:
    """Analyse one run; CarplabError where the folder holds none."""
    return read_run(Path(folder))


def open_runs(folder: str | Path) -> dict[str, AnalysedRun]:
    """Analyse a run, or every repetition of a series, by name; CarplabError where there is none."""
    folder = Path(folder)
    folders = repetitions(folder) if is_series(folder) else [folder]
    return {path.name: read_run(path) for path in folders}


def settings_table(analysed: AnalysedRun) -> pd.DataFrame:
    """Return a row for each virtual host on each interface: its settings and what follows of them.

    interval_s: seconds between two of its advertisements, advbase + advskew/256. master_down_s:
    seconds without one after which it becomes MASTER, 3 x advbase + advskew/256.
    """
    types = {"host": str, "segment": str, "cable": int, "vhid": int, "advbase_s": int,
             "advskew": int, "interval_s": float, "master_down_s": float}  # fmt: skip
    rows = (
        (
            *(key.host, key.segment, key.cable, key.vhid),
            *(settings.advbase, settings.advskew, settings.interval_s, settings.master_down_s),
        )
        for key, settings in analysed.run.virtual_hosts.items()
    )
    return _table(types, rows)


def events_table(analysed: AnalysedRun) -> pd.DataFrame:
    """Return events.csv: what happened when (`t_s`), to whom (`source`), and in which words."""
    types = {"t_s": float, "source": str, "kind": str, "segment": str, "cable": int,
             "vhid": "Int64", "detail": str}  # fmt: skip
    rows = (
        (each.t_s, each.source, each.kind, each.segment, each.cable, each.vhid, each.detail)
        for each in analysed.run.events
    )
    return _table(types, rows)


def states_table(analysed: AnalysedRun) -> pd.DataFrame:
    """Return the times that each virtual host spent in each state, from settled to the end."""
    types = {"host": str, "segment": str, "cable": int, "vhid": int, "state": str,
             "start_t_s": float, "end_t_s": float, "length_s": float}  # fmt: skip
    findings = analysed.findings
    rows = (
        (
            *(track.key.host, track.key.segment, track.key.cable, track.key.vhid),
            *(state, start_s, end_s, end_s - start_s),
        )
        for track in findings.tracks
        for start_s, end_s, state in track.spans(findings.settled_s, findings.end_s)
    )
    return _table(types, rows)


def windows_table(analysed: AnalysedRun) -> pd.DataFrame:
    """Return the windows of a run, as in windows.csv: of each kind and cause the one that counts
    first.

    shortest_due_s, longest_due_s: what the protocol allows for the length, where it says something.
    """
    types = {"window": str, "cause": str, "segment": str, "start_t_s": float, "end_t_s": float,
             "length_s": float, "at_least": bool, "shortest_due_s": float, "longest_due_s": float,
             "detail": str}  # fmt: skip
    rows = (
        (
            *(each.window, each.cause, each.segment, each.start_t_s, each.end_t_s, each.length_s),
            *(each.at_least, *(each.theory_s or (None, None)), each.detail),
        )
        for each in analysed.findings.windows
    )
    return _table(types, rows)


def _table(types: Mapping[str, Any], rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Return rows as a DataFrame with columns of these types, also where there is no row."""
    return pd.DataFrame(list(rows), columns=list(types)).astype(dict(types))


def compare(
    what: str, predicted: object, actual: object, unit: str = "", by: str = "measured"
) -> str:
    """Return a sentence about a prediction, or that there is none yet (None).

    Numbers get their difference; `by` says where the actual value is from.
    """
    said = f"{by}: {_said(actual, unit)}"
    if predicted is None:
        return f"{what}: no prediction yet; {said}."
    said = f"{what}: you said {_said(predicted, unit)}; {said}"
    if _is_number(predicted) and _is_number(actual):
        return f"{said} ({_said(actual - predicted, unit, sign='+')})."
    return f"{said}: {'right.' if predicted == actual else 'why?'}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _said(value: object, unit: str, sign: str = "") -> str:
    text = format(value, f"{sign}.4g") if _is_number(value) else str(value)
    return f"{text} {unit}".rstrip()

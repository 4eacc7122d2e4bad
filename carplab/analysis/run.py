"""Do the whole analysis of a folder: find the windows, draw the figures, write the page."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from carplab import recording
from carplab.analysis import page
from carplab.analysis.analysed import (
    AnalysedRun,
    AnalysedSeries,
    read_run,
    read_series,
    series_name,
    series_title,
)
from carplab.analysis.distribution import draw_distribution
from carplab.analysis.load import is_run, is_series, repetitions
from carplab.analysis.series import Statistic, median_repetition
from carplab.analysis.sides import draw_sides, restored, sides_csv
from carplab.analysis.style import as_png, as_svg
from carplab.analysis.table import (
    flows_csv,
    flows_table,
    has_several_flows,
    run_table,
    series_csv,
    series_table,
    windows_csv,
    worst_of_series,
    worst_text,
)
from carplab.analysis.timeline import draw_timeline
from carplab.errors import CarplabError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType


def analyse_run(folder: Path, figures: bool = True) -> AnalysedRun:
    """Analyse a run and write windows.csv, timeline.png, timeline.svg and report.html into it.

    A run with several flows also gets flows.csv, one with a repair the sides: sides.csv, sides.png
    and sides.svg. Without `figures` only the tables. An interrupted run gives what its files hold.
    CarplabError where the folder holds no run or cannot be written.
    """
    analysed = read_run(folder)
    _write(folder / "windows.csv", windows_csv(analysed.windows).encode())
    if has_several_flows(analysed.findings):
        _write(folder / recording.FLOWS.file_name, flows_csv(analysed.findings.flows).encode())
    repair = restored(analysed.findings)
    if repair is not None:
        csv = sides_csv(analysed.findings, repair)
        _write(folder / recording.SIDES.file_name, csv.encode())
    if figures:
        timeline = draw_timeline(analysed.run, analysed.findings)
        timeline_svg = _write_figure(folder, recording.TIMELINE_FIGURES, timeline)
        sides = _draw_sides(analysed)
        sides_svg = _write_figure(folder, recording.SIDES_FIGURES, sides) if sides else None
        text = page.run_page(analysed, timeline_svg, sides_svg)
        _write(folder / recording.REPORT_FILE, text.encode())
    return analysed


def analyse_series(folder: Path, figures: bool = True) -> AnalysedSeries:
    """Analyse a series: windows.csv, distribution.png, distribution.svg and report.html.

    Repetitions that have no page yet get theirs. Without `figures` only the tables of windows.
    CarplabError as in `analyse_run`.
    """
    for path in repetitions(folder):
        if not (path / recording.REPORT_FILE).exists():
            analyse_run(path, figures)
    series = read_series(folder)
    if not figures:
        _write(folder / "windows.csv", series_csv(series.findings).encode())
        return series
    figure = draw_distribution({series_name(series): series.statistics}, series_title(series))
    _write(folder / "windows.csv", series_csv(series.findings).encode())
    distribution = _write_figure(folder, recording.DISTRIBUTION_FIGURES, figure)
    _write(folder / recording.REPORT_FILE, _series_page(series, distribution).encode())
    return series


def windows_table(analysed: AnalysedRun | AnalysedSeries) -> RenderableType:
    """Return the windows, or their statistics, for the terminal; the worst split comes last."""
    from rich.console import Group
    from rich.text import Text

    if isinstance(analysed, AnalysedSeries):
        tables, worst = [series_table(analysed.statistics)], worst_of_series(analysed.findings)
    else:
        tables, worst = [run_table(analysed.findings)], worst_text(analysed.findings)
        if has_several_flows(analysed.findings):
            tables.append(flows_table(analysed.findings))
    return Group(*tables, Text(worst, style="bold"))


def report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run, a series or a folder above such; return its path.

    With `out` the page is all that is written. CarplabError where there is nothing to report.
    """
    if not folder.is_dir():
        raise CarplabError(f"{folder} is no folder: give the folder of a run, or one above runs")
    if is_series(folder):
        if out is None:
            analyse_series(folder)
            return folder / recording.REPORT_FILE
        series = read_series(folder)
        drawn = draw_distribution({series_name(series): series.statistics}, series_title(series))
        return _write(out, _series_page(series, as_svg(drawn)).encode())
    if is_run(folder):
        if out is None:
            analyse_run(folder)
            return folder / recording.REPORT_FILE
        analysed = read_run(folder)
        timeline = as_svg(draw_timeline(analysed.run, analysed.findings))
        sides = _draw_sides(analysed)
        text = page.run_page(analysed, timeline, as_svg(sides) if sides else None)
        return _write(out, text.encode())
    return _report_above(folder, out)


def _draw_sides(analysed: AnalysedRun) -> Figure | None:
    """Return the figure of the sides if something was repaired."""
    repair = restored(analysed.findings)
    return draw_sides(analysed.run, analysed.findings, repair) if repair else None


def _series_page(series: AnalysedSeries, distribution: bytes) -> str:
    median = median_repetition(series.findings)
    timeline = None
    if median is not None:
        analysed = series.runs[median]
        timeline = as_svg(draw_timeline(analysed.run, analysed.findings))
    return page.series_page(series, distribution, median, timeline)


def _report_above(folder: Path, out: Path | None) -> Path:
    """Write the page of a folder of runs; each run without a page gets one first, unless `out`."""
    entries: list[AnalysedRun | AnalysedSeries] = []
    unreadable: list[str] = []
    for path in _found_below(folder):
        try:
            if out is None and not (path / recording.REPORT_FILE).exists():
                report(path)
            entries.append(read_series(path) if is_series(path) else read_run(path))
        except CarplabError as error:
            unreadable.append(f"{error}.")
    if not entries and not unreadable:
        raise CarplabError(f"there is no run in {folder}: expected is a folder that holds run.json")
    target = out or folder / recording.REPORT_FILE
    text = page.folder_page(folder, entries, unreadable, _compared(entries), target)
    return _write(target, text.encode())


def _found_below(folder: Path) -> list[Path]:
    """Return the runs and series below a folder; a series' own runs are not listed again."""
    series = {path.parent for path in folder.rglob(recording.SERIES_FILE)}
    runs = {path.parent for path in folder.rglob(recording.RUN_FILE)}
    return sorted(series | {path for path in runs if path.parent not in series})


def _compared(entries: Sequence[AnalysedRun | AnalysedSeries]) -> dict[str, bytes]:
    """Return for each experiment with several series the figure that sets them side by side."""
    experiments: dict[str, dict[str, Sequence[Statistic]]] = {}
    for entry in entries:
        if isinstance(entry, AnalysedSeries) and entry.statistics:
            found = experiments.setdefault(str(entry.about.get("experiment", "")), {})
            name = series_name(entry)
            if name in found:
                name = f"{name} ({entry.folder.name})"
            found[name] = entry.statistics
    return {
        experiment: as_svg(draw_distribution(series, experiment))
        for experiment, series in experiments.items()
        if len(series) > 1
    }


def _write_figure(folder: Path, names: tuple[str, str], figure: Figure) -> bytes:
    """Write a figure as PNG and as SVG; return the SVG."""
    svg = as_svg(figure)
    _write(folder / names[0], as_png(figure))
    _write(folder / names[1], svg)
    return svg


def _write(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all; CarplabError where that is not possible."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with recording.writing(path):
        try:
            draft.write_bytes(content)
            recording.give_to_user(draft)
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
    return path

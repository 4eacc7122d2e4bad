"""Do the whole analysis of a folder: find the windows, draw the figures, write the page."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from carplab import recording
from carplab.analysis import page
from carplab.analysis.analysed import (
    Analysed,
    AnalysedRun,
    AnalysedSeries,
    experiment_of,
    read_run,
    read_series,
)
from carplab.analysis.comparison import Comparison, compare
from carplab.analysis.course import find_sections, read_checks
from carplab.analysis.distribution import draw_distribution
from carplab.analysis.load import is_run, is_series, mapping, repetitions
from carplab.analysis.network_drawing import draw_network
from carplab.analysis.page import USUAL, FolderFigures, Heading
from carplab.analysis.question import struck
from carplab.analysis.series import Statistic
from carplab.analysis.sides import draw_sides, restored, sides_csv
from carplab.analysis.strips import common_start, draw_strips, longest_s
from carplab.analysis.style import PRINT, SCREEN, Size, as_pdf, as_png, as_svg
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
from carplab.errors import CarplabError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

_BEFORE_S = 2.0  # of what is shown side by side
FIGURES_FOLDER = "figures"
COMPARISON_FILE = "comparison.html"
_SAVED: Mapping[str, Callable[[Figure], bytes]] = {
    "png": lambda figure: as_png(figure, PRINT.dpi),
    "svg": as_svg,
    "pdf": as_pdf,
}
FORMATS = tuple(_SAVED)


@dataclass(frozen=True)
class Order:
    """What a report is to be: the page at `out` alone, or the run's files in its own folder.

    An `out` that ends in .pdf is the PDF, without a page. `figures` are formats for the figures at
    print size, which go into a folder beside the page.
    """

    out: Path | None = None
    heading: Heading = USUAL
    pdf: bool = False
    figures: tuple[str, ...] = ()
    compare: bool = False


WHERE_IT_IS = Order()


def analyse_run(folder: Path, figures: bool = True, heading: Heading = USUAL) -> AnalysedRun:
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
        text = page.run_page(analysed, timeline_svg, sides_svg, heading)
        _write(folder / recording.REPORT_FILE, text.encode())
    return analysed


def analyse_series(
    folder: Path, figures: bool = True, heading: Heading = USUAL
) -> AnalysedSeries:
    """Analyse a series: windows.csv, distribution.png, distribution.svg and report.html.

    Repetitions that have no page yet get theirs. Without `figures` only the tables of windows.
    CarplabError as in `analyse_run`.
    """
    for path in repetitions(folder):
        if not (path / recording.REPORT_FILE).exists():
            analyse_run(path, figures)
    series = read_series(folder)
    _write(folder / "windows.csv", series_csv(series.findings).encode())
    if figures:
        figure = _draw_series(series)
        distribution = _write_figure(folder, recording.DISTRIBUTION_FIGURES, figure)
        text = page.series_page(series, distribution, _typical_timeline(series, SCREEN), heading)
        _write(folder / recording.REPORT_FILE, text.encode())
    return series


def windows_table(analysed: Analysed) -> RenderableType:
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


def report(folders: Sequence[Path], order: Order = WHERE_IT_IS) -> list[Path]:
    """Write the report of runs, series or folders above such; return the files to look at.

    CarplabError where there is nothing to report, UsageError for an order that makes no sense.
    """
    for folder in folders:
        if not folder.is_dir():
            raise CarplabError(
                f"{folder} is no folder: give the folder of a run, or one above runs"
            )
    for name in order.figures:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}: known are {', '.join(FORMATS)}")
    if order.compare:
        return _report_comparison(folders, order)
    if len(folders) == 1 and (is_series(folders[0]) or is_run(folders[0])):
        return _report_one(folders[0], order)
    return _report_above(folders, order)


# --- one run or series ------------------------------------------------------------------------


def _report_one(folder: Path, order: Order) -> list[Path]:
    """Write the page of a run or a series; with `order.out` nothing else."""
    if order.out is None and is_series(folder):
        analysed: Analysed = analyse_series(folder, heading=order.heading)
    elif order.out is None:
        analysed = analyse_run(folder, heading=order.heading)
    else:
        analysed = read_series(folder) if is_series(folder) else read_run(folder)
    pages = _Pages(order, folder / recording.REPORT_FILE)
    if order.out is None:
        pages.written.append(pages.html)
    else:
        pages.write_html(lambda: _page_of(analysed, order.heading, SCREEN))
    pages.write_pdf(lambda: _page_of(analysed, order.heading, PRINT))
    pages.write_figures(lambda: _print_figures(analysed))
    typical = analysed.typical
    if order.figures and typical:
        network = mapping(mapping(typical[1].about.get("scenario")).get("network"))
        drawing = draw_network(network, struck(typical[1].run, typical[1].findings.causes))
        pages.write_figure("network.svg", drawing.encode())
    return pages.written


def _page_of(analysed: Analysed, heading: Heading, size: Size) -> str:
    if isinstance(analysed, AnalysedSeries):
        distribution = as_svg(_draw_series(analysed, size))
        return page.series_page(
            analysed, distribution, _typical_timeline(analysed, size), heading
        )
    timeline = as_svg(draw_timeline(analysed.run, analysed.findings, size))
    sides = _draw_sides(analysed, size)
    return page.run_page(analysed, timeline, as_svg(sides) if sides else None, heading)


def _print_figures(analysed: Analysed) -> Iterable[tuple[str, Figure]]:
    """Yield the figures of a run or series at print size, with the names of their files."""
    if isinstance(analysed, AnalysedSeries):
        yield "distribution", _draw_series(analysed, PRINT)
    if analysed.typical:
        run = analysed.typical[1]
        yield "timeline", draw_timeline(run.run, run.findings, PRINT)
        sides = _draw_sides(run, PRINT)
        if sides:
            yield "sides", sides


def _draw_sides(analysed: AnalysedRun, size: Size = SCREEN) -> Figure | None:
    """Return the figure of the sides if something was repaired."""
    repair = restored(analysed.findings)
    return draw_sides(analysed.run, analysed.findings, repair, size) if repair else None


def _draw_series(series: AnalysedSeries, size: Size = SCREEN) -> Figure:
    return draw_distribution({series.dialect: series.statistics}, series.title, size)


def _typical_timeline(series: AnalysedSeries, size: Size) -> bytes | None:
    if series.typical is None:
        return None
    run = series.typical[1]
    return as_svg(draw_timeline(run.run, run.findings, size))


# --- several ----------------------------------------------------------------------------------


def _report_comparison(folders: Sequence[Path], order: Order) -> list[Path]:
    """Write the page that sets runs and series side by side."""
    found = _found_below(folders)
    comparison = compare([_read(path) for path in found])
    pages = _Pages(order, Path(COMPARISON_FILE))

    def text(size: Size) -> str:
        figures = [as_svg(figure) for _, figure in _comparison_figures(comparison, size)]
        return page.comparison_page(comparison, figures[:-1], figures[-1], order.heading)

    pages.write_html(lambda: text(SCREEN))
    pages.write_pdf(lambda: text(PRINT))
    pages.write_figures(lambda: _comparison_figures(comparison, PRINT))
    return pages.written


def _comparison_figures(comparison: Comparison, size: Size) -> Iterable[tuple[str, Figure]]:
    """Yield the timelines, and last the distribution."""
    runs = {each.name: each.typical for each in comparison.columns}
    since = common_start(runs.values())
    end_s = longest_s(runs.values(), since)
    for number, (low, high) in enumerate(comparison.parts(), start=1):
        abreast = dict(list(runs.items())[low:high])
        yield f"timelines-{number}", draw_strips(abreast, since, _BEFORE_S, end_s, size)
    statistics = {each.letter: each.entry.statistics for each in comparison.columns}
    yield "distribution", draw_distribution(statistics, "Windows side by side", size)


def _report_above(folders: Sequence[Path], order: Order) -> list[Path]:
    """Write the page of folders of runs; each run without a page gets one first, unless `out`."""
    entries: list[Analysed] = []
    unreadable: list[str] = []
    figures: dict[Path, bytes] = {}
    for path in _found_below(folders):
        try:
            if order.out is None and not (path / recording.REPORT_FILE).exists():
                report([path])
            entries.append(_read(path))
            if entries[-1].typical:
                run = entries[-1].typical[1]
                strip = draw_strips({"": run}, common_start([run]), _BEFORE_S, size=PRINT)
                figures[path] = as_svg(strip)
        except CarplabError as error:
            unreadable.append(f"{error}.")
    sections = find_sections(folders, entries, read_checks(folders))
    if not sections and not unreadable:
        where = ", ".join(map(str, folders))
        raise CarplabError(f"there is no run in {where}: expected is a folder that holds run.json")
    several = len(folders) > 1
    pages = _Pages(order, (Path() if several else folders[0]) / recording.REPORT_FILE)
    names = ", ".join(folder.resolve().name for folder in folders)

    def text() -> str:
        drawn = FolderFigures(figures, {n: as_svg(f) for n, f in _compared(entries).items()})
        title = f"Runs in {names}"
        return page.folder_page(title, sections, unreadable, drawn, pages.html, order.heading)

    pages.write_html(text)
    pages.write_pdf(text)
    pages.write_figures(lambda: _compared(entries, PRINT).items())
    return pages.written


def _read(path: Path) -> Analysed:
    return read_series(path) if is_series(path) else read_run(path)


def _found_below(folders: Iterable[Path]) -> list[Path]:
    """Return the runs and series below folders; a series' own runs are not listed again."""
    found: dict[Path, None] = {}
    for folder in folders:
        series = {path.parent for path in folder.rglob(recording.SERIES_FILE)}
        runs = {path.parent for path in folder.rglob(recording.RUN_FILE)}
        found |= dict.fromkeys(
            sorted(series | {path for path in runs if path.parent not in series})
        )
    return list(found)


def _compared(entries: Sequence[Analysed], size: Size = SCREEN) -> dict[str, Figure]:
    """Return for each experiment with several series the figure that sets them side by side."""
    experiments: dict[str, dict[str, Sequence[Statistic]]] = {}
    for entry in entries:
        if isinstance(entry, AnalysedSeries) and entry.statistics:
            found = experiments.setdefault(experiment_of(entry), {})
            name = entry.dialect
            if name in found:
                name = f"{name} ({entry.folder.name})"
            found[name] = entry.statistics
    return {
        experiment: draw_distribution(series, experiment, size)
        for experiment, series in experiments.items()
        if len(series) > 1
    }


# --- writing ----------------------------------------------------------------------------------


class _Pages:
    """Where the files of one report go, and which were written for the reader to open."""

    def __init__(self, order: Order, usual: Path) -> None:
        self._order = order
        out = order.out or usual
        if out.is_dir():
            out /= usual.name
        self.html = out.with_suffix(".html") if out.suffix == ".pdf" else out
        self.written: list[Path] = []
        self._wants_html = out.suffix != ".pdf"
        self._wants_pdf = order.pdf or out.suffix == ".pdf"

    def write_html(self, text: Callable[[], str]) -> None:
        if self._wants_html:
            self._write(self.html, text().encode())

    def write_pdf(self, text: Callable[[], str]) -> None:
        if self._wants_pdf:
            from carplab.analysis.pdf import render_pdf

            self._write(self.html.with_suffix(".pdf"), render_pdf(text()))

    def write_figures(self, figures: Callable[[], Iterable[tuple[str, Figure]]]) -> None:
        if self._order.figures:
            for name, figure in figures():
                for kind in self._order.figures:
                    self.write_figure(f"{name}.{kind}", _SAVED[kind](figure))

    def write_figure(self, name: str, content: bytes) -> None:
        folder = self.html.parent / FIGURES_FOLDER
        with recording.writing(folder):
            folder.mkdir(exist_ok=True)
            recording.give_to_user(folder)
        self._write(folder / name, content)

    def _write(self, path: Path, content: bytes) -> None:
        self.written.append(_write(path, content))


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

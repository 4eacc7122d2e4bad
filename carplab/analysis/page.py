"""The HTML pages. Each holds all it shows, and whatever was recorded is escaped.

The figures are embedded as images, not as markup, so that nothing in them can run and two of them
on one page cannot disturb each other.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from carplab import __version__, recording
from carplab.analysis.analysed import Analysed, AnalysedRun, AnalysedSeries, experiment_of
from carplab.analysis.comparison import Comparison
from carplab.analysis.course import Section
from carplab.analysis.load import Run, mapping
from carplab.analysis.network_drawing import draw_network
from carplab.analysis.question import asked, drawn, not_reached, planned, struck, traffic
from carplab.analysis.series import Statistic
from carplab.analysis.table import (
    HIDDEN,
    flow_columns,
    flow_rows,
    has_several_flows,
    statistic_cells,
    worst_of_series,
    worst_text,
)
from carplab.analysis.text import length_text, theory_text
from carplab.analysis.theory import Held, hold_run, hold_series, range_text, timers
from carplab.analysis.windows import Findings, Window

UNLISTED_KINDS = ("sent", "heard")
_COMPARED = (
    ("outage", "fault 1"),
    ("detection", "fault 1"),
    ("lateness", "fault 1"),
    ("outage", "repair 1"),
    ("recovery", "repair 1"),
    ("split", "fault 1"),
    ("split", "repair 1"),
)


@dataclass(frozen=True)
class Heading:
    """What stands above a page, where its reader chose: else it names what it is about."""

    title: str = ""
    author: str = ""


USUAL = Heading()


@dataclass(frozen=True)
class FolderFigures:
    """The figures of a folder's page, as SVG: of each run or series, by its folder, and those that
    set the series of an experiment side by side.
    """

    entries: Mapping[Path, bytes]
    compared: Mapping[str, bytes]


@dataclass(frozen=True)
class _Row:
    """A window as text; `new` where another cause begins."""

    new: bool
    cause: str
    window: str
    segment: str
    start: str
    end: str
    length: str
    theory: str
    detail: str


@dataclass(frozen=True)
class _StatisticRow:
    new: bool
    cause: str
    window: str
    cells: list[str]


@dataclass(frozen=True)
class _Link:
    """A repetition in a table, with the address of its own page."""

    link: str
    name: str
    outcome: str
    cells: list[str]


@dataclass(frozen=True)
class _Entry:
    """A run or a series in the page of a folder."""

    anchor: str
    link: str
    experiment: str
    name: str
    dialect: str
    outcome: str
    cells: list[str]
    headlines: list[str]
    warnings: list[str]
    held: list[Held]
    figure: str


def run_page(
    analysed: AnalysedRun, timeline: bytes, sides: bytes | None, heading: Heading = USUAL
) -> str:
    """Return the page of one run; `timeline` and `sides` are its figures as SVG."""
    run, findings = analysed.run, analysed.findings
    about = run.about
    return _render(
        "run.html.j2",
        heading,
        title=f"{about.get('experiment', 'run')}: {analysed.name}",
        under=_under(run),
        warnings=_warnings(run),
        headlines=_headlines(findings),
        **_question(analysed),
        held=hold_run(findings),
        timeline=_inline(timeline),
        sides=_inline(sides) if sides else None,
        flow_columns=flow_columns(findings),
        flows=flow_rows(findings) if has_several_flows(findings) else [],
        windows=_rows(findings.windows),
        not_reached=not_reached(findings),
        **_again(about),
        settings=_settings(run),
        measurement=_measurement(findings),
        events=[event for event in run.events if event.kind not in UNLISTED_KINDS],
        unlisted=_unlisted(run),
    )


def series_page(
    series: AnalysedSeries,
    distribution: bytes,
    timeline: bytes | None,
    heading: Heading = USUAL,
) -> str:
    """Return the page of a series; `timeline` is the figure of its typical repetition."""
    typical = series.typical
    first = next(iter(series.runs.values()), None)
    about = first.run.about if first else {}
    return _render(
        "series.html.j2",
        heading,
        title=f"{series.about.get('experiment', 'series')}: {series.name}",
        under=_parted(
            f"{len(series.runs)} repetitions",
            f"dialect {series.dialect}",
            _started(series.about),
            series.outcome,
        ),
        warnings=_series_warnings(series),
        headlines=[_sentence(worst_of_series(series.findings))],
        **_question(typical[1] if typical else None),
        held=hold_series(series.statistics),
        statistics=_statistic_rows(series.statistics),
        distribution=_inline(distribution),
        columns=[f"{window}\n{cause}" for window, cause in _COMPARED],
        repetitions=[_repetition(name, each) for name, each in series.runs.items()],
        median=typical[0] if typical else None,
        timeline=_inline(timeline) if timeline else None,
        not_reached=[
            f"Repetition {name}: {said}"
            for name, each in series.runs.items()
            for said in not_reached(each.findings)
        ],
        **_again({**about, **series.about}),
        settings=_settings(first.run) if first else [],
    )


def folder_page(
    title: str,
    sections: Sequence[Section],
    unreadable: Sequence[str],
    figures: FolderFigures,
    target: Path,
    heading: Heading = USUAL,
) -> str:
    """Return the page of folders of runs, with links that hold from `target`.

    `unreadable` are sentences about runs that could not be read.
    """
    labs = dict.fromkeys(check.lab for each in sections for check in each.checks)
    return _render(
        "folder.html.j2",
        heading,
        title=title,
        under=f"{sum(len(section.entries) for section in sections)} runs",
        warnings=unreadable,
        labs=list(labs),
        whose=_whose(sections),
        sections=[
            (each, [_entry(entry, target.parent, figures) for entry in each.entries])
            for each in sections
        ],
        figures=[(name, _inline(figure)) for name, figure in figures.compared.items()],
    )


def comparison_page(
    comparison: Comparison,
    timelines: Sequence[bytes],
    distribution: bytes,
    heading: Heading = USUAL,
) -> str:
    """Return the page that sets runs side by side; the figures are SVG."""
    columns = comparison.columns
    drawings: dict[str, list[str]] = {}
    for each in columns:
        drawings.setdefault(_drawing(each.typical), []).append(each.letter)
    return _render(
        "comparison.html.j2",
        heading,
        title="Comparison: " + ", ".join(dict.fromkeys(experiment_of(c.entry) for c in columns)),
        under=f"{len(columns)} side by side",
        warnings=[f"{c.letter}: {said}" for c in columns for said in _entry_warnings(c.entry)],
        columns=columns,
        asked=_differently([(c.letter, " ".join(asked(c.typical.run))) for c in columns]),
        parts_of=comparison.parts(),
        differing=[row for row in comparison.settings if row.differs],
        same=[(row.name, row.cells[0]) for row in comparison.settings if not row.differs],
        windows=comparison.windows,
        drawings=[(", ".join(letters), drawing) for drawing, letters in drawings.items()],
        timelines=[_inline(each) for each in timelines],
        distribution=_inline(distribution),
        not_reached=[
            f"{c.letter}{f', repetition {name}' if len(c.entry.runs) > 1 else ''}: {said}"
            for c in columns
            for name, each in c.entry.runs.items()
            for said in not_reached(each.findings)
        ],
        commands=[(c.letter, _command(c.entry.about) or "(by hand)") for c in columns],
    )


# --- what a page says -------------------------------------------------------------------------


def _under(run: Run) -> str:
    dialect = f"dialect {run.dialect}" if run.dialect else ""
    return _parted(dialect, _started(run.about), run.outcome)


def _parted(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _started(about: Mapping[str, Any]) -> str:
    started = str(about.get("started_wall", ""))[:19].replace("T", " ")
    return f"{started} UTC" if started else ""


def _warnings(run: Run) -> list[str]:
    """Say what is not whole."""
    warnings = []
    if run.outcome != "finished":
        reason = run.about.get("reason")
        phase = run.about.get("phase")
        parts = [
            f"This run did not finish: {run.outcome}",
            f"in the phase {phase!r}" if phase else "",
        ]
        warnings.append(
            " ".join(part for part in parts if part) + (f" ({reason})." if reason else ".")
        )
    return [*warnings, *run.missing]


def _series_warnings(series: AnalysedSeries) -> list[str]:
    warnings = []
    planned = series.about.get("repetitions")
    if isinstance(planned, int) and planned != len(series.runs):
        warnings.append(f"Of {planned} repetitions {len(series.runs)} are here.")
    for name, analysed in series.runs.items():
        warnings += [f"Repetition {name}: {each}" for each in _warnings(analysed.run)]
    return warnings


def _headlines(findings: Findings) -> list[str]:
    """Return one sentence for each cause, and one each for the stream and the worst split."""
    lines = []
    for cause in findings.causes:
        parts = []
        outage = findings.first("outage", cause.name)
        if outage is not None and outage.length_s:
            theory = f" (theory: {theory_text(outage.theory_s)} s)" if outage.theory_s else ""
            parts.append(
                f"traffic was out for {length_text(outage.length_s, outage.at_least)}{theory}"
            )
        elif outage is not None:
            parts.append(outage.detail)
        recovery = findings.first("recovery", cause.name)
        if recovery is not None and recovery.length_s is None:
            parts.append(recovery.detail)
        elif recovery is not None:
            length = length_text(recovery.length_s, recovery.at_least)
            parts.append(f"all was back after {length}")
        said = ", ".join(parts) or "no windows known"
        lines.append(f"{cause.name.capitalize()} ({cause.where}): {said}.")
    if findings.stream is not None:
        lines.append(f"The stream: {findings.stream.story}.")
    if findings.tracks:
        lines.append(_sentence(worst_text(findings)))
    return lines


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _rows(windows: Iterable[Window]) -> list[_Row]:
    rows: list[_Row] = []
    for window in windows:
        if window.window in HIDDEN:
            continue
        rows.append(
            _Row(
                new=bool(rows) and rows[-1].cause != window.cause,
                cause=window.cause,
                window=window.window,
                segment=window.segment,
                start=f"{window.start_t_s:.4f}",
                end="" if window.end_t_s is None else f"{window.end_t_s:.4f}",
                length=length_text(window.length_s, window.at_least),
                theory=theory_text(window.theory_s),
                detail=window.detail,
            )
        )
    return rows


def _statistic_rows(statistics: Iterable[Statistic]) -> list[_StatisticRow]:
    rows: list[_StatisticRow] = []
    for each in statistics:
        if each.window not in HIDDEN:
            new = bool(rows) and rows[-1].cause != each.cause
            rows.append(_StatisticRow(new, each.cause, each.window, statistic_cells(each)))
    return rows


def _repetition(name: str, analysed: AnalysedRun) -> _Link:
    cells = []
    for window, cause in _COMPARED:
        found = analysed.findings.first(window, cause)
        cells.append(length_text(found.length_s, found.at_least) if found else "")
    return _Link(f"{quote(name)}/report.html", name, analysed.run.outcome, cells)


def _entry(entry: Analysed, origin: Path, figures: FolderFigures) -> _Entry:
    findings = [each.findings for each in entry.runs.values()]
    if isinstance(entry, AnalysedRun):
        headlines, held = _headlines(entry.findings), []
    else:
        headlines = [_sentence(worst_of_series(entry.findings))]
        held = hold_series(entry.statistics)
    figure = figures.entries.get(entry.folder)
    own = entry.folder / recording.REPORT_FILE
    return _Entry(
        anchor=quote(os.path.relpath(entry.folder, origin)),
        link=quote(os.path.relpath(own, origin)) if own.exists() else "",
        experiment=experiment_of(entry),
        name=entry.name,
        dialect=entry.dialect,
        outcome=entry.outcome,
        cells=[str(len(findings)), *_entry_lengths(entry, findings)],
        headlines=headlines,
        warnings=_entry_warnings(entry),
        held=held,
        figure=_inline(figure) if figure else "",
    )


def _entry_lengths(entry: Analysed, findings: Sequence[Findings]) -> list[str]:
    lengths = {(each.window, each.cause): each for each in entry.statistics}
    keys = (("outage", "fault 1"), ("outage", "repair 1"), ("recovery", "repair 1"))
    splits = [split.length_s for each in findings for split in each.splits]
    return [
        *(range_text(lengths.get(key)) for key in keys),
        length_text(max(splits)) if splits else "",
    ]


def _entry_warnings(entry: Analysed) -> list[str]:
    return _warnings(entry.run) if isinstance(entry, AnalysedRun) else _series_warnings(entry)


def _question(analysed: AnalysedRun | None) -> dict[str, Any]:
    """Return what a page says about what was to be found out, and on what."""
    if analysed is None:
        return {"asked": [], "happens": [], "traffic": "", "drawing": "", "timers": []}
    run, causes = analysed.run, analysed.findings.causes
    return {
        "asked": asked(run, causes),
        "happens": [*planned(run), drawn(run)] if drawn(run) else planned(run),
        "traffic": traffic(run),
        "drawing": _drawing(analysed),
        "timers": timers(run),
    }


def _drawing(analysed: AnalysedRun) -> str:
    """Return the network as an image's source; empty where none was recorded."""
    network = mapping(mapping(analysed.run.about.get("scenario")).get("network"))
    if not network:
        return ""
    faults = struck(analysed.run, analysed.findings.causes)
    return _inline(draw_network(network, faults).encode())


def _whose(sections: Sequence[Section]) -> str:
    """Return what the sections are; empty where the table of runs says so anyway."""
    if any(section.checks for section in sections):
        return "student"
    own = all(
        experiment_of(entry) == section.name for section in sections for entry in section.entries
    )
    return "" if own or len(sections) < 2 else "folder"


def _differently(said: Sequence[tuple[str, str]]) -> list[str]:
    """Return each different text, behind the letters of those that say it if not all do."""
    letters: dict[str, list[str]] = {}
    for letter, text in said:
        letters.setdefault(text, []).append(letter)
    if len(letters) == 1:
        return list(letters)
    return [f"{', '.join(own)}: {text}" for text, own in letters.items()]


# --- what was set and what it ran on ----------------------------------------------------------


def _again(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what it takes to do the same again."""
    return {
        "command": _command(about),
        "commit": str(about.get("git_commit") or ""),
        "by_hand": about.get("seed") is None,
        "versions": _flat(about.get("versions")),
        "machine": [
            (name.removeprefix("settings."), value) for name, value in _flat(about.get("machine"))
        ],
    }


def _command(about: Mapping[str, Any]) -> str:
    """Return the recorded command, or one put together; empty for a session without a lab."""
    if about.get("command"):
        return str(about["command"])
    settings = mapping(about.get("settings"))
    if settings.get("lab"):
        student = str(settings.get("student", ""))
        return shlex.join(["carplab", "lab", "start", str(settings["lab"]), "--student", student])
    if about.get("seed") is None:
        return ""
    words = ["carplab", "run", str(about.get("experiment", "?"))]
    words += ["--dialect", str(settings["dialect"])] if settings.get("dialect") else []
    return shlex.join([*words, "--seed", str(about["seed"])])


def _settings(run: Run) -> list[tuple[str, str]]:
    """Return what was asked for."""
    values = _flat(run.about.get("settings"))
    for name in ("seed", "duration_s"):
        if run.about.get(name) is not None:
            values.append((name, str(run.about[name])))
    if run.preferred:
        values.append(("preferred MASTER", run.preferred))
    return values


def _measurement(findings: Findings) -> list[tuple[str, str]]:
    quality = findings.quality
    if quality is None:
        return []
    return [
        ("probes sent", str(quality.sent)),
        ("probes lost", str(quality.lost)),
        ("of these outside outages", str(quality.lost_alone)),
        ("spacing", length_text(quality.spacing_s)),
        ("longest pause between two probes", length_text(quality.longest_pause_s)),
        ("longest time without a delivery outside outages", length_text(quality.longest_stall_s)),
    ]


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return a JSON object as names and values, inner names after a dot."""
    values: list[tuple[str, str]] = []
    for name, inner in mapping(value).items():
        if isinstance(inner, dict):
            values += _flat(inner, f"{prefix}{name}.")
        elif isinstance(inner, list):
            values.append((prefix + name, ", ".join(map(str, inner))))
        elif isinstance(inner, bool):
            values.append((prefix + name, "yes" if inner else "no"))
        else:
            values.append((prefix + name, "" if inner is None else str(inner)))
    return values


def _unlisted(run: Run) -> str:
    count = sum(event.kind in UNLISTED_KINDS for event in run.events)
    return f"{count} advertisements sent and heard are in events.csv only." if count else ""


# --- rendering --------------------------------------------------------------------------------


def _inline(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def _render(template: str, heading: Heading, **values: Any) -> str:
    loader = PackageLoader("carplab.analysis", ".")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    css = loader.get_source(environment, "page.css")[0]
    values["title"] = heading.title or values["title"]
    page = environment.get_template(template)
    return page.render(version=__version__, css=css, author=heading.author, **values)

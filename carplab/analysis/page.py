"""The HTML pages. Each holds all it shows, and whatever was recorded is escaped.

The figures are embedded as SVG images, not as markup, so that nothing in them can run and two of
them on one page cannot disturb each other.
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

from carplab import __version__
from carplab.analysis.analysed import AnalysedRun, AnalysedSeries, series_name
from carplab.analysis.load import Run, mapping
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
    """A repetition or a run in a table, with the address of its own page."""

    link: str
    name: str
    outcome: str
    cells: list[str]
    experiment: str = ""
    dialect: str = ""

    @property
    def run(self) -> str:
        """The name under which a run is listed."""
        return self.name


def run_page(analysed: AnalysedRun, timeline: bytes, sides: bytes | None) -> str:
    """Return the page of one run; `timeline` and `sides` are its figures as SVG."""
    run, findings = analysed.run, analysed.findings
    about = run.about
    return _render(
        "run.html.j2",
        title=f"{about.get('experiment', 'run')}: {about.get('run', run.folder.name)}",
        under=_under(run),
        warnings=_warnings(run),
        headlines=_headlines(findings),
        timeline=_inline(timeline),
        sides=_inline(sides) if sides else None,
        flow_columns=flow_columns(findings),
        flows=flow_rows(findings) if has_several_flows(findings) else [],
        windows=_rows(findings.windows),
        command=_command(about),
        settings=_settings(run),
        measurement=_measurement(findings),
        versions=_versions(about),
        machine=_flat(about.get("machine")),
        events=[event for event in run.events if event.kind not in UNLISTED_KINDS],
        unlisted=_unlisted(run),
    )


def series_page(
    series: AnalysedSeries, distribution: bytes, median: str | None, timeline: bytes | None
) -> str:
    """Return the page of a series; `timeline` is the figure of the repetition named `median`."""
    first = next(iter(series.runs.values()), None)
    about = first.run.about if first else series.about
    return _render(
        "series.html.j2",
        title=f"{series.about.get('experiment', 'series')}: {_series_run(series)}",
        under=f"{len(series.runs)} repetitions, dialect {series_name(series)}",
        warnings=_series_warnings(series),
        headlines=[_sentence(worst_of_series(series.findings))],
        statistics=_statistic_rows(series.statistics),
        distribution=_inline(distribution),
        columns=[f"{window}\n{cause}" for window, cause in _COMPARED],
        repetitions=[_repetition(name, each) for name, each in series.runs.items()],
        median=median,
        timeline=_inline(timeline) if timeline else None,
        command=_command({**about, **series.about}),
        settings=_settings(first.run) if first else [],
        versions=_versions(about),
        machine=_flat(about.get("machine")),
    )


def folder_page(
    folder: Path,
    entries: Sequence[AnalysedRun | AnalysedSeries],
    unreadable: Sequence[str],
    figures: Mapping[str, bytes],
    target: Path,
) -> str:
    """Return the page of a folder of runs, with links that hold from `target`.

    `unreadable` are sentences about runs that could not be read.
    """
    return _render(
        "folder.html.j2",
        title=f"Runs in {folder.resolve().name}",
        under=f"{len(entries)} runs",
        warnings=unreadable,
        runs=[_entry(entry, target.parent) for entry in entries],
        figures=[(experiment, _inline(figure)) for experiment, figure in figures.items()],
    )


# --- what a page says -------------------------------------------------------------------------


def _under(run: Run) -> str:
    started = str(run.about.get("started_wall", ""))[:19].replace("T", " ")
    parts = [f"dialect {run.dialect}" if run.dialect else "", f"{started} UTC" if started else ""]
    return ", ".join(part for part in [*parts, run.outcome] if part)


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


def _entry(entry: AnalysedRun | AnalysedSeries, origin: Path) -> _Link:
    folder = entry.folder if isinstance(entry, AnalysedSeries) else entry.run.folder
    link = quote(os.path.relpath(folder / "report.html", origin))
    if isinstance(entry, AnalysedSeries):
        finished = sum(each.run.outcome == "finished" for each in entry.runs.values())
        outcome = "finished" if finished == len(entry.runs) else f"{finished} finished"
        experiment, name = entry.about.get("experiment", ""), _series_run(entry)
        dialect, findings = series_name(entry), list(entry.findings.values())
    else:
        outcome, dialect = entry.run.outcome, entry.run.dialect
        experiment = entry.run.about.get("experiment", "")
        name, findings = str(entry.run.about.get("run", folder.name)), [entry.findings]
    cells = [str(len(findings)), *_entry_lengths(findings)]
    return _Link(link, name, outcome, cells, str(experiment), dialect)


def _entry_lengths(findings: Sequence[Findings]) -> list[str]:
    from carplab.analysis.series import find_statistics

    statistics = find_statistics({str(number): each for number, each in enumerate(findings)})
    lengths = {(each.window, each.cause): each for each in statistics}
    cells = []
    for key in (("outage", "fault 1"), ("outage", "repair 1"), ("recovery", "repair 1")):
        cells.append(_range(lengths.get(key)))
    splits = [split.length_s for each in findings for split in each.splits]
    return [*cells, length_text(max(splits)) if splits else ""]


def _range(statistic: Statistic | None) -> str:
    if statistic is None:
        return ""
    if not statistic.lengths_s:
        return "never"
    text = length_text(statistic.median_s)
    if len(statistic.lengths_s) > 1:
        shortest, longest = length_text(statistic.shortest_s), length_text(statistic.longest_s)
        text += f" ({shortest} to {longest})" if shortest != longest else ""
    return text


# --- what was set and what it ran on ----------------------------------------------------------


def _series_run(series: AnalysedSeries) -> str:
    return str(series.about.get("run", series.folder.name))


def _command(about: Mapping[str, Any]) -> str:
    """Return the recorded command, or one put together from experiment and seed."""
    if about.get("command"):
        return str(about["command"])
    words = ["carplab", "run", str(about.get("experiment", "?"))]
    dialect = mapping(about.get("settings")).get("dialect")
    words += ["--dialect", str(dialect)] if dialect else []
    words += ["--seed", str(about["seed"])] if about.get("seed") is not None else []
    return shlex.join(words)


def _settings(run: Run) -> list[tuple[str, str]]:
    """Return what was asked for, and the timers of each virtual host."""
    values = _flat(run.about.get("settings"))
    for name in ("seed", "duration_s"):
        if run.about.get(name) is not None:
            values.append((name, str(run.about[name])))
    if run.preferred:
        values.append(("preferred MASTER", run.preferred))
    for key, settings in run.virtual_hosts.items():
        values.append((str(key), f"advbase {settings.advbase}, advskew {settings.advskew}"))
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


def _versions(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    versions = _flat(about.get("versions"))
    if about.get("git_commit"):
        versions.append(("git commit", str(about["git_commit"])))
    return versions


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return a JSON object as names and values, inner names after a dot."""
    values: list[tuple[str, str]] = []
    for name, inner in mapping(value).items():
        if isinstance(inner, dict):
            values += _flat(inner, f"{prefix}{name}.")
        elif isinstance(inner, list):
            values.append((prefix + name, ", ".join(map(str, inner))))
        else:
            values.append((prefix + name, "" if inner is None else str(inner)))
    return values


def _unlisted(run: Run) -> str:
    count = sum(event.kind in UNLISTED_KINDS for event in run.events)
    return f"{count} advertisements sent and heard are in events.csv only." if count else ""


# --- rendering --------------------------------------------------------------------------------


def _inline(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def _render(template: str, **values: Any) -> str:
    loader = PackageLoader("carplab.analysis", ".")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    css = loader.get_source(environment, "page.css")[0]
    return environment.get_template(template).render(version=__version__, css=css, **values)

"""The figure that lays runs side by side: the states and the traffic of each, on one time axis.

Each run has a strip: a row for each virtual host on each machine, and one for the main flow. Times
count from the first fault of each run, or from the first repair, so that the strips line up; or
from where the network had settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from carplab.analysis.analysed import AnalysedRun
from carplab.analysis.bands import (
    STATES,
    TRAFFIC,
    Spans,
    character,
    draw_bands,
    name_rows,
    say,
    traffic_spans,
)
from carplab.analysis.causes import Cause
from carplab.analysis.states import track_names
from carplab.analysis.style import GREEN, SCREEN, VERMILLION, Size, figure_style, scaled
from carplab.errors import CarplabError

FAULT, REPAIR, START = "fault", "repair", "start"
_ROW_IN = 0.26
_BEHIND_NAMES = 2.0
_LINES = {FAULT: (VERMILLION, "-"), REPAIR: (GREEN, "--")}


def draw_strips(
    runs: Mapping[str, AnalysedRun],
    since: str = FAULT,
    before_s: float = 1.0,
    after_s: float | None = None,
    size: Size = SCREEN,
) -> Figure:
    """Return the figure of some runs, by the titles of their strips.

    It shows from `before_s` before the first fault (or repair: `since`) of each to `after_s` after
    it, or to the end of the longest. CarplabError where a run has no such thing.
    """
    zeros_s = {title: _zero_s(run, since) for title, run in runs.items()}
    end_s = after_s or longest_s(runs.values(), since)
    rows = [len(run.findings.tracks) + 1 for run in runs.values()]
    with figure_style(size):
        height_in = sum(rows) * _ROW_IN + len(rows) * 0.35 + 1.0
        figure = Figure(figsize=(size.width_in, scaled(height_in)), layout="constrained")
        grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)
        grid[0, 0].set_xlim(-before_s, end_s)
        shown = {
            what
            for axes, (title, run) in zip(grid[:, 0], runs.items(), strict=True)
            for what in _draw_strip(axes, title, run, zeros_s[title], (-before_s, end_s))
        }
        grid[-1, 0].spines["bottom"].set_visible(True)
        grid[-1, 0].tick_params(axis="x", length=3.5)
        grid[-1, 0].xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
        grid[-1, 0].set_xlabel(f"seconds after the {since}")
        _draw_legend(figure, shown)
    return figure


def longest_s(runs: Iterable[AnalysedRun], since: str) -> float:
    """Return how long the longest of these runs went on after its fault, its repair or its start.

    CarplabError where a run has no such thing.
    """
    return max(run.findings.end_s - _zero_s(run, since) for run in runs)


def common_start(runs: Iterable[AnalysedRun]) -> str:
    """Return what times of all these runs can count from: the fault, if each had one."""
    has_fault = (any(cause.is_fault for cause in run.findings.causes) for run in runs)
    return FAULT if all(has_fault) else START


def _zero_s(analysed: AnalysedRun, since: str) -> float:
    """Return when the first fault or repair of a run was, or its start."""
    if since == START:
        return analysed.findings.settled_s
    for cause in analysed.findings.causes:
        if _kind(cause) == since:
            return cause.t_s
    raise CarplabError(f"{analysed.run.folder} recorded no {since}: no time to count from")


def _kind(cause: Cause) -> str:
    return FAULT if cause.is_fault else REPAIR


def _draw_strip(
    axes: Axes, title: str, analysed: AnalysedRun, zero_s: float, limits_s: tuple[float, float]
) -> set[str]:
    """Draw one run; returns what it shows: states, faults, repairs."""
    findings = analysed.findings
    shown_s = limits_s[0] + zero_s, min(limits_s[1] + zero_s, findings.end_s)
    rows: list[tuple[str, Spans]] = [
        (name, track.spans(*shown_s))
        for name, track in zip(track_names(findings.tracks), findings.tracks, strict=True)
    ]
    run = analysed.run
    traffic = " to ".join(run.flow) if run.further_probes else "traffic"
    is_known = findings.quality is not None
    rows.append((traffic, traffic_spans(findings.outages, shown_s) if is_known else []))
    name_rows(axes, [name for name, _ in rows])
    if not is_known:
        say(axes, "no probe recorded", row=len(rows) - 1)
    axes.set_title(title, loc="left", fontsize=scaled(10), fontweight="bold")
    for number, (_, spans) in enumerate(rows):
        moved = [(low - zero_s, high - zero_s, state) for low, high, state in spans]
        draw_bands(axes, number, moved, _LOOKS, character(axes) * (limits_s[1] - limits_s[0]))
    shown = {state for _, spans in rows for _, _, state in spans}
    for cause in findings.causes:
        if shown_s[0] <= cause.t_s <= shown_s[1]:
            colour, dashes = _LINES[_kind(cause)]
            axes.axvline(
                cause.t_s - zero_s, color=colour, linestyle=dashes, linewidth=1.5,
                zorder=_BEHIND_NAMES,
            )  # fmt: skip
            shown.add(_kind(cause))
    return shown


_LOOKS = {**STATES, **TRAFFIC}


def _draw_legend(figure: Figure, shown: set[str]) -> None:
    """Say above all strips which look is which state, and which line a fault."""
    handles: list[Patch | Line2D] = [
        Patch(facecolor=look.face, edgecolor=look.edge, hatch=look.hatch, label=state)
        for state, look in _LOOKS.items()
        if state in shown
    ]
    handles += [
        Line2D([], [], color=colour, linestyle=dashes, linewidth=1.5, label=kind)
        for kind, (colour, dashes) in _LINES.items()
        if kind in shown
    ]
    figure.legend(
        handles=handles, loc="outside upper right", ncols=len(handles), frameon=False,
        fontsize=scaled(8.5), handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip

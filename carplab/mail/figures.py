"""One figure for each claim: every repetition as a point, a row for each condition and dialect.

A point is filled where its run bears the claim out, and hollow where not; the bar is the median. So
it reads the same in black and white.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from carplab.analysis.style import BLACK, GREY, PALE_BLUE, PALE_GREY, as_png, as_svg, figure_style
from carplab.mail.claims import CLAIMS, HEALS_S, SOON_S, Claim
from carplab.mail.facts import Facts
from carplab.mail.publish import figure_name, write
from carplab.mail.verdicts import group

WIDTH_IN = 11.0
ROW_IN = 0.21
HEAD_IN = 1.35
LONG = 20  # times `least`: then the axis is logarithmic, so that 0.4 s can stand beside 30 s
TICKS = (0, 0.1, 0.3, 1, 3, 10, 30, 100, 1000, 10000)
KEY = ("the run bears the claim out", "the run avoids the split")
_SPREAD = 0.24  # of a row, so that equal points show as several

Rows = Sequence[tuple[str, str, Sequence[Facts]]]
"""Condition, dialect and the repetitions: a row of the figure."""


@dataclass(frozen=True)
class Panel:
    """A column of points. `never`: what the number's absence means, None to leave such runs out.

    `band`: what the claim asks for, from and to. `least`: the axis is linear up to this, and where
    the numbers are far beyond it, logarithmic from there on.
    """

    title: str
    number: Callable[[Facts], float | None]
    never: str | None = None
    band: tuple[float, float] | None = None
    least: float = 0.1


def _worst_flow(run: Facts) -> float | None:
    lost = [int(part.rpartition(" ")[2]) for part in run.flows_lost.split("; ") if part]
    return max(lost, default=None)


def _split_over_s(run: Facts) -> float | None:
    """When the split after the repair was over; None where the record ended first."""
    return None if run.split_open else run.split_end_s or 0.0


_OUTAGE_FAULT = Panel("outage at the fault, s", lambda run: run.outage_fault_s)
_OUTAGE_REPAIR = Panel("outage at the repair, s", lambda run: run.outage_repair_s)
_SPLIT = Panel("split at the repair, s", lambda run: run.split_repair_s)
_RECOVERY = Panel("recovery after the repair, s", lambda run: run.recovery_s, "never")

_LOST = Panel("packets lost", lambda run: run.packets_lost, least=1)

PANELS: Mapping[str, tuple[Panel, ...]] = {
    "C0": (
        Panel("gap in the stream at the fault, s", lambda run: run.stream_gap_fault_s, "broke"),
        _OUTAGE_FAULT,
    ),
    "C1": (_OUTAGE_FAULT, _RECOVERY),
    "C2": (_OUTAGE_FAULT, _OUTAGE_REPAIR),
    "C3": (
        Panel("other interface MASTER, s", lambda run: run.others_back_s, "never", (0, SOON_S)),
        Panel("restored one MASTER, s", lambda run: run.restored_back_s, "never"),
        _SPLIT,
        _OUTAGE_REPAIR,
    ),
    "C4": (
        Panel("split over, s after the repair", _split_over_s, "never", HEALS_S),
        _OUTAGE_REPAIR,
    ),
    "C5": (
        Panel("packets lost, all flows", lambda run: run.packets_lost, least=1),
        Panel("packets lost, worst flow", _worst_flow, least=1),
        _OUTAGE_FAULT,
    ),
    "C6": (_OUTAGE_FAULT, _OUTAGE_REPAIR, _LOST),
    "cure": (_OUTAGE_FAULT, _OUTAGE_REPAIR, _SPLIT, _RECOVERY),
}


def draw_figures(runs: Sequence[Facts], folder: Path) -> Iterator[str]:
    """Draw the figure of each claim that has runs; yield the names of the files."""
    groups = group(run for run in runs if run.finished)
    for claim in CLAIMS:
        rows = [
            (condition, dialect, groups[name, dialect])
            for condition, name in claim.conditions.items()
            for dialect in claim.series(condition).dialects
            if (name, dialect) in groups
        ]
        if rows:
            figure = draw_claim(claim, rows)
            for ending, content in (("svg", as_svg(figure)), ("png", as_png(figure))):
                name = f"{figure_name(claim.id)}.{ending}"
                write(folder / name, content)
                yield name


def draw_claim(claim: Claim, rows: Rows) -> Figure:
    """Return the figure of a claim."""
    panels = PANELS[claim.id]
    with figure_style():
        height_in = HEAD_IN + ROW_IN * len(rows)
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        figure.suptitle(
            f"{claim.id}: {claim.title}" if claim.id != "cure" else claim.title,
            x=0.01, ha="left", fontsize=12, fontweight="bold",
        )  # fmt: skip
        figure.text(
            0.99, 0.995, f"● {KEY[claim.id == 'cure']}   ○ it does not   ┃ median",
            ha="right", va="top", fontsize=9,
        )  # fmt: skip
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for each, panel in zip(axes, panels, strict=True):
            _draw_panel(each, panel, claim, rows)
        _label_rows(axes[0], rows)
    return figure


def _label_rows(axes: Axes, rows: Rows) -> None:
    labels = []
    before = None
    for condition, dialect, _ in rows:
        labels.append(f"{condition}   {dialect}" if condition != before else dialect)
        before = condition
    axes.set_yticks(range(len(rows)), labels, fontsize=8.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _draw_panel(axes: Axes, panel: Panel, claim: Claim, rows: Rows) -> None:
    numbers = [panel.number(run) for _, _, runs in rows for run in runs]
    longest = max([number for number in numbers if number is not None], default=0.0)
    longest = max(longest, *(panel.band or (0.0,)), panel.least)
    is_long = longest > LONG * panel.least
    if is_long:
        axes.set_xscale("symlog", linthresh=panel.least, linscale=0.4)
        axes.xaxis.set_minor_locator(NullLocator())
    end, never = (longest * 1.6, longest * 3) if is_long else (longest * 1.1, longest * 1.25)
    steps = TICKS if is_long else MaxNLocator(5).tick_values(0, longest)
    ticks = [float(tick) for tick in steps if tick == 0 or panel.least <= tick <= end]
    if panel.band:
        axes.axvspan(*panel.band, facecolor=PALE_BLUE, edgecolor=GREY, linestyle=":", zorder=0)
    for number, (_, _, runs) in enumerate(rows):
        _draw_row(axes, number, [(panel.number(run), claim.rule(run)[0]) for run in runs], never)
    _stripe(axes, rows)
    labels = [f"{tick:g}" for tick in ticks]
    if panel.never and None in numbers:
        ticks, labels = [*ticks, never], [*labels, panel.never]
        end = never * (1.4 if is_long else 1.1)
    axes.set_xticks(ticks, labels)
    axes.set_xlim(-0.05 * (panel.least if is_long else end), end)
    axes.set_title(panel.title, loc="left", fontsize=9.5, fontweight="bold")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)


def _stripe(axes: Axes, rows: Rows) -> None:
    """Shade every second condition."""
    conditions = list(dict.fromkeys(condition for condition, _, _ in rows))
    for number, (condition, _, _) in enumerate(rows):
        if conditions.index(condition) % 2:
            axes.axhspan(number - 0.5, number + 0.5, color=PALE_GREY, zorder=-1, linewidth=0)


def _draw_row(
    axes: Axes, row: int, points: Sequence[tuple[float | None, bool]], never: float
) -> None:
    """Draw the points of a row: the numbers, and whether each bears the claim out."""
    drawn: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for (number, borne), offset in zip(points, _offsets(len(points)), strict=True):
        look = "D" if number is None else "o", BLACK if borne else "white"
        place = never if number is None else number, row + offset
        drawn.setdefault(look, []).append(place)
    for (marker, colour), places in drawn.items():
        axes.plot(
            *zip(*places, strict=True), marker, linestyle="", markersize=3.8,
            markerfacecolor=colour, markeredgecolor=BLACK, markeredgewidth=0.8, zorder=3,
            clip_on=False,
        )  # fmt: skip
    known = [number for number, _ in points if number is not None]
    if known:
        middle = statistics.median(known)
        axes.plot([middle, middle], [row - 0.42, row + 0.42], color=BLACK, linewidth=2, zorder=2)


def _offsets(count: int) -> list[float]:
    """Return the same offsets from the middle of a row each time, neighbours far apart."""
    golden = 0.6180339887
    return [_SPREAD * (2 * ((number * golden + 0.5) % 1) - 1) for number in range(count)]

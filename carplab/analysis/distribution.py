"""The figure of many repetitions: each window's length, every point of it, beside the theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from carplab.analysis.outages import Times
from carplab.analysis.series import Statistic
from carplab.analysis.style import (
    BLACK,
    BLUE,
    GREY,
    PALE_BLUE,
    SCREEN,
    YELLOW,
    Size,
    figure_style,
    scaled,
)

SHOWN = (
    ("outage", "fault"),
    ("outage", "repair"),
    ("detection", "fault"),
    ("lateness", "fault"),
    ("takeover", "fault"),
    ("recovery", "repair"),
    ("split", "fault"),
    ("split", "repair"),
)
_COLUMNS = 2
_NARROWEST = 0.2  # of the panel's unit
_MILLISECONDS_BELOW_S = 0.1
_SPREAD = 0.22  # of a row, so that equal points show as several

Panel = tuple[str, str]


def draw_distribution(
    series: Mapping[str, Sequence[Statistic]], title: str, size: Size = SCREEN
) -> Figure:
    """Return the figure of one or more series, by name, a panel for each window and cause.

    In a panel each series has a row: a box from the lower to the upper quartile with the median,
    whiskers to the extremes, and every repetition as a point. The band is what theory allows.
    """
    with figure_style(size):
        panels = _panels(series)
        rows = max(1, -(-len(panels) // _COLUMNS))
        height_in = scaled(0.9 + rows * (1.05 + 0.36 * len(series)))
        figure = Figure(figsize=(size.width_in, height_in), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=scaled(12), fontweight="bold")
        grid = figure.subplots(rows, _COLUMNS, squeeze=False)
        for axes in grid.ravel()[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.ravel(), panels, strict=False):
            _draw_panel(axes, panel, series)
        if not panels:
            figure.text(0.5, 0.5, "no repetition has windows", ha="center", color=GREY)
    return figure


def _panels(series: Mapping[str, Sequence[Statistic]]) -> list[Panel]:
    """Return the windows that have a length anywhere, cause by cause in the order of SHOWN."""
    present = {
        (each.window, each.cause): None
        for statistics in series.values()
        for each in statistics
        if each.lengths_s
    }
    return [
        panel
        for window, kind in SHOWN
        for panel in present
        if panel[0] == window and panel[1].startswith(kind)
    ]


def _draw_panel(axes: Axes, panel: Panel, series: Mapping[str, Sequence[Statistic]]) -> None:
    found = {name: _find(statistics, panel) for name, statistics in series.items()}
    longest_s = max(
        (abs(length) for each in found.values() if each for length in each.lengths_s.values()),
        default=0.0,
    )
    factor, unit = (1000.0, "ms") if longest_s < _MILLISECONDS_BELOW_S else (1.0, "s")
    for row, statistic in enumerate(found.values()):
        if statistic is not None and statistic.lengths_s:
            _draw_row(axes, row, statistic, factor)
    title = f"{panel[0]}, {panel[1]} ({unit})"
    axes.set_title(title, loc="left", fontsize=scaled(10), fontweight="bold")
    axes.set_yticks(range(len(found)), list(found) if any(found) else [])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.margins(x=0.06)
    _widen(axes)


def _widen(axes: Axes) -> None:
    """Keep the axis from magnifying differences that mean nothing, as between equal lengths."""
    low, high = axes.get_xlim()
    if high - low < _NARROWEST:
        middle = (low + high) / 2
        axes.set_xlim(middle - _NARROWEST / 2, middle + _NARROWEST / 2)


def _find(statistics: Sequence[Statistic], panel: Panel) -> Statistic | None:
    return next((each for each in statistics if (each.window, each.cause) == panel), None)


def _draw_row(axes: Axes, row: int, statistic: Statistic, factor: float) -> None:
    lengths = np.array(list(statistic.lengths_s.values())) * factor
    if statistic.theory_s:
        low, high = (bound * factor for bound in statistic.theory_s)
        axes.broken_barh(
            [(low, high - low)], (row - 0.46, 0.92), facecolor=YELLOW, alpha=0.35, edgecolor=GREY,
            linestyle=":", linewidth=1.0, zorder=0,
        )  # fmt: skip
        axes.text(
            high, row - 0.44, "theory ", ha="right", va="top", fontsize=scaled(8), color="#444444"
        )
    axes.boxplot(
        lengths, positions=[row], orientation="horizontal", widths=0.5, whis=(0, 100),
        showfliers=False, manage_ticks=False, patch_artist=True,
        boxprops={"facecolor": PALE_BLUE, "edgecolor": BLUE},
        medianprops={"color": BLACK, "linewidth": 2.0},
        whiskerprops={"color": BLUE}, capprops={"color": BLUE},
    )  # fmt: skip
    median = f"median\n{np.median(lengths):.{2 if factor > 1 else 3}f}"
    axes.text(
        1.01, row, median, transform=axes.get_yaxis_transform(), va="center", fontsize=scaled(8.5),
    )  # fmt: skip
    heights = row + _SPREAD * _spread(lengths.size)
    limits = np.array([name in statistic.at_least for name in statistic.lengths_s])
    for chosen, marker in ((~limits, "o"), (limits, ">")):
        axes.plot(
            lengths[chosen], heights[chosen], marker, markersize=4.5, markerfacecolor="white",
            markeredgecolor=BLACK, markeredgewidth=0.9, zorder=3,
        )  # fmt: skip


def _spread(count: int) -> Times:
    """Return the same offsets from -1 to 1 each time, neighbours far apart."""
    golden = 0.6180339887
    return 2.0 * ((np.arange(count, dtype=np.float64) * golden + 0.5) % 1.0) - 1.0

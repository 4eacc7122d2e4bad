"""Bands of states and of traffic over time, as the figures share them: looks, names, rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from carplab.analysis.outages import Outage
from carplab.analysis.states import BACKUP, HUNG, INIT, MASTER, NOT_RUNNING, UNKNOWN
from carplab.analysis.style import (
    BLACK,
    BLUE,
    DARK_PURPLE,
    GREY,
    PALE_BLUE,
    PALE_GREY,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    YELLOW,
    scaled,
)

CHARACTER_IN = 0.077  # width of one character at the labels' size, where that is 10 pt
_BESIDE_IN = 1.1  # what the names of the rows take of a figure's width, likewise
BELOW_CAUSES, CAUSES, ABOVE_CAUSES = 1.0, 4.0, 5.0  # which is drawn over which


@dataclass(frozen=True)
class Look:
    """How a kind of bar is drawn: told apart by lightness or hatching, not by its colour alone."""

    face: str
    hatch: str
    edge: str
    text: str


STATES = {
    MASTER: Look(BLUE, "", BLUE, "white"),
    BACKUP: Look(PALE_BLUE, "", SKY_BLUE, BLACK),
    INIT: Look("white", "/////", VERMILLION, BLACK),
    NOT_RUNNING: Look("white", "xxxx", GREY, BLACK),
    HUNG: Look(YELLOW, "++", GREY, BLACK),
    UNKNOWN: Look(PALE_GREY, "", PALE_GREY, BLACK),
}
SPLIT = Look(PURPLE, "---", DARK_PURPLE, BLACK)
DELIVERED, NOTHING_DELIVERED = "delivered", "nothing delivered"
TRAFFIC = {
    DELIVERED: Look(PALE_GREY, "", GREY, BLACK),
    NOTHING_DELIVERED: Look(BLACK, "", BLACK, "white"),
}

Spans = Sequence[tuple[float, float, str]]
"""(start, end, state) in seconds."""


def character(axes: Axes) -> float:
    """Return the width of one character at the labels' size, as a part of the time axis."""
    figure = axes.get_figure(root=True)
    assert figure
    return scaled(CHARACTER_IN) / (figure.get_figwidth() - scaled(_BESIDE_IN))


def draw_bar(
    axes: Axes,
    row: float,
    span_s: tuple[float, float],
    look: Look,
    zorder: float = BELOW_CAUSES,
    never: bool = False,
) -> None:
    """Draw one bar; one that `never` ends is dashed and empty."""
    start_s, end_s = span_s
    axes.broken_barh(
        [(start_s, end_s - start_s)],
        (row - 0.36, 0.72),
        facecolor="white" if never else look.face,
        edgecolor=look.edge,
        hatch=look.hatch,
        linewidth=1.0,
        linestyle="--" if never else "-",
        zorder=zorder,
    )


def draw_bands(
    axes: Axes,
    row: float,
    spans: Iterable[tuple[float, float, str]],
    looks: Mapping[str, Look],
    character_s: float,
) -> None:
    """Draw (start, end, state) as a row of bands, named where there is room.

    `character_s` is the width of one character on the time axis.
    """
    for low, high, state in spans:
        look = looks.get(state, STATES[UNKNOWN])
        draw_bar(axes, row, (low, high), look)
        if high - low > (len(state) + 1) * character_s * 1.15:
            _name_band(axes, row, (low + high) / 2, state, look)


def clipped(spans: Spans, limits_s: tuple[float, float]) -> list[tuple[float, float, str]]:
    """Return what of the spans lies between two times."""
    inside = [(max(low, limits_s[0]), min(high, limits_s[1]), what) for low, high, what in spans]
    return [(low, high, what) for low, high, what in inside if high > low]


def traffic_spans(outages: Iterable[Outage], limits_s: tuple[float, float]) -> Spans:
    """Return when packets were delivered and when none was, between two times."""
    out = [(each.start_s, each.end_s, NOTHING_DELIVERED) for each in outages]
    out = clipped(out, limits_s)
    edges_s = [limits_s[0], *(t_s for low, high, _ in out for t_s in (low, high)), limits_s[1]]
    flowing = [
        (low, high, DELIVERED)
        for low, high in zip(edges_s[::2], edges_s[1::2], strict=True)
        if high > low
    ]
    return flowing + out


def draw_legend(axes: Axes, states: Collection[str]) -> None:
    """Say above the panel which look is which state."""
    patches = [
        Patch(facecolor=look.face, edgecolor=look.edge, hatch=look.hatch, label=state)
        for state, look in STATES.items()
        if state in states
    ]
    axes.legend(
        handles=patches, loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=len(patches),
        frameon=False, fontsize=scaled(8.5), handlelength=1.6, columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Give the panel one row for each name, the first at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def say(axes: Axes, text: str, row: int | None = None) -> None:
    """Write into a panel, or into one row of it, why it is empty."""
    if row is None:
        axes.set_yticks([])
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
    else:
        axes.text(0.5, row, text, transform=axes.get_yaxis_transform(), ha="center", va="center",
                  color=GREY)  # fmt: skip


def _name_band(axes: Axes, row: float, middle_s: float, state: str, look: Look) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2} if look.hatch else None
    weight = "bold" if state == MASTER else "normal"
    axes.text(
        middle_s, row, state, ha="center", va="center", fontsize=scaled(9), color=look.text,
        fontweight=weight, bbox=box,
    )  # fmt: skip

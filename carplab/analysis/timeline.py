"""The figure of one run on one time axis: faults, windows, CARP states and splits, and traffic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from carplab.analysis.bands import (
    ABOVE_CAUSES,
    BELOW_CAUSES,
    CAUSES,
    SPLIT,
    STATES,
    Look,
    character,
    draw_bands,
    draw_bar,
    draw_legend,
    name_rows,
    say,
)
from carplab.analysis.causes import Cause
from carplab.analysis.load import Run
from carplab.analysis.outages import Times
from carplab.analysis.states import Split, SplitPart, Track, describe, track_names
from carplab.analysis.stream import Stream
from carplab.analysis.style import (
    BLACK,
    BLUE,
    DARK_GREEN,
    GREEN,
    ORANGE,
    PALE_BLUE,
    SCREEN,
    SKY_BLUE,
    VERMILLION,
    Size,
    figure_style,
    scaled,
)
from carplab.analysis.text import length_text
from carplab.analysis.windows import Findings, Window

_BAND_IN = 0.3
_SPLIT_BANDS = 1.6  # height of the splits' row, in rows of the states
_STREAM_BIN_S = 0.1
_MOST_POINTS = 4000  # more are drawn as the range of their values, bin by bin
_MOST_INTERVALS = 1000
_BINS = 900
_LOG_FROM = 10.0  # a logarithmic axis, where the largest value is this many times the median
_MOST_VECTOR_BARS = 400
_ABOVE_LOST = ABOVE_CAUSES + 1


_WINDOWS = {
    "outage": Look(BLACK, "", BLACK, BLACK),
    "failover": Look(ORANGE, "", ORANGE, BLACK),
    "recovery": Look("white", "\\\\\\\\", GREEN, BLACK),
    "split": SPLIT,
}


def draw_timeline(run: Run, findings: Findings, size: Size = SCREEN) -> Figure:
    """Return the figure of a run; what is missing leaves an empty panel that says so."""
    with figure_style(size):
        bands = max(1, len(findings.tracks)) + (_SPLIT_BANDS if findings.splits else 0)
        heights_in = [_BAND_IN * len(_WINDOWS) + 0.1, _BAND_IN * bands + 0.15]
        heights_in += [1.5] * (run.has_ping + run.has_iperf) + [0.9] * (findings.stream is not None)
        layout = ConstrainedLayoutEngine(h_pad=0.06, hspace=0.02)
        height_in = scaled(sum(heights_in) + 2.2) * size.squeezed
        figure = Figure(figsize=(size.width_in, height_in), layout=layout)
        axes = figure.subplots(len(heights_in), 1, sharex=True, height_ratios=heights_in)
        start_s, end_s = _limits(run, findings)
        axes[0].set_xlim(start_s, end_s)
        _draw_windows(axes[0], findings, start_s, end_s)
        _draw_states(axes[1], findings.tracks, start_s, end_s)
        _draw_splits(axes[1], findings, (start_s, end_s))
        below = iter(axes[2:])
        if run.has_ping:
            _draw_ping(next(below), run.ping[run.ping["sent_t_s"].between(start_s, end_s)])
        if run.has_iperf:
            _draw_throughput(next(below), run.iperf)
        if findings.stream:
            _draw_stream(next(below), findings.stream, (start_s, end_s))
        _draw_causes(axes, findings.causes, (start_s, end_s))
        _shade(axes[1:], findings.windows, end_s)
        axes[-1].xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
        axes[-1].set_xlabel("seconds since the start of the measurement")
        _draw_title(figure, run)
        # The layout takes longer than the drawing: find it once, not again for each format.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def _limits(run: Run, findings: Findings) -> tuple[float, float]:
    """Return the time that is shown: what was measured, or everything if nothing was."""
    start_s = min([findings.settled_s, *(cause.t_s for cause in findings.causes)])
    if start_s >= findings.end_s:
        start_s = min((event.t_s for event in run.events), default=findings.end_s - 1.0)
    length_s = max(findings.end_s - start_s, 1e-3)
    return start_s - 0.01 * length_s, start_s + 1.01 * length_s


def _draw_title(figure: Figure, run: Run) -> None:
    about = run.about
    parts = [str(about.get("experiment", "")), run.dialect, str(about.get("run", run.folder.name))]
    if run.outcome != "finished":
        parts.append(f"NOT FINISHED ({run.outcome})")
    title = "  ·  ".join(part for part in parts if part)
    figure.suptitle(title, x=0.01, ha="left", fontsize=scaled(12), fontweight="bold")


# --- windows ----------------------------------------------------------------------------------


def _draw_windows(axes: Axes, findings: Findings, start_s: float, end_s: float) -> None:
    """Draw each window as a bar with its length beside it, one row a kind."""
    name_rows(axes, list(_WINDOWS))
    for row, (name, look) in enumerate(_WINDOWS.items()):
        windows = [each for each in findings.windows if each.window == name and each.length_s != 0]
        for window in windows:
            never = window.end_t_s is None
            span_s = window.start_t_s, _close(window, end_s)
            draw_bar(axes, row, span_s, look, ABOVE_CAUSES, never)
        causes_s = [cause.t_s for cause in findings.causes]
        _label(axes, row, windows, causes_s, (start_s, end_s))
    if findings.quality is None:
        say(axes, "no probe recorded: no outages known", row=0)


def _close(window: Window, end_s: float) -> float:
    return end_s if window.end_t_s is None else window.end_t_s


def _label(
    axes: Axes,
    row: int,
    windows: Sequence[Window],
    causes_s: Sequence[float],
    limits_s: tuple[float, float],
) -> None:
    """Write the lengths beside their bars, the longest first, as far as there is room.

    Where a neighbour's bar is in the way on both sides, the label stands behind that bar.
    """
    span_s = limits_s[1] - limits_s[0]
    gap_s = 0.005 * span_s
    bars = [(each.start_t_s, _close(each, limits_s[1])) for each in windows]
    taken = [(t_s, t_s) for t_s in causes_s] + bars
    for window in sorted(windows, key=lambda each: each.start_t_s - _close(each, limits_s[1])):
        text = length_text(window.length_s, window.at_least)
        wide_s = (len(text) + 1) * character(axes) * span_s
        end_s, left_s = _close(window, limits_s[1]), window.start_t_s - gap_s
        behind = sorted(end + gap_s for _, end in bars if end_s < end < end_s + wide_s)
        rights_s = [end_s + gap_s, *behind]
        places = [(low_s, low_s + wide_s) for low_s in rights_s]
        places.insert(1, (left_s - wide_s, left_s))
        for low_s, high_s in places:
            inside = limits_s[0] <= low_s and high_s <= limits_s[1]
            if inside and all(high_s < low or low_s > high for low, high in taken):
                x_s, align = (low_s, "left") if low_s in rights_s else (high_s, "right")
                axes.text(x_s, row, text, ha=align, va="center", fontweight="bold")
                taken.append((low_s, high_s))
                break


def _draw_causes(
    axes: Sequence[Axes], causes: Sequence[Cause], limits_s: tuple[float, float]
) -> None:
    """Mark faults and repairs in every panel, and name them above the first."""
    span_s = limits_s[1] - limits_s[0]
    ends_s = [float("-inf")] * 3
    for cause in causes:
        colour, dashes = (VERMILLION, "-") if cause.is_fault else (GREEN, (0, (4, 2)))
        for panel in axes:
            panel.axvline(cause.t_s, color=colour, linestyle=dashes, linewidth=1.5, zorder=CAUSES)
        text = str(cause)
        wide_s = (len(text) + 2) * character(axes[0]) * span_s
        fits = cause.t_s + wide_s <= limits_s[1]
        left_s = cause.t_s if fits else cause.t_s - wide_s
        level = next((n for n, end_s in enumerate(ends_s) if end_s <= left_s), None)
        if level is None:
            continue
        ends_s[level] = left_s + wide_s
        axes[0].annotate(
            text,
            (cause.t_s, 1.0),
            (0, scaled(5 + 13 * level)),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=VERMILLION if cause.is_fault else DARK_GREEN,
            fontweight="bold",
            ha="left" if fits else "right",
        )


def _shade(axes: Iterable[Axes], windows: Iterable[Window], end_s: float) -> None:
    """Shade failovers and recoveries in the panels below."""
    for window in windows:
        if window.window not in ("failover", "recovery"):
            continue
        colour = ORANGE if window.window == "failover" else GREEN
        for panel in axes:
            panel.axvspan(
                window.start_t_s,
                _close(window, end_s),
                color=colour,
                alpha=0.16,
                linewidth=0,
                zorder=0,
            )


# --- CARP states ------------------------------------------------------------------------------


def _draw_states(axes: Axes, tracks: Sequence[Track], start_s: float, end_s: float) -> None:
    """Draw the state of each virtual host on each host as bands."""
    if not tracks:
        say(axes, "no CARP states recorded")
        return
    name_rows(axes, track_names(tracks))
    spans = [track.spans(start_s, end_s) for track in tracks]
    for row, bands in enumerate(spans):
        draw_bands(axes, row, bands, STATES, character(axes) * (end_s - start_s))
    draw_legend(axes, {state for bands in spans for _, _, state in bands})


def _draw_splits(axes: Axes, findings: Findings, limits_s: tuple[float, float]) -> None:
    """Draw the splits behind the states, and in a row of their own who was MASTER where then."""
    if not findings.splits:
        return
    tracks = len(findings.tracks)
    row = tracks - 0.5 + _SPLIT_BANDS / 2
    names = [label.get_text() for label in axes.get_yticklabels()]
    axes.set_yticks([*range(tracks), row], [*names, "split"])
    axes.set_ylim(tracks - 0.5 + _SPLIT_BANDS, -0.5)
    for split in findings.splits:
        axes.axvspan(
            split.start_s, split.end_s, facecolor="none", edgecolor=SPLIT.edge, hatch="////",
            linewidth=0, zorder=0.5,
        )  # fmt: skip
        axes.broken_barh(
            [(part.start_s, part.length_s) for part in split.parts], (row - 0.7, 1.4),
            facecolor=SPLIT.face, edgecolor=SPLIT.edge, hatch=SPLIT.hatch, zorder=BELOW_CAUSES,
        )  # fmt: skip
    taken = [(split.start_s, split.end_s) for split in findings.splits]
    taken += [(cause.t_s, cause.t_s) for cause in findings.causes]
    for split in sorted(findings.splits, key=lambda split: -split.length_s):
        taken += _name_split(axes, row, split, taken, limits_s)


def _name_split(
    axes: Axes,
    row: float,
    split: Split,
    taken: Sequence[tuple[float, float]],
    limits_s: tuple[float, float],
) -> list[tuple[float, float]]:
    """Write who was MASTER into the parts with room for it, of others the longest one's beside.

    Returns the time that this takes beside the split.
    """
    span_s = limits_s[1] - limits_s[0]
    longest = max(split.parts, key=lambda part: part.length_s)
    for part in split.parts:
        text = _who(part)
        wide_s = (max(map(len, text.splitlines())) + 1) * character(axes) * 0.8 * span_s
        if wide_s <= part.length_s:
            _write_who(axes, (part.start_s + part.end_s) / 2, row, text)
        elif part is longest:
            right_s, left_s = split.end_s + 0.003 * span_s, split.start_s - 0.003 * span_s
            for low_s, high_s in ((right_s, right_s + wide_s), (left_s - wide_s, left_s)):
                inside = limits_s[0] <= low_s and high_s <= limits_s[1]
                if inside and all(high_s <= low or low_s >= high for low, high in taken):
                    _write_who(axes, (low_s + high_s) / 2, row, text)
                    return [(low_s, high_s)]
    return []


def _write_who(axes: Axes, x_s: float, row: float, text: str) -> None:
    axes.text(
        x_s, row, text, ha="center", va="center", fontsize=scaled(8), zorder=ABOVE_CAUSES,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
    )  # fmt: skip


def _who(part: SplitPart) -> str:
    """Return who was MASTER, a line for each segment."""
    segments = dict.fromkeys(segment for segment, _ in part.masters)
    return "\n".join(
        describe({place: hosts for place, hosts in part.masters.items() if place[0] == segment})
        for segment in segments
    )


# --- traffic ----------------------------------------------------------------------------------


def _draw_ping(axes: Axes, ping: pd.DataFrame) -> None:
    """Draw the round-trip times, and the probes that were lost in a strip above them."""
    axes.set_ylabel("ping RTT (ms)")
    sent_s, rtt_ms = ping["sent_t_s"].to_numpy(), ping["rtt_ms"].to_numpy()
    if not sent_s.size:
        say(axes, "no ping recorded")
        return
    heard_ms = rtt_ms[~np.isnan(rtt_ms)]
    if heard_ms.size:
        if sent_s.size > _MOST_POINTS:
            _draw_binned(axes, sent_s, rtt_ms)
        else:
            axes.plot(sent_s, rtt_ms, color=BLUE, linewidth=0.9)
        _scale_rtt(axes, heard_ms)
    _draw_lost(axes, sent_s, np.isnan(rtt_ms))


def _draw_binned(axes: Axes, times_s: Times, values: Times) -> None:
    """Draw the range and the median of each bin of time, for very many points."""
    bins = pd.cut(times_s, _BINS, labels=False, include_lowest=True)
    grouped = pd.DataFrame({"t": times_s, "v": values}).groupby(bins)
    middles_s = grouped["t"].mean().to_numpy()
    low, middle, high = (grouped["v"].agg(name).to_numpy() for name in ("min", "median", "max"))
    axes.fill_between(middles_s, low, high, color=BLUE, alpha=0.35, linewidth=0.4, label="range")
    axes.plot(middles_s, middle, color=BLUE, linewidth=0.9)


def _scale_rtt(axes: Axes, heard_ms: Times) -> None:
    low, middle, high = float(heard_ms.min()), float(np.median(heard_ms)), float(heard_ms.max())
    if low > 0 and high > _LOG_FROM * middle:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.5, high * (high / low) ** 0.4)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    else:
        axes.set_ylim(0, high * 1.5 or 1.0)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)


def _draw_lost(axes: Axes, sent_s: Times, lost: Any) -> None:
    """Draw runs of lost probes as bars in the strip at the top of the panel."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], lost.astype(np.int8), [0]))))
    firsts_s, lasts_s = sent_s[edges[0::2]], sent_s[edges[1::2] - 1]
    bars = [(low, high - low) for low, high in zip(firsts_s, lasts_s, strict=True)]
    axes.broken_barh(
        bars, (0.86, 0.1), transform=axes.get_xaxis_transform(), facecolor=BLACK, edgecolor=BLACK,
        linewidth=0.8, zorder=ABOVE_CAUSES, rasterized=len(bars) > _MOST_VECTOR_BARS,
    )  # fmt: skip
    count = int(lost.sum())
    axes.text(
        0.995, 0.91, f"lost: {count} of {sent_s.size}", transform=axes.transAxes, ha="right",
        va="center", fontsize=scaled(9), zorder=_ABOVE_LOST,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip


def _draw_throughput(axes: Axes, iperf: pd.DataFrame) -> None:
    """Draw the throughput that the receiver saw, interval by interval."""
    axes.set_ylabel("TCP (Mbit/s)\nat the receiver")
    if iperf.empty:
        say(axes, "no iperf recorded")
        return
    bounds_s = iperf[["start_t_s", "end_t_s"]].to_numpy()
    mbps = iperf["throughput_mbps"].to_numpy()
    if mbps.size > _MOST_INTERVALS:
        _draw_binned(axes, bounds_s.mean(axis=1), mbps)
    else:
        times_s, steps = bounds_s.ravel(), np.repeat(mbps, 2)
        axes.fill_between(times_s, steps, color=PALE_BLUE, linewidth=0)
        axes.plot(times_s, steps, color=BLUE, linewidth=0.9)
    axes.set_ylim(0, float(mbps.max()) * 1.1 or 1.0)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)


def _draw_stream(axes: Axes, stream: Stream, limits_s: tuple[float, float]) -> None:
    """Draw how many of the stream's messages were received; what was held up comes in one burst."""
    axes.set_ylabel("stream\n(messages/s)")
    edges_s = np.arange(limits_s[0], limits_s[1] + _STREAM_BIN_S, _STREAM_BIN_S)
    rates = np.histogram(stream.received_s, edges_s)[0] / _STREAM_BIN_S
    axes.stairs(rates, edges_s, fill=True, color=SKY_BLUE)
    usual = float(np.median(rates[rates > 0])) if rates.any() else 1.0
    axes.set_ylim(0, 1.8 * usual)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    longest = max(stream.gaps, key=lambda gap: gap.length_s, default=None)
    gap = f", longest gap {length_text(longest.length_s, longest.open_end)}" if longest else ""
    axes.text(
        0.995, 0.86, stream.story + ("" if stream.broken else gap), transform=axes.transAxes,
        ha="right", va="center", fontsize=scaled(9),
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip

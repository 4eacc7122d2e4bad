"""The states of all machines side by side through a recovery: figure and table.

It answers at a glance: does what was restored show BACKUP or MASTER, for how long, who else is
MASTER meanwhile, and does traffic flow? The place that was restored comes first, each machine's
virtual host with the switch port that its cable is in, where the port's states were recorded. Times
count from the first repair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from carplab import recording
from carplab.analysis.bands import (
    CAUSES,
    CHARACTER_IN,
    NOTHING_DELIVERED,
    SPLIT,
    STATES,
    TRAFFIC,
    Look,
    Spans,
    clipped,
    draw_bands,
    draw_legend,
    name_rows,
    traffic_spans,
)
from carplab.analysis.causes import Cause
from carplab.analysis.load import Event, Run, VirtualHostKey
from carplab.analysis.outages import Outage, find_outages
from carplab.analysis.states import History, Track, track_names
from carplab.analysis.style import BLACK, GREEN, GREY, SCREEN, Size, figure_style, scaled
from carplab.analysis.text import csv_text, length_text
from carplab.analysis.windows import Findings
from carplab.network import place_text

BEFORE_S = 2.0  #: shown of the time before the repair
_ROW_IN = 0.3
_SHORTEST_S = 0.001
_MOST_STATES = 4  # told in words beside a row
_PORTS = {
    "disabled": Look(GREY, "", GREY, "white"),
    "blocking": Look(GREY, "", GREY, "white"),
    "listening": Look("white", "....", GREY, BLACK),
    "learning": Look("white", "||||", GREY, BLACK),
    "forwarding": Look("white", "", GREY, BLACK),
}

Port = tuple[str, str]
"""A machine and its place, as `fw1` and `outside/2`."""


@dataclass(frozen=True)
class _Row:
    """A row of the figure; `restored` rows stand out, `said` stands beside them."""

    name: str
    spans: Spans
    looks: Mapping[str, Look]
    said: str
    restored: bool = False


def restored(findings: Findings) -> Cause | None:
    """Return the repair that figure and table are about; None without one, or without states."""
    repairs = (cause for cause in findings.causes if not cause.is_fault)
    return next(repairs, None) if findings.tracks else None


def sides_csv(findings: Findings, repair: Cause) -> str:
    """Return sides.csv: the states of every virtual host on every machine around a repair."""
    start_s, end_s = _limits(findings, repair)
    return csv_text(
        recording.SIDES.columns,
        (
            [
                track.key.host,
                place_text(track.key.segment, track.key.cable),
                str(track.key.vhid),
                state,
                f"{low - repair.t_s:.6f}",
                f"{high - repair.t_s:.6f}",
            ]
            for track in findings.tracks
            for low, high, state in track.spans(start_s, end_s)
        ),
    )


def draw_sides(run: Run, findings: Findings, repair: Cause, size: Size = SCREEN) -> Figure:
    """Return the figure of a run that recorded states."""
    start_s, end_s = _limits(findings, repair)
    rows = list(_rows(run, findings, repair))
    with figure_style(size):
        layout = ConstrainedLayoutEngine(h_pad=0.06)
        figure = Figure(figsize=(size.width_in, scaled(_ROW_IN * len(rows) + 1.2)), layout=layout)
        axes = figure.subplots()
        axes.set_xlim(start_s - repair.t_s, end_s - repair.t_s)
        _frame(axes, rows)
        parts = (str(run.about.get("experiment", "")), run.dialect, str(repair))
        title = "  ·  ".join(part for part in parts if part)
        figure.suptitle(title, x=0.01, ha="left", fontsize=scaled(12), fontweight="bold")
        # What stands beside the axis decides how wide it is, and so which bands can have names.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        inches = axes.get_position().width * size.width_in
        character_s = (end_s - start_s) / inches * scaled(CHARACTER_IN)
        for number, row in enumerate(rows):
            spans = [(low - repair.t_s, high - repair.t_s, state) for low, high, state in row.spans]
            draw_bands(axes, number, spans, row.looks, character_s)
    return figure


def _frame(axes: Axes, rows: Sequence[_Row]) -> None:
    """Draw all but the bands."""
    name_rows(axes, [row.name for row in rows])
    for number, (row, label) in enumerate(zip(rows, axes.get_yticklabels(), strict=True)):
        label.set_fontweight("bold" if row.restored else "normal")
        beside = axes.get_yaxis_transform()
        axes.text(1.01, number, row.said, transform=beside, va="center", fontsize=scaled(9))
    draw_legend(axes, {state for row in rows for _, _, state in row.spans})
    axes.axvline(0, color=GREEN, linestyle=(0, (4, 2)), linewidth=1.5, zorder=CAUSES)
    axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
    axes.spines["bottom"].set_visible(True)
    axes.tick_params(axis="x", length=3.5)
    axes.set_xlabel("seconds after the repair")


def find_ports(events: Iterable[Event]) -> dict[Port, History]:
    """Return the states of each switch port that a machine is plugged into, where recorded."""
    changes: dict[Port, list[tuple[float, str]]] = {}
    for event in events:
        old, arrow, new = event.detail.partition(" -> ")
        if event.kind == "port-state" and arrow:
            known = changes.setdefault((event.source, event.place), [(float("-inf"), old)])
            known.append((event.t_s, new))
    return {
        port: History(tuple(t_s for t_s, _ in known), tuple(state for _, state in known))
        for port, known in changes.items()
    }


def _limits(findings: Findings, repair: Cause) -> tuple[float, float]:
    return repair.t_s - BEFORE_S, max(findings.end_s, repair.t_s)


def _rows(run: Run, findings: Findings, repair: Cause) -> Iterator[_Row]:
    limits_s = _limits(findings, repair)
    ports = find_ports(run.events)
    names = dict(zip((t.key for t in findings.tracks), track_names(findings.tracks), strict=True))
    for track in _nearest_first(findings.tracks, repair):
        key = track.key
        told = _told(track, repair.t_s, limits_s[1])
        yield _Row(names[key], track.spans(*limits_s), STATES, told, _is_restored(key, repair))
        port = ports.pop((key.host, place_text(key.segment, key.cable)), None)
        if port is not None:
            told = _told(port, repair.t_s, limits_s[1])
            yield _Row("its switch port", port.spans(*limits_s), _PORTS, told)
    for (host, place), port in ports.items():
        if host == repair.host:  # a cable without a virtual host of its own
            told = _told(port, repair.t_s, limits_s[1])
            yield _Row(f"port of {host} {place}", port.spans(*limits_s), _PORTS, told)
    yield _split_row(findings, repair, limits_s)
    if findings.quality is not None:
        several = bool(run.further_probes)
        name = " to ".join(run.flow) if several else "traffic"
        yield _traffic_row(name, findings.outages, repair, limits_s)
    for flow, probe in run.further_probes.items():
        measured = probe[probe["sent_t_s"].between(findings.settled_s, findings.end_s)]
        outages = find_outages(
            measured["sent_t_s"].to_numpy(), measured["returned_t_s"].to_numpy()
        )
        yield _traffic_row(" to ".join(flow), outages, repair, limits_s)


def _nearest_first(tracks: Sequence[Track], repair: Cause) -> list[Track]:
    """Return the tracks of the restored segment first, in each place what was restored first."""
    segments = list(dict.fromkeys(track.key.segment for track in tracks))
    return sorted(
        tracks,
        key=lambda track: (
            repair.segment not in ("", track.key.segment),
            segments.index(track.key.segment),
            track.key.vhid,
            not _is_restored(track.key, repair),
        ),
    )


def _is_restored(key: VirtualHostKey, repair: Cause) -> bool:
    struck = ("", 1), (key.segment, key.cable)
    return key.host == repair.host and (repair.segment, repair.cable) in struck


def _told(history: History, from_s: float, end_s: float) -> str:
    """Say which states came one after the other, and how long each lasted but the last.

    What lasted less than `_SHORTEST_S` is passed over: the repair's own stamp is no better.
    """
    spans = [span for span in history.spans(from_s, end_s) if span[1] - span[0] >= _SHORTEST_S]
    told = [f"{state} {length_text(high - low)}" for low, high, state in spans[:-1]]
    told.append(spans[-1][2] if spans else "")
    if len(told) > _MOST_STATES:
        told = [*told[: _MOST_STATES - 1], f"... {told[-1]}"]
    return ", ".join(told)


def _split_row(findings: Findings, repair: Cause, limits_s: tuple[float, float]) -> _Row:
    parts = [part for split in findings.splits for part in split.parts]
    spans = clipped([(part.start_s, part.end_s, part.who) for part in parts], limits_s)
    looks = dict.fromkeys((part.who for part in parts), SPLIT)
    split_s = sum(high - low for low, high, _ in clipped(spans, (repair.t_s, limits_s[1])))
    at_least = any(split.open_end for split in findings.splits)
    return _Row("split", spans, looks, length_text(split_s, at_least))


def _traffic_row(
    name: str, outages: Sequence[Outage], repair: Cause, limits_s: tuple[float, float]
) -> _Row:
    spans = traffic_spans(outages, limits_s)
    out = [(low, high, what) for low, high, what in spans if what == NOTHING_DELIVERED]
    out_s = sum(high - low for low, high, _ in clipped(out, (repair.t_s, limits_s[1])))
    length = length_text(out_s, any(each.open_end for each in outages))
    return _Row(name, spans, TRAFFIC, f"{NOTHING_DELIVERED} {length}")

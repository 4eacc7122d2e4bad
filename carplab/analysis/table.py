"""Windows as files and on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from carplab import recording
from carplab.analysis.flows import WHOLE_RUN, FlowRow
from carplab.analysis.series import Statistic
from carplab.analysis.summary import worst_split
from carplab.analysis.text import csv_text, length_text, theory_text
from carplab.analysis.windows import Findings, Window

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table

HIDDEN = ("outage_to_server",)
NUMBERS = ("length", "n", "median", "min", "max", "theory s", "sent", "lost")


def windows_csv(windows: Iterable[Window]) -> str:
    """Return windows.csv: seconds with microseconds, blank where there is no value."""
    return csv_text(recording.WINDOWS.columns, (_cells(window) for window in windows))


def series_csv(findings: Mapping[str, Findings]) -> str:
    """Return the windows.csv of a series: all windows, the repetition in front."""
    rows = ([name, *_cells(window)] for name, found in findings.items() for window in found.windows)
    return csv_text(recording.SERIES_WINDOWS.columns, rows)


def flows_csv(flows: Iterable[FlowRow]) -> str:
    """Return flows.csv."""
    rows = (
        [row.client, row.server, row.cause, f"{row.outage_s:.6f}", str(row.sent), str(row.lost)]
        for row in flows
    )
    return csv_text(recording.FLOWS.columns, rows)


def run_table(findings: Findings) -> Table:
    """Return the windows of a run as a table for the terminal."""
    rows = [
        [
            window.cause,
            window.window,
            window.segment,
            length_text(window.length_s, window.at_least),
            theory_text(window.theory_s),
            window.detail,
        ]
        for window in findings.windows
        if window.window not in HIDDEN
    ]
    columns = ("after", "window", "segment", "length", "theory s", "remarks")
    return _table("Windows", columns, rows)


def flows_table(findings: Findings) -> Table:
    """Return what each flow of a run lost as a table for the terminal."""
    return _table("Flows", ("flow", *flow_columns(findings)), flow_rows(findings))


def flow_columns(findings: Findings) -> list[str]:
    """Return the columns of a table of flows: what it sent and lost, its outages by cause."""
    return ["sent", "lost", *(f"outage at {cause.name}" for cause in findings.causes)]


def flow_rows(findings: Findings) -> list[list[str]]:
    """Return the rows of a table of flows, the flow's name in front."""
    found = {(row.client, row.server, row.cause): row for row in findings.flows}
    return [
        [
            f"{row.client} to {row.server}",
            str(row.sent),
            str(row.lost),
            *(
                length_text(found[row.client, row.server, cause.name].outage_s)
                for cause in findings.causes
            ),
        ]
        for row in findings.flows
        if row.cause == WHOLE_RUN
    ]


def has_several_flows(findings: Findings) -> bool:
    """Tell whether a table of flows says more than the windows do."""
    return len({(row.client, row.server) for row in findings.flows}) > 1


def worst_text(findings: Findings) -> str:
    """Return the sentence about the worst split of a run, or that there was none."""
    worst = worst_split(findings)
    return worst.text if worst else "no split"


def worst_of_series(findings: Mapping[str, Findings]) -> str:
    """Return the sentence about the worst split of all repetitions, or that there was none."""
    splits = {name: worst for name, each in findings.items() if (worst := worst_split(each))}
    if not splits:
        return "no split"
    name = max(splits, key=lambda each: splits[each].length_s)
    return f"{splits[name].text}, in repetition {name}"


def series_table(statistics: Iterable[Statistic]) -> Table:
    """Return median and range of every window of a series as a table for the terminal."""
    rows = [
        [statistic.cause, statistic.window, *statistic_cells(statistic)]
        for statistic in statistics
        if statistic.window not in HIDDEN
    ]
    columns = ("after", "window", "n", "median", "min", "max", "theory s")
    return _table("Windows over the repetitions", columns, rows)


def statistic_cells(statistic: Statistic) -> list[str]:
    """Return n, median, min, max and theory of a statistic as text."""
    count = len(statistic.lengths_s)
    number = str(count) if count == statistic.runs else f"{count} of {statistic.runs}"
    if not count:
        return [number, "never", "", "", theory_text(statistic.theory_s)]
    lengths_s = statistic.median_s, statistic.shortest_s, statistic.longest_s
    return [number, *map(length_text, lengths_s), theory_text(statistic.theory_s)]


def _cells(window: Window) -> list[str]:
    times = (window.start_t_s, window.end_t_s, window.length_s)
    numbers = ["" if value is None else f"{value:.6f}" for value in times]
    theory = f"theory {theory_text(window.theory_s)} s" if window.theory_s else ""
    detail = "; ".join(part for part in (window.detail, theory) if part)
    return [window.window, window.cause, window.segment, *numbers, detail]


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Build a table of one line a row: on a narrow terminal the remarks give way, nothing else."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for column in columns:
        numeric = column in NUMBERS or column.startswith("outage at")
        justify: JustifyMethod = "right" if numeric else "left"
        table.add_column(column, justify=justify, no_wrap=column != "remarks")
    for row in rows:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    return table

"""Builds docs/the-mail.md from its template and the published tables: it cannot drift from them.

The template says what it means in words and asks these for every number and verdict:

    {{ seconds("c3-stp", "openbsd", "split_s") }}       29.1 s (28.9 to 29.4)
    {{ median("c3-stp", "openbsd", "split_s") }}        29.1 s
    {{ shows("c3-stp", "openbsd") }}                    BACKUP 3.00 s, then MASTER
    {{ runs("c3-stp", "openbsd", "split_who") }}        what text was recorded, and how often
    {{ counted("C3", "stp", "openbsd") }}               10 of 10
    {{ verdict("C3", "stp", "openbsd") }}               reproduced
    {{ overall("C3") }}                                 only under: stp, loop
    {{ conditions("C3") }}                              a list of its conditions
    {{ table("C3") }}, {{ figure("C3") }}               what was measured, and its figure
    {{ table("C3", "stp", "loop") }}                    what was measured in these conditions
    {{ flows("c5-plain", "openbsd") }}                  the packets that each flow lost
    {{ sides("c3-stp") }}                               both hosts' states side by side
    {{ lanes() }}                                       how several runs at once compare with one
    {% set c = claim("C3") %} {{ c.title }} ...         the claim itself

The columns of runs.csv and the lengths of verdicts.csv are the numbers there are.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from carplab.errors import CarplabError
from carplab.mail import publish
from carplab.mail.claims import claim
from carplab.mail.facts import COLUMNS, Facts, read_facts
from carplab.mail.series import BY_NAME
from carplab.mail.verdicts import (
    LENGTHS,
    OVERALL,
    Verdict,
    count,
    find_row,
    group,
    read_verdicts,
    restored_shows,
)
from carplab.scenario import LINK_DOWN
from topo.firewall_pair import BOTH, IPV4, IPV6, SINGLE

DOCUMENT = publish.PROJECT / "docs" / "the-mail.md"
TEMPLATE = DOCUMENT.with_name(DOCUMENT.name + ".j2")
FIGURES = "../results/reference/mail"

_FAMILIES = {IPV6: "IPv6", BOTH: "IPv4 and IPv6"}
_SENDERS = {
    "server": "the server",
    "client": "the client",
    "echo": "the client, and echoed by the server",
}
_LENGTH_TITLES = {
    "outage_fault_s": "outage at the fault",
    "outage_repair_s": "outage at the repair",
    "split_s": "split at the repair",
    "recovery_s": "recovery",
}
_TEXT_TITLES = {
    "C0": {"connection": "the connection"},
    "C3": {"restored_shows": "restored interface"},
    "C4": {"restored_shows": "restored interface"},
}


def build_document() -> Path:
    """Write the document anew, and return where it is."""
    publish.write(DOCUMENT, render(publish.read_text(TEMPLATE)).encode())
    return DOCUMENT


def render(template: str, folder: Path = publish.PUBLISHED) -> str:
    """Return the document that this template gives with the tables in a folder.

    CarplabError where the template asks for what is not in them, or is wrong itself.
    """
    numbers = Numbers(folder)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.globals.update(numbers.functions())
    try:
        return environment.from_string(template).render()
    except jinja2.TemplateSyntaxError as error:
        raise CarplabError(f"the template is wrong in line {error.lineno}: {error}") from None
    except jinja2.TemplateError as error:
        raise CarplabError(f"the template asks for what is not there: {error}") from None


class Numbers:
    """What the template may ask for."""

    def __init__(self, folder: Path) -> None:
        runs = read_facts(publish.read_text(folder / publish.RUNS_FILE))
        self._runs = group(runs)
        self._verdicts = read_verdicts(publish.read_text(folder / publish.VERDICTS_FILE))
        self._folder = folder

    def functions(self) -> Mapping[str, Any]:
        """Return them by the names they have in the template."""
        return {
            "claim": claim,
            "conditions": conditions,
            "counted": self.counted,
            "figure": figure,
            "flows": self.flows,
            "lanes": self.lanes,
            "median": self.median,
            "overall": self.overall,
            "runs": self.runs,
            "seconds": self.seconds,
            "shows": self.shows,
            "sides": sides,
            "table": self.table,
            "verdict": self.verdict,
        }

    def seconds(self, series: str, dialect: str, name: str) -> str:
        """Return median (shortest to longest) of a length."""
        lengths_s = self._lengths_s(series, dialect, name)
        return spread_text(statistics.median(lengths_s), min(lengths_s), max(lengths_s))

    def median(self, series: str, dialect: str, name: str) -> str:
        """Return the median of a length."""
        return length_text(statistics.median(self._lengths_s(series, dialect, name)))

    def shows(self, series: str, dialect: str) -> str:
        """Return what the restored interface showed from the repair on."""
        return restored_shows(self._finished(series, dialect))

    def runs(self, series: str, dialect: str, name: str) -> str:
        """Return the texts of a column of runs.csv, the commonest first, with their counts."""
        texts = Counter(str(_known(run, name)) for run in self._finished(series, dialect))
        many = len(texts) > 1
        return ", ".join(
            f"{text} ({often} times)" if many else text for text, often in texts.most_common()
        )

    def counted(self, identity: str, condition: str, dialect: str) -> str:
        """Return how many of the runs bear a claim out."""
        chosen = claim(identity)
        series = chosen.series(condition)
        return str(count(chosen, self._all(series.name, dialect)))

    def verdict(self, identity: str, condition: str, dialect: str) -> str:
        """Return the verdict on one condition."""
        return self._row(identity, condition, dialect)["verdict"]

    def overall(self, identity: str) -> str:
        """Return the verdict on a claim."""
        return self._row(identity, OVERALL, "")["verdict"]

    def table(self, identity: str, *chosen: str) -> str:
        """Return what was measured of a claim as a table in Markdown: all, or these conditions."""
        rows = [
            row
            for row in self._verdicts
            if row["claim"] == identity
            and row["condition"] != OVERALL
            and (not chosen or row["condition"] in chosen)
        ]
        if not rows:
            raise CarplabError(f"nothing was measured of {identity}")
        shown = [name for name in LENGTHS if any(row[f"{name}_median"] for row in rows)]
        texts = _TEXT_TITLES.get(identity, {})
        titles = ["condition", "dialect", "n", *(_LENGTH_TITLES[name] for name in shown)]
        titles += ["lost packets", *texts.values(), "verdict"]
        lines = [titles, ["---"] * len(titles)]
        for row in rows:
            cells = [row["condition"], row["dialect"], row["n"]]
            cells += [_cell(row, name) for name in shown]
            cells.append(f"{row['packets_lost']} of {row['packets_sent']}")
            lines.append([*cells, *(row[name] for name in texts), row["verdict"]])
        return _markdown(lines)

    def flows(self, series: str, dialect: str) -> str:
        """Return the packets that each flow lost as a table in Markdown: clients by servers."""
        lost: dict[str, dict[str, list[int]]] = {}
        for run in self._finished(series, dialect):
            for part in run.flows_lost.split("; "):
                flow, _, number = part.rpartition(" ")
                client, _, server = flow.partition(">")
                lost.setdefault(client, {}).setdefault(server, []).append(int(number))
        servers = list(dict.fromkeys(server for by_server in lost.values() for server in by_server))
        titles = ["lost packets", *(f"to {server}" for server in servers)]
        lines = [titles, ["---"] * len(titles)]
        for client, by_server in lost.items():
            lines.append([client, *(_count_text(by_server[server]) for server in servers)])
        return _markdown(lines)

    def lanes(self) -> str:
        """Return lanes.csv as a table in Markdown, in milliseconds."""
        text = publish.read_text(self._folder / publish.LANES_FILE)
        rows = list(csv.DictReader(io.StringIO(text)))
        several = f"{rows[0]['lanes']} at once" if rows else "several at once"
        titles = ["milliseconds", "n", "one at a time", several, "difference run by run"]
        lines = [titles, ["---"] * len(titles)]
        for row in rows:
            spreads = [
                [f"{float(row[f'{which}_{how}']) * 1000:.1f}" for how in hows]
                for which, hows in (
                    ("one", ("median", "min", "max")),
                    ("several", ("median", "min", "max")),
                    ("difference", ("median", "least", "most")),
                )
            ]
            name = row["number"].removesuffix("_s").replace("_", ", ")
            lines.append([name, row["n"], *(f"{a} ({b} to {c})" for a, b, c in spreads)])
        return _markdown(lines)

    def _row(self, identity: str, condition: str, dialect: str) -> Verdict:
        row = find_row(self._verdicts, identity, condition, dialect)
        if row is None:
            raise CarplabError(f"there is no verdict on {identity}, {condition} {dialect}".rstrip())
        return row

    def _all(self, series: str, dialect: str) -> Sequence[Facts]:
        if (series, dialect) not in self._runs:
            raise CarplabError(f"there are no runs of {series} with {dialect}")
        return self._runs[series, dialect]

    def _finished(self, series: str, dialect: str) -> Sequence[Facts]:
        return [run for run in self._all(series, dialect) if run.finished]

    def _lengths_s(self, series: str, dialect: str, name: str) -> list[float]:
        values = [_known(run, LENGTHS.get(name, name)) for run in self._finished(series, dialect)]
        lengths_s = [float(value) for value in values if isinstance(value, (int, float))]
        if not lengths_s:
            raise CarplabError(f"no run of {series} with {dialect} has a number {name}")
        return lengths_s


def conditions(identity: str) -> str:
    """Return the conditions of a claim as a list in Markdown: the network and what happens."""
    chosen = claim(identity)
    lines = []
    for condition in chosen.conditions:
        series = chosen.series(condition)
        words = [] if series.design == SINGLE else [f"design {series.design}"]
        words += [] if series.family == IPV4 else [_FAMILIES[series.family]]
        words += [] if series.firewalls == 2 else [f"{series.firewalls} firewalls"]
        words += [f"`--set {setting}`" for setting in series.settings]
        place = f" of {series.host}, {series.segment}" if series.fault == LINK_DOWN else ""
        words.append(f"{series.fault}{place}")
        words += [f"TCP from {_SENDERS[series.stream]}"] if series.stream else []
        lines.append(f"- `{condition}`: {', '.join(words)}")
    return "\n".join(lines)


def figure(identity: str) -> str:
    """Return the figure of a claim, in Markdown."""
    return f"![{claim(identity).title}]({FIGURES}/{publish.figure_name(identity)}.png)"


def sides(series: str) -> str:
    """Return the figure of both hosts' states in a series, and where its events are."""
    if series not in BY_NAME:
        raise CarplabError(f"there is no series {series!r}: there are {', '.join(BY_NAME)}")
    figure, events = publish.sides_name(series), publish.events_name(series)
    return (
        f"![Both firewalls' states around the repair: {series}]({FIGURES}/{figure}.png)\n\n"
        f"*Every event of this run: [{events}]({FIGURES}/{events}).*"
    )


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _count_text(numbers: Sequence[int]) -> str:
    return f"{statistics.median(numbers):g} ({min(numbers)} to {max(numbers)})"


def length_text(length_s: float) -> str:
    """Return a length for people: ms below a tenth of a second, three significant digits above."""
    if abs(length_s) < 0.1:
        return f"{length_s * 1000:.1f} ms"
    return f"{length_s:.1f} s" if abs(length_s) >= 10 else f"{length_s:.2f} s"


def spread_text(median_s: float, least_s: float, most_s: float) -> str:
    """Return median (least to most) in one unit; 0 where all are."""
    if least_s == most_s == 0:
        return "0"
    if max(abs(least_s), abs(most_s)) < 0.1:
        low, middle, high = (f"{value * 1000:.1f}" for value in (least_s, median_s, most_s))
        return f"{middle} ms ({low} to {high})"
    digits = 1 if abs(median_s) >= 10 else 2
    low, middle, high = (f"{value:.{digits}f}" for value in (least_s, median_s, most_s))
    return f"{middle} s ({low} to {high})"


def _cell(row: Verdict, name: str) -> str:
    numbers = [row[f"{name}_{how}"] for how in ("median", "min", "max")]
    if not all(numbers):
        return "" if row["n"] == "0" else "never"
    return spread_text(*map(float, numbers))


def _known(run: Facts, name: str) -> Any:
    if name not in COLUMNS:
        raise CarplabError(f"runs.csv has no column {name!r}: there are {', '.join(COLUMNS)}")
    return getattr(run, name)

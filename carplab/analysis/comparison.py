"""Runs and series side by side: what was set otherwise, and the windows in the same columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from carplab.analysis.analysed import Analysed, AnalysedRun, AnalysedSeries, experiment_of
from carplab.analysis.load import Run, mapping, sequence
from carplab.analysis.question import planned, traffic
from carplab.analysis.series import Statistic
from carplab.analysis.table import HIDDEN
from carplab.analysis.text import theory_text
from carplab.analysis.theory import range_text
from carplab.errors import CarplabError, UsageError, listed

MOST_ABREAST = 4  #: columns of one table on an A4 page
_MACHINE = ("kernel", "datapath", "congestion_control", "cpus")
_OF_FIREWALLS = ("preempt", "arp_balance", "nat", "tcp_loose", "extensions")


@dataclass(frozen=True)
class Column:
    """One of the things compared; `typical` is the run itself, or a series' middle one."""

    letter: str
    entry: Analysed
    typical: AnalysedRun
    statistics: Mapping[tuple[str, str], Statistic]

    @property
    def name(self) -> str:
        """What tells it from the others in a figure."""
        return "  ·  ".join(filter(None, (self.letter, experiment_of(self.entry), self.dialect)))

    @property
    def dialect(self) -> str:
        """The CARP dialect of its runs."""
        return self.typical.dialect

    @property
    def about(self) -> str:
        """What it is, for the list above the tables."""
        several = isinstance(self.entry, AnalysedSeries)
        number = f"{len(self.entry.runs)} repetitions" if several else ""
        parts = (experiment_of(self.entry), self.dialect, number, self.entry.name)
        return ", ".join(filter(None, (*parts, self.entry.outcome)))


@dataclass(frozen=True)
class Row:
    """What one line of a table says of each column, in their order; `note` stands below its name.

    `marked` are the cells that differ from the first column's.
    """

    name: str
    cells: Sequence[str]
    note: str = ""
    is_theory: bool = False

    @property
    def marked(self) -> list[bool]:
        """Which cells differ from the first column's."""
        return [cell != self.cells[0] for cell in self.cells]

    @property
    def differs(self) -> bool:
        """Whether not all say the same."""
        return any(self.marked)

    def part(self, low: int, high: int) -> list[tuple[str, bool]]:
        """Return some of the cells, each with whether it is marked."""
        return list(zip(self.cells, self.marked, strict=True))[low:high]


@dataclass(frozen=True)
class Comparison:
    """The columns, and the rows of both tables."""

    columns: Sequence[Column]
    settings: Sequence[Row]
    windows: Sequence[Row]

    def parts(self) -> list[tuple[int, int]]:
        """Return from where to where columns stand abreast, as far as a page is wide."""
        count = len(self.columns)
        tables = -(-count // MOST_ABREAST)
        wide = -(-count // tables)
        return [(low, min(low + wide, count)) for low in range(0, count, wide)]


def compare(entries: Sequence[Analysed]) -> Comparison:
    """Return the comparison of runs and series; UsageError for fewer than two, or too many."""
    if not 2 <= len(entries) <= len(ascii_uppercase):
        raise UsageError(
            f"{len(entries)} cannot be compared: give the folders of 2 to "
            f"{len(ascii_uppercase)} runs or series"
        )
    columns = [_column(*each) for each in zip(ascii_uppercase, entries, strict=False)]
    settings = [_settings(each.typical.run) for each in columns]
    names = dict.fromkeys(name for each in settings for name in each)
    return Comparison(
        columns,
        [Row(name, [each.get(name, "") for each in settings]) for name in names],
        list(_windows(columns)),
    )


def _column(letter: str, entry: Analysed) -> Column:
    typical = entry.typical
    if typical is None:
        raise CarplabError(f"{entry.folder} has no repetitions: it cannot be compared")
    statistics = {(each.window, each.cause): each for each in entry.statistics}
    return Column(letter, entry, typical[1], statistics)


def _windows(columns: Sequence[Column]) -> Iterable[Row]:
    """Yield a row for each window of any column, and one for what theory says of it."""
    keys = dict.fromkeys(key for column in columns for key in column.statistics)
    causes = dict.fromkeys(cause for _, cause in keys)
    for cause in causes:
        for window in (window for window, own in keys if own == cause and window not in HIDDEN):
            found = [column.statistics.get((window, cause)) for column in columns]
            yield Row(window, [range_text(each) for each in found], cause)
            theory = [theory_text(each.theory_s) if each else "" for each in found]
            if any(theory):
                yield Row("theory, s", theory, is_theory=True)


def _settings(run: Run) -> dict[str, str]:
    """Return what was set, by name: what makes runs differ from each other."""
    about = run.about
    network = mapping(mapping(about.get("scenario")).get("network"))
    values: dict[str, object] = dict(mapping(about.get("settings")))
    values |= {"seed": about.get("seed"), "preferred MASTER": run.preferred}
    for segment in map(mapping, sequence(network.get("segments"))):
        values[f"segment {segment.get('name')}"] = segment.get("kind")
    for router in map(mapping, sequence(network.get("routers"))):
        for option in _OF_FIREWALLS:
            values[f"{router.get('name')} {option.replace('_', ' ')}"] = router.get(option)
    for key, timers in run.virtual_hosts.items():
        values[str(key)] = f"advbase {timers.advbase}, advskew {timers.advskew}"
    for number, sentence in enumerate(planned(run), start=1):
        values[f"fault {number}"] = sentence.removeprefix(f"Fault {number}, ")
    values["traffic"] = traffic(run)
    values |= {name: mapping(about.get("machine")).get(name) for name in _MACHINE}
    versions = mapping(about.get("versions"))
    values |= {f"version of {name}": version for name, version in versions.items()}
    values["git commit"] = about.get("git_commit")
    return {name: _plain(value) for name, value in values.items() if value not in (None, "", [])}


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return listed(f"{name} {inner}" for name, inner in value.items() if inner) or "none"
    return listed(value) if isinstance(value, list) else str(value)

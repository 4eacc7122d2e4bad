"""The windows of several repetitions of one run, put together: median and range of each."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from carplab.analysis.windows import Bounds, Findings, Window


@dataclass(frozen=True)
class Statistic:
    """One window over the repetitions, of each repetition the row that counts. Lengths in seconds.

    `lengths_s` maps each repetition that has a length to it; `runs` is the number of repetitions,
    so that missing ones show. `at_least` names the repetitions whose length is a lower limit only.
    `theory_s` spans the bounds of all of them.
    """

    window: str
    cause: str
    lengths_s: Mapping[str, float]
    runs: int
    at_least: tuple[str, ...]
    theory_s: Bounds | None

    @property
    def median_s(self) -> float:
        """The middle length, or the mean of the middle two."""
        return statistics.median(self.lengths_s.values())

    @property
    def shortest_s(self) -> float:
        """The shortest length."""
        return min(self.lengths_s.values())

    @property
    def longest_s(self) -> float:
        """The longest length."""
        return max(self.lengths_s.values())


def find_statistics(findings: Mapping[str, Findings]) -> list[Statistic]:
    """Return the statistics of every window and cause, in the order in which they first appear."""
    pairs = dict.fromkeys(
        (row.window, row.cause) for found in findings.values() for row in _counting(found)
    )
    return [_statistic(window, cause, findings) for window, cause in pairs]


def median_repetition(findings: Mapping[str, Findings]) -> str | None:
    """Return the repetition whose first outage is nearest to the median; None without any."""
    for window in ("outage", "detection"):
        statistic = _statistic(window, "fault 1", findings)
        if statistic.lengths_s:
            middle_s = statistic.median_s
            return min(
                statistic.lengths_s, key=lambda name: abs(statistic.lengths_s[name] - middle_s)
            )
    return next(iter(findings), None)


def _counting(found: Findings) -> Iterable[Window]:
    """Return the row that counts of each window and cause."""
    first: dict[tuple[str, str], Window] = {}
    for row in found.windows:
        first.setdefault((row.window, row.cause), row)
    return first.values()


def _statistic(window: str, cause: str, findings: Mapping[str, Findings]) -> Statistic:
    rows = {name: found.first(window, cause) for name, found in findings.items()}
    present = {name: row for name, row in rows.items() if row is not None}
    bounds = [row.theory_s for row in present.values() if row.theory_s is not None]
    return Statistic(
        window=window,
        cause=cause,
        lengths_s={name: row.length_s for name, row in present.items() if row.length_s is not None},
        runs=len(findings),
        at_least=tuple(name for name, row in present.items() if row.at_least),
        theory_s=(min(low for low, _ in bounds), max(high for _, high in bounds))
        if bounds
        else None,
    )

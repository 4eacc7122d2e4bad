"""What was measured held against what the protocol allows.

A BACKUP is MASTER when it has heard nothing for its master-down time, T = 3 x advbase + advskew/256
seconds. A silent fault falls anywhere between two advertisements of the MASTER, so it is detected
after T less that MASTER's interval at the earliest, and after T at the latest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from carplab.analysis.load import Run, VirtualHostKey
from carplab.analysis.series import Statistic
from carplab.analysis.text import length_text, theory_text
from carplab.analysis.windows import Bounds, Findings
from carplab.network import VirtualHost

LATENESS = "lateness"  #: a window whose theory is zero: it is measured from where the timer is due


@dataclass(frozen=True)
class Timer:
    """The timers of one virtual host on one machine, seconds; `preferred` where it has its home."""

    key: VirtualHostKey
    settings: VirtualHost
    preferred: bool

    @property
    def interval_s(self) -> float:
        """Between two advertisements while it is MASTER."""
        return self.settings.interval_s

    @property
    def master_down_s(self) -> float:
        """Without an advertisement until it is MASTER."""
        return self.settings.master_down_s


@dataclass(frozen=True)
class Held:
    """A window as text, beside what theory allows and how far it is from that."""

    cause: str
    window: str
    segment: str
    measured: str
    theory: str
    verdict: str


def timers(run: Run) -> list[Timer]:
    """Return the timers of every virtual host, in the order of the network."""
    return [
        Timer(key, settings, run.homes.get(key.place) == key.host)
        for key, settings in run.virtual_hosts.items()
    ]


def hold_run(findings: Findings) -> list[Held]:
    """Return the windows about which theory says something."""
    return [
        Held(
            row.cause,
            row.window,
            row.segment,
            length_text(row.length_s, row.at_least),
            theory_text(row.theory_s) if row.theory_s else "0",
            verdict(row.length_s, row.theory_s or (0.0, 0.0)),
        )
        for row in findings.windows
        if row.length_s is not None and (row.theory_s or row.window == LATENESS)
    ]


def hold_series(statistics: Iterable[Statistic]) -> list[Held]:
    """Return the windows of a series about which theory says something."""
    return [
        Held(
            each.cause,
            each.window,
            "",
            range_text(each),
            theory_text(each.theory_s) if each.theory_s else "0",
            verdicts(list(each.lengths_s.values()), each.theory_s or (0.0, 0.0)),
        )
        for each in statistics
        if each.lengths_s and (each.theory_s or each.window == LATENESS)
    ]


def verdict(length_s: float, bounds_s: Bounds) -> str:
    """Say whether a length is within theory, or by how much it is not."""
    low_s, high_s = bounds_s
    if length_s > high_s:
        return f"{length_text(length_s - high_s)} longer"
    if length_s < low_s:
        return f"{length_text(low_s - length_s)} shorter"
    return "within"


def verdicts(lengths_s: Sequence[float], bounds_s: Bounds) -> str:
    """Say how many lengths are within theory, and by how much others are not at most."""
    low_s, high_s = bounds_s
    above = [length_s - high_s for length_s in lengths_s if length_s > high_s]
    below = [low_s - length_s for length_s in lengths_s if length_s < low_s]
    within = len(lengths_s) - len(above) - len(below)
    parts = [f"{within} within" if within else ""]
    parts += [f"{len(above)} longer, by {length_text(max(above))} at most"] if above else []
    parts += [f"{len(below)} shorter, by {length_text(max(below))} at most"] if below else []
    return "; ".join(part for part in parts if part)


def range_text(statistic: Statistic | None) -> str:
    """Return the median of a window over the repetitions, and its range where there is one."""
    if statistic is None:
        return ""
    if not statistic.lengths_s:
        return "never"
    text = length_text(statistic.median_s)
    if len(statistic.lengths_s) > 1:
        shortest, longest = length_text(statistic.shortest_s), length_text(statistic.longest_s)
        text += f" ({shortest} to {longest})" if shortest != longest else ""
    return text

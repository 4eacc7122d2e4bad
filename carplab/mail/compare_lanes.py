"""Do several runs at once change the figures? The runs of one series once more, each alone.

The seeds are the same, so each run has its counterpart among those that were measured side by side,
and the two may differ only by what the machine adds.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from carplab.errors import CarplabError
from carplab.mail.facts import Facts
from carplab.mail.jobs import Job, all_jobs
from carplab.mail.measure import measure
from carplab.mail.publish import LANES_FILE, write

SERIES, DIALECT = "c3-plain", "openbsd"
ALONE_FOLDER = "alone"
NUMBERS = (
    "lateness_s",
    "takeover_s",
    "outage_fault_s",
    "outage_repair_s",
    "split_repair_s",
    "recovery_s",
)
COLUMNS = (
    "number",
    "n",
    "lanes",
    *(f"{which}_{how}" for which in ("one", "several") for how in ("median", "min", "max")),
    "difference_median",
    "difference_least",
    "difference_most",
)


def compare_lanes(results: Path, lanes: int, say: Callable[[str], None]) -> Iterator[str]:
    """Measure the runs alone, compare them with those made on `lanes` lanes, write lanes.csv.

    Yields its lines. CarplabError where there are none to compare with.
    """
    if lanes < 2:
        raise CarplabError("one lane is compared with several: give --lanes 2 or more")
    several = _read(results)
    if not several:
        raise CarplabError(
            f"there are no runs of {SERIES} with {DIALECT} in {results} to compare with: "
            "make them with 'carplab mail measure'"
        )
    measure(_jobs(), results / ALONE_FOLDER, 1, say)
    text = table(_read(results / ALONE_FOLDER), several, lanes)
    write(results / LANES_FILE, text.encode())
    yield from text.splitlines()


def _jobs() -> list[Job]:
    return [job for job in all_jobs(SERIES) if job.dialect == DIALECT]


def _read(results: Path) -> list[Facts]:
    from carplab.mail.extract import read_run

    return [
        read_run(job.folder(results), Facts(SERIES, job.dialect, job.repetition, job.seed, ""))
        for job in _jobs()
        if job.is_done(results)
    ]


def table(one: Sequence[Facts], several: Sequence[Facts], lanes: int) -> str:
    """Return lanes.csv: each number alone and side by side, and the differences run by run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    counterparts = {(run.dialect, run.seed): run for run in several}
    for name in NUMBERS:
        pairs = [
            (getattr(run, name), getattr(counterparts[run.dialect, run.seed], name))
            for run in one
            if (run.dialect, run.seed) in counterparts
        ]
        known = [pair for pair in pairs if None not in pair]
        if known:
            alone, beside = zip(*known, strict=True)
            differences = [second - first for first, second in known]
            spreads = [_spread(lengths_s) for lengths_s in (alone, beside, differences)]
            numbers = [f"{value:.6f}" for spread in spreads for value in spread]
            writer.writerow([name, len(known), lanes, *numbers])
    return text.getvalue()


def _spread(lengths_s: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(lengths_s), min(lengths_s), max(lengths_s)

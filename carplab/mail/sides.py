"""Both hosts' states side by side, in the run of median split; and that run's events.

Of every series that C3, C4, C5 and the cures look at: what the other tables say of it in numbers
can be followed there, event by event."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from carplab.analysis.analysed import read_run
from carplab.analysis.sides import draw_sides, restored
from carplab.analysis.style import as_png, as_svg
from carplab.mail.claims import claim
from carplab.mail.facts import Facts
from carplab.mail.jobs import Job
from carplab.mail.publish import events_name, sides_name, write
from carplab.mail.series import BY_NAME
from carplab.mail.verdicts import group
from carplab.recording import EVENTS

CLAIMS = ("C3", "C5", "cure")


def draw_all_sides(runs: Sequence[Facts], results: Path) -> Iterator[str]:
    """Draw a figure for each series, in the first of its dialects; yield the files' names."""
    groups = group(run for run in runs if run.finished)
    names = dict.fromkeys(name for each in CLAIMS for name in claim(each).conditions.values())
    for name in names:
        series = BY_NAME[name]
        found = groups.get((name, series.dialects[0]))
        if found:
            yield from _draw(Job(series, series.dialects[0], median_run(found).repetition), results)


def median_run(runs: Sequence[Facts]) -> Facts:
    """Return the run whose split at the repair is the median, or the lower of the middle two."""
    middle_s = statistics.median_low(run.split_repair_s or 0.0 for run in runs)
    return next(run for run in runs if (run.split_repair_s or 0.0) == middle_s)


def _draw(job: Job, results: Path) -> Iterator[str]:
    name = job.series.name
    write(results / events_name(name), (job.folder(results) / EVENTS.file_name).read_bytes())
    yield events_name(name)
    analysed = read_run(job.folder(results))
    repair = restored(analysed.findings)
    assert repair  # what has facts has a repair
    figure = draw_sides(analysed.run, analysed.findings, repair)
    title = f"{name}  ·  {job.dialect}  ·  repetition {job.repetition}, of median split"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    for ending, content in (("svg", as_svg(figure)), ("png", as_png(figure))):
        write(results / f"{sides_name(name)}.{ending}", content)
        yield f"{sides_name(name)}.{ending}"

"""For each condition of C3 and C4: both hosts' states side by side, in the run of median split."""

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
from carplab.mail.publish import sides_name, write
from carplab.mail.verdicts import group

CLAIM = "C3"


def draw_all_sides(runs: Sequence[Facts], results: Path) -> Iterator[str]:
    """Draw a figure for each condition, in the first of its dialects; yield the files' names."""
    groups = group(run for run in runs if run.finished)
    for condition in claim(CLAIM).conditions:
        series = claim(CLAIM).series(condition)
        found = groups.get((series.name, series.dialects[0]))
        if found:
            job = Job(series, series.dialects[0], median_run(found).repetition)
            yield from _draw(job, condition, results)


def median_run(runs: Sequence[Facts]) -> Facts:
    """Return the run whose split at the repair is the median, or the lower of the middle two."""
    middle_s = statistics.median_low(run.split_repair_s or 0.0 for run in runs)
    return next(run for run in runs if (run.split_repair_s or 0.0) == middle_s)


def _draw(job: Job, condition: str, results: Path) -> Iterator[str]:
    analysed = read_run(job.folder(results))
    repair = restored(analysed.findings)
    assert repair  # what has facts has a repair
    figure = draw_sides(analysed.run, analysed.findings, repair)
    title = f"{condition}  ·  {job.dialect}  ·  repetition {job.repetition}, of median split"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    name = sides_name(condition)
    for ending, content in (("svg", as_svg(figure)), ("png", as_png(figure))):
        write(results / f"{name}.{ending}", content)
        yield f"{name}.{ending}"

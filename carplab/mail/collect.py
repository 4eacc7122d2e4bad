"""Reads all runs there are, and writes what follows: runs.csv, verdicts.csv and the figures."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from carplab.errors import CarplabError
from carplab.mail.facts import Facts, read_facts, write_facts
from carplab.mail.jobs import Job, recorded_jobs
from carplab.mail.publish import RUNS_FILE, VERDICTS_FILE, write
from carplab.mail.verdicts import OVERALL, find_verdicts, write_verdicts


def collect(results: Path) -> Iterator[str]:
    """Write the tables and figures; yield what was written, and the verdict on each claim."""
    from carplab.mail.figures import draw_figures
    from carplab.mail.sides import draw_all_sides

    jobs = list(recorded_jobs(results))
    if not jobs:
        raise CarplabError(f"there are no runs in {results}: make them with 'carplab mail measure'")
    with ProcessPoolExecutor() as pool:
        read = list(pool.map(_read, jobs, [results] * len(jobs), chunksize=4))
    text = write_facts(facts for facts in read if facts)
    runs = read_facts(text)  # what follows, follows from the file
    write(results / RUNS_FILE, text.encode())
    outdated = f", {len(read) - len(runs)} outdated ones left out" if len(runs) < len(read) else ""
    yield f"{results / RUNS_FILE}: {len(runs)} repetitions{outdated}"
    verdicts = find_verdicts(runs)
    write(results / VERDICTS_FILE, write_verdicts(verdicts).encode())
    yield f"{results / VERDICTS_FILE}: {len(verdicts)} verdicts"
    for name in (*draw_figures(runs, results), *draw_all_sides(runs, results)):
        yield f"{results / name}"
    for row in verdicts:
        if row["condition"] == OVERALL:
            yield f"{row['claim']}: {row['verdict']}"


def _read(job: Job, results: Path) -> Facts | None:
    """Return the facts of a run; None for one of another scenario than the series has now."""
    from carplab.mail.extract import read_run

    facts = read_run(
        job.folder(results), Facts(job.series.name, job.dialect, job.repetition, job.seed, "")
    )
    return None if facts.finished and not job.is_done(results) else facts

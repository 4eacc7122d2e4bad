"""The repetitions there are to measure, and which of them have been.

Each is one `carplab run`, and lies in RESULTS/runs/SERIES/DIALECT/NN. It counts as done when its
run.json says that just this scenario, with this seed, has finished.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from carplab import recording
from carplab.errors import CarplabError, UsageError
from carplab.mail.claims import Claim, claims_of
from carplab.mail.facts import FINISHED
from carplab.mail.series import FIRST_SEED, REPETITIONS, SERIES, Series
from carplab.network import as_plain
from carplab.scenario import Scenario

RUNS_FOLDER = "runs"
LOG_FILE = "carplab.log"


@dataclass(frozen=True)
class Job:
    """One repetition of a series."""

    series: Series
    dialect: str
    repetition: int

    def __str__(self) -> str:
        return f"{self.series.name} {self.dialect} {self.repetition:02d}"

    @property
    def seed(self) -> int:
        return FIRST_SEED + self.repetition - 1

    @property
    def expected_s(self) -> float:
        """How long the run should take."""
        return self.series.duration_s + self.series.startup_s

    @cached_property
    def home(self) -> tuple[Claim, str]:
        """The first claim, and its condition, that looks at the series: the run is made as its."""
        return next(iter(claims_of(self.series.name)))

    def folder(self, results: Path) -> Path:
        """Return where the run is kept."""
        parts = (RUNS_FOLDER, self.series.name, self.dialect, f"{self.repetition:02d}")
        return results.joinpath(*parts)

    def command(self, out: Path) -> list[str]:
        """Return the command that makes the run somewhere below `out`."""
        claim, condition = self.home
        options = {
            "--condition": condition,
            "--dialect": self.dialect,
            "--seed": str(self.seed),
            "--out": str(out.resolve()),
        }
        words = [word for option in options.items() for word in option]
        run = [sys.executable, "-m", "carplab.cli", "run"]
        return [*run, claim.experiment, *words, "--no-analysis"]

    def is_done(self, results: Path) -> bool:
        """Tell whether the run is there, and as it would be made now."""
        try:
            about = recording.read_run(self.folder(results))
        except CarplabError:
            return False
        return about.get("outcome") == FINISHED and self.is_of(about)

    def is_of(self, about: dict[str, Any]) -> bool:
        """Tell whether this run.json is of the scenario and the seed of this job."""
        return about.get("seed") == self.seed and is_scenario(
            about, self.series.scenario(self.home[0].experiment, self.dialect)
        )


def is_scenario(about: dict[str, Any], scenario: Scenario) -> bool:
    """Tell whether a run.json is of a scenario, whatever the name of its experiment."""
    plain = as_plain(scenario)
    recorded = about.get("scenario") or {}
    return bool(recorded) and (
        about.get("duration_s") == scenario.duration_s
        and all(value == plain.get(key) for key, value in recorded.items())
    )


def all_jobs(pattern: str = "*", repetitions: int = REPETITIONS) -> list[Job]:
    """Return the jobs of every series whose name matches, first all first repetitions.

    The pattern is a shell's; UsageError naming the series where it matches none.
    """
    chosen = [series for series in SERIES if fnmatch.fnmatch(series.name, pattern)]
    if not chosen:
        names = ", ".join(series.name for series in SERIES)
        raise UsageError(f"no series is called {pattern!r}: there are {names}")
    return [
        Job(series, dialect, number)
        for number in range(1, repetitions + 1)
        for series in chosen
        for dialect in series.dialects
    ]


def recorded_jobs(results: Path) -> Iterator[Job]:
    """Yield the jobs that have left a folder, done or failed, series by series."""
    for series in SERIES:
        for dialect in series.dialects:
            for number in range(1, REPETITIONS + 1):
                job = Job(series, dialect, number)
                if job.folder(results).is_dir():
                    yield job

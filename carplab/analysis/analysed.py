"""A run or a series together with what was found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carplab import recording
from carplab.analysis.load import Run, load_run, repetitions
from carplab.analysis.series import Statistic, find_statistics, median_repetition
from carplab.analysis.windows import Findings, Window, find_windows


@dataclass(frozen=True, eq=False)
class AnalysedRun:
    """A run and what was found in it."""

    run: Run
    findings: Findings

    @property
    def windows(self) -> Sequence[Window]:
        """The rows of windows.csv."""
        return self.findings.windows

    @property
    def folder(self) -> Path:
        """Where it was recorded."""
        return self.run.folder

    @property
    def about(self) -> Mapping[str, Any]:
        """What run.json says."""
        return self.run.about

    @property
    def name(self) -> str:
        """What tells it from other runs of its experiment: when it began."""
        return str(self.about.get("run", self.folder.name))

    @property
    def dialect(self) -> str:
        """The CARP dialect; empty where it is not known."""
        return self.run.dialect

    @property
    def outcome(self) -> str:
        """How it ended."""
        return self.run.outcome

    @property
    def runs(self) -> Mapping[str, AnalysedRun]:
        """Itself, by its name, as a series has its repetitions."""
        return {self.name: self}

    @property
    def statistics(self) -> Sequence[Statistic]:
        """Its windows as those of a series of one."""
        return find_statistics({self.name: self.findings})

    @property
    def typical(self) -> tuple[str, AnalysedRun]:
        """The run that stands for it, itself, and its name."""
        return self.name, self


@dataclass(frozen=True, eq=False)
class AnalysedSeries:
    """The repetitions of a run, by name, and their statistics. `about` is series.json."""

    folder: Path
    about: Mapping[str, Any]
    runs: Mapping[str, AnalysedRun]
    statistics: Sequence[Statistic]

    @property
    def findings(self) -> dict[str, Findings]:
        """What was found in each repetition."""
        return {name: analysed.findings for name, analysed in self.runs.items()}

    @property
    def name(self) -> str:
        """What tells it from other series of its experiment: when it began."""
        return str(self.about.get("run", self.folder.name))

    @property
    def dialect(self) -> str:
        """The CARP dialect, else the folder's name."""
        dialects = {analysed.run.dialect for analysed in self.runs.values()} - {""}
        return "+".join(sorted(dialects)) or self.folder.name

    @property
    def outcome(self) -> str:
        """How its repetitions ended."""
        finished = sum(each.outcome == "finished" for each in self.runs.values())
        return "finished" if finished == len(self.runs) else f"{finished} finished"

    @property
    def typical(self) -> tuple[str, AnalysedRun] | None:
        """The repetition whose first outage is nearest to the median, and its name."""
        name = median_repetition(self.findings)
        return (name, self.runs[name]) if name else None

    @property
    def title(self) -> str:
        """The title of its figure."""
        parts = [str(self.about.get("experiment", "")), self.dialect]
        parts += [self.name, f"{len(self.runs)} repetitions"]
        return "  ·  ".join(part for part in parts if part)


Analysed = AnalysedRun | AnalysedSeries


def experiment_of(analysed: Analysed) -> str:
    """Return the name of its experiment; empty where that is not recorded."""
    return str(analysed.about.get("experiment", ""))


def read_run(folder: Path) -> AnalysedRun:
    """Analyse a run without writing anything; CarplabError where the folder holds none."""
    run = load_run(folder)
    return AnalysedRun(run, find_windows(run))


def read_series(folder: Path) -> AnalysedSeries:
    """Analyse a series without writing anything; CarplabError where the folder holds none."""
    about = recording.read_series(folder)
    runs = {path.name: read_run(path) for path in repetitions(folder)}
    statistics = find_statistics({name: analysed.findings for name, analysed in runs.items()})
    return AnalysedSeries(folder, about, runs, statistics)

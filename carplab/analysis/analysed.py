"""A run or a series together with what was found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carplab import recording
from carplab.analysis.load import Run, load_run, repetitions
from carplab.analysis.series import Statistic, find_statistics
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


def series_name(series: AnalysedSeries) -> str:
    """Return what tells a series from others of its experiment: its dialect."""
    dialects = {analysed.run.dialect for analysed in series.runs.values()} - {""}
    return "+".join(sorted(dialects)) or series.folder.name


def series_title(series: AnalysedSeries) -> str:
    """Return the title of a series' figure."""
    parts = [str(series.about.get("experiment", "")), series_name(series)]
    parts += [str(series.about.get("run", series.folder.name)), f"{len(series.runs)} repetitions"]
    return "  ·  ".join(part for part in parts if part)

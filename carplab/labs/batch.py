"""Grades many folders, several at once: each in a lane of its own, by `carplab lab check --files`.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from carplab.emulation.words import last_words
from carplab.errors import CarplabError
from carplab.labs.checking import Line
from carplab.labs.course import CourseLab
from carplab.labs.grading import GOES_ON, YES, Grade, read_csv
from carplab.labs.workspace import Workspace
from carplab.lanes import Lane

PATIENCE_S = 600.0  # the longest lab takes some minutes on a busy machine
CODES = (0, 1)  # of a check that came to its end


@dataclass(frozen=True)
class Job:
    """A folder that is to be graded."""

    lab: CourseLab
    folder: Path


@dataclass(frozen=True)
class Graded:
    """A job that is done: what was found, and how long that took."""

    job: Job
    grade: Grade
    seconds: float


def grade_in_lanes(jobs: Sequence[Job], lanes: int, out: Path) -> Iterator[Graded]:
    """Grade the folders, so many at once; yield each as it is done. Recordings go below `out`.

    CarplabError when this machine cannot make lanes. Interrupted, it ends what runs.
    """
    crew = _Crew(out)
    with ThreadPoolExecutor(max_workers=lanes) as pool:
        futures: list[Future[Graded]] = [pool.submit(crew.grade, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
            crew.close()


class _Crew:
    def __init__(self, out: Path) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._lanes: set[Lane] = set()
        self._is_closed = False

    def grade(self, job: Job) -> Graded:
        """Grade one folder in a new lane."""
        started_s = time.monotonic()
        with self._lane() as lane, tempfile.TemporaryDirectory(prefix="carplab-") as folder:
            rows, log = Path(folder, "rows.csv"), Path(folder, "log")
            code = lane.run(self._command(job, rows), log, PATIENCE_S)
            lines = _lines(rows, job) if rows.exists() else []
            if code not in CODES or not lines:
                said = "it took too long" if code is None else last_words(log)
                lines.append(Line(False, GOES_ON, said, "grade this folder alone"))
        student = Workspace.open(job.folder).handout.student
        grade = Grade(student, job.lab.name, job.folder, tuple(lines))
        return Graded(job, grade, time.monotonic() - started_s)

    def close(self) -> None:
        """End everything in the lanes that are open, and whatever is opened from now on."""
        with self._lock:
            self._is_closed = True
            for lane in self._lanes:
                lane.close()

    @contextlib.contextmanager
    def _lane(self) -> Iterator[Lane]:
        lane = Lane()
        with self._lock:
            self._lanes.add(lane)
            if self._is_closed:
                lane.close()
        try:
            yield lane
        finally:
            with self._lock:
                self._lanes.discard(lane)
                lane.close()

    def _command(self, job: Job, rows: Path) -> list[str]:
        check = [sys.executable, "-m", "carplab.cli", "lab", "check", job.lab.number]
        where = ["--files", str(job.folder.resolve()), "--out", str(self._out.resolve())]
        return [*check, *where, "--csv", str(rows)]


def _lines(rows: Path, job: Job) -> list[Line]:
    try:
        return [
            Line(row["passed"] == YES, row["check"], row["seen"], is_answer=row["answer"] == YES)
            for row in read_csv(rows)
        ]
    except (OSError, KeyError) as error:
        raise CarplabError(f"cannot read what was found in {job.folder}: {error}") from None

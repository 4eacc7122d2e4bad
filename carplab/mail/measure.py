"""Measures what is missing, unattended: on one lane after the other, or on several at once."""

from __future__ import annotations

import contextlib
import queue
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from carplab import recording
from carplab.errors import CarplabError
from carplab.lanes import Lane
from carplab.mail.facts import FINISHED
from carplab.mail.jobs import LOG_FILE, Job

ATTEMPTS = 2
MOST_FAILURES_IN_A_ROW = 6
PATIENCE = 3.0  # times what a run should take
PATIENCE_S = 120.0  # and this
POLL_S = 0.2
CLOSE_S = 10.0

Say = Callable[[str], None]


@dataclass
class Progress:
    """How far it is: what is done, what it took, what is to be expected of the rest."""

    total: int
    lanes: int
    done: int = 0
    failed: list[str] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    left_s: float = 0.0

    def finish(self, job: Job, took_s: float, good: bool) -> str:
        """Note a job that has come to its end; return the line that says so."""
        self.done += 1
        self.left_s -= job.expected_s
        if good:
            self.ratios.append(took_s / job.expected_s)
        else:
            self.failed.append(str(job))
        width = len(str(self.total))
        outcome = f"{took_s:.0f} s" if good else "failed"
        return f"[{self.done:{width}}/{self.total}] {job}: {outcome}; {self.left()} left"

    def left(self) -> str:
        """Return what is left to do, going by what the runs so far took."""
        ratio = statistics.fmean(self.ratios) if self.ratios else 1.0
        return duration_text(self.left_s * ratio / self.lanes)


def duration_text(seconds: float) -> str:
    """Return a length as `2 h 05 min`, `12 min` or `40 s`."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def measure(jobs: Sequence[Job], results: Path, lanes: int, say: Say) -> Progress:
    """Make every run that is not there yet, on this many lanes at once.

    Interrupted, it ends what is running and keeps what is done. CarplabError when one after the
    other fails, or when the lanes cannot be made.
    """
    missing = [job for job in jobs if not job.is_done(results)]
    progress = Progress(len(jobs), lanes, done=len(jobs) - len(missing))
    progress.left_s = sum(job.expected_s for job in missing)
    say(f"{progress.done} of {len(jobs)} repetitions are there; {progress.left()} to go")
    if missing:
        crew = _Crew(missing, results, progress, say)
        try:
            crew.work(min(lanes, len(missing)))
        except KeyboardInterrupt:
            crew.close()
            say(f"stopped with {progress.done} of {len(jobs)}: the same command goes on from here")
            raise
        finally:
            crew.close()
    return progress


class _Crew:
    """The workers, one thread for each lane, and what they share."""

    def __init__(self, jobs: Sequence[Job], results: Path, progress: Progress, say: Say) -> None:
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            self._jobs.put(job)
        self._results = results
        self._progress = progress
        self._say = say
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._lanes: dict[int, Lane] = {}
        self._threads: list[threading.Thread] = []
        self._in_a_row = 0
        self._error: BaseException | None = None

    def work(self, lanes: int) -> None:
        """Do all jobs; what goes wrong in a thread is raised here."""
        for number in range(1, lanes + 1):
            name = f"lane {number}"
            thread = threading.Thread(target=self._serve, args=(number,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        # Poll: a join without time-out would keep a signal waiting.
        while any(thread.is_alive() for thread in self._threads):
            time.sleep(POLL_S)
        if self._error:
            raise self._error

    def close(self) -> None:
        """End what is running, and wait for that."""
        self._stopping.set()
        with self._lock:
            for lane in self._lanes.values():
                lane.close()
            self._lanes.clear()
        for thread in self._threads:
            thread.join(CLOSE_S)

    def _serve(self, number: int) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    return
                self._do(number, job)
        except BaseException as error:  # also a bug: the others stop, and it is raised by work()
            self._error = self._error or error
            self._stopping.set()
        finally:
            self._close_lane(number)

    def _do(self, number: int, job: Job) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            began_s = time.monotonic()
            good = self._run(number, job)
            if self._stopping.is_set():
                return
            if good or attempt == ATTEMPTS:
                with self._lock:
                    self._say(self._progress.finish(job, time.monotonic() - began_s, good))
            if good:
                self._in_a_row = 0
                return
            self._note_failure(job, attempt)

    def _note_failure(self, job: Job, attempt: int) -> None:
        self._in_a_row += 1
        why = _why_it_failed(job.folder(self._results))
        if attempt < ATTEMPTS:
            self._say(f"{job} failed, once more: {why}")
        if self._in_a_row >= MOST_FAILURES_IN_A_ROW:
            raise CarplabError(
                f"{self._in_a_row} runs after another have failed, the last one ({job}): {why}"
            )

    def _run(self, number: int, job: Job) -> bool:
        """Make one run, in a folder of the lane's first; tell whether it finished."""
        draft = self._results / f".lane{number}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        timeout_s = job.expected_s * PATIENCE + PATIENCE_S
        try:
            lane = self._lane(number)
            code = lane.run(job.command(draft), draft / LOG_FILE, timeout_s) if lane else None
            if self._stopping.is_set():
                return False
            if code is None:
                self._close_lane(number)
                with (draft / LOG_FILE).open("a") as log:
                    log.write(f"ended after {timeout_s:.0f} s\n")
            _keep(draft, job.folder(self._results))
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return job.is_done(self._results)

    def _lane(self, number: int) -> Lane | None:
        """Return the lane of a worker; None when all is to end."""
        with self._lock:
            if self._stopping.is_set():
                return None
            if number not in self._lanes:
                self._lanes[number] = Lane()
            return self._lanes[number]

    def _close_lane(self, number: int) -> None:
        with self._lock:
            lane = self._lanes.pop(number, None)
        if lane:
            lane.close()


def _keep(draft: Path, folder: Path) -> None:
    """Put the run that was made in the draft in its place, with what the command said."""
    made = [path.parent for path in draft.glob(f"*/*/{recording.RUN_FILE}")]
    with recording.writing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        for parent in reversed(folder.parents):
            if not parent.exists():
                parent.mkdir()
                recording.give_to_user(parent)
        if made:
            made[0].rename(folder)
        else:
            folder.mkdir()
            recording.give_to_user(folder)
        (draft / LOG_FILE).rename(folder / LOG_FILE)
        recording.give_to_user(folder / LOG_FILE)


def _why_it_failed(folder: Path) -> str:
    with contextlib.suppress(CarplabError):
        about = recording.read_run(folder)
        if about.get("outcome") != FINISHED:
            return str(about.get("reason") or "it was killed")
        return "it was another scenario than it should have been"
    lines = (folder / LOG_FILE).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"

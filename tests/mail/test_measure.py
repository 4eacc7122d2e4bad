"""Measuring unattended, with lanes in which nothing runs but what the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from carplab.errors import CarplabError
from carplab.mail import measure as module
from carplab.mail.jobs import Job, all_jobs
from carplab.mail.measure import Progress, duration_text, measure
from tests.mail.test_jobs import about, leave

JOBS = all_jobs("c3-plain", 3)
Act = Callable[["FakeLane", Job, Path], int | None]


class FakeLane:
    """A lane that calls `act` where a run would be made."""

    act: Act
    open = 0

    def __init__(self) -> None:
        type(self).open += 1
        self.closed = threading.Event()

    def run(self, command: Sequence[str], log: Path, timeout_s: float) -> int | None:
        words = dict(zip(command[5::2], command[6::2], strict=False))
        repetition = int(words["--seed"]) - 2005000
        (job,) = (
            job
            for job in JOBS
            if (job.dialect, job.repetition) == (words["--dialect"], repetition)
        )
        log.write_text("carplab: it went wrong\n")
        return type(self).act(self, job, Path(words["--out"]))

    def close(self) -> None:
        type(self).open -= 1
        self.closed.set()


def finish(_lane: FakeLane, job: Job, out: Path) -> int | None:
    folder = out / "mail-c2-cable-pull" / "2026-11-22T11-30-00"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(about(job)))
    return 0


@pytest.fixture(autouse=True)
def lanes(monkeypatch: pytest.MonkeyPatch) -> type[FakeLane]:
    monkeypatch.setattr(module, "Lane", FakeLane)
    monkeypatch.setattr(FakeLane, "act", finish, raising=False)
    monkeypatch.setattr(FakeLane, "open", 0)
    return FakeLane


@pytest.mark.parametrize("number", [1, 3])
def test_all_that_is_missing_is_made_and_kept(tmp_path: Path, number: int) -> None:
    there = leave(tmp_path, JOBS[4])
    said: list[str] = []
    progress = measure(JOBS, tmp_path, number, said.append)
    assert (progress.done, progress.failed, FakeLane.open) == (9, [], 0)
    assert all(job.is_done(tmp_path) for job in JOBS)
    assert said[0].startswith("1 of 9 repetitions are there; ") and len(said) == 9
    assert said[1].startswith("[2/9] c3-plain ") and said[-1].endswith("0 s left")
    assert not (there / "carplab.log").exists()
    assert (JOBS[0].folder(tmp_path) / "carplab.log").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_again_there_is_nothing_to_do(tmp_path: Path, lanes: type[FakeLane]) -> None:
    for job in JOBS:
        leave(tmp_path, job)
    said: list[str] = []
    lanes.act = staticmethod(lambda *_: pytest.fail("a run was made"))
    assert measure(JOBS, tmp_path, 2, said.append).done == 9
    assert said == ["9 of 9 repetitions are there; 0 s to go"]


def test_failed_run_is_tried_once_more_and_then_told(
    tmp_path: Path, lanes: type[FakeLane]
) -> None:
    tried: list[Job] = []

    def fail_some(lane: FakeLane, job: Job, out: Path) -> int | None:
        tried.append(job)
        if job == JOBS[1] or (job == JOBS[2] and tried.count(job) == 1):
            return 1
        return finish(lane, job, out)

    lanes.act = staticmethod(fail_some)
    said: list[str] = []
    progress = measure(JOBS, tmp_path, 1, said.append)
    assert progress.failed == [str(JOBS[1])] and progress.done == 9
    assert tried.count(JOBS[1]) == tried.count(JOBS[2]) == 2
    assert f"{JOBS[1]} failed, once more: carplab: it went wrong" in said
    assert not JOBS[1].is_done(tmp_path) and JOBS[2].is_done(tmp_path)
    assert JOBS[1].folder(tmp_path).is_dir()


def test_when_all_fails_it_gives_up(tmp_path: Path, lanes: type[FakeLane]) -> None:
    lanes.act = staticmethod(lambda *_: 1)
    with pytest.raises(CarplabError, match=r"6 runs .* have failed.*it went wrong"):
        measure(JOBS, tmp_path, 1, lambda _: None)
    assert FakeLane.open == 0


def test_run_that_does_not_end_costs_its_lane(tmp_path: Path, lanes: type[FakeLane]) -> None:
    used: list[FakeLane] = []

    def hang_once(lane: FakeLane, job: Job, out: Path) -> int | None:
        used.append(lane)
        return None if len(used) == 1 else finish(lane, job, out)

    lanes.act = staticmethod(hang_once)
    said: list[str] = []
    assert measure(JOBS[:2], tmp_path, 1, said.append).failed == []
    assert used[0].closed.is_set() and used[1] is used[2] is not used[0]
    assert "once more: ended after " in said[1]


def test_interrupted_it_ends_what_runs_and_keeps_what_is_done(
    tmp_path: Path, lanes: type[FakeLane]
) -> None:
    def block(lane: FakeLane, job: Job, out: Path) -> int | None:
        if job == JOBS[0]:
            return finish(lane, job, out)
        assert lane.closed.wait(30)
        return -9

    lanes.act = staticmethod(block)

    said: list[str] = []

    def interrupt_after_the_first(line: str) -> None:
        said.append(line)
        if line.startswith("[1/9]"):
            first_done.set()

    first_done = threading.Event()
    original = module.time.sleep

    def sleep(seconds: float) -> None:
        original(0.01)
        if first_done.is_set():
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "sleep", sleep)
        with pytest.raises(KeyboardInterrupt):
            measure(JOBS, tmp_path, 2, interrupt_after_the_first)
    assert FakeLane.open == 0
    assert said[-1] == "stopped with 1 of 9: the same command goes on from here"
    assert [job for job in JOBS if job.is_done(tmp_path)] == JOBS[:1]
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_time_left_goes_by_what_runs_took() -> None:
    progress = Progress(total=3, lanes=2, left_s=sum(job.expected_s for job in JOBS[:3]))
    line = progress.finish(JOBS[0], JOBS[0].expected_s * 2, good=True)
    took = f"{JOBS[0].expected_s * 2:.0f} s"
    assert line == f"[1/3] c3-plain openbsd-3.8 01: {took}; {took} left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (600, "10 min"), (7500, "2 h 05 min"), (-1, "0 s")],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text

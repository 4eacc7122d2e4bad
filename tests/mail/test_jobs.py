"""The repetitions: their order, their commands, and which of them count as done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from carplab.errors import UsageError
from carplab.mail.jobs import Job, all_jobs, recorded_jobs
from carplab.mail.series import BY_NAME
from carplab.network import as_plain

JOB = Job(BY_NAME["c3-stp"], "freebsd", 3)


def about(job: Job, **changes: Any) -> dict[str, Any]:
    """Return run.json as a run of the job leaves it."""
    plain = as_plain(job.series.scenario("mail-c9-other-claim", job.dialect))
    kept = {key: plain[key] for key in ("network", "faults", "traffic", "preferred")}
    fields = {"format": 1, "outcome": "finished", "seed": job.seed, "scenario": kept}
    return {**fields, "duration_s": job.series.duration_s, "git_commit": "0123abc", **changes}


def leave(results: Path, job: Job, **changes: Any) -> Path:
    folder = job.folder(results)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(about(job, **changes)))
    return folder


def test_first_all_first_repetitions() -> None:
    jobs = all_jobs("c3-*stp", 2)
    names = [str(job) for job in jobs]
    assert names[0] == "c3-stp openbsd-3.8 01" and names[1] == "c3-stp openbsd 01"
    assert [job.repetition for job in jobs] == sorted(job.repetition for job in jobs)
    assert len(set(names)) == len(names)


def test_same_draws_in_every_series() -> None:
    seeds = {(job.repetition, job.seed) for job in all_jobs()}
    assert seeds == {(number, 2005000 + number) for number in range(1, 11)}


def test_pattern_that_matches_nothing_names_what_there_is() -> None:
    with pytest.raises(UsageError, match="no series is called 'c9': there are c0-static-crash, "):
        all_jobs("c9")


def test_command_is_of_the_first_claim_that_looks_at_it(tmp_path: Path) -> None:
    words = JOB.command(tmp_path)[1:]
    assert words == [
        *("-m", "carplab.cli", "run", "mail-c2-cable-pull", "--condition", "outside-stp"),
        *("--dialect", "freebsd", "--seed", "2005003", "--out", str(tmp_path), "--no-analysis"),
    ]


def test_done_is_what_finished_with_this_scenario_and_seed(tmp_path: Path) -> None:
    assert not JOB.is_done(tmp_path)
    leave(tmp_path, JOB)
    assert JOB.is_done(tmp_path)
    faster = JOB.series.scenario("x", JOB.dialect, ("fw2.advskew=50",))
    scenario = about(JOB)["scenario"]
    for changes in (
        {"outcome": "failed"},
        {"outcome": "running"},
        {"seed": 7},
        {"duration_s": 1.0},
        {"scenario": {**scenario, "network": as_plain(faster.network)}},
        {"scenario": {}},
    ):
        leave(tmp_path, JOB, **changes)
        assert not JOB.is_done(tmp_path), changes
    shutil.rmtree(JOB.folder(tmp_path))
    JOB.folder(tmp_path).mkdir()
    assert not JOB.is_done(tmp_path)


def test_recorded_are_also_those_that_failed(tmp_path: Path) -> None:
    leave(tmp_path, JOB, outcome="failed")
    (JOB.folder(tmp_path).parent / "notes").mkdir()
    assert list(recorded_jobs(tmp_path)) == [JOB]

"""One repetition for real, in a lane: from `carplab mail measure` to the facts and the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.mail.claims import claim
from carplab.mail.extract import read_run
from carplab.mail.facts import Facts
from carplab.mail.jobs import LOG_FILE, Job
from carplab.mail.judge import judge
from carplab.mail.measure import measure
from carplab.mail.series import BY_NAME


@pytest.mark.mininet
def test_a_run_in_a_lane_bears_out_what_everybody_expects(tmp_path: Path) -> None:
    job = Job(BY_NAME["c1-crash"], "openbsd-3.8", 1)
    said: list[str] = []
    progress = measure([job], tmp_path, 1, said.append)
    assert progress.failed == [], (job.folder(tmp_path) / LOG_FILE).read_text()
    facts = read_run(job.folder(tmp_path), Facts("c1-crash", job.dialect, 1, job.seed, ""))
    borne, sentence = claim("C1").rule(facts)
    assert borne, sentence
    assert judge("C1", job.folder(tmp_path)).startswith("verdict: reproduced (")
    assert measure([job], tmp_path, 1, said.append).done == 1
    assert said[-1] == "1 of 1 repetitions are there; 0 s to go"

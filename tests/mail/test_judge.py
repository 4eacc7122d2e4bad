"""What `carplab run` says of a run of the mail's experiments, beside the published table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from carplab.mail import publish
from carplab.mail.jobs import Job
from carplab.mail.judge import judge
from carplab.mail.series import BY_NAME
from carplab.mail.verdicts import find_verdicts, write_verdicts
from tests.analysis.recorded import cable_pull
from tests.mail.made_up import BLOCKED, PLAIN, repeated
from tests.mail.test_jobs import about

PULL = Job(BY_NAME["c3-plain"], "openbsd", 1)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the published verdicts.csv is to be; there is none yet."""
    monkeypatch.setattr(publish, "PUBLISHED", tmp_path / "published")
    publish.PUBLISHED.mkdir()
    return publish.PUBLISHED / publish.VERDICTS_FILE


def run(folder: Path, condition: str, **changes: Any) -> Path:
    """Leave the run of a cable pull that goes well."""
    cable_pull().write(folder)
    settings = {"condition": condition, "dialect": "openbsd"}
    (folder / "run.json").write_text(json.dumps(about(PULL, settings=settings, **changes)))
    return folder


def test_as_in_the_table(tmp_path: Path, table: Path) -> None:
    table.write_text(write_verdicts(find_verdicts(repeated(PLAIN))))
    said = judge("C2", run(tmp_path / "run", "outside"))
    assert said.startswith("verdict: reproduced (pulled interface INIT, the other BACKUP, ")
    assert said.endswith("), as in the table (10 of 10 runs)")
    assert judge("C3", run(tmp_path / "run", "plain")).startswith("verdict: not reproduced (")


def test_differs_from_the_table(tmp_path: Path, table: Path) -> None:
    changed = repeated(PLAIN, 8, pulled_state="BACKUP")
    table.write_text(write_verdicts(find_verdicts(changed)))
    said = judge("C2", run(tmp_path / "run", "outside"))
    assert said.endswith("), which differs from the table: not reproduced (n=8)")


def test_one_of_several_in_the_table(tmp_path: Path, table: Path) -> None:
    mixed = [*repeated(PLAIN, 4), *repeated(PLAIN, 6, flowed=False)]
    table.write_text(write_verdicts(find_verdicts(mixed)))
    assert judge("C2", run(tmp_path / "run", "outside")).endswith("; in the table 4 of 10 runs are")


def test_not_in_the_table(tmp_path: Path, table: Path) -> None:
    said = "; the table has nothing about this condition"
    assert judge("C2", run(tmp_path / "run", "outside")).endswith(said)
    table.write_text(write_verdicts(find_verdicts(repeated(BLOCKED))))
    assert judge("C3", run(tmp_path / "run", "plain")).endswith(said)


def test_changed_conditions_are_not_compared(tmp_path: Path, table: Path) -> None:
    table.write_text(write_verdicts(find_verdicts(repeated(PLAIN))))
    said = judge("C2", run(tmp_path / "run", "outside", duration_s=99))
    assert said.endswith("; not compared with the table: other options changed the condition")


def test_a_series_is_judged_as_one(tmp_path: Path, table: Path) -> None:
    table.write_text(write_verdicts(find_verdicts(repeated(PLAIN))))
    folder = tmp_path / "series"
    for number in (1, 2, 3):
        run(folder / f"{number:02d}", "outside")
    (folder / "series.json").write_text(json.dumps({"format": 1}))
    said = judge("C2", folder)
    assert said == "verdict: reproduced (n=3), as in the table (10 of 10 runs)"

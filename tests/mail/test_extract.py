"""From a run's files to its facts, with runs made up from a known truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.errors import CarplabError
from carplab.mail.claims import claim
from carplab.mail.extract import NOTHING_RECORDED, read_run
from carplab.mail.facts import Facts
from tests.analysis.recorded import Recording, blocked_port, cable_pull, crash

EMPTY = Facts("c3-plain", "openbsd", 1, 2005001, "")


def facts_of(recording: Recording, folder: Path) -> Facts:
    return read_run(recording.write(folder), EMPTY)


def test_cable_pull(tmp_path: Path) -> None:
    facts = facts_of(cable_pull(), tmp_path)
    assert (facts.outcome, facts.fault) == ("finished", "link_down fw1 outside")
    assert facts.commit == "0123abc" and facts.broken_s == pytest.approx(7.0)
    assert facts.outage_fault_s == pytest.approx(2.897, abs=0.002)
    assert facts.outage_repair_s == 0
    assert facts.detection_s == pytest.approx(2.8926, abs=1e-3)
    assert facts.takeover_s == pytest.approx(0.004, abs=0.002)
    assert facts.theory_s == pytest.approx(3.390625)
    assert facts.split_repair_s == pytest.approx(0.2004, abs=1e-3)
    assert facts.split_begin_s == pytest.approx(0.35, abs=1e-3)
    assert facts.split_end_s == pytest.approx(0.5504, abs=1e-3)
    assert facts.split_open is False and facts.recovery_s == pytest.approx(0.5504, abs=1e-3)
    assert facts.failed_over and facts.flowed and not facts.kept
    assert (facts.pulled_state, facts.others_state) == ("INIT", "BACKUP")
    assert facts.others_back_s == pytest.approx(0.55)
    assert facts.restored_back_s == pytest.approx(0.35)
    assert [state for state, _ in facts.spans()] == ["BACKUP", "MASTER"]
    assert facts.packets_sent == 20000 and facts.packets_lost == pytest.approx(2897, abs=2)
    assert facts.flows_lost == f"client>server {facts.packets_lost}"
    assert facts.stream_ended == facts.stream_broke == ""
    assert claim("C2").rule(facts)[0] and not claim("C3").rule(facts)[0]


def test_blocked_port(tmp_path: Path) -> None:
    facts = facts_of(blocked_port(), tmp_path)
    assert facts.split_end_s == pytest.approx(30.1, abs=0.01)
    assert facts.split_repair_s == pytest.approx(29.55, abs=0.01)
    assert facts.outage_repair_s == pytest.approx(29.55, abs=0.1)
    assert facts.others_back_s == pytest.approx(0.55, abs=1e-3)
    assert facts.restored_back_s == pytest.approx(3.001, abs=1e-3)
    assert facts.spans()[0] == ("BACKUP", pytest.approx(3.0, abs=0.01))
    assert claim("C4").rule(facts)[0] and not claim("cure").rule(facts)[0]


def test_crash(tmp_path: Path) -> None:
    facts = facts_of(crash(), tmp_path)
    assert facts.detection_s == pytest.approx(2.9)
    assert facts.recovery_s == pytest.approx(2.1, abs=0.01)
    assert facts.failed_over and facts.flowed
    assert facts.pulled_state == "" and facts.restored_shows == ""
    assert claim("C1").rule(facts)[0]


def test_outage_until_the_repair(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.dead = [(5.0, 12.4)]
    facts = facts_of(recording, tmp_path)
    assert facts.flowed is False and not claim("C2").rule(facts)[0]


def test_host_that_stays_master(tmp_path: Path) -> None:
    recording = Recording()
    recording.fault(5.0, segment="outside")
    recording.repair(12.0, segment="outside")
    facts = facts_of(recording, tmp_path)
    assert facts.kept and claim("C6").rule(facts)[0]
    recording.carp(6.0, "fw2", "inside", "BACKUP -> MASTER (preempting a slower master)")
    recording.carp(6.5, "fw2", "inside", "MASTER -> BACKUP (more frequent advertisement received)")
    assert not facts_of(recording, tmp_path).kept


def test_run_that_failed_says_why(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.outcome = "interrupted"
    facts = facts_of(recording, tmp_path / "a")
    assert (facts.outcome, facts.what, facts.finished) == ("interrupted", "Ctrl-C", False)
    assert facts.outage_fault_s is None
    (tmp_path / "b").mkdir()
    assert read_run(tmp_path / "b", EMPTY).what == NOTHING_RECORDED


def test_another_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CarplabError, match="no run of one fault and its repair"):
        facts_of(Recording(), tmp_path)

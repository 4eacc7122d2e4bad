from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from carplab.analysis.load import load_run
from carplab.analysis.states import BACKUP, INIT, MASTER
from carplab.analysis.summary import RunSummary, summarise
from carplab.errors import CarplabError
from tests.analysis.recorded import Recording, blocked_port, cable_pull, crash


def summary(recording: Recording, folder: Path) -> RunSummary:
    return summarise(load_run(recording.write(folder)))


def test_a_short_split_in_numbers(tmp_path: Path) -> None:
    found = summary(cable_pull(), tmp_path)
    assert found.outage_fault_s == pytest.approx(2.898)
    assert found.outage_repair_s == 0.0
    assert found.split_fault_s == pytest.approx(2.892025)
    assert found.split_repair_s == pytest.approx(0.2004)
    assert found.recovery_s == pytest.approx(0.5504)
    assert found.detection_s == pytest.approx(2.892625)
    assert found.lateness_s == pytest.approx(0.002)
    assert found.theory_s == pytest.approx((2.390625, 3.390625))
    assert found.failed_over
    assert (found.packets_sent, found.packets_lost) == (20_000, 2897)
    assert (found.stream_ended, found.stream_gap_s) == (None, None)


def test_a_long_split_in_numbers(tmp_path: Path) -> None:
    found = summary(blocked_port(), tmp_path)
    assert found.outage_repair_s == pytest.approx(29.551)
    assert found.split_repair_s == pytest.approx(29.55)
    assert found.recovery_s == pytest.approx(30.1, abs=0.001)
    assert found.worst_split is not None
    assert found.worst_split.text == (
        "worst split: 29.6 s after repair 1 (outside fw1+fw2, inside fw1), "
        "29.6 s of it without traffic"
    )


def test_what_of_a_split_had_no_traffic(tmp_path: Path) -> None:
    recording = blocked_port()
    recording.dead = [(20.0, 22.0), (41.1, 45.0)]
    worst = summary(recording, tmp_path).worst_split
    assert worst is not None
    assert worst.dead_s == pytest.approx(2.0 + 1.0, abs=0.003)


def test_a_split_that_cost_nothing_says_so(tmp_path: Path) -> None:
    recording = Recording()
    recording.carp(4.0, "fw2", "outside", "BACKUP -> MASTER (master timed out)")
    worst = summary(recording, tmp_path).worst_split
    assert worst is not None
    assert worst.text == (
        "worst split: at least 16.0 s before any fault (outside fw1+fw2, inside fw1), "
        "none of it without traffic"
    )


def test_nothing_happened(tmp_path: Path) -> None:
    found = summary(Recording(), tmp_path)
    assert found.worst_split is None
    assert (found.outage_fault_s, found.split_fault_s, found.packets_lost) == (0.0, 0.0, 0)
    assert (found.recovery_s, found.detection_s, found.lateness_s) == (None, None, None)
    assert not found.failed_over


def test_outages_of_faults_and_of_repairs_are_summed(tmp_path: Path) -> None:
    recording = crash()
    recording.dead.append((15.0, 15.2))
    found = summary(recording, tmp_path)
    assert found.outage_fault_s == pytest.approx(2.906)
    assert found.outage_repair_s == pytest.approx(0.101 + 0.201)


def test_the_states_after_fault_and_repair(tmp_path: Path) -> None:
    states = summary(blocked_port(), tmp_path).states
    assert states.after_fault("fw1", "outside", 1, 0.1) == INIT
    assert states.after_fault("fw2", "outside", 1, 3.5) == MASTER
    assert states.after_repair("fw1", "outside", 1, 1.0) == BACKUP
    assert states.after_repair("fw1", "outside", 1, 4.0) == MASTER
    assert states.after_repair("fw3", "outside", 1, 4.0) is None
    assert states.master_after_repair_s("fw1", "outside", 1) == pytest.approx(3.001)
    assert states.master_after_repair_s("fw2", "outside", 1) == 0.0
    assert states.master_after_repair_s("fw2", "inside", 2) == 0.0
    assert states.master_after_repair_s("fw3", "inside", 2) is None


def test_one_interface_that_is_master_makes_its_host_master(tmp_path: Path) -> None:
    recording = blocked_port()
    recording.event(12.01, "fw1", "carp", "outside/2", 1, "BACKUP -> MASTER (master timed out)")
    states = summary(recording, tmp_path).states
    assert states.after_repair("fw1", "outside", 1, 1.0) == MASTER
    assert states.master_after_repair_s("fw1", "outside", 1) == pytest.approx(0.01)


def test_a_pair_that_is_split_has_not_failed_over(tmp_path: Path) -> None:
    recording = blocked_port()
    recording.events = [row for row in recording.events if float(str(row[0])) != 8.0]
    assert not summary(recording, tmp_path).failed_over


def test_a_fault_of_the_backup_is_no_failover(tmp_path: Path) -> None:
    recording = Recording()
    recording.fault(5.0, host="fw2")
    recording.carp(5.001, "fw2", "outside", "BACKUP -> INIT (hardware interface down)")
    recording.repair(12.0, host="fw2")
    found = summary(recording, tmp_path)
    assert not found.failed_over


@pytest.mark.parametrize(("name", "what"), [("probe.csv", "probe"), ("events.csv", "CARP states")])
def test_without_probe_or_states_there_are_no_numbers(
    tmp_path: Path, name: str, what: str
) -> None:
    folder = cable_pull().write(tmp_path)
    (folder / name).unlink()
    with pytest.raises(CarplabError, match=f"recorded no {what}"):
        summarise(load_run(folder))


def test_many_runs_are_read_without_drawing() -> None:
    code = "import sys, carplab.analysis.summary; print('matplotlib' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"

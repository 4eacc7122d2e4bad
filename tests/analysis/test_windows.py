from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carplab.analysis.causes import Cause, cause_of
from carplab.analysis.load import load_run
from carplab.analysis.windows import Findings, Window, find_windows
from tests.analysis.recorded import (
    PLACES,
    SPACING_S,
    TRAVEL_S,
    Recording,
    balanced_network,
    cable_pull,
    cabled_network,
    crash,
)

MICROSECOND = 1e-6 + 1e-9
DETECTED = "BACKUP -> MASTER (master timed out)"
STEPS_DOWN = "MASTER -> BACKUP (more frequent advertisement received)"


def analyse(recording: Recording, folder: Path) -> Findings:
    return find_windows(load_run(recording.write(folder)))


def only(findings: Findings, window: str, cause: str) -> Window:
    """The window that counts; fails where there is none."""
    found = findings.first(window, cause)
    assert found is not None, f"no {window} after {cause}"
    return found


def span(window: Window) -> tuple[float, float | None, float | None]:
    return window.start_t_s, window.end_t_s, window.length_s


def near(*values: float) -> object:
    return pytest.approx(values, abs=MICROSECOND)


def delivered_before(t_s: float) -> float:
    """When the last probe came back that was sent before the way was closed."""
    return t_s - SPACING_S + TRAVEL_S


def test_cable_pull_to_the_microsecond(tmp_path: Path) -> None:
    found = analyse(cable_pull(phase_s=0.25), tmp_path)
    detected_s = 4.75 + 3 + 100 / 256 + 0.002
    end_s = 8.147 + TRAVEL_S  # the first probe sent after traffic flowed again at 8.146625 s
    outage = only(found, "outage", "fault 1")
    assert span(outage) == near(delivered_before(5.0), end_s, end_s - delivered_before(5.0))
    assert span(only(found, "detection", "fault 1")) == near(5.0, detected_s, detected_s - 5.0)
    assert span(only(found, "lateness", "fault 1")) == near(detected_s - 0.002, detected_s, 0.002)
    assert span(only(found, "takeover", "fault 1")) == near(detected_s, end_s, end_s - detected_s)
    assert span(only(found, "failover", "fault 1")) == near(5.0, end_s, end_s - 5.0)
    assert span(only(found, "split", "fault 1")) == near(5.0006, detected_s, detected_s - 5.0006)
    assert span(only(found, "recovery", "repair 1")) == near(12.0, 12.5504, 0.5504)
    assert span(only(found, "outage", "repair 1")) == (12.0, 12.0, 0.0)
    assert span(only(found, "split", "repair 1")) == near(12.35, 12.5504, 0.2004)


def test_one_interface_lost_moves_the_other_segment_without_a_timer(tmp_path: Path) -> None:
    found = analyse(cable_pull(), tmp_path)
    outside, inside = (row for row in found.windows if row.window == "detection")
    assert (outside.segment, inside.segment) == ("outside", "inside")
    assert outside.theory_s == pytest.approx((2.390625, 3.390625))
    assert inside.theory_s is None
    assert inside.length_s == pytest.approx(0.001, abs=MICROSECOND)
    assert "preempting a slower master" in inside.detail


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.floats(0.0, 1.0))
def test_any_phase_keeps_detection_within_theory(tmp_path: Path, phase_s: float) -> None:
    recording = cable_pull(phase_s)
    recording.end_s = 13.0
    found = analyse(recording, tmp_path)
    detection = only(found, "detection", "fault 1")
    assert detection.theory_s is not None
    assert detection.length_s is not None
    low_s, high_s = detection.theory_s
    assert low_s + 0.002 - MICROSECOND <= detection.length_s <= high_s + 0.002 + MICROSECOND
    assert only(found, "lateness", "fault 1").length_s == pytest.approx(0.002, abs=2 * MICROSECOND)


def test_one_way_to_the_server_is_seen_earlier(tmp_path: Path) -> None:
    found = analyse(cable_pull(), tmp_path)
    there, back = only(found, "outage_to_server", "fault 1"), only(found, "outage", "fault 1")
    assert back.start_t_s - there.start_t_s == pytest.approx(TRAVEL_S / 2, abs=MICROSECOND)


def test_crash_is_detected_when_the_last_segment_is(tmp_path: Path) -> None:
    found = analyse(crash(), tmp_path)
    detection = only(found, "detection", "fault 1")
    assert (detection.segment, detection.length_s) == ("outside", pytest.approx(2.9))
    assert only(found, "takeover", "fault 1").length_s == pytest.approx(0.0054, abs=MICROSECOND)
    failover = only(found, "failover", "fault 1")
    assert failover.length_s == pytest.approx(2.9 + 0.0054, abs=MICROSECOND)
    assert failover.theory_s == only(found, "outage", "fault 1").theory_s == detection.theory_s
    lateness = [row.length_s for row in found.windows if row.window == "lateness"]
    assert lateness == near(7.9 - 4.509 - 3.390625, 7.6 - 4.21 - 3.390625)
    # fw1 is killed before the crash takes effect, and is MASTER of nothing from then on
    assert span(only(found, "split", "fault 1")) == near(4.999, 7.9, 2.901)


def test_recovery_waits_for_traffic(tmp_path: Path) -> None:
    recovery = only(analyse(crash(), tmp_path), "recovery", "repair 1")
    assert span(recovery) == near(12.0, 14.1 + TRAVEL_S, 2.1 + TRAVEL_S)
    assert "fw1 MASTER everywhere after 2.0002 s" in recovery.detail
    assert "outage inside it 0.1010 s" in recovery.detail


def test_an_outage_that_goes_on_past_the_repair_is_the_faults(tmp_path: Path) -> None:
    recording = Recording(dead=[(5.0, 12.2)])
    recording.fault(5.0, what="blackhole both")
    recording.carp(8.0, "fw2", "outside", DETECTED)
    recording.repair(12.0, what="blackhole both")
    recording.carp(12.2, "fw2", "outside", STEPS_DOWN)
    found = analyse(recording, tmp_path)
    outage = only(found, "outage", "fault 1")
    assert outage.length_s == pytest.approx(7.201, abs=MICROSECOND)
    assert "went on until 0.2004 s past repair 1" in outage.detail
    after = only(found, "outage", "repair 1")
    assert span(after) == (12.0, 12.0, 0.0)
    assert "the one of fault 1 ended 0.2004 s later" in after.detail
    failover = only(found, "failover", "fault 1")
    assert failover.end_t_s == outage.end_t_s
    assert failover.theory_s is None
    assert "only after a repair" in failover.detail
    recovery = only(found, "recovery", "repair 1")
    assert recovery.length_s == pytest.approx(0.2 + TRAVEL_S, abs=MICROSECOND)
    assert "outage inside it 0.2004 s" in recovery.detail


def test_of_several_outages_the_longest_counts_and_comes_first(tmp_path: Path) -> None:
    recording = Recording(dead=[(5.0, 5.1), (6.0, 8.0), (9.0, 9.01)])
    recording.fault(5.0, what="flap")
    recording.repair(12.0, what="flap")
    rows = [
        row
        for row in analyse(recording, tmp_path).windows
        if row.window == "outage" and row.cause == "fault 1"
    ]
    assert [row.start_t_s for row in rows] == near(*map(delivered_before, (6.0, 5.0, 9.0)))
    assert "the longest of 3, 2.1130 s in all" in rows[0].detail
    assert all("a further one" in row.detail for row in rows[1:])


def test_no_outage_is_a_row_of_length_zero(tmp_path: Path) -> None:
    recording = Recording()
    recording.fault(5.0, segment="", what="daemon_kill")
    recording.carp(8.2, "fw2", "outside", DETECTED)
    recording.carp(8.1, "fw2", "inside", DETECTED)
    found = analyse(recording, tmp_path)
    assert span(only(found, "outage", "fault 1")) == (5.0, 5.0, 0.0)
    assert only(found, "outage", "fault 1").detail == "no outage"
    assert only(found, "detection", "fault 1").length_s == pytest.approx(3.2)
    assert found.first("failover", "fault 1") is None
    assert found.first("takeover", "fault 1") is None


def test_an_outage_not_over_at_the_end_is_at_least_that_long(tmp_path: Path) -> None:
    recording = Recording(end_s=8.0, dead=[(5.0, 99.0)])
    recording.fault(5.0)
    found = analyse(recording, tmp_path)
    outage, failover = only(found, "outage", "fault 1"), only(found, "failover", "fault 1")
    assert outage.at_least
    assert outage.detail.startswith("at least")
    assert outage.end_t_s == pytest.approx(7.999)
    assert failover.at_least
    assert failover.detail.startswith("at least")


def test_nobody_followed_the_master(tmp_path: Path) -> None:
    recording = Recording(dead=[(5.0, 7.0)])
    recording.fault(5.0, what="blackhole from_host")
    recording.repair(7.0, what="blackhole from_host")
    found = analyse(recording, tmp_path)
    detection = only(found, "detection", "fault 1")
    assert (detection.segment, detection.end_t_s, detection.length_s) == ("outside", None, None)
    assert detection.detail == "nobody became MASTER before repair 1"
    assert "without a new MASTER" in only(found, "failover", "fault 1").detail
    assert found.first("takeover", "fault 1") is None
    assert only(found, "recovery", "repair 1").length_s == pytest.approx(TRAVEL_S, abs=MICROSECOND)


def test_a_fault_of_the_backup_has_no_detection(tmp_path: Path) -> None:
    recording = Recording()
    recording.fault(5.0, host="fw2")
    recording.carp(5.001, "fw2", "outside", "BACKUP -> INIT (hardware interface down)")
    recording.repair(12.0, host="fw2")
    recording.carp(12.001, "fw2", "outside", "INIT -> BACKUP (link up)")
    found = analyse(recording, tmp_path)
    assert found.first("detection", "fault 1") is None
    assert only(found, "recovery", "repair 1").length_s == 0.0


def test_recovery_that_never_comes_has_no_end(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.events = [row for row in recording.events if float(str(row[0])) < 12.4]
    recovery = only(analyse(recording, tmp_path), "recovery", "repair 1")
    assert span(recovery) == (12.0, None, None)
    assert recovery.detail == (
        "fw1 was not MASTER everywhere again before the end of the run: outside fw1, inside fw2"
    )


def test_recovery_has_to_last(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.carp(13.0, "fw2", "inside", DETECTED)
    recording.carp(13.5, "fw2", "inside", STEPS_DOWN)
    assert only(analyse(recording, tmp_path), "recovery", "repair 1").length_s == pytest.approx(1.5)


def test_later_noise_does_not_lengthen_a_recovery(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.dead.append((15.0, 15.02))
    recovery = only(analyse(recording, tmp_path), "recovery", "repair 1")
    assert recovery.length_s == pytest.approx(0.5504, abs=MICROSECOND)


def test_two_masters_without_loss_are_a_split(tmp_path: Path) -> None:
    recording = Recording()
    recording.fault(5.0, host="fw2", what="blackhole to_host")
    recording.carp(8.3, "fw2", "outside", DETECTED)
    recording.repair(12.0, host="fw2", what="blackhole to_host")
    recording.carp(12.4, "fw2", "outside", STEPS_DOWN)
    found = analyse(recording, tmp_path)
    split = only(found, "split", "fault 1")
    assert span(split) == near(8.3, 12.4, 4.1)
    assert split.detail == "outside fw1+fw2, inside fw1"
    assert only(found, "outage", "fault 1").length_s == 0.0
    assert only(found, "recovery", "repair 1").length_s == pytest.approx(0.4)


def test_each_cause_has_a_split_row(tmp_path: Path) -> None:
    recording = Recording()
    recording.fault(5.0, host="fw2")
    assert span(only(analyse(recording, tmp_path), "split", "fault 1")) == (5.0, 5.0, 0.0)


def test_the_start_and_the_end_of_a_run_are_no_split(tmp_path: Path) -> None:
    recording = Recording()
    recording.carp(20.5, "fw1", "outside", "MASTER -> INIT (going down)")
    assert analyse(recording, tmp_path).splits == ()


def test_what_is_lost_after_the_end_is_not_counted(tmp_path: Path) -> None:
    recording = Recording(dead=[(15.0, 99.0)], ends=False)
    recording.event(14.9, "runner", "phase", "", "", "end")
    found = analyse(recording, tmp_path)
    assert found.end_s == 14.9
    assert found.windows == ()


def test_a_run_broken_off_ends_with_its_last_packet(tmp_path: Path) -> None:
    recording = Recording(end_s=10.0, ends=False)
    recording.event(11.3, "runner", "phase", "", "", "interrupted")
    assert analyse(recording, tmp_path).end_s == pytest.approx(9.999)


def test_what_is_lost_before_the_network_had_settled_is_not_counted(tmp_path: Path) -> None:
    recording = Recording(dead=[(0.0, 0.6)])
    recording.event(0.7, "runner", "phase", "", "", "settled")
    recording.events.remove(("-0.500000", "runner", "phase", "", "", "settled"))
    found = analyse(recording, tmp_path)
    assert found.windows == ()
    assert found.quality is not None
    assert found.quality.lost == 0


def test_an_outage_before_all_faults_has_no_cause(tmp_path: Path) -> None:
    recording = Recording(dead=[(2.0, 3.0)])
    recording.fault(5.0)
    found = analyse(recording, tmp_path)
    assert only(found, "outage", "none").length_s == pytest.approx(1.001, abs=MICROSECOND)
    assert only(found, "outage", "fault 1").length_s == 0.0


@pytest.mark.parametrize("late_s", [-0.02, -0.002, 0.0, 0.0007, 0.004])
def test_a_fault_stamped_a_little_early_or_late_owns_its_outage(
    tmp_path: Path, late_s: float
) -> None:
    recording = Recording(dead=[(5.0, 5.1)])
    recording.fault(5.0 + late_s, what="blackhole both")
    recording.repair(5.1 + late_s, what="blackhole both")
    found = analyse(recording, tmp_path)
    assert only(found, "outage", "fault 1").length_s == pytest.approx(0.101, abs=MICROSECOND)
    assert only(found, "outage", "repair 1").length_s == 0.0


def test_a_repair_has_the_number_of_the_fault_it_lifts(tmp_path: Path) -> None:
    recording = Recording()
    recording.fault(5.0, host="fw1", segment="outside")
    recording.fault(6.0, host="fw2", segment="inside")
    recording.repair(8.0, host="fw2", segment="inside")
    recording.repair(9.0, host="fw1", segment="outside")
    names = [cause.name for cause in analyse(recording, tmp_path).causes]
    assert names == ["fault 1", "fault 2", "repair 2", "repair 1"]


def test_several_faults_each_have_their_windows(tmp_path: Path) -> None:
    recording = Recording(end_s=40.0, dead=[(5.0, 8.0), (25.0, 25.3)])
    for number, (at_s, length_s) in enumerate(((5.0, 3.0), (25.0, 0.3))):
        recording.fault(at_s, segment="", what="crash")
        for segment, _ in PLACES:
            recording.carp(at_s + length_s - 0.01, "fw2", segment, DETECTED)
        recording.repair(at_s + 10, segment="", what="crash")
        for segment, _ in PLACES:
            recording.event(at_s + 10, "fw1", "process", "", "", "carpd started (pid 1)")
            recording.carp(at_s + 11 + number, "fw1", segment, DETECTED)
            recording.carp(at_s + 11 + number, "fw2", segment, STEPS_DOWN)
    found = analyse(recording, tmp_path)
    failovers = [only(found, "failover", f"fault {number}").length_s for number in (1, 2)]
    assert failovers == near(3.0 + TRAVEL_S, 0.3 + TRAVEL_S)
    recoveries = [only(found, "recovery", f"repair {number}").length_s for number in (1, 2)]
    assert recoveries == near(1.0, 2.0)


def test_a_hang_gives_the_segments_away_until_it_ends(tmp_path: Path) -> None:
    recording = Recording(dead=[(5.0, 8.3)])
    recording.fault(5.0, segment="", what="hang")
    for segment, _ in PLACES:
        recording.carp(8.3, "fw2", segment, DETECTED)
    recording.repair(12.0, segment="", what="hang")
    for segment, _ in PLACES:
        recording.carp(12.6, "fw2", segment, STEPS_DOWN)
    found = analyse(recording, tmp_path)
    assert span(only(found, "split", "fault 1")) == near(5.0, 8.3, 3.3)
    assert only(found, "split", "repair 1").detail == "outside fw1+fw2, inside fw1+fw2"
    assert only(found, "recovery", "repair 1").length_s == pytest.approx(0.6)
    assert only(found, "failover", "fault 1").theory_s == pytest.approx((2.390625, 3.390625))


def test_a_balanced_pair_is_back_when_each_has_its_own_again(tmp_path: Path) -> None:
    recording = Recording(network=balanced_network(2))
    for host, segment, vhid in (("fw2", "outside", 3), ("fw2", "inside", 4)):
        recording.event(-1.0, host, "carp", segment, vhid, DETECTED)
    recording.fault(5.0)
    recording.carp(5.001, "fw1", "outside", "MASTER -> INIT (hardware interface down)")
    recording.carp(5.002, "fw2", "inside", "BACKUP -> MASTER (preempting a slower master)")
    recording.carp(5.003, "fw1", "inside", STEPS_DOWN)
    recording.carp(8.0, "fw2", "outside", DETECTED)
    recording.repair(12.0)
    recording.carp(12.5, "fw1", "inside", DETECTED)
    recording.carp(12.6, "fw2", "inside", STEPS_DOWN)
    recording.carp(12.7, "fw1", "outside", DETECTED)
    recording.carp(12.8, "fw2", "outside", STEPS_DOWN)
    found = analyse(recording, tmp_path)
    detection = only(found, "detection", "fault 1")
    assert detection.detail == "vhid 1 fw2: master timed out"
    assert detection.theory_s == pytest.approx((2.390625, 3.390625))
    assert span(only(found, "split", "fault 1")) == near(5.001, 8.0, 2.999)
    assert span(only(found, "split", "repair 1")) == near(12.5, 12.8, 0.3)
    assert "outside vhid 3 fw2" in only(found, "split", "repair 1").detail
    recovery = only(found, "recovery", "repair 1")
    assert recovery.length_s == pytest.approx(0.8)
    assert "every MASTER at home after 0.8000 s" in recovery.detail


def test_theory_bounds_an_outage_only_if_it_lasted_until_a_timer_ran_out(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.dead = [(5.0, 5.02)]  # what goes through the other virtual host of a segment
    found = analyse(recording, tmp_path)
    assert only(found, "detection", "fault 1").theory_s is not None
    assert only(found, "takeover", "fault 1").segment == "inside"
    assert only(found, "failover", "fault 1").theory_s is None
    assert only(found, "outage", "fault 1").theory_s is None


def test_a_balanced_pair_that_stays_on_one_machine_is_not_back(tmp_path: Path) -> None:
    recording = Recording(network=balanced_network(2))
    for segment, vhid in (("outside", 3), ("inside", 4)):
        recording.event(-1.0, "fw1", "carp", segment, vhid, DETECTED)
    recording.fault(5.0, host="fw2")
    recording.repair(12.0, host="fw2")
    recovery = only(analyse(recording, tmp_path), "recovery", "repair 1")
    assert recovery.length_s is None
    assert "not every MASTER was at home again before the end of the run" in recovery.detail


def test_a_second_cable_that_takes_over_is_a_detection(tmp_path: Path) -> None:
    recording = Recording(network=cabled_network())
    recording.fault(5.0)
    recording.carp(5.001, "fw1", "outside", "MASTER -> INIT (hardware interface down)")
    recording.event(7.9, "fw1", "carp", "outside/2", 1, DETECTED)
    recording.repair(12.0)
    found = analyse(recording, tmp_path)
    detection = only(found, "detection", "fault 1")
    assert detection.length_s == pytest.approx(2.9)
    assert detection.detail == "fw1 cable 2: master timed out"
    assert detection.theory_s == pytest.approx((3 + 50 / 256 - 1, 3 + 50 / 256))
    assert span(only(found, "split", "fault 1")) == near(5.001, 7.9, 2.899)


def test_a_fault_of_a_cable_that_carries_no_master_has_no_detection(tmp_path: Path) -> None:
    recording = Recording(network=cabled_network())
    recording.event(-1.0, "fw1", "carp", "outside/2", 1, "INIT -> BACKUP (link up)")
    recording.fault(5.0, segment="outside/2", what="blackhole both")
    recording.repair(12.0, segment="outside/2", what="blackhole both")
    found = analyse(recording, tmp_path)
    assert found.first("detection", "fault 1") is None
    assert str(found.causes[0]) == "fault 1: blackhole both fw1 outside/2"
    assert [cause.name for cause in found.causes] == ["fault 1", "repair 1"]


def test_a_virtual_host_that_moves_to_another_cable_has_no_detection(tmp_path: Path) -> None:
    recording = Recording(dead=[(5.0, 5.02)])
    recording.fault(5.0)
    recording.repair(12.0)
    found = analyse(recording, tmp_path)
    assert found.first("detection", "fault 1") is None
    assert only(found, "failover", "fault 1").length_s == pytest.approx(0.02, abs=0.001)


def test_windows_come_cause_by_cause(tmp_path: Path) -> None:
    found = analyse(cable_pull(), tmp_path)
    assert [(row.cause, row.window) for row in found.windows] == [
        ("fault 1", "outage"),
        ("fault 1", "outage_to_server"),
        ("fault 1", "detection"),
        ("fault 1", "detection"),
        ("fault 1", "lateness"),
        ("fault 1", "takeover"),
        ("fault 1", "failover"),
        ("fault 1", "split"),
        ("repair 1", "outage"),
        ("repair 1", "outage_to_server"),
        ("repair 1", "recovery"),
        ("repair 1", "split"),
    ]


def test_without_a_probe_there_are_no_outages_but_states(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    (folder / "probe.csv").unlink()
    found = find_windows(load_run(folder))
    assert found.quality is None
    assert found.first("outage", "fault 1") is None
    assert only(found, "detection", "fault 1").length_s == pytest.approx(2.892625)
    assert only(found, "recovery", "repair 1").length_s == pytest.approx(0.5504)


def test_without_events_there_are_outages_without_cause(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    (folder / "events.csv").unlink()
    found = find_windows(load_run(folder))
    assert {row.cause for row in found.windows} == {"none"}
    assert only(found, "outage", "none").length_s == pytest.approx(2.898, abs=MICROSECOND)


@pytest.mark.parametrize(
    ("start_s", "end_s", "name"),
    [
        (4.97, 8.0, "fault 1"),  # confirmed 30 ms later
        (4.7, 8.0, "fault 1"),  # confirmed 300 ms later, while it was going on
        (4.7, 4.9, None),  # over before the fault
        (4.3, 8.0, None),  # too long before it
        (11.8, 12.6, "fault 1"),  # a repair causes nothing before it is made
        (12.3, 12.4, "repair 1"),
    ],
)
def test_what_an_outage_belongs_to(start_s: float, end_s: float, name: str | None) -> None:
    causes = [
        Cause("fault 1", 5.0, "fw1", "outside", "link_down"),
        Cause("repair 1", 12.0, "fw1", "outside", "link_down"),
    ]
    cause = cause_of(start_s, end_s, causes)
    assert (cause.name if cause else None) == name

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.analysis.analysed import read_run, read_series
from carplab.analysis.theory import hold_run, hold_series, timers, verdict, verdicts
from tests.analysis.recorded import balanced_network, cable_pull
from tests.analysis.test_report import write_series


@pytest.mark.parametrize(
    ("length_s", "said"),
    [
        (2.391, "within"),
        (3.391, "within"),
        (3.395, "4.0 ms longer"),
        (2.0, "0.391 s shorter"),
    ],
)
def test_a_length_is_held_against_its_bounds(length_s: float, said: str) -> None:
    assert verdict(length_s, (2.391, 3.391)) == said


def test_many_lengths_are_counted() -> None:
    assert verdicts([2.5, 3.0], (2.4, 3.4)) == "2 within"
    assert verdicts([2.5, 3.5, 3.6, 2.0], (2.4, 3.4)) == (
        "1 within; 2 longer, by 0.200 s at most; 1 shorter, by 0.400 s at most"
    )


def test_the_timers_say_who_has_its_home_where(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.network = balanced_network(2)
    found = {str(each.key): each for each in timers(read_run(recording.write(tmp_path)).run)}
    assert len(found) == 8
    assert found["fw1 outside vhid 1"].preferred and not found["fw2 outside vhid 1"].preferred
    assert found["fw2 outside vhid 3"].preferred
    assert found["fw2 outside vhid 1"].master_down_s == 3 + 100 / 256


def test_the_windows_of_a_run_that_theory_knows(tmp_path: Path) -> None:
    held = {each.window: each for each in hold_run(read_run(cable_pull().write(tmp_path)).findings)}
    assert set(held) == {"outage", "detection", "lateness", "failover"}
    assert (held["outage"].measured, held["outage"].verdict) == ("2.898 s", "within")
    assert (held["lateness"].theory, held["lateness"].verdict) == ("0", "2.0 ms longer")


def test_those_of_a_series(tmp_path: Path) -> None:
    series = read_series(write_series(tmp_path / "series"))
    held = {each.window: each for each in hold_series(series.statistics)}
    assert held["outage"].verdict == "3 within"
    assert held["lateness"].verdict == "3 longer, by 2.0 ms at most"

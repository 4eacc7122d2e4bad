from __future__ import annotations

from pathlib import Path

import pytest

from carplab.analysis.load import load_run
from carplab.analysis.series import find_statistics, median_repetition
from carplab.analysis.windows import Findings, find_windows
from tests.analysis.recorded import Recording, cable_pull


def series(folder: Path, *phases_s: float) -> dict[str, Findings]:
    return {
        f"{number:02d}": find_windows(load_run(cable_pull(phase_s).write(folder / str(number))))
        for number, phase_s in enumerate(phases_s, start=1)
    }


def test_median_and_range(tmp_path: Path) -> None:
    findings = series(tmp_path, 0.1, 0.9, 0.4)
    statistics = {(each.window, each.cause): each for each in find_statistics(findings)}
    detection = statistics["detection", "fault 1"]
    theory_s = 3 + 100 / 256 + 0.002
    assert (detection.shortest_s, detection.median_s, detection.longest_s) == pytest.approx(
        (theory_s - 0.9, theory_s - 0.4, theory_s - 0.1)
    )
    assert detection.theory_s == pytest.approx((2.390625, 3.390625))
    assert (len(detection.lengths_s), detection.runs) == (3, 3)
    assert statistics["outage", "repair 1"].longest_s == 0.0


def test_the_row_that_counts_is_taken_of_each(tmp_path: Path) -> None:
    (statistic,) = (
        each for each in find_statistics(series(tmp_path, 0.5)) if each.window == "detection"
    )
    assert statistic.lengths_s == {"01": pytest.approx(2.892625)}


def test_windows_that_never_closed_are_missing_not_zero(tmp_path: Path) -> None:
    findings = series(tmp_path, 0.1, 0.2)
    recording = cable_pull()
    recording.events = [row for row in recording.events if float(str(row[0])) < 12.4]
    findings["03"] = find_windows(load_run(recording.write(tmp_path / "3")))
    (recovery,) = (each for each in find_statistics(findings) if each.window == "recovery")
    assert sorted(recovery.lengths_s) == ["01", "02"]
    assert recovery.runs == 3


def test_open_windows_are_named_as_limits(tmp_path: Path) -> None:
    recording = Recording(end_s=8.0, dead=[(5.0, 99.0)])
    recording.fault(5.0)
    findings = {"01": find_windows(load_run(recording.write(tmp_path)))}
    (outage,) = (each for each in find_statistics(findings) if each.window == "outage")
    assert outage.at_least == ("01",)


def test_the_middle_repetition(tmp_path: Path) -> None:
    assert median_repetition(series(tmp_path, 0.1, 0.9, 0.4)) == "03"
    assert median_repetition({}) is None

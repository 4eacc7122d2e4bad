from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from carplab import recording
from carplab.analysis.load import load_run
from carplab.analysis.series import find_statistics
from carplab.analysis.table import (
    run_table,
    series_csv,
    series_table,
    windows_csv,
    worst_of_series,
    worst_text,
)
from carplab.analysis.text import length_text
from carplab.analysis.windows import Findings, find_windows
from tests.analysis.recorded import Recording, blocked_port, cable_pull


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return find_windows(load_run(cable_pull().write(tmp_path_factory.mktemp("run"))))


def printed(renderable: object, width: int = 150) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_windows_csv(findings: Findings) -> None:
    rows = list(csv.DictReader(io.StringIO(windows_csv(findings.windows))))
    assert list(rows[0]) == list(recording.WINDOWS.columns)
    assert len(rows) == len(findings.windows)
    detection = next(row for row in rows if row["window"] == "detection")
    assert (detection["start_t_s"], detection["end_t_s"]) == ("5.000000", "7.892625")
    assert detection["length_s"] == "2.892625"
    assert detection["detail"] == "fw2: master timed out; theory 2.391 to 3.391 s"


def test_a_window_without_end_is_blank(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.events = [row for row in recording.events if float(str(row[0])) < 12.4]
    found = find_windows(load_run(recording.write(tmp_path)))
    rows = csv.DictReader(io.StringIO(windows_csv(found.windows)))
    recovery = next(row for row in rows if row["window"] == "recovery")
    assert (recovery["start_t_s"], recovery["end_t_s"], recovery["length_s"]) == (
        "12.000000",
        "",
        "",
    )
    assert "never" in printed(run_table(found))


def test_the_worst_split_is_named(findings: Findings, tmp_path: Path) -> None:
    assert worst_text(findings) == (
        "worst split: 2.892 s after fault 1 (outside none, inside fw2), "
        "2.892 s of it without traffic"
    )
    quiet = find_windows(load_run(Recording().write(tmp_path / "quiet")))
    assert worst_text(quiet) == worst_of_series({"01": quiet}) == "no split"
    longer = find_windows(load_run(blocked_port().write(tmp_path / "longer")))
    worst = worst_of_series({"01": findings, "02": longer, "03": quiet})
    assert worst.startswith("worst split: 29.6 s after repair 1 (")
    assert worst.endswith("in repetition 02")


def test_series_csv_has_the_repetition_in_front(findings: Findings) -> None:
    rows = list(csv.reader(io.StringIO(series_csv({"01": findings, "02": findings}))))
    assert rows[0][:2] == ["repetition", "window"]
    assert [row[0] for row in rows[1:]] == ["01"] * len(findings.windows) + ["02"] * len(
        findings.windows
    )


def test_the_table_of_a_run(findings: Findings) -> None:
    text = printed(run_table(findings))
    assert "2.893 s" in text
    assert "2.391 to 3.391" in text
    assert "outage_to_server" not in text


def test_on_a_narrow_terminal_the_remarks_give_way(findings: Findings) -> None:
    lines = printed(run_table(findings), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    shown = [row for row in findings.windows if row.window != "outage_to_server"]
    assert len(lines) == len(shown) + 5
    assert all(length_text(row.length_s) in "".join(lines) for row in shown)


def test_the_table_of_a_series(findings: Findings) -> None:
    text = printed(series_table(find_statistics({"01": findings, "02": findings})))
    recovery = next(line for line in text.splitlines() if "recovery" in line)
    assert recovery.split("│")[3].strip() == "2"
    assert recovery.count("0.550 s") == 3


@pytest.mark.parametrize(
    ("length_s", "at_least", "text"),
    [
        (2.8976, False, "2.898 s"),
        (0.0048, False, "4.8 ms"),
        (-0.0006, False, "-0.60 ms"),
        (0.1, False, "0.100 s"),
        (0.0999, False, "99.9 ms"),
        (0.0, False, "0"),
        (3.0, True, "at least 3.000 s"),
        (None, False, "never"),
    ],
)
def test_lengths_for_people(length_s: float | None, at_least: bool, text: str) -> None:
    assert length_text(length_s, at_least) == text

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.analysis.load import load_run
from carplab.analysis.summary import summarise
from carplab.analysis.windows import Findings, find_windows
from tests.analysis.recorded import Recording, cable_pull


def analyse(recording: Recording, folder: Path) -> Findings:
    return find_windows(load_run(recording.write(folder)))


def lengths(found: Findings) -> dict[str, float | None]:
    return {row.cause: row.length_s for row in found.windows if row.window == "stream_gap"}


def test_a_stream_that_lives_has_its_gaps(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.silent = [(5.0, 8.5), (12.3, 12.4)]
    found = analyse(recording, tmp_path / "run")
    assert lengths(found) == {
        "fault 1": pytest.approx(3.51),
        "repair 1": pytest.approx(0.11),
    }
    row = found.first("stream_gap", "fault 1")
    assert row is not None
    assert (row.start_t_s, row.end_t_s, row.detail) == (4.991, 8.501, "alive")
    summary = summarise(load_run(tmp_path / "run"))
    assert summary.stream_ended == "alive"
    assert summary.stream_gap_s == pytest.approx(3.51)


def test_a_stream_that_is_reset_never_ends_its_gap(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.silent = [(5.0, 99.0)]
    recording.event(0.0, "client", "stream", "", "", "connected cubic")
    recording.event(5.5, "server", "stream", "", "", "retransmitted (1), next in 0.408 s")
    recording.event(8.4, "server", "stream", "", "", "reset")
    recording.event(19.0, "client", "stream", "", "", "timed out")
    found = analyse(recording, tmp_path / "run")
    assert lengths(found) == {"fault 1": None}
    row = found.first("stream_gap", "fault 1")
    assert row is not None
    assert row.detail == "server: reset at 8.400 s; client: timed out at 19.000 s"
    summary = summarise(load_run(tmp_path / "run"))
    assert (summary.stream_ended, summary.stream_gap_s) == ("reset", None)


def test_a_stream_that_falls_silent_has_stalled(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.silent = [(5.0, 99.0)]
    found = analyse(recording, tmp_path)
    row = found.first("stream_gap", "fault 1")
    assert row is not None
    assert row.at_least
    assert row.length_s == pytest.approx(20.0 - 4.991)
    assert row.detail == "at least; connected, but nothing received after 4.991 s"
    assert found.stream is not None
    assert found.stream.ended == "stalled"


def test_what_a_stream_does_after_the_end_does_not_count(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.silent = []
    recording.event(20.5, "client", "stream", "", "", "closed")
    found = analyse(recording, tmp_path)
    assert found.stream is not None
    assert found.stream.ended == "alive"


def test_a_stream_that_never_carried_anything(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.silent = [(0.0, 99.0)]
    recording.event(0.1, "client", "stream", "", "", "broken: 13 Permission denied")
    found = analyse(recording, tmp_path)
    assert lengths(found) == {}
    assert found.stream is not None
    assert found.stream.ended == "broken"


def test_without_a_stream_there_is_none(tmp_path: Path) -> None:
    assert analyse(cable_pull(), tmp_path).stream is None

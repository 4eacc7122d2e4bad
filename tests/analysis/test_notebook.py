from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from carplab.analysis.notebook import (
    compare,
    events_table,
    open_run,
    open_runs,
    settings_table,
    states_table,
    windows_table,
)
from carplab.errors import CarplabError
from tests.analysis.recorded import Recording, blocked_port, cable_pull, cabled_network


def test_a_run_is_opened_by_its_folder_and_a_series_by_its_repetitions(tmp_path: Path) -> None:
    cable_pull().write(tmp_path / "one")
    assert list(open_runs(tmp_path / "one")) == ["one"]
    for name, phase_s in (("02", 0.2), ("01", 0.5)):
        cable_pull(phase_s).write(tmp_path / "series" / name)
    (tmp_path / "series" / "series.json").write_text("{}")
    runs = open_runs(str(tmp_path / "series"))
    assert list(runs) == ["01", "02"]
    detected_s = [run.findings.first("detection", "fault 1") for run in runs.values()]
    assert [round(each.length_s or 0, 4) for each in detected_s if each] == [2.8926, 3.1926]


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(CarplabError, match=f"{tmp_path} is no folder of a run"):
        open_run(tmp_path)


def test_settings_come_with_what_follows_of_them(tmp_path: Path) -> None:
    run = open_run(Recording(network=cabled_network()).write(tmp_path))
    table = settings_table(run).set_index(["host", "segment", "cable"])
    slowest = table.loc[("fw2", "outside", 2)]
    assert (slowest["advbase_s"], slowest["advskew"]) == (1, 150)
    assert slowest["interval_s"] == 1 + 150 / 256
    assert slowest["master_down_s"] == 3 + 150 / 256


def test_events_keep_their_words_and_have_no_vhid_where_there_is_none(tmp_path: Path) -> None:
    events = events_table(open_run(cable_pull().write(tmp_path)))
    fault = events[events["kind"] == "fault"].iloc[0]
    assert (fault["t_s"], fault["source"], fault["detail"]) == (5.0, "fw1", "link_down")
    assert fault["vhid"] is pd.NA
    assert set(events.query("kind == 'carp'")["vhid"]) == {1, 2}


def test_states_fill_the_time_from_settled_to_the_end(tmp_path: Path) -> None:
    states = states_table(open_run(blocked_port().write(tmp_path)))
    assert (states.groupby(["host", "segment"])["length_s"].sum().round(6) == 50.5).all()
    outside = states.query("host == 'fw1' and segment == 'outside'")
    assert list(outside["state"]) == ["MASTER", "INIT", "BACKUP", "MASTER"]
    assert outside["length_s"].iloc[2] == pytest.approx(3.0)


def test_windows_are_those_of_windows_csv_with_the_theory_in_columns(tmp_path: Path) -> None:
    run = open_run(cable_pull().write(tmp_path))
    windows = windows_table(run)
    assert len(windows) == len(run.windows)
    detection = windows.query("window == 'detection' and segment == 'outside'").iloc[0]
    assert detection["length_s"] == pytest.approx(3 + 100 / 256 - 0.5 + 0.002)
    assert detection["longest_due_s"] == 3 + 100 / 256
    assert detection["shortest_due_s"] == 2 + 100 / 256
    assert windows["longest_due_s"].isna().any()


def test_what_recorded_nothing_has_tables_without_rows(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 1}')
    run = open_run(tmp_path)
    for table in (settings_table, events_table, states_table, windows_table):
        assert table(run).empty
    assert windows_table(run).query("window == 'outage' and length_s > 1").empty


@pytest.mark.parametrize(
    ("predicted", "actual", "said"),
    [
        (None, 2.891, "outage: no prediction yet; measured: 2.891 s."),
        (3, 2.891, "outage: you said 3 s; measured: 2.891 s (-0.109 s)."),
        (None, 0.0, "outage: no prediction yet; measured: 0 s."),
    ],
)
def test_a_predicted_number_is_told_with_its_difference(
    predicted: object, actual: object, said: str
) -> None:
    assert compare("outage", predicted, actual, "s") == said


def test_a_predicted_word_is_right_or_asks_why() -> None:
    assert compare("MASTER", "fw1", "fw1") == "MASTER: you said fw1; measured: fw1: right."
    assert compare("MASTER", "fw2", "fw1", by="by theory") == (
        "MASTER: you said fw2; by theory: fw1: why?"
    )
    assert compare("flows", True, False) == "flows: you said True; measured: False: why?"

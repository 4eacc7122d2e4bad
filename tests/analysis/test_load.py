from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from carplab.analysis.load import VirtualHostKey, load_run
from carplab.analysis.windows import find_windows
from carplab.errors import CarplabError
from tests.analysis.recorded import (
    PLACES,
    Recording,
    balanced_network,
    cable_pull,
    cabled_network,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return cable_pull().write(tmp_path / "run")


def test_reads_what_was_written(folder: Path) -> None:
    run = load_run(folder)
    assert (run.outcome, run.preferred, run.dialect) == ("finished", "fw1", "openbsd")
    assert run.missing == ()
    assert len(run.probe) == 20_000
    assert run.probe["sent_t_s"].iloc[7] == 0.007
    assert run.ping["rtt_ms"].isna().sum() == 181
    assert len(run.iperf) == 200
    first = run.events[0]
    assert (first.t_s, first.source, first.kind, first.vhid) == (-3.0, "fw1", "process", None)
    carp = next(event for event in run.events if event.kind == "carp")
    assert (carp.segment, carp.vhid, carp.detail) == ("outside", 1, "INIT -> BACKUP (link up)")


def test_knows_the_timers_of_each_virtual_host(folder: Path) -> None:
    settings = load_run(folder).virtual_hosts[VirtualHostKey("fw2", "inside", 2)]
    assert settings.master_down_s == 3 + 100 / 256


def test_the_cables_of_a_machine_are_told_apart(tmp_path: Path) -> None:
    recording = Recording(network=cabled_network())
    recording.event(4.0, "fw1", "carp", "outside/2", 1, "BACKUP -> MASTER (master timed out)")
    run = load_run(recording.write(tmp_path))
    (event,) = (event for event in run.events if event.t_s == 4.0)
    assert (event.segment, event.cable, event.place) == ("outside", 2, "outside/2")
    assert run.virtual_hosts[VirtualHostKey("fw2", "inside", 2, cable=2)].advskew == 150
    assert str(VirtualHostKey("fw2", "inside", 2, cable=2)) == "fw2 inside/2 vhid 2"


@pytest.mark.parametrize(
    ("network", "homes"),
    [
        (cabled_network(), {("outside", 1): "fw1", ("inside", 2): "fw1"}),
        (
            balanced_network(2),
            {
                ("outside", 1): "fw1",
                ("outside", 3): "fw2",
                ("inside", 2): "fw1",
                ("inside", 4): "fw2",
            },
        ),
        (
            balanced_network(3),
            {(segment, first + 2 * rank): f"fw{rank + 1}" for segment, first in PLACES
             for rank in range(3)},
        ),
    ],
)  # fmt: skip
def test_each_place_has_a_home(
    tmp_path: Path, network: dict[str, Any], homes: dict[tuple[str, int], str]
) -> None:
    assert load_run(Recording(network=network).write(tmp_path)).homes == homes


def test_further_probes_and_the_stream_are_read_where_there_are(tmp_path: Path) -> None:
    recording = Recording(flows={("client2", "server"): [(1.0, 2.0)]}, silent=[])
    run = load_run(recording.write(tmp_path))
    assert run.missing == ()
    assert run.flow == ("client", "server")
    assert run.further_probes["client2", "server"]["returned_t_s"].isna().sum() == 1000
    assert run.stream["received_t_s"].iloc[3] == pytest.approx(0.031)


def test_a_stream_that_was_asked_for_is_missed(tmp_path: Path) -> None:
    folder = Recording(silent=[]).write(tmp_path)
    (folder / "stream.csv").unlink()
    assert load_run(folder).missing == ("stream.csv is missing.",)


def test_a_compressed_probe_gives_the_same_windows(tmp_path: Path, folder: Path) -> None:
    zipped = cable_pull().write(tmp_path / "zipped", zipped=True)
    assert (zipped / "probe.csv.gz").exists()
    assert not (zipped / "probe.csv").exists()
    assert find_windows(load_run(zipped)).windows == find_windows(load_run(folder)).windows


def test_a_compressed_file_cut_short_gives_what_it_holds(folder: Path) -> None:
    whole = gzip.compress((folder / "probe.csv").read_bytes())
    (folder / "probe.csv").unlink()
    (folder / "probe.csv.gz").write_bytes(whole[: len(whole) // 2])
    assert 1000 < len(load_run(folder).probe) < 20_000


def test_a_line_cut_short_does_not_count(folder: Path) -> None:
    lines = (folder / "probe.csv").read_text().splitlines(keepends=True)
    (folder / "probe.csv").write_text("".join(lines[:11]) + "10,0.01")
    assert list(load_run(folder).probe["seq"]) == list(range(10))


@pytest.mark.parametrize("name", ["probe", "ping", "iperf", "events"])
def test_a_missing_file_is_said_and_nothing_more(folder: Path, name: str) -> None:
    (folder / f"{name}.csv").unlink()
    run = load_run(folder)
    assert run.missing == (f"{name}.csv is missing.",)
    find_windows(run)


@pytest.mark.parametrize("name", ["probe", "ping", "iperf", "events"])
@pytest.mark.parametrize("content", ["", "seq,sent_"])
def test_an_empty_file_is_said_and_nothing_more(folder: Path, name: str, content: str) -> None:
    (folder / f"{name}.csv").write_text(content)
    run = load_run(folder)
    assert run.missing == (f"{name}.csv is empty.",)
    find_windows(run)


def test_nothing_but_run_json(folder: Path) -> None:
    for path in folder.glob("*.csv"):
        path.unlink()
    assert find_windows(load_run(folder)).windows == ()


def test_a_header_alone_is_said(folder: Path) -> None:
    (folder / "ping.csv").write_text("seq,sent_t_s,rtt_ms\n")
    assert load_run(folder).missing == ("ping.csv has no lines.",)


def test_damaged_cells_and_lines_are_passed_over(folder: Path) -> None:
    with (folder / "probe.csv").open("a") as file:
        file.write("20000,zero,1,1\n20001,20.001,20.0012,20.0014\n1,2,3,4,5,6,7\n")
    assert len(load_run(folder).probe) == 20_001


def test_another_table_is_an_error_of_one_sentence(folder: Path) -> None:
    (folder / "ping.csv").write_text("seq,when,rtt_ms\n1,2,3\n")
    with pytest.raises(
        CarplabError, match=r"ping\.csv has no column 'sent_t_s': expected seq, sent"
    ):
        load_run(folder)


def test_what_is_no_gzip_file_is_an_error(folder: Path) -> None:
    (folder / "probe.csv").unlink()
    (folder / "probe.csv.gz").write_bytes(b"plain text\n")
    with pytest.raises(CarplabError, match=r"probe\.csv\.gz is no gzip file"):
        load_run(folder)


def test_a_folder_without_run_json_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CarplabError, match=r"no run\.json"):
        load_run(tmp_path)


def test_a_damaged_run_json_is_an_error(folder: Path) -> None:
    (folder / "run.json").write_text('{"format": 1, ')
    with pytest.raises(CarplabError, match=r"run\.json is damaged"):
        load_run(folder)


@pytest.mark.parametrize(
    "scenario", [None, {}, [], {"network": None}, {"network": {"routers": [{"interfaces": [7]}]}}]
)
def test_a_network_that_is_not_recorded_leaves_theory_out(folder: Path, scenario: object) -> None:
    about = json.loads((folder / "run.json").read_text())
    about["scenario"] = scenario
    (folder / "run.json").write_text(json.dumps(about))
    run = load_run(folder)
    assert run.virtual_hosts == {}
    assert run.preferred is None
    detection = find_windows(run).first("detection", "fault 1")
    assert detection is not None
    assert detection.theory_s is None


def test_the_dialect_is_the_routers_where_no_setting_names_it(tmp_path: Path) -> None:
    recording = Recording(settings={})
    assert load_run(recording.write(tmp_path)).dialect == "openbsd"


def test_events_out_of_order_are_sorted(folder: Path) -> None:
    lines = (folder / "events.csv").read_text().splitlines(keepends=True)
    (folder / "events.csv").write_text("".join([lines[0], *reversed(lines[1:])]))
    times_s = [event.t_s for event in load_run(folder).events]
    assert times_s == sorted(times_s)

"""The files of a run: written safely, read back, and readable after every accident."""

from __future__ import annotations

import csv
import errno
import gzip
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carplab import recording
from carplab.errors import CarplabError
from carplab.recording import EVENTS, PING, PROBE, Origin, RunFolder, SeriesFolder

# 2026-11-22T11:30:00 UTC
ORIGIN = Origin(monotonic_s=1000.0, wall_s=1795347000.0)


def read_table(folder: Path, table: recording.Table) -> list[list[str]]:
    with recording.open_table(recording.find_table(folder, table)) as file:
        return list(csv.reader(file))


def events(folder: RunFolder) -> list[list[str]]:
    return read_table(folder.path, EVENTS)[1:]


# --- a run ---


def test_a_new_run_says_what_it_is_and_that_it_runs(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "cable-pull", ORIGIN)
    assert folder.path == tmp_path / "cable-pull" / "2026-11-22T11-30-00"
    assert recording.read_run(folder.path) == {
        "format": 1,
        "experiment": "cable-pull",
        "run": "2026-11-22T11-30-00",
        "outcome": "running",
        "reason": None,
        "started_wall": "2026-11-22T11:30:00.000+00:00",
        "origin": {"monotonic_s": 1000.0, "wall_s": 1795347000.0},
        "repetition": 1,
    }


def test_a_second_run_in_the_same_second_gets_its_own_folder(tmp_path: Path) -> None:
    names = [RunFolder.create(tmp_path, "crash", ORIGIN).path.name for _ in range(3)]
    assert names == ["2026-11-22T11-30-00", "2026-11-22T11-30-00-2", "2026-11-22T11-30-00-3"]


def test_fields_of_run_json_add_up(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)
    folder.write_run(seed=7, phase="settle")
    folder.write_run(phase="fault")
    folder.finish("finished", duration_s=20.0)
    run = recording.read_run(folder.path)
    expected = {"seed": 7, "phase": "fault", "outcome": "finished", "duration_s": 20.0}
    assert expected.items() <= run.items()


def test_nothing_but_the_results_is_left_in_the_folder(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)
    (folder.raw_dir / "ping-client.txt").write_text("x")
    folder.write_rows(PING, [])
    folder.drop_raw()
    folder.finish("finished")
    names = sorted(path.name for path in folder.path.iterdir())
    assert names == ["events.csv", "ping.csv", "run.json"]


def test_an_existing_run_can_be_finished_later(tmp_path: Path) -> None:
    killed = RunFolder.create(tmp_path, "crash", ORIGIN)
    killed.write_run(seed=7)
    RunFolder.open(killed.path).finish("interrupted", reason="the runner was killed")
    run = recording.read_run(killed.path)
    assert (run["outcome"], run["reason"], run["seed"]) == (
        "interrupted",
        "the runner was killed",
        7,
    )
    assert not (killed.path / ".reserve").exists()


# --- events ---


def test_an_event_is_on_disk_at_once_and_sorted_at_the_end(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)
    folder.event(1002.5, "fw2", "carp", segment="outside", vhid=1, detail="BACKUP -> MASTER")
    folder.event(1001.25, "fw1", "fault", segment="outside", detail="link_down")
    late = ["2.500000", "fw2", "carp", "outside", "1", "BACKUP -> MASTER"]
    early = ["1.250000", "fw1", "fault", "outside", "", "link_down"]
    assert events(folder) == [late, early]
    folder.close()
    assert events(folder) == [early, late]
    folder.close()


def test_events_from_many_threads_are_all_there_and_whole(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)

    def tell(source: str) -> None:
        for number in range(200):
            folder.event(1000.0 + number, source, "heard", detail=f"{source}, {number}")

    threads = [threading.Thread(target=tell, args=(f"fw{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder.close()
    rows = events(folder)
    assert len(rows) == 800
    assert {len(row) for row in rows} == {6}
    times = [float(row[0]) for row in rows]
    assert times == sorted(times)


def test_a_later_origin_shifts_the_events_so_far(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)
    folder.event(1001.0, "runner", "phase", detail="setup")
    folder.set_origin(Origin(monotonic_s=1003.0, wall_s=1795347003.0))
    folder.event(1003.5, "runner", "phase", detail="fault")
    assert [row[0] for row in events(folder)] == ["-2.000000", "0.500000"]
    assert recording.read_run(folder.path)["origin"]["monotonic_s"] == 1003.0


def test_awkward_details_survive_the_csv(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)
    folder.event(1000.0, "runner", "process", detail='said "no", twice,\nü')
    assert events(folder)[0][5] == 'said "no", twice,\nü'


# --- tables ---


def test_cells_have_microseconds_and_missing_ones_are_empty(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)
    folder.write_rows(PROBE, [(0, 0.0000014, 0.25, None), (1, -1.5, None, None)])
    assert (folder.path / "probe.csv").read_text() == (
        "seq,sent_t_s,server_t_s,returned_t_s\n0,0.000001,0.250000,\n1,-1.500000,,\n"
    )


def test_a_compressed_table_is_found_and_always_the_same_bytes(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)
    path = folder.write_rows(PROBE, [(0, 0.5, 0.5, 0.5)], compress=True)
    first = path.read_bytes()
    folder.write_rows(PROBE, [(0, 0.5, 0.5, 0.5)], compress=True)
    assert path.name == "probe.csv.gz"
    assert path.read_bytes() == first
    assert gzip.decompress(first).startswith(b"seq,")
    assert read_table(folder.path, PROBE)[1] == ["0", "0.500000", "0.500000", "0.500000"]


def test_a_table_that_was_never_written_is_missed_by_name(tmp_path: Path) -> None:
    with pytest.raises(CarplabError, match=re.escape(f"{tmp_path} has no ping.csv")):
        recording.find_table(tmp_path, PING)


def test_further_probes_are_found_by_their_files(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "cable-pull", ORIGIN)
    folder.write_rows(PROBE, [])
    for client in ("client3", "client2"):
        folder.write_rows(recording.flow_table(client, "server"), [], compress=True)
    (folder.path / "probe-and-something-else.csv").touch()
    assert (folder.path / "probe-client2-server.csv.gz").exists()
    assert recording.find_flows(folder.path) == [("client2", "server"), ("client3", "server")]


# --- a series ---


def test_a_series_has_a_run_folder_for_each_repetition(tmp_path: Path) -> None:
    series = SeriesFolder.create(tmp_path, "crash", ORIGIN, repetitions=2)
    first, second = series.repetition(1, ORIGIN), series.repetition(2, ORIGIN)
    series.write_series(outcome="finished")
    assert [first.path.name, second.path.name] == ["01", "02"]
    assert recording.read_run(second.path)["repetition"] == 2
    assert recording.read_run(second.path)["run"] == "2026-11-22T11-30-00/02"
    fields = recording.read_series(series.path)
    assert (fields["outcome"], fields["repetitions"]) == ("finished", 2)


# --- lists ---


def test_the_list_has_runs_and_series_but_no_repetitions(tmp_path: Path) -> None:
    later = Origin(0.0, ORIGIN.wall_s + 60)
    RunFolder.create(tmp_path, "crash", later).finish("failed", "no power")
    SeriesFolder.create(tmp_path, "cable-pull", ORIGIN, 2).repetition(1, ORIGIN)
    (tmp_path / "notes" / "mine").mkdir(parents=True)
    found = recording.list_runs(tmp_path)
    assert [(run.experiment, run.outcome, run.reason, run.repetitions) for run in found] == [
        ("cable-pull", "running", None, 2),
        ("crash", "failed", "no power", 1),
    ]


def test_a_damaged_run_is_listed_with_what_is_wrong(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)
    (folder.path / "run.json").write_text('{"format": 1, "exper')
    (run,) = recording.list_runs(tmp_path)
    assert (run.experiment, run.outcome) == ("crash", "failed")
    assert "run.json is damaged" in (run.reason or "")


def test_no_results_folder_is_an_empty_list(tmp_path: Path) -> None:
    assert recording.list_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "it does not say its format"),
        ('{"format": "1"}', "it does not say its format"),
        ("\x00", "is damaged"),
        ('{"format": 99}', "has format 99, this carplab reads up to 1"),
    ],
)
def test_a_run_that_cannot_be_read_says_why(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(CarplabError, match=words):
        recording.read_run(tmp_path)


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(CarplabError, match=r"is no folder of a run: no run\.json in it"):
        RunFolder.open(tmp_path)


# --- accidents ---


def test_a_results_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.write_text("")
    with pytest.raises(CarplabError, match=r"cannot write .*/results/crash: Not a directory; "):
        RunFolder.create(results, "crash", ORIGIN)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_results_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CarplabError, match="Permission denied; choose a folder that can be"):
        RunFolder.create(tmp_path, "crash", ORIGIN)


def test_a_full_disk_keeps_the_former_version_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path, "crash", ORIGIN)

    def write_half(path: Path, data: bytes) -> int:
        with open(path, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(CarplabError, match=r"cannot write .*/run\.json: the disk is full; free"):
        folder.write_run(outcome="finished")
    assert recording.read_run(folder.path)["outcome"] == "running"
    assert not list(folder.path.glob(".run.json*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"), open(disk / "ballast", "wb") as file:
        while True:
            file.write(bytes(1000))
            file.flush()


@pytest.mark.root
def test_a_disk_that_fills_up_in_a_run_ends_it_with_a_sentence(small_disk: Path) -> None:
    folder = RunFolder.create(small_disk, "crash", ORIGIN)
    folder.event(1001.0, "runner", "phase", detail="settled")
    fill(small_disk)
    with pytest.raises(CarplabError, match=r"write .*/events\.csv: the disk is full") as full:
        for number in range(10_000):
            folder.event(1002.0, "fw1", "heard", detail=f"advertisement {number}")
    kept = events(folder)
    assert {len(row) for row in kept} == {6}
    with pytest.raises(CarplabError, match=r"cannot write .*/ping\.csv: the disk is full"):
        folder.write_rows(PING, [(0, 0.0, 1.0)] * 1000)

    folder.finish("failed", reason=str(full.value))
    run = recording.read_run(folder.path)
    assert run["outcome"] == "failed"
    assert "the disk is full" in run["reason"]
    # The event that found no room was kept in mind, and found some at last.
    assert len(events(folder)) == len(kept) + 1


@pytest.mark.root
def test_a_disk_that_is_full_from_the_start_is_one_sentence(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(CarplabError, match="the disk is full; free some space, or choose another"):
        RunFolder.create(small_disk, "crash", ORIGIN)


# --- sudo ---


def owners(top: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(top)): (path.stat().st_uid, path.stat().st_gid)
        for path in sorted(top.rglob("*"))
    }


@pytest.mark.root
def test_what_root_writes_under_sudo_belongs_to_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "4711")
    monkeypatch.setenv("SUDO_GID", "4712")
    series = SeriesFolder.create(tmp_path / "new" / "results", "crash", ORIGIN, 1)
    folder = series.repetition(1, ORIGIN)
    folder.raw_dir.joinpath("not ours").mkdir()
    folder.event(1000.0, "runner", "phase", detail="settled")
    folder.write_rows(PROBE, [], compress=True)
    folder.drop_raw()
    folder.finish("finished")
    found = owners(tmp_path)
    assert "new/results/crash/2026-11-22T11-30-00/01/events.csv" in found
    assert set(found.values()) == {(4711, 4712)}
    assert tmp_path.stat().st_uid == 0


@pytest.mark.root
def test_without_sudo_files_stay_root_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    RunFolder.create(tmp_path, "crash", ORIGIN).finish("finished")
    assert set(owners(tmp_path).values()) == {(0, 0)}

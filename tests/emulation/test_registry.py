"""The lock and the record of what a run has made: nothing else is ever removed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carplab.emulation import registry as module
from carplab.emulation.registry import MARK_VARIABLE, Registry, clean
from carplab.errors import CarplabError
from carplab.recording import Origin, SeriesFolder, read_run, read_series

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def others() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of the test, ended after it whatever happened."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def start(
    processes: list[subprocess.Popen[bytes]], mark: str | None = None
) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if key != MARK_VARIABLE}
    if mark:
        environment[MARK_VARIABLE] = mark
    process = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, env=environment)
    processes.append(process)
    assert process.stdout and process.stdout.readline() == b"up\n"
    return process


def abandon(registry: Registry) -> None:
    """Leave everything as a SIGKILL would: the lock gone, the record still there."""
    os.close(registry._lock_fd)
    os.environ.pop(MARK_VARIABLE, None)


def test_second_run_is_refused_and_told_the_first_ones_pid(tmp_path: Path) -> None:
    first = Registry.acquire("cable-pull", tmp_path)
    with pytest.raises(CarplabError, match=rf"going on \(cable-pull, pid {os.getpid()}\)"):
        Registry.acquire("crash", tmp_path)
    with pytest.raises(CarplabError, match="another carplab run is going on"):
        clean(tmp_path)
    assert first.release() == []
    Registry.acquire("crash", tmp_path).release()


def test_release_leaves_no_file_but_the_lock(tmp_path: Path) -> None:
    registry = Registry.acquire("cable-pull", tmp_path)
    (registry.run_dir / "fw1.toml").write_text("x")
    registry.release()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert MARK_VARIABLE not in os.environ


def test_clean_without_anything_left_removes_nothing(tmp_path: Path) -> None:
    assert clean(tmp_path) == []


def test_processes_of_a_killed_run_are_ended_and_no_others(
    tmp_path: Path, others: list[subprocess.Popen[bytes]]
) -> None:
    registry = Registry.acquire("cable-pull", tmp_path)
    marked = start(others, registry.record.mark)
    recorded = start(others)
    stranger = start(others)
    registry.add_process("carpd on fw1", recorded.pid)
    abandon(registry)
    removed = clean(tmp_path)
    assert f"process {recorded.pid} (carpd on fw1)" in removed
    assert any(text.startswith(f"process {marked.pid} (") for text in removed)
    assert len(removed) == 2
    assert stranger.poll() is None
    assert clean(tmp_path) == []


def test_reused_pid_is_left_alone(tmp_path: Path, others: list[subprocess.Popen[bytes]]) -> None:
    registry = Registry.acquire("cable-pull", tmp_path)
    stranger = start(others)
    registry.add_process("carpd on fw1", stranger.pid)
    pid, ticks = registry.record.processes["carpd on fw1"]
    registry.record.processes["carpd on fw1"] = (pid, ticks - 1)
    registry.set_folder(tmp_path / "nowhere")
    abandon(registry)
    assert clean(tmp_path) == []
    assert stranger.poll() is None


def test_next_run_removes_what_the_killed_one_left(
    tmp_path: Path, others: list[subprocess.Popen[bytes]]
) -> None:
    killed = Registry.acquire("cable-pull", tmp_path)
    left = start(others, killed.record.mark)
    abandon(killed)
    following = Registry.acquire("crash", tmp_path)
    assert len(following.left_over) == 1 and str(left.pid) in following.left_over[0]
    assert not killed.run_dir.exists()
    following.release()


def test_interfaces_and_bridges_need_more_than_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple[str, ...]] = []
    registry = Registry.acquire("cable-pull", tmp_path)
    marks = {"outside": registry.record.mark, "inside": f"{os.getpid()}-1-0123456789ab"}
    marks["alive"] = registry.record.mark[:-1] + "x"
    macs = {"outside-fw1": "02:00:00:00:00:01", "outside-fw2": "02:00:00:00:00:99"}
    monkeypatch.setattr(module, "_marked_bridges", lambda: marks)
    monkeypatch.setattr(module, "_interface_mac", macs.get)
    monkeypatch.setattr(module, "_run", lambda *command: commands.append(command))
    tables = "table netdev carplab_loss_7_1\ntable netdev carplab_loss_77_1\ntable netdev mine\n"
    monkeypatch.setattr(module, "_output", lambda *command: tables)
    registry.add_interfaces(
        {"outside-fw1": "02:00:00:00:00:01", "outside-fw2": "02:00:00:00:00:02", "gone": "02::"}
    )
    registry.add_tables("carplab_loss_7_")
    assert registry.release() == [
        "switch outside",
        "switch inside",
        "interface outside-fw1",
        "nftables table carplab_loss_7_1",
    ]
    assert ("ip", "link", "delete", "outside-fw1") in commands
    assert len(commands) == 4


def test_killed_series_is_marked_as_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry.acquire("cable-pull", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    series = SeriesFolder.create(Path("results"), "cable-pull", Origin.now(), 2)
    first = series.repetition(1, Origin.now())
    first.finish("finished")
    registry.set_folder(series.repetition(2, Origin.now()).path)
    abandon(registry)
    monkeypatch.chdir("/")
    assert len(clean(tmp_path / "run")) == 1
    monkeypatch.chdir(tmp_path)
    assert read_series(series.path)["outcome"] == "interrupted"
    assert read_run(series.path / "01")["outcome"] == "finished"
    assert read_run(series.path / "02")["reason"] == "the runner was killed"


def test_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(CarplabError, match=r"record\.json is damaged"):
        clean(tmp_path)


def test_lock_ends_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from carplab.emulation.registry import "
        "Registry;"
        "Registry.acquire('crash', Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    with pytest.raises(CarplabError, match=rf"pid {holder.pid}"):
        clean(tmp_path)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    deadline_s = time.monotonic() + 5
    while (tmp_path / "record.json").exists() and time.monotonic() < deadline_s:
        clean(tmp_path)
    assert not (tmp_path / "record.json").exists()

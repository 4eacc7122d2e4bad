"""Processes of the traffic: their lines stamped, their deaths named, their end certain."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carplab.emulation.traffic import Endpoint, Line, Process, read_lines
from carplab.errors import CarplabError

HERE = Endpoint("client", "127.0.0.1", subprocess.Popen)


def wait_for(what: str, condition: Callable[[], object], deadline_s: float = 5.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(script: str, *, stamped: bool = True, output: str = "out") -> Process:
        argv = ["sh", "-c", script]
        process = Process("tool", HERE, argv, tmp_path / output, stamped=stamped)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


def complaint(process: Process) -> str:
    """What check() says once it says something."""
    said: list[str] = []

    def complains() -> bool:
        try:
            process.check()
        except CarplabError as error:
            said.append(str(error))
        return bool(said)

    wait_for("check() complains", complains)
    return said[0]


def test_lines_are_stamped_when_they_arrive(start: Callable[..., Process], tmp_path: Path) -> None:
    before_s, wall_before_s = time.monotonic(), time.time()
    start("echo one; echo two words; exec sleep 60")
    wait_for("two lines", lambda: len(list(read_lines(tmp_path / "out"))) == 2)
    after_s = time.monotonic()
    first, second = read_lines(tmp_path / "out")
    assert [first.text, second.text] == ["one", "two words"]
    assert before_s <= first.arrived_s <= second.arrived_s <= after_s
    assert first.wall_offset_s == pytest.approx(wall_before_s - before_s, abs=0.1)


def test_empty_and_strange_lines_are_kept(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"1.5 100.0 \n2.5 100.0 \xff \r\n3.5 100.0 cut o")
    assert list(read_lines(tmp_path / "out")) == [
        Line(1.5, 100.0, ""),
        Line(2.5, 100.0, "\ufffd \r"),
    ]


def test_a_raw_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "out")) == []


@pytest.mark.parametrize("stamped", [True, False])
def test_a_death_is_told_with_its_last_words(start: Callable[..., Process], stamped: bool) -> None:
    process = start("echo fine; echo no route to server >&2; exit 3", stamped=stamped)
    assert complaint(process) == "tool on client ended by itself (status 3): no route to server"


def test_a_kill_is_told_by_its_signal(start: Callable[..., Process]) -> None:
    process = start("exec sleep 60")
    process.check()
    process.popen.kill()
    assert complaint(process) == "tool on client ended by itself (SIGKILL): it said nothing"


def test_an_end_with_status_0_is_an_error_too(start: Callable[..., Process]) -> None:
    assert "ended by itself (status 0): done" in complaint(start("echo done"))


def test_a_program_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    argv = ["/nonexistent/iperf3", "-s"]
    message = r"cannot start tool on client: /nonexistent/iperf3: No such file or directory"
    with pytest.raises(CarplabError, match=message):
        Process("tool", HERE, argv, tmp_path / "out", stamped=True)


def test_an_output_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CarplabError, match=r"cannot write .*/none/out: No such file or directory"):
        Process("tool", HERE, ["true"], tmp_path / "none" / "out", stamped=True)


def test_a_disk_that_fills_up_is_one_sentence(start: Callable[..., Process]) -> None:
    process = start("echo one; exec sleep 60", output="/dev/full")
    assert complaint(process).startswith("cannot write /dev/full: the disk is full; free some")


def test_stopping_twice_and_after_a_death_is_quiet(start: Callable[..., Process]) -> None:
    process = start("exec sleep 60")
    process.stop()
    process.stop()
    assert process.popen.returncode == -15


def test_a_process_that_ignores_sigterm_is_killed(
    start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("carplab.emulation.traffic.STOP_DEADLINE_S", 0.2)
    process = start("trap '' TERM; echo deaf; while :; do sleep 0.05; done")
    wait_for("it is deaf", lambda: list(read_lines(tmp_path / "out")))
    process.stop()
    assert process.popen.returncode == -9

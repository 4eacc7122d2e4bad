"""Lanes: what runs in one meets nothing of the machine, and ends with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carplab.errors import CarplabError
from carplab.lanes import Lane

DEADLINE_S = 10.0


@pytest.fixture
def lane() -> Iterator[Lane]:
    with contextlib.closing(Lane()) as opened:
        yield opened


def output(lane: Lane, folder: Path, script: str, code: int = 0) -> str:
    log = folder / "log"
    assert lane.run(["sh", "-c", script], log, DEADLINE_S) == code, log.read_text()
    return log.read_text()


@pytest.mark.root
def test_it_has_an_empty_network_and_its_own_places(lane: Lane, tmp_path: Path) -> None:
    assert output(lane, tmp_path, "ls /sys/class/net") == "lo\n"
    assert "LOOPBACK,UP" in output(lane, tmp_path, "ip link show lo")
    output(lane, tmp_path, "ip link add thing type veth peer name other; touch /run/carplab-test")
    assert output(lane, tmp_path, "ls /sys/class/net").split() == ["lo", "other", "thing"]
    assert not Path("/run/carplab-test").exists()
    assert not Path("/sys/class/net/thing").exists()
    there = [path for path in ("/etc/openvswitch", "/run") if Path(path).is_dir()]
    kinds = output(lane, tmp_path, f"stat -f -c %T {' '.join(there)}").split()
    assert kinds == ["tmpfs"] * len(there)


@pytest.mark.root
def test_commands_run_here_with_their_exit_codes(lane: Lane, tmp_path: Path) -> None:
    assert output(lane, tmp_path, "pwd").strip() == os.getcwd()
    output(lane, tmp_path, "exit 3", code=3)
    output(lane, tmp_path, f"echo kept > {tmp_path}/result")
    assert (tmp_path / "result").read_text() == "kept\n"


@pytest.mark.root
def test_what_takes_too_long_ends_with_the_lane(tmp_path: Path) -> None:
    mark = f"{os.getpid()}.5"  # seconds that nothing else here sleeps
    with contextlib.closing(Lane()) as lane:
        assert lane.run(["sleep", mark], tmp_path / "log", 0.2) is None
        assert sleepers(mark)
    deadline_s = time.monotonic() + DEADLINE_S
    while sleepers(mark):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def sleepers(mark: str) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line == f"sleep {mark}"]


def test_plain_user_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CarplabError, match="need root"):
        Lane()

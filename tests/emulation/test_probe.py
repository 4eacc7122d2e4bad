"""The probe: stamps on the monotonic clock whatever the wall clock does, and both sides joined."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carplab.emulation import probe_process
from carplab.emulation.probe import ProbeTraffic, Raw, merge, read_raw
from carplab.emulation.probe_process import MAGIC, PACKET, StampClock, read_packet
from carplab.emulation.traffic import Endpoint
from carplab.errors import CarplabError

MS = 1_000_000
TOKEN = bytes(range(8))
PROGRAM = [sys.executable, "-I", "-S", probe_process.__file__]


def wait_for(what: str, condition: Callable[[], object], deadline_s: float = 5.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)


# --- stamps ---


class Clocks:
    """A monotonic clock, and a wall clock that can be set."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * MS
        self.offset_ns = 5_000_000 * MS

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = SimpleNamespace(
            monotonic_ns=lambda: self.now_ns, time_ns=lambda: self.now_ns + self.offset_ns
        )
        monkeypatch.setattr(probe_process, "time", fake)

    def stamp_at(self, now_ns: int) -> int:
        """What the kernel stamps on a packet that arrives then."""
        self.now_ns = now_ns
        return now_ns + self.offset_ns


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    clocks.patch(monkeypatch)
    return clocks


def test_stamps_become_monotonic(clocks: Clocks) -> None:
    clock = StampClock()
    stamps = [clocks.stamp_at(1_001 * MS), clocks.stamp_at(1_002 * MS)]
    clocks.now_ns = 1_008 * MS
    assert clock.convert(stamps, empty_ns=clocks.now_ns) == [1_001 * MS, 1_002 * MS]


@pytest.mark.parametrize("step_s", [3600, 1, 0.02, -0.02, -1, -3600])
def test_setting_the_wall_clock_moves_no_packet(clocks: Clocks, step_s: float) -> None:
    """Packets before and after the step, read together 8 ms later; and the batch after that."""
    clock = StampClock()
    before = clocks.stamp_at(1_003 * MS)
    clocks.offset_ns += round(step_s * 1e9)
    after = clocks.stamp_at(1_005 * MS)
    clocks.now_ns = 1_008 * MS
    assert clock.convert([before, after], clocks.now_ns) == [1_003 * MS, 1_005 * MS]
    later = clocks.stamp_at(1_012 * MS)
    clocks.now_ns = 1_016 * MS
    assert clock.convert([later], clocks.now_ns) == [1_012 * MS]


@pytest.mark.parametrize("step_ms", [2, -2])
def test_a_step_shorter_than_a_batch_errs_by_no_more_than_the_step(
    clocks: Clocks, step_ms: int
) -> None:
    clock = StampClock()
    before = clocks.stamp_at(1_004 * MS)
    clocks.offset_ns += step_ms * MS
    clocks.now_ns = 1_008 * MS
    (time_ns,) = clock.convert([before], clocks.now_ns)
    assert abs(time_ns - 1_004 * MS) <= abs(step_ms) * MS


def test_no_packet_is_put_before_the_socket_was_empty_or_after_now(clocks: Clocks) -> None:
    clock = StampClock()
    clocks.now_ns = 1_008 * MS
    clock.convert([], empty_ns=1_008 * MS)
    clocks.now_ns = 1_010 * MS
    wild = [clocks.offset_ns - 500 * MS, clocks.offset_ns + 9_000 * MS]
    assert clock.convert(wild, empty_ns=1_010 * MS) == [1_008 * MS, 1_010 * MS]


# --- packets ---


def test_only_packets_of_this_run_are_read() -> None:
    assert read_packet(PACKET.pack(MAGIC, TOKEN, 7), TOKEN) == 7
    assert read_packet(PACKET.pack(MAGIC, bytes(8), 7), TOKEN) is None
    assert read_packet(PACKET.pack(b"vrrp", TOKEN, 7), TOKEN) is None
    assert read_packet(PACKET.pack(MAGIC, TOKEN, 7) + b"x", TOKEN) is None
    assert read_packet(b"", TOKEN) is None


# --- raw files ---


def test_both_sides_are_joined_by_number() -> None:
    client = Raw({0: 2_000_000_000, 1: 2_001_000_000, 2: 2_002_000_000}, {0: 2_000_500_000}, [])
    server = Raw({}, {0: 2_000_200_000, 1: 2_001_200_000}, [])
    assert merge(client, server, origin_s=1.5) == [
        (0, 0.5, 0.5002, 0.5005),
        (1, 0.501, 0.5012, None),
        (2, 0.502, None, None),
    ]


def test_the_first_arrival_of_a_packet_counts_in_any_order(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_text("# sending\ns 0 10\ns 1 20\nr 1 25\nr 0 31\nr 1 40\n# skipped 0\n")
    assert read_raw(raw) == Raw({0: 10, 1: 20}, {1: 25, 0: 31}, ["sending", "skipped 0"])


def test_a_file_of_a_killed_process_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_text("# sending\ns 0 1000\nr 0 2000\ns 1 30")
    assert read_raw(raw) == Raw({0: 1000}, {0: 2000}, ["sending"])
    assert read_raw(tmp_path / "none") == Raw({}, {}, [])


# --- the processes, over the loopback ---


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return int(udp.getsockname()[1])


def here(name: str) -> Endpoint:
    return Endpoint(name, "127.0.0.1", subprocess.Popen)


@contextlib.contextmanager
def running(raw_dir: Path, port: int | None = None) -> Iterator[ProbeTraffic]:
    traffic = ProbeTraffic(port=port or free_port())
    try:
        traffic.start(here("client"), here("server"), raw_dir)
        traffic.wait_flowing(5.0)
        yield traffic
    finally:
        traffic.stop()


def pid_of(traffic: ProbeTraffic, label: str) -> int:
    return next(pid for name, pid in traffic.processes if name.startswith(label))


def test_packets_go_there_and_back(tmp_path: Path) -> None:
    with running(tmp_path) as traffic:
        began_s = time.monotonic()
        wait_for("300 packets", lambda: len(read_raw(traffic.client_file(tmp_path)).sent_ns) > 300)
        traffic.check()
        traffic.stop()
        traffic.check()
    rows = [[float(str(cell)) for cell in row] for row in traffic.collect(began_s)]
    assert [row[0] for row in rows] == list(range(len(rows)))
    for _, sent_s, server_s, returned_s in rows:
        assert sent_s <= server_s <= returned_s < sent_s + 0.5
    # On deadlines: many short gaps would mean bursts, a wrong median would mean drift.
    gaps_s = sorted(after[1] - before[1] for before, after in pairwise(rows))
    assert gaps_s[len(gaps_s) // 2] == pytest.approx(0.001, abs=0.0002)


def test_strangers_packets_leave_no_trace(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port) as traffic:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.settimeout(0.2)
            for junk in (b"", b"x" * 5000, PACKET.pack(MAGIC, bytes(8), 10**9)):
                stranger.sendto(junk, ("127.0.0.1", port))
            with pytest.raises(TimeoutError):
                stranger.recv(100)
        traffic.check()
    assert max(read_raw(traffic.server_file(tmp_path)).received_ns) < 10**9


@pytest.mark.parametrize("label", ["probe sender", "probe echo"])
def test_a_killed_process_is_named_and_its_rows_are_kept(tmp_path: Path, label: str) -> None:
    with running(tmp_path) as traffic:
        os.kill(pid_of(traffic, label), signal.SIGKILL)

        def noticed() -> bool:
            try:
                traffic.check()
            except CarplabError as error:
                assert f"{label} on " in str(error)
                assert "ended by itself (SIGKILL)" in str(error)
                return True
            return False

        wait_for("the death is noticed", noticed)
    assert any(row[3] is not None for row in traffic.collect(0.0))


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        message = rf"probe echo on server .*Address already in use \(127\.0\.0\.1 port {port}, "
        with pytest.raises(CarplabError, match=message), running(tmp_path, port):
            pass


def test_an_echo_of_another_run_does_not_count_as_traffic(tmp_path: Path) -> None:
    def popen_with_other_token(argv: list[str], **files: Any) -> subprocess.Popen[bytes]:
        *start, _token, output = argv
        return subprocess.Popen([*start, TOKEN.hex(), output], **files)

    traffic = ProbeTraffic(port=free_port())
    try:
        server = Endpoint("server", "127.0.0.1", popen_with_other_token)
        traffic.start(here("client"), server, tmp_path)
        with pytest.raises(CarplabError, match=r"no probe traffic came through within 0\.3 s"):
            traffic.wait_flowing(0.3)
    finally:
        traffic.stop()


def test_a_process_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    output = tmp_path / "raw"
    echo = [*PROGRAM, "echo", "127.0.0.1", str(free_port()), TOKEN.hex(), str(output)]
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys\nsubprocess.run(sys.argv[1:])", *echo]
    )
    wait_for("the echo listens", lambda: "listening" in read_raw(output).remarks)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    # It is nobody's child now: init's, or a zombie of a container's process 1 that reaps none.
    wait_for("the echo has ended", lambda: not any(map(is_running, children)))


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_full_disk_ends_the_sender_with_a_sentence() -> None:
    arguments = ["send", "127.0.0.1", str(free_port()), TOKEN.hex(), "/dev/full", "0.001"]
    ended = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=5)
    assert ended.returncode == 1
    assert ended.stderr.startswith("probe: No space left on device (127.0.0.1 port ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(("share", "given_back"), [(0.4, False), (0.6, True)])
def test_a_probe_too_heavy_for_the_machine_gives_its_priority_back(
    monkeypatch: pytest.MonkeyPatch, share: float, given_back: bool
) -> None:
    policies = [os.SCHED_FIFO]
    clock = {"now": 0, "used": 0}
    monkeypatch.setattr(probe_process.time, "monotonic_ns", lambda: clock["now"])
    monkeypatch.setattr(probe_process.time, "process_time_ns", lambda: clock["used"])
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: policies[-1])
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, new, param: policies.append(new))
    priority = probe_process._Priority()
    heavy = []
    for _ in range(100):  # 5 s, looked at each 50 ms
        clock["now"] += 50_000_000
        clock["used"] += round(50_000_000 * share)
        heavy.append(priority.is_too_heavy(clock["now"]))
    assert heavy.count(True) == (1 if given_back else 0)
    assert policies[1:] == ([os.SCHED_OTHER] if given_back else [])

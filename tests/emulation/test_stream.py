"""The stream: who sends, what is recorded of it, and that its end is a result."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from carplab.emulation.probe import Raw
from carplab.emulation.stream import StreamTraffic, find_events, merge
from carplab.emulation.traffic import Endpoint
from carplab.errors import CarplabError
from carplab.recording import Event


def wait_for(what: str, condition: Callable[[], object], deadline_s: float = 5.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)


# --- raw files ---


def test_whoever_sends_both_ends_are_joined_by_number() -> None:
    sender = Raw({0: 2_000_000_000, 1: 2_010_000_000, 2: 2_020_000_000}, {}, [])
    receiver = Raw({}, {0: 2_000_200_000, 2: 2_900_000_000}, [])
    expected = [(0, 0.5, 0.5002), (1, 0.51, None), (2, 0.52, 1.4)]
    assert merge(sender, receiver, origin_s=1.5) == expected
    assert merge(receiver, sender, origin_s=1.5) == expected


def test_an_echo_was_received_when_it_was_back() -> None:
    client = Raw({0: 1_000_000_000}, {0: 1_300_000_000}, [])
    assert merge(client, Raw({}, {}, []), origin_s=1.0) == [(0, 0.0, 0.3)]


def test_the_end_of_the_run_is_no_event_of_the_stream() -> None:
    remarks = ["listening", "realtime", "event 1000000000 client connected", "stopped 5000000000"]
    client = Raw({}, {}, remarks)
    reset = Raw({}, {}, ["event 4000000000 server reset"])
    closed = Raw({}, {}, ["event 5000000001 server closed", "stopped 5100000000"])
    connected = Event(1.0, "client", "stream", detail="connected")
    assert find_events(client, reset) == [connected, Event(4.0, "server", "stream", detail="reset")]
    assert find_events(client, closed) == [connected]


# --- the processes, over the loopback ---


def free_port() -> int:
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        return int(tcp.getsockname()[1])


@contextlib.contextmanager
def running(
    raw_dir: Path, who: str, address: str = "127.0.0.1", port: int | None = None
) -> Iterator[StreamTraffic]:
    traffic = StreamTraffic(who, port=port or free_port())
    ends = [Endpoint(name, address, subprocess.Popen) for name in ("client", "server")]
    try:
        traffic.start(*ends, raw_dir)
        traffic.wait_flowing(5.0)
        yield traffic
    finally:
        traffic.stop()


def words(traffic: StreamTraffic) -> list[tuple[str, str]]:
    return [(event.source, event.detail) for event in traffic.collect_events()]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("who", ["server", "client", "echo"])
def test_messages_arrive_in_order_whoever_sends(tmp_path: Path, who: str, address: str) -> None:
    began_s = time.monotonic()
    with running(tmp_path, who, address) as traffic:
        wait_for("30 messages", lambda: len(traffic.collect(began_s)) > 30)
        traffic.check()
        traffic.stop()
        rows = traffic.collect(began_s)
    assert [row[0] for row in rows] == list(range(len(rows)))
    arrived = [(float(str(row[1])), float(str(row[2]))) for row in rows if row[2] is not None]
    assert len(arrived) >= len(rows) - 3  # the last ones were on their way
    assert all(0 < sent_s <= received_s < sent_s + 0.5 for sent_s, received_s in arrived)
    gaps_s = sorted(after[0] - before[0] for before, after in pairwise(arrived))
    assert gaps_s[len(gaps_s) // 2] == pytest.approx(0.01, abs=0.002)
    control = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    connected = f"connected, congestion control {control}"
    assert sorted(words(traffic)) == [("client", connected), ("server", connected)]


def test_a_stream_that_is_reset_is_a_result(tmp_path: Path) -> None:
    """The kernel is asked to close the server's end with a reset (tcp(7): SO_LINGER of 0)."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        client = [Endpoint("client", "127.0.0.1", subprocess.Popen)] * 2
        traffic = ClientAlone("echo", port=port)
        try:
            traffic.start(*client, tmp_path)
            tcp, _ = server.accept()
            assert tcp.recv(8)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            tcp.close()
            wait_for("the reset is noted", lambda: ("client", "reset") in words(traffic))
            traffic.check()
            sent = len(traffic.collect(0.0))
            time.sleep(0.1)  # ten messages would have been due
            assert len(traffic.collect(0.0)) == sent
        finally:
            traffic.stop()


class ClientAlone(StreamTraffic):
    """The stream's client with a server that the test plays."""

    def start(self, client: Endpoint, server: Endpoint, raw_dir: Path) -> None:
        self._raw_dir = raw_dir
        self._client = self._run("connect", client, server.address, raw_dir / "stream-client.txt")


def test_a_server_that_closes_is_a_result(tmp_path: Path) -> None:
    with running(tmp_path, "server") as traffic:
        pid = next(pid for name, pid in traffic.processes if name.startswith("stream server"))
        os.kill(pid, signal.SIGKILL)  # its kernel says FIN, or a reset
        endings = {("client", "closed"), ("client", "reset")}
        wait_for("the end is noted", lambda: endings & set(words(traffic)))


def test_a_process_that_is_killed_is_named(tmp_path: Path) -> None:
    with running(tmp_path, "client") as traffic:
        pid = next(pid for name, pid in traffic.processes if name.startswith("stream client"))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(CarplabError, match="stream client on client ended by itself"):
            wait_for("the death is noticed", lambda: traffic.check())


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = int(holder.getsockname()[1])
        message = rf"stream server on server .*Address already in use \(127\.0\.0\.1 port {port}, "
        with pytest.raises(CarplabError, match=message), running(tmp_path, "echo", port=port):
            pass


def test_no_server_is_said(tmp_path: Path) -> None:
    traffic = ClientAlone("echo", port=free_port())
    here = Endpoint("client", "127.0.0.1", subprocess.Popen)
    try:
        traffic.start(here, here, tmp_path)
        with pytest.raises(CarplabError, match=r"stream client .*Connection refused"):
            traffic.wait_flowing(5.0)
    finally:
        traffic.stop()

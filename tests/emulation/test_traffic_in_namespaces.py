"""The real tools through a real router: client, router and server in network namespaces.

The router's path is cut by its forwarding switch (net.ipv4.conf.IF.forwarding): one write that
takes effect at once. The moments right before and after the write bracket the true time of the cut,
independently of any packet.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from carplab.emulation.iperf import Iperf2Traffic, Iperf3Traffic
from carplab.emulation.ping import PingTraffic
from carplab.emulation.probe import ProbeTraffic, find_raw_flows
from carplab.emulation.recover import recover_traffic
from carplab.emulation.stream import StreamTraffic
from carplab.emulation.traffic import Endpoint, Traffic
from carplab.errors import CarplabError
from carplab.recording import IPERF, PING, PROBE, STREAM, Origin, RunFolder, find_table

pytestmark = pytest.mark.root

CLONE_NEWNET = 0x40000000
CLIENT, SERVER = "10.9.2.100", "10.9.1.100"
CLIENT_6, SERVER_6 = "fd00:9:2::100", "fd00:9:1::100"


def wait_for(what: str, condition: Callable[[], object], deadline_s: float = 8.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)


class RoutedPath:
    """client -- router -- server, each a namespace."""

    def __init__(self) -> None:
        self.names = {side: f"trf{os.getpid()}-{side}" for side in ("client", "router", "server")}
        self.client = self._endpoint("client", CLIENT)
        self.server = self._endpoint("server", SERVER)
        self.client_6 = self._endpoint("client", CLIENT_6)
        self.server_6 = self._endpoint("server", SERVER_6)

    def build(self) -> None:
        for name in self.names.values():
            run("ip", "netns", "add", name)
        sides = (("client", "10.9.2", "fd00:9:2::"), ("server", "10.9.1", "fd00:9:1::"))
        for side, address, address_6 in sides:
            host, router = self.names[side], self.names["router"]
            run(
                *("ip", "-n", host, "link", "add", "uplink", "type", "veth"),
                *("peer", "name", f"to-{side}", "netns", router),
            )
            run("ip", "-n", host, "addr", "add", f"{address}.100/24", "dev", "uplink")
            run("ip", "-n", router, "addr", "add", f"{address}.1/24", "dev", f"to-{side}")
            add_6 = ("addr", "add", "nodad", "dev")
            run("ip", "-n", host, *add_6, "uplink", f"{address_6}100/64")
            run("ip", "-n", router, *add_6, f"to-{side}", f"{address_6}1/64")
            run("ip", "-n", host, "link", "set", "uplink", "up")
            run("ip", "-n", router, "link", "set", f"to-{side}", "up")
            run("ip", "-n", host, "route", "add", "default", "via", f"{address}.1")
            run("ip", "-n", host, "route", "add", "default", "via", f"{address_6}1")
        switch = Path("/proc/sys/net/ipv4/conf/to-client/forwarding")
        self._forwarding = in_namespace(self.names["router"], lambda: io.FileIO(switch, "w"))
        everywhere = partial(Path("/proc/sys/net/ipv4/ip_forward").write_text, "1")
        in_namespace(self.names["router"], everywhere)
        everywhere_6 = Path("/proc/sys/net/ipv6/conf/all/forwarding")
        in_namespace(self.names["router"], partial(everywhere_6.write_text, "1"))

    def remove(self) -> None:
        for name in self.names.values():
            run("ip", "netns", "delete", name)

    def forward(self, on: bool) -> tuple[float, float]:
        """Switch forwarding; the moments between which that took effect."""
        before_s = time.monotonic()
        self._forwarding.seek(0)
        self._forwarding.write(b"1\n" if on else b"0\n")
        return before_s, time.monotonic()

    def _endpoint(self, side: str, address: str) -> Endpoint:
        prefix = ["ip", "netns", "exec", self.names[side]]

        def popen(argv: list[str], **files: Any) -> subprocess.Popen[bytes]:
            return subprocess.Popen([*prefix, *argv], **files)

        return Endpoint(side, address, popen)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def in_namespace(name: str, function: Callable[[], Any]) -> Any:
    """Call `function` in a thread inside the network namespace."""
    results: list[Any] = []

    def enter_and_call() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{name}") as namespace:
            assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0
        results.append(function())

    thread = threading.Thread(target=enter_and_call)
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture(scope="module")
def path() -> Iterator[RoutedPath]:
    path = RoutedPath()
    try:
        path.build()
        yield path
    finally:
        path.remove()


@pytest.fixture
def start(path: RoutedPath, tmp_path: Path) -> Iterator[Callable[[Traffic], Traffic]]:
    started: list[Traffic] = []

    def start(traffic: Traffic) -> Traffic:
        started.append(traffic)
        traffic.start(path.client, path.server, tmp_path)
        traffic.wait_flowing(5.0)
        return traffic

    yield start
    for traffic in started:
        traffic.stop()
    path.forward(True)


def floats(traffic: Traffic, origin_s: float = 0.0) -> list[list[float]]:
    """The rows, with nan for empty cells."""
    return [
        [float("nan") if cell is None else float(cell) for cell in row]
        for row in traffic.collect(origin_s)
    ]


# --- the probe ---


def disturbed(sent_s: list[float], near_s: float) -> bool:
    """Whether the sender itself was held up near that moment, as a busy machine does at times."""
    near = [sent for sent in sent_s if abs(sent - near_s) < 0.01]
    return len(near) < 15 or max(after - before for before, after in pairwise(near)) > 0.0011


def test_an_outage_of_known_length_is_measured_within_2_ms(
    path: RoutedPath, start: Callable[[Traffic], Traffic]
) -> None:
    probe = start(ProbeTraffic())
    cuts = []
    for _ in range(8):
        time.sleep(0.05)
        off = path.forward(False)
        time.sleep(0.2)
        cuts.append((off, path.forward(True)))
    time.sleep(0.05)
    probe.check()
    probe.stop()
    rows = floats(probe)
    sent_s = [row[1] for row in rows]
    returned_s = sorted(row[3] for row in rows if row[3] == row[3])
    errors_s = []
    for off, on in cuts:
        if disturbed(sent_s, off[0]) or disturbed(sent_s, on[0]):
            continue
        last_s = max(time_s for time_s in returned_s if time_s < off[1] + 0.01)
        first_s = min(time_s for time_s in returned_s if time_s > last_s)
        shortest_s, longest_s = on[0] - off[1], on[1] - off[0]
        assert longest_s - shortest_s < 0.002
        errors_s.append((first_s - last_s) - (shortest_s + longest_s) / 2)
    print("errors of the outage, ms:", [round(error_s * 1000, 3) for error_s in errors_s])
    assert len(errors_s) >= 3, "too busy a machine to tell"
    # The outage begins up to one gap before the cut and ends up to one after it.
    assert all(-0.0002 < error_s < 0.0022 for error_s in errors_s), errors_s
    assert sorted(errors_s)[len(errors_s) // 2] < 0.002


def test_the_probe_sends_on_time_without_bursts(start: Callable[[Traffic], Traffic]) -> None:
    probe = start(ProbeTraffic())
    time.sleep(1.0)
    probe.stop()
    sent_s = [row[1] for row in floats(probe)]
    gaps_s = sorted(after - before for before, after in pairwise(sent_s))
    assert gaps_s[len(gaps_s) // 2] == pytest.approx(0.001, abs=0.00005)
    # A deadline is an absolute one: the time of 500 gaps is that of 500 intervals, or more where
    # deadlines were left out; fewer would be bursts.
    assert min(sent_s[n + 500] - sent_s[n] for n in range(len(sent_s) - 500)) > 0.499


def test_both_ways_are_told_apart(path: RoutedPath, start: Callable[[Traffic], Traffic]) -> None:
    """Only what the client sends is cut: what the server got back then is lost on the way there."""
    probe = start(ProbeTraffic())
    off = path.forward(False)
    time.sleep(0.1)
    on = path.forward(True)
    time.sleep(0.1)
    probe.stop()
    inside = [row for row in floats(probe) if off[1] < row[1] < on[0] - 0.001]
    assert len(inside) > 80
    assert all(row[2] != row[2] and row[3] != row[3] for row in inside)


# --- ping and iperf ---


def test_ping_shows_the_outage_by_its_stamps(
    path: RoutedPath, start: Callable[[Traffic], Traffic]
) -> None:
    ping = start(PingTraffic())
    time.sleep(0.2)
    off = path.forward(False)
    time.sleep(0.4)
    on = path.forward(True)
    time.sleep(0.2)
    ping.check()
    ping.stop()
    rows = floats(ping)
    lost_s = [row[1] for row in rows if row[2] != row[2]]
    assert len(lost_s) > 15
    assert off[0] - 0.002 < min(lost_s) < off[1] + 0.03
    assert on[0] - 0.03 < max(lost_s) < on[1] + 0.002
    assert all(0 < row[2] < 100 for row in rows if row[2] == row[2])


@pytest.mark.parametrize("tool", [Iperf3Traffic, Iperf2Traffic])
def test_iperf_shows_the_outage_where_it_was(
    path: RoutedPath, start: Callable[[Traffic], Traffic], tool: type[Traffic]
) -> None:
    iperf = start(tool())
    time.sleep(1.0)
    off = path.forward(False)
    time.sleep(0.5)
    on = path.forward(True)
    wait_for("traffic flows again", lambda: iperf.collect(on[1]) and floats(iperf)[-1][2] > 5)
    iperf.check()
    iperf.stop()
    rows = floats(iperf)
    silent = [row for row in rows if row[2] == 0]
    # Intervals are 0.1 s: the first silent one begins within that of the cut.
    assert off[0] - 0.05 < silent[0][0] < off[1] + 0.15
    assert silent[-1][1] > on[0] - 0.1
    before = [row[2] for row in rows if row[1] < off[0] - 0.1]
    assert sum(before) / len(before) == pytest.approx(20.0, abs=2.5)


@pytest.mark.parametrize(
    "tool",
    [ProbeTraffic, PingTraffic, Iperf3Traffic, Iperf2Traffic, partial(StreamTraffic, "echo")],
)
def test_every_tool_speaks_ipv6(
    path: RoutedPath, tmp_path: Path, tool: Callable[[], Traffic]
) -> None:
    traffic = tool()
    try:
        traffic.start(path.client_6, path.server_6, tmp_path)
        traffic.wait_flowing(8.0)
        traffic.check()
    finally:
        traffic.stop()
    assert any(row[-1] > 0 for row in floats(traffic))


# --- the stream ---


@pytest.mark.parametrize("who", ["server", "client", "echo"])
def test_the_stream_outlives_an_outage_and_tells_of_its_retransmissions(
    path: RoutedPath, start: Callable[[Traffic], Traffic], who: str
) -> None:
    stream = start(StreamTraffic(who))
    time.sleep(0.2)
    off = path.forward(False)
    time.sleep(0.5)
    on = path.forward(True)
    sent_after_s = on[1]
    wait_for("data flows again", lambda: floats(stream)[-4][2] > sent_after_s)
    stream.check()
    stream.stop()
    rows = floats(stream)
    received_s = [row[2] for row in rows if row[2] == row[2]]
    assert received_s == sorted(received_s)
    assert len(rows) - len(received_s) <= 3, "TCP loses nothing but what was under way at the end"
    silence = max(pairwise(received_s), key=lambda pair: pair[1] - pair[0])
    # What is cut is client to server: the server goes on sending until its window is full.
    assert off[0] - 0.02 < silence[0] < (on[0] if who == "server" else off[1] + 0.02)
    assert on[0] < silence[1] < on[1] + 1.5
    details = [event.detail for event in stream.collect_events()]
    assert any(detail.startswith("retransmitted (1), next in 0.") for detail in details)
    assert not {"closed", "reset", "timed out"} & set(details)


# --- several flows ---


def test_flows_at_once_have_ports_and_files_of_their_own(
    path: RoutedPath, start: Callable[[Traffic], Traffic], tmp_path: Path
) -> None:
    tools = [
        start(ProbeTraffic(0.005)),
        start(ProbeTraffic(0.005, 7113, ("client", "server"))),
        start(ProbeTraffic(0.005, 7114, ("client2", "server"))),
    ]
    for tool in tools:
        tool.stop()
        assert len(floats(tool)) > 0
    assert find_raw_flows(tmp_path) == [("client", "server"), ("client2", "server")]
    names = [tool.table.file_name for tool in tools]
    assert names == ["probe.csv", "probe-client-server.csv", "probe-client2-server.csv"]
    labels = [label for tool in tools for label, _ in tool.processes]
    assert len(set(labels)) == 6


def kill(traffic: Traffic, label: str) -> None:
    pid = next(pid for name, pid in traffic.processes if name.startswith(label))
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("tool", "label"),
    [
        (Iperf3Traffic, "iperf3 server"),
        (Iperf3Traffic, "iperf3 client"),
        (Iperf2Traffic, "iperf server"),
        (PingTraffic, "ping"),
    ],
)
def test_a_tool_that_dies_is_named_and_its_rows_are_kept(
    start: Callable[[Traffic], Traffic], tool: type[Traffic], label: str
) -> None:
    traffic = start(tool())
    said: list[str] = []

    def noticed() -> bool:
        try:
            traffic.check()
        except CarplabError as error:
            said.append(str(error))
        return bool(said)

    kill(traffic, label)
    wait_for("its death is noticed", noticed)
    assert said[0].startswith(f"{label} on ")
    assert "ended by itself (SIGKILL)" in said[0]
    traffic.stop()
    assert traffic.collect(0.0)


def test_iperf3_without_a_path_says_why(path: RoutedPath, tmp_path: Path) -> None:
    nowhere = Endpoint("server", "10.9.3.100", path.server.popen)
    traffic = Iperf3Traffic()
    try:
        with pytest.raises(CarplabError, match="iperf3 client on client ended by itself"):
            traffic.start(path.client, nowhere, tmp_path)
            traffic.wait_flowing(8.0)
    finally:
        traffic.stop()


# --- after a runner was killed ---


def test_what_a_killed_runner_left_becomes_tables(path: RoutedPath, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "crash", Origin.now())
    further = ProbeTraffic(0.005, 7113, ("client2", "server"))
    tools = [ProbeTraffic(), further, StreamTraffic("server"), PingTraffic(), Iperf3Traffic()]
    try:
        for tool in tools:
            tool.start(path.client, path.server, folder.raw_dir)
        for tool in tools:
            tool.wait_flowing(5.0)
    finally:
        for tool in tools:
            tool.stop()
    found = recover_traffic(RunFolder.open(folder.path))
    streams = ["probe.csv.gz", "probe-client2-server.csv.gz", "stream.csv.gz"]
    assert found == [*streams, "ping.csv", "iperf.csv"]
    for table in (PROBE, STREAM, PING, IPERF):
        assert find_table(folder.path, table).stat().st_size > 50
    assert not (folder.path / "raw").exists()

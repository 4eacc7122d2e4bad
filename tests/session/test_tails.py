"""Rows of the traffic tools as they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.session.tails import IperfTail, PingTail, ProbeTail, shifted


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_probe_gives_a_packet_when_it_is_back_or_lost(tmp_path: Path) -> None:
    client, server = tmp_path / "client", tmp_path / "server"
    tail = ProbeTail(client, server, first_number=100)
    assert tail.rows(10.0) == []
    append(server, "# listening\nr 0 10001000000\nr 2 10021000000\n")
    append(client, "s 0 10000000000\ns 1 10010000000\nr 0 100020")
    assert tail.rows(10.05) == []  # the reply's line is not whole yet
    append(client, "00000\ns 2 10020000000\n")
    assert tail.rows(10.1) == [(100, 10.0, 10.001, 10.002)]
    assert tail.rows(10.9) == []
    # 1 never came, 2 was lost on its way back
    assert tail.rows(11.1) == [(101, 10.01, None, None), (102, 10.02, 10.021, None)]


def test_probe_waits_for_the_servers_side_for_a_moment(tmp_path: Path) -> None:
    client, server = tmp_path / "client", tmp_path / "server"
    tail = ProbeTail(client, server, 0)
    append(client, "s 0 10000000000\nr 0 10002000000\n")
    assert tail.rows(10.01) == []
    append(server, "r 0 10001000000\n")
    assert tail.rows(10.06) == [(0, 10.0, 10.001, 10.002)]
    append(client, "s 1 10010000000\nr 1 10012000000\n")
    assert tail.rows(10.3) == [(1, 10.01, None, 10.012)]


def test_ping_gives_replies_and_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "ping"
    append(
        file,
        "5.000000 100.000000 [105.000000] 64 bytes from 10.0.1.100: icmp_seq=1 ttl=63 "
        "time=2.00 ms\n"
        "5.200000 100.000000 [105.200000] no answer yet for icmp_seq=2\n"
        "5.300000 100.000000 PING 10.0.1.100\n",
    )
    assert PingTail(file, 10).rows(6.0) == [
        (11, pytest.approx(4.998), 2.0),
        (12, pytest.approx(5.2), None),
    ]


def test_iperf_gives_intervals_once(tmp_path: Path) -> None:
    file = tmp_path / "iperf"
    line = "{} 0.000000 [  5]   {}-{}   sec  62.5 KBytes  5000 Kbits/sec\n"
    tail = IperfTail(file)
    append(file, line.format("20.100000", "0.00", "0.10"))
    assert tail.rows(0.0) == [(pytest.approx(20.0), pytest.approx(20.1), 5.0)]
    append(file, line.format("20.250000", "0.10", "0.20"))
    append(file, line.format("20.260000", "0.00", "0.20"))  # the summary at the end
    assert tail.rows(0.0) == [(pytest.approx(20.1), pytest.approx(20.2), 5.0)]


def test_times_become_those_of_the_session() -> None:
    assert shifted("probe", 10.0)((3, 10.5, None, 10.75)) == [3, 0.5, None, 0.75]
    assert shifted("ping", 10.0)((3, 10.5, 11.5)) == [3, 0.5, 11.5]
    assert shifted("iperf", 10.0)((10.5, 10.75, 11.0)) == [0.5, 0.75, 11.0]

"""The server's output of iperf3 and iperf 2, of Debian 12 and of Debian 13, becomes rows.

tests/data/traffic/iperf*-server.txt: 20 Mbit/s through a router that drops everything for 2.0 s;
then SIGTERM, to the client first. TCP itself waits some more before it tries again.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from carplab.emulation import iperf
from carplab.emulation.traffic import Line, read_lines

DATA = Path(__file__).parents[1] / "data" / "traffic"
RECORDED = [
    "iperf3-3.12-server.txt",
    "iperf3-3.18-server.txt",
    "iperf-2.1.8-server.txt",
    "iperf-2.2.1-server.txt",
]


def read(name: str, origin_s: float = 0.0) -> list[tuple[float, float, float]]:
    rows = iperf.parse(read_lines(DATA / name), origin_s)
    return [(float(str(a)), float(str(b)), float(str(c))) for a, b, c in rows]


def parse(*lines: tuple[float, str]) -> list[tuple[float, ...]]:
    rows = iperf.parse([Line(arrived_s, 0.0, text) for arrived_s, text in lines], origin_s=0.0)
    return [tuple(round(float(str(cell)), 6) for cell in row) for row in rows]


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_intervals_join_and_leave_the_summary_out(name: str) -> None:
    rows = read(name)
    assert len(rows) > 45
    for (_, end_s, _), (start_s, _, _) in pairwise(rows):
        assert start_s == pytest.approx(end_s, abs=1e-6)
    assert all(0.01 < end_s - start_s < 0.13 for start_s, end_s, _ in rows)


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_rate_is_what_was_asked_for_and_zero_in_the_outage(name: str) -> None:
    rows = read(name)
    silent = [place for place, row in enumerate(rows) if row[2] == 0]
    first, last = silent[0], silent[-1]
    assert silent == list(range(first, last + 1))
    assert 1.9 < rows[last][1] - rows[first][0] < 4.0
    before = [mbps for _, _, mbps in rows[: first - 1]]
    assert sum(before) / len(before) == pytest.approx(20.0, abs=1.2)
    after = [mbps for _, _, mbps in rows[last + 2 :]]
    assert max(after) < 25, "no burst makes up for the outage"


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_intervals_end_before_their_lines_arrive_and_not_long_before(name: str) -> None:
    lines = [line for line in read_lines(DATA / name) if "bits/sec" in line.text]
    rows = read(name)
    delays_s = [line.arrived_s - row[1] for line, row in zip(lines, rows, strict=False)]
    assert min(delays_s) > -1e-6
    assert max(delays_s) < 0.2


def test_the_anchor_is_the_line_that_came_fastest() -> None:
    rows = parse(
        (10.107, "[  5]   0.00-0.10   sec   256 KBytes  20958 Kbits/sec"),
        (10.202, "[  5]   0.10-0.20   sec   128 KBytes  10.5 Mbits/sec"),
        (10.350, "[  5]   0.20-0.30   sec  0.00 Bytes  0.00 bits/sec"),
    )
    assert rows == [
        (10.002, 10.102, 20.958),
        (10.102, 10.202, 10.5),
        (10.202, 10.302, 0.0),
    ]


def test_iperf_2_says_when_it_was_connected() -> None:
    rows = parse(
        (10.0, "[  1] local 10.9.1.100 port 5001 connected with 10.9.2.100 port 42978"),
        (10.15, "[  1] 0.0000-0.1000 sec   128 KBytes  10490 Kbits/sec"),
    )
    assert rows == [(10.0, 10.1, 10.49)]


def test_a_server_that_only_listened_is_no_rows() -> None:
    assert parse((10.0, "Server listening on 5201 (test #1)")) == []


def test_times_count_from_the_origin() -> None:
    name = RECORDED[0]
    assert read(name, origin_s=3000.0)[0][0] == pytest.approx(read(name)[0][0] - 3000.0)


def test_the_kernel_paces_the_client_in_plain_bits() -> None:
    for traffic in (iperf.Iperf3Traffic(rate_mbps=2.5), iperf.Iperf2Traffic(rate_mbps=2.5)):
        argv = traffic._client_command("10.0.1.100")
        assert argv[argv.index("--fq-rate") + 1] == "2500000"
        assert "-b" not in argv

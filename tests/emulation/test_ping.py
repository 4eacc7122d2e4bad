"""ping's output, as iputils of Debian 12 and of Debian 13 printed it, becomes rows.

tests/data/traffic/ping-*.txt: ping through a router. In turn: replies; the router drops everything
for 0.6 s; replies; the router duplicates requests for 0.1 s; the server is gone until ARP gives up
("Destination Host Unreachable"); replies; the client's own interface is down for 0.2 s; replies;
SIGINT.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from carplab.emulation import ping
from carplab.emulation.traffic import Line, read_lines

DATA = Path(__file__).parents[1] / "data" / "traffic"
RECORDED = ["ping-20221126.txt", "ping-20240905.txt"]


def reply(sequence: int, wall_s: float, rtt_ms: str = "0.5", more: str = "") -> str:
    return (
        f"[{wall_s:.6f}] 64 bytes from 10.0.1.100: icmp_seq={sequence} ttl=63 "
        f"time={rtt_ms} ms{more}"
    )


def missing(sequence: int, wall_s: float) -> str:
    return f"[{wall_s:.6f}] no answer yet for icmp_seq={sequence}"


def parse(*texts: str, wall_offset_s: float = 0.0) -> list[tuple[object, ...]]:
    lines = [Line(0.0, wall_offset_s, text) for text in texts]
    return [
        (row[0], round(float(str(row[1])), 6), row[2]) for row in ping.parse(lines, origin_s=0.0)
    ]


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_output_agrees_with_ping_s_own_summary(name: str) -> None:
    text = (DATA / name).read_text()
    summary = re.search(r"(\d+) packets transmitted, (\d+) received, \+(\d+) duplicates", text)
    assert summary
    sent, received, duplicates = map(int, summary.groups())
    assert text.count("(DUP!)") == duplicates > 0
    rows = ping.parse(read_lines(DATA / name), origin_s=0.0)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert sent - 1 <= len(rows) <= sent  # the very last one may not have been mentioned
    assert sum(row[2] is not None for row in rows) == received


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_requests_lie_evenly_in_time_also_while_lost(name: str) -> None:
    rows = ping.parse(read_lines(DATA / name), origin_s=0.0)
    times_s = [float(str(row[1])) for row in rows]
    spacings_s = [after - before for before, after in pairwise(times_s)]
    assert min(spacings_s) > 0.010
    assert max(spacings_s) < 0.040  # the second request comes late; 0.020 later on
    lines = list(read_lines(DATA / name))
    assert abs(lines[0].arrived_s - times_s[0]) < 0.1
    assert times_s[-1] < lines[-1].arrived_s


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_outage_is_as_long_as_it_was(name: str) -> None:
    """The router dropped for 0.6 s and the time of two nft commands (10 to 30 ms each)."""
    rows = ping.parse(read_lines(DATA / name), origin_s=0.0)
    first_lost = next(place for place, row in enumerate(rows) if row[2] is None)
    first_back = next(place for place in range(first_lost, len(rows)) if rows[place][2] is not None)
    outage_s = float(str(rows[first_back][1])) - float(str(rows[first_lost - 1][1]))
    assert 0.6 < outage_s < 0.68


def test_a_request_was_sent_a_round_trip_before_its_reply() -> None:
    assert parse(reply(1, 100.0, "250")) == [(1, 99.75, 250.0)]


def test_wall_clock_stamps_become_monotonic_with_the_offset_of_their_line() -> None:
    lines = [
        Line(0.0, 1000.0, reply(1, 1005.0, "0.0")),
        Line(0.0, 4600.0, reply(2, 4605.016, "0.0")),  # the wall clock was set an hour ahead
    ]
    times_s = [row[1] for row in ping.parse(lines, origin_s=5.0)]
    assert times_s == pytest.approx([0.0, 0.016])


def test_a_lost_request_is_dated_by_the_remark_before_it() -> None:
    rows = parse(reply(1, 1.0, "0"), missing(2, 1.032), missing(3, 1.050), reply(4, 1.06, "10"))
    assert rows == [(1, 1.0, 0.0), (2, 1.016, None), (3, 1.032, None), (4, 1.05, 10.0)]


def test_a_reply_that_comes_after_all_counts_and_a_duplicate_does_not() -> None:
    late = reply(1, 1.4, "400")
    rows = parse(missing(1, 1.016), late, reply(1, 1.5, "500", " (DUP!)"), reply(2, 1.5, "484"))
    assert rows == [(1, 1.0, 400.0), (2, 1.016, 484.0)]


@pytest.mark.parametrize(
    "words",
    [
        "From 10.0.2.1 icmp_seq=2 Destination Host Unreachable",
        "From 10.0.2.1 icmp_seq=2 Destination Net Unreachable",
        "From 10.0.2.11: icmp_seq=2 Redirect Host(New nexthop: 10.0.2.12)",
    ],
)
def test_an_error_is_no_answer(words: str) -> None:
    rows = parse(reply(1, 1.0, "0"), f"[1.020000] {words}", reply(3, 1.04, "0"))
    assert rows == [(1, 1.0, 0.0), (2, 1.02, None), (3, 1.04, 0.0)]


def test_requests_that_ping_could_not_send_are_lost() -> None:
    rows = parse(reply(1, 1.0, "0"), "ping: sendmsg: Network is unreachable", reply(4, 1.06, "0"))
    assert rows == [(1, 1.0, 0.0), (2, 1.02, None), (3, 1.04, None), (4, 1.06, 0.0)]


def test_numbers_go_on_where_icmp_starts_over() -> None:
    rows = parse(reply(65535, 1.0, "0"), reply(0, 1.016, "0"), reply(1, 1.032, "0"))
    assert [row[0] for row in rows] == [65535, 65536, 65537]


def test_nothing_sensible_is_no_rows() -> None:
    assert parse() == []
    assert parse("PING 10.0.1.100 (10.0.1.100) 56(84) bytes of data.") == []


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "ping-client.txt"
    raw.write_text(f"5.0 0.0 {reply(1, 1.0)}\n5.0 0.0 {reply(2, 1.016)}"[:-4])
    assert len(ping.PingTraffic().read(tmp_path, 0.0)) == 1

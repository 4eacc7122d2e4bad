"""ping from the client to the server: the round-trip times that a user would look at.

iputils' ping of Debian 12 and 13 (20221126, 20240905) with -D (wall-clock stamps), -O (says when a
reply is missing before it sends the next request) and -n. It rounds short intervals up to the
kernel's tick: -i 0.01 sends each 12 to 16 ms at 250 Hz. So times come from the stamps and are
never computed from a count and the interval.
"""

from __future__ import annotations

import re
import statistics
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from carplab.emulation.traffic import Endpoint, Line, Process, Traffic, read_lines
from carplab.recording import PING, Row

INTERVAL_S = 0.01
CLIENT_FILE = "ping-client.txt"
_SEQUENCES = 65536  # icmp_seq has 16 bits and starts over

_REPLY = re.compile(
    r"\[(?P<wall>\d+\.\d+)\] \d+ bytes from \S+ icmp_seq=(?P<seq>\d+) .*time=(?P<rtt>[\d.]+) ms"
)
_MISSING = re.compile(r"\[(?P<wall>\d+\.\d+)\] no answer yet for icmp_seq=(?P<seq>\d+)")
_ERROR = re.compile(r"\[(?P<wall>\d+\.\d+)\] From \S+ icmp_seq=(?P<seq>\d+) ")


class PingTraffic(Traffic):
    """ping of one run. ``interval_s`` is what ping is asked for, in seconds."""

    name = "ping"
    table = PING

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        super().__init__()
        self._interval_s = interval_s

    def start(self, client: Endpoint, server: Endpoint, raw_dir: Path) -> None:
        self._raw_dir = raw_dir
        argv = command(server.address, self._interval_s)
        self._client = Process("ping", client, argv, raw_dir / CLIENT_FILE, stamped=True)

    def read(self, raw_dir: Path, origin_s: float) -> list[Row]:
        return parse(read_lines(raw_dir / CLIENT_FILE), origin_s)

    def _has_flowed(self, raw_dir: Path) -> bool:
        return any(_REPLY.match(line.text) for line in read_lines(raw_dir / CLIENT_FILE))


def command(address: str, interval_s: float) -> list[str]:
    """The ping command; its output does not depend on the user's language."""
    return ["env", "LC_ALL=C", "ping", "-D", "-O", "-n", "-i", f"{interval_s:g}", address]


def parse(lines: Iterable[Line], origin_s: float) -> list[Row]:
    """Turn ping's output into rows: number, when sent (seconds), round trip (ms; None when lost).

    An answered request was sent at its reply's stamp minus the round trip. ping says that one is
    missing right before it sends the next, which dates that next one. The others, mostly the first
    lost of a row, are put evenly between their neighbours. A reply that comes after all counts, a
    second one (DUP!) does not. Errors from routers ("Destination Host Unreachable") and "Redirect"
    tell that a request was sent, not that it was answered. The last request is left out when
    ping ended before it could say anything about it.
    """
    sent_s: dict[int, float] = {}
    rtt_ms: dict[int, float] = {}
    mentioned: set[int] = set()
    newest: int | None = None
    for line in lines:
        match = _REPLY.match(line.text) or _MISSING.match(line.text) or _ERROR.match(line.text)
        if match is None:
            continue
        sequence = int(match["seq"])
        if newest is not None:
            sequence = _unwrap(sequence, newest)
        newest = sequence
        stamp_s = float(match["wall"]) - line.wall_offset_s - origin_s
        if match.re is _REPLY and sequence not in rtt_ms:
            rtt_ms[sequence] = float(match["rtt"])
            sent_s[sequence] = stamp_s - rtt_ms[sequence] / 1000
        elif match.re is _MISSING:
            sent_s.setdefault(sequence + 1, stamp_s)
        mentioned.add(sequence)
    if not mentioned or not sent_s:
        return []
    sequences = range(min(mentioned), max(mentioned) + 1)
    times_s = _fill_in(sent_s, sequences)
    return [
        (sequence, time_s, rtt_ms.get(sequence))
        for sequence, time_s in zip(sequences, times_s, strict=True)
    ]


def _unwrap(sequence: int, newest: int) -> int:
    """The number without the wrap at 16 bits: the one nearest to the newest seen."""
    return sequence + round((newest - sequence) / _SEQUENCES) * _SEQUENCES


def _fill_in(known_s: dict[int, float], sequences: Iterable[int]) -> list[float]:
    """The time of each sequence number, where unknown on a line between the nearest known ones."""
    numbers = sorted(known_s)
    steps_s = [(known_s[b] - known_s[a]) / (b - a) for a, b in pairwise(numbers)]
    usual_s = statistics.median(steps_s) if steps_s else 0.0
    times_s = []
    for sequence in sequences:
        place = bisect_left(numbers, sequence)
        if place == 0:
            time_s = known_s[numbers[0]] - usual_s * (numbers[0] - sequence)
        elif place == len(numbers):
            time_s = known_s[numbers[-1]] + usual_s * (sequence - numbers[-1])
        else:
            before = numbers[place - 1]
            time_s = known_s[before] + steps_s[place - 1] * (sequence - before)
        times_s.append(time_s)
    return times_s


def parse_answer(line: Line) -> tuple[int, float, float | None] | None:
    """Turn a line into number, when sent (monotonic seconds) and round trip (ms; None if missing).

    None for a line about something else. What ping misses it says when it sends the next request:
    that is the time given for it, late by one interval.
    """
    match = _REPLY.match(line.text) or _MISSING.match(line.text)
    if match is None:
        return None
    stamp_s = float(match["wall"]) - line.wall_offset_s
    if match.re is _MISSING:
        return int(match["seq"]), stamp_s, None
    rtt_ms = float(match["rtt"])
    return int(match["seq"]), stamp_s - rtt_ms / 1000, rtt_ms

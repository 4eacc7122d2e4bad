from __future__ import annotations

import json
import time

from carplab.daemon.events import EventLog


def kinds(log: EventLog) -> list[str]:
    return [json.loads(line)["kind"] for line in log.past()]


def test_an_event_has_both_clocks() -> None:
    log = EventLog()
    before_s = time.time()
    log.add("carrier", time.monotonic() - 10, interface="eth0", new="up")
    event = json.loads(log.past()[0])
    assert (event["kind"], event["interface"], event["new"]) == ("carrier", "eth0", "up")
    assert abs(event["wall_s"] - (before_s - 10)) < 1
    assert abs(time.monotonic() - 10 - event["monotonic_s"]) < 1


def test_traffic_does_not_push_transitions_out() -> None:
    log = EventLog()
    log.add("transition", 1.0)
    for at_s in range(10_000):
        log.add("sent", float(at_s))
    assert kinds(log)[0] == "transition"
    assert 1000 < len(log.past()) < 10_000


def test_the_past_is_in_order() -> None:
    log = EventLog()
    for kind in ("start", "sent", "transition", "heard", "transition"):
        log.add(kind, 0.0)
    assert kinds(log) == ["start", "sent", "transition", "heard", "transition"]


def test_listeners_get_each_line() -> None:
    log, lines = EventLog(), list[bytes]()
    log.add("start", 0.0)
    log.listeners.append(lines.append)
    log.add("stop", 0.0)
    assert lines == log.past()[1:]


def test_a_flood_of_bad_frames_is_counted_not_listed() -> None:
    log = EventLog()
    for number in range(1000):
        log.add_rejected("eth0", "10.0.1.9", "badauth", 5.0 + number / 1000)
    log.add_rejected("eth0", None, "hdrops", 5.5)
    log.add_rejected("eth0", "10.0.1.9", "badauth", 6.1)
    counts = [(e["statistic"], e["count"]) for e in map(json.loads, log.past())]
    assert counts == [("badauth", 1), ("hdrops", 1), ("badauth", 1000)]

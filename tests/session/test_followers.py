"""Followers get what comes; one that does not read holds nobody up."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

from carplab.session.followers import LONGEST_QUEUE, Followers


def messages(connection: socket.socket) -> list[dict[str, Any]]:
    connection.settimeout(10)
    with connection.makefile("rb") as lines:
        return [json.loads(line) for line in lines]


def test_all_get_everything_in_order_until_the_end() -> None:
    followers = Followers()
    pairs = [socket.socketpair() for _ in range(3)]
    threads = []
    for ours, _ in pairs:
        follower = followers.add(ours, {"kind": "status"})
        threads.append(threading.Thread(target=follower.serve))
        threads[-1].start()
    for number in range(5):
        followers.send({"kind": "event", "n": number})
    followers.stop()
    for thread, (ours, theirs) in zip(threads, pairs, strict=True):
        thread.join(10)
        ours.close()
        assert [each.get("n") for each in messages(theirs)] == [None, 0, 1, 2, 3, 4]
        theirs.close()


def test_one_that_is_too_slow_is_told_what_it_lost() -> None:
    followers = Followers()
    ours, theirs = socket.socketpair()
    follower = followers.add(ours, {"kind": "status"})
    for number in range(LONGEST_QUEUE + 9):  # nobody takes them out yet
        followers.send({"kind": "event", "n": number})
    thread = threading.Thread(target=follower.serve)
    thread.start()
    theirs.settimeout(10)
    with theirs.makefile("rb") as lines:
        assert json.loads(lines.readline()) == {"kind": "dropped", "number": 10}
        assert json.loads(lines.readline()) == {"kind": "status"}
        assert json.loads(lines.readline()) == {"kind": "event", "n": 0}
    theirs.close()
    ours.close()
    followers.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_one_that_has_gone_is_forgotten() -> None:
    followers = Followers()
    ours, theirs = socket.socketpair()
    follower = followers.add(ours, {"kind": "status"})
    theirs.close()
    follower.serve()  # ends by itself
    assert follower.gone.is_set()
    followers.send({"kind": "event"})
    ours.close()

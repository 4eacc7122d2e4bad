"""What happened to this carpd, as JSON lines: kept for who asks later, and handed to who follows.

Each line has monotonic_s, wall_s and kind; the rest depends on the kind:

    start, stop   reason
    transition    interface, vhid, old, new, reason (the BSD kernels' words)
    demotion      group, old, new, reason
    carrier       interface, new ("up" or "down")
    port          interface (a failover set), new (the one it works through now)
    sent          interface, vhid, family, ok, advbase, advskew, demote
    heard         interface, vhid, source, advbase, advskew, demote
    rejected      interface, source, statistic, count (since the last such line)
    arp           interface, vhid (which of ours answers), requester, target (a shared address)
    hook          interface, vhid, command, exit_code (-N after signal N), length_ms; when it ended,
                  or with exit_code 127 and a reason when it could not start
    error         interface, vhid (where it is about one), reason
"""

from __future__ import annotations

import heapq
import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any

# news of state is kept apart from the regular traffic, which would otherwise push it out
_TRAFFIC = frozenset({"sent", "heard", "rejected", "arp"})
_KEPT_LINES = 4096
# a flood of bad frames makes one line a second for each interface and cause, not one for each frame
_REJECTED_INTERVAL_S = 1.0


class EventLog:
    """The last lines of each sort, and the listeners that get each new one."""

    def __init__(self) -> None:
        self._state: deque[tuple[int, bytes]] = deque(maxlen=_KEPT_LINES)
        self._traffic: deque[tuple[int, bytes]] = deque(maxlen=_KEPT_LINES)
        self._number = 0
        self._rejected: dict[tuple[str, str], tuple[float, int]] = {}
        self.listeners: list[Callable[[bytes], None]] = []

    def past(self) -> list[bytes]:
        """The kept lines, oldest first."""
        return [line for _, line in heapq.merge(self._state, self._traffic)]

    def add(self, kind: str, at_s: float, **details: Any) -> None:
        """Log an event that happened at `at_s`, seconds of the monotonic clock."""
        wall_s = time.time() - (time.monotonic() - at_s)
        event = {"monotonic_s": round(at_s, 6), "wall_s": round(wall_s, 6), "kind": kind, **details}
        line = json.dumps(event).encode() + b"\n"
        self._number += 1
        (self._traffic if kind in _TRAFFIC else self._state).append((self._number, line))
        for listener in tuple(self.listeners):
            listener(line)

    def add_rejected(self, interface: str, source: str | None, statistic: str, at_s: float) -> None:
        """Log a dropped datagram, unless the same was logged less than a second ago."""
        logged_s, unlogged = self._rejected.get((interface, statistic), (-_REJECTED_INTERVAL_S, 0))
        count = unlogged + 1
        if at_s - logged_s < _REJECTED_INTERVAL_S:
            self._rejected[interface, statistic] = (logged_s, count)
            return
        self._rejected[interface, statistic] = (at_s, 0)
        self.add(
            "rejected",
            at_s,
            interface=interface,
            source=source,
            statistic=statistic,
            count=count,
        )

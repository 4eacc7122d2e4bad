"""A session that runs as the live view's source."""

from __future__ import annotations

import csv
import itertools
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carplab.live.sources import LIVE, Message, Scene, probed_hosts
from carplab.recording import EVENTS, find_table, open_table
from carplab.scenario import Traffic
from carplab.session.client import Session

TRAFFIC = Traffic()
MOST_EVENTS = 2000


class SessionSource:
    """Follows a session; `may_change` says whether it is ours to end."""

    def __init__(self, session: Session, may_change: bool) -> None:
        self._session = session
        about = session.describe()
        self._origin_s: float = about["origin_monotonic_s"]
        client, server = probed_hosts(about["network"], TRAFFIC.client, TRAFFIC.server)
        self._scene = Scene(
            LIVE, about["title"], about["network"], client, server, about["folder"],
            dict(about["settings"]), may_change=may_change,
        )  # fmt: skip

    def scene(self) -> Scene:
        """Return the session's network."""
        return self._scene

    def messages(self) -> Iterator[Message]:
        """Yield what the session tells its followers, until it ends; first what it has recorded."""
        told = self._session.follow()
        yield from itertools.islice(told, 1)
        past = list(recorded_events(Path(self._scene.folder)))
        yield from past
        known = {_row(event) for event in past}
        for message in told:
            if message["kind"] == "event" and _row(message) in known:
                continue  # it was recorded when it was told
            yield message

    def now(self) -> tuple[float, float]:
        """Return the session's time: its clock is this machine's."""
        return time.monotonic() - self._origin_s, 1.0

    def close(self) -> None:
        """Nothing to end: `messages` ends with the session, its reader with the program."""


def recorded_events(folder: Path) -> Iterator[Message]:
    """Yield the last events of a run that is being recorded, as its followers get them."""
    with open_table(find_table(folder, EVENTS)) as lines:
        rows = deque((row for row in csv.reader(lines) if row[0] != EVENTS.columns[0]), MOST_EVENTS)
    for row in rows:
        if len(row) == len(EVENTS.columns):  # the last one may be half written
            t_s, source, kind, segment, vhid, detail = row
            yield {
                "kind": "event", "t_s": float(t_s), "source": source, "event": kind,
                "segment": segment, "vhid": int(vhid) if vhid else None, "detail": detail,
            }  # fmt: skip


def _row(event: Message) -> tuple[Any, ...]:
    names = "source", "event", "segment", "vhid", "detail"
    return (round(event["t_s"], 6), *(event[name] for name in names))

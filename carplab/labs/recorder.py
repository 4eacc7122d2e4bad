"""Follows a session while a lab is checked, and finds the outages in the probes it tells of."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from carplab.analysis.outages import find_outages, spacing_s
from carplab.errors import CarplabError
from carplab.session.client import Session

FIRST_DEADLINE_S = 10.0
CALM_S = 1.5  # so long every probe must come back before an outage counts as over
PROBE_COLUMNS = 4  # number, sent, at the server, back

Probes = npt.NDArray[np.float64]


class Recorder:
    """The probes and events that a session has told of since this was opened."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._probes: list[list[Any]] = []
        self._events: list[dict[str, Any]] = []
        self._error: CarplabError | None = None
        self._first = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        if not self._first.wait(FIRST_DEADLINE_S):
            raise CarplabError("the session says nothing: start the lab again")
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stopping.set()  # seen at the next message, or the session's end

    def events(self, since_s: float = 0.0) -> list[dict[str, Any]]:
        """Return the events since a time of the session."""
        with self._lock:
            return [event for event in self._events if event["t_s"] >= since_s]

    def probes(self, since_s: float) -> Probes:
        """Return the probes that were sent since a time, in the order of sending.

        The columns are the number and the times sent, at the server and back; NaN where it was
        lost. CarplabError when the session has ended.
        """
        with self._lock:
            if self._error:
                raise self._error
            rows = [row for row in self._probes if row[1] >= since_s]
        rows.sort(key=lambda row: (row[1], row[0]))
        return np.array(rows, dtype=float).reshape(len(rows), PROBE_COLUMNS)

    def _follow(self) -> None:
        error = CarplabError("the session has ended in the middle of the check")
        try:
            for message in self._session.follow():
                if self._stopping.is_set():
                    return
                self._keep(message)
                self._first.set()
        except CarplabError as raised:
            error = raised
        with self._lock:
            self._error = error

    def _keep(self, message: dict[str, Any]) -> None:
        with self._lock:
            if message["kind"] == "probe":
                self._probes.extend(message["rows"])
            elif message["kind"] == "event":
                self._events.append(message)


def longest_outage(probes: Probes) -> tuple[float, int]:
    """Return seconds and lost packets of the longest outage in these probes; 0 for none."""
    outages = find_outages(probes[:, 1], probes[:, 3]) if len(probes) else []
    longest = max(outages, key=lambda each: each.length_s, default=None)
    return (longest.length_s, longest.lost) if longest else (0.0, 0)


def flows_since(probes: Probes, t_s: float) -> float | None:
    """Return since when every probe has come back, for `CALM_S` at least, after `t_s`; else None.

    Only what is decided counts: a probe is known to be lost a second after it was sent.
    """
    back = probes[~np.isnan(probes[:, 3])] if len(probes) else probes
    if not len(back):
        return None
    last_s = float(back[-1, 1])
    lost = probes[np.isnan(probes[:, 3])]
    after_loss_s = float(lost[-1, 1]) + spacing_s(probes[:, 1]) if len(lost) else t_s
    since_s = max(t_s, float(probes[0, 1]), after_loss_s)
    return since_s if last_s - since_s >= CALM_S else None


def how_far(probes: Probes, until_s: float) -> str:
    """Return how far most of the probes came that were sent before `until_s`.

    "back" to the client, to the "server" and not back, or "nowhere".
    """
    sent = probes[probes[:, 1] < until_s]
    arrived = ~np.isnan(sent[:, 2:])  # at the server, back
    server, back = arrived.mean(axis=0) > 0.5 if len(sent) else (False, False)
    return "back" if back else "server" if server else "nowhere"

"""The stream: one TCP connection with numbered messages, its gaps, and what became of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from carplab.analysis.load import Run
from carplab.analysis.outages import Times

ALIVE = "alive"
STALLED = "stalled"
STALLED_S = 1.0  #: silence at the end of the record that no stream alive has
_GOES_ON = ("connected", "retransmitted")  # what is said of a stream that has not ended


@dataclass(frozen=True)
class Gap:
    """No message was received from `start_s` to `end_s`.

    `broken`: the stream ended in it. `open_end`: the record did.
    """

    start_s: float
    end_s: float
    broken: bool = False
    open_end: bool = False

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, eq=False)
class Stream:
    """A stream: when its messages were received, and how it ended, in one word and in a sentence.

    `ended` is `alive`, `stalled`, or what the first of the two hosts said about the end.
    """

    received_s: Times
    ended: str
    story: str
    gaps: tuple[Gap, ...]

    @property
    def broken(self) -> bool:
        """Tell whether a host said that the connection is no more."""
        return self.ended not in (ALIVE, STALLED)

    def longest_gap(self, from_s: float, until_s: float) -> Gap | None:
        """Return the longest gap that began between two times, the one it broke in before all."""
        began = [gap for gap in self.gaps if from_s <= gap.start_s < until_s]
        return max(began, key=lambda gap: (gap.broken, gap.length_s), default=None)


def read_stream(run: Run, end_s: float) -> Stream | None:
    """Return the stream of a run as it was until `end_s`; None where there was none."""
    events = [event for event in run.events if event.kind == "stream" and event.t_s <= end_s]
    if run.stream.empty and not events:
        return None
    received_s = np.sort(run.stream["received_t_s"].dropna().to_numpy())
    received_s = received_s[received_s <= end_s]
    gaps = [Gap(low, high) for low, high in itertools.pairwise(received_s.tolist())]
    ends = [event for event in events if not event.detail.startswith(_GOES_ON)]
    last_s = float(received_s[-1]) if received_s.size else None
    if ends:
        ended = ends[0].detail.partition(":")[0]
        story = "; ".join(f"{event.source}: {event.detail} at {event.t_s:.3f} s" for event in ends)
        gaps += [] if last_s is None else [Gap(last_s, max(last_s, ends[0].t_s), broken=True)]
    elif last_s is None or end_s - last_s > STALLED_S:
        ended = STALLED
        story = "nothing was received"
        if last_s is not None:
            story = f"connected, but nothing received after {last_s:.3f} s"
            gaps.append(Gap(last_s, end_s, open_end=True))
    else:
        ended = story = ALIVE
    return Stream(received_s, ended, story, tuple(gaps))

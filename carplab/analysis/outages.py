"""Outages, read from the probe: numbered packets sent at a steady spacing, most of which come back.

An outage is the time from the last packet delivered to the next one delivered, by the kernel's
receive stamps, if at least `FEWEST_LOST` probes sent in it were lost:

- One lost probe alone is noise. It is counted, but it is no outage.
- A gap in which nothing was lost is a stall, of the sender or of a queue on the way, and no outage:
  every packet arrived. The longest one is reported as the measurement's own limit.
- Deliveries count in the order in which they happened, not in the order of sending: a packet that
  waited in a neighbour queue until the way was open again does not hide the outage in which it
  waited.
- Where nothing was delivered before (or after), the outage began before (or ended after) the
  record: its start is the first probe sent (its end the last one), and it is `open`: at least that
  long.
- Probes sent in the last `UNDECIDED_S` of the record may still have been on their way.

By this definition an outage is longer than the interruption of the way that caused it, by one
spacing on average and two at most, if sender and way are steady. The interruption itself lasted at
least from the sending of the first to that of the last probe lost; the middle of both is the best
estimate of it (`Outage.interruption_s`), and half their difference what it may be wrong by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST_LOST = 2
LEAST_GAP_SPACINGS = 1.5
UNDECIDED_S = 0.1

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outage:
    """Nothing was delivered from `start_s` to `end_s`; `lost` of the probes sent then never were.

    `certain_s` is the time from the sending of the first lost one to that of the last. `open_start`
    and `open_end` say that the record does not reach beyond that end.
    """

    start_s: float
    end_s: float
    lost: int
    certain_s: float
    open_start: bool = False
    open_end: bool = False

    @property
    def length_s(self) -> float:
        """Seconds from delivery to delivery, or to the end of the record."""
        return self.end_s - self.start_s

    @property
    def interruption_s(self) -> float:
        """The best estimate of how long no packet could pass, seconds."""
        return (self.length_s + self.certain_s) / 2

    @property
    def uncertainty_s(self) -> float:
        """What the estimate of the interruption may be wrong by, seconds."""
        return (self.length_s - self.certain_s) / 2


@dataclass(frozen=True)
class Quality:
    """What limits the measurement: all in seconds, but for the counts.

    `lost_alone` counts the probes lost outside outages; `longest_stall_s` is the longest time
    without a delivery in which too little was lost for an outage, `longest_pause_s` the longest
    between two sendings.
    """

    sent: int
    lost: int
    lost_alone: int
    spacing_s: float
    longest_stall_s: float
    longest_pause_s: float


def find_outages(sent_s: Times, delivered_s: Times) -> list[Outage]:
    """Return the outages in the order of time.

    `sent_s` rises; `delivered_s` holds the delivery of the same packet, NaN where there was none.
    """
    arrived = ~np.isnan(delivered_s)
    lost_s = sent_s[~arrived]
    if lost_s.size < FEWEST_LOST:
        return []
    if not arrived.any():
        certain_s = float(lost_s[-1] - lost_s[0])
        return [Outage(float(sent_s[0]), float(sent_s[-1]), lost_s.size, certain_s, True, True)]
    order = np.argsort(delivered_s[arrived], kind="stable")
    arrivals_s, sendings_s = delivered_s[arrived][order], sent_s[arrived][order]
    travel_s = float(np.median(arrivals_s - sendings_s))
    outages = [
        _before_first(sent_s, lost_s, float(arrivals_s[0]), travel_s),
        *_between(lost_s, arrivals_s, sendings_s, travel_s, LEAST_GAP_SPACINGS * spacing_s(sent_s)),
        _after_last(sent_s, lost_s, float(arrivals_s[-1]), travel_s),
    ]
    return [outage for outage in outages if outage is not None]


def find_lost(sent_s: Times, delivered_s: Times, outages: Sequence[Outage]) -> Times:
    """Return when the probes were sent that were lost for certain."""
    arrived = ~np.isnan(delivered_s)
    decided = np.ones_like(arrived)
    if arrived.any() and not any(outage.open_end for outage in outages):
        decided = sent_s <= np.nanmax(delivered_s)
    lost: Times = sent_s[decided & ~arrived]
    return lost


def find_quality(sent_s: Times, delivered_s: Times, outages: Sequence[Outage]) -> Quality:
    """Return what limits the measurement of these outages."""
    arrived = ~np.isnan(delivered_s)
    lost = int(find_lost(sent_s, delivered_s, outages).size)
    return Quality(
        sent=int(sent_s.size),
        lost=lost,
        lost_alone=max(0, lost - sum(outage.lost for outage in outages)),
        spacing_s=spacing_s(sent_s),
        longest_stall_s=_longest_stall(np.sort(delivered_s[arrived]), outages),
        longest_pause_s=float(np.diff(sent_s).max()) if sent_s.size > 1 else 0.0,
    )


def spacing_s(sent_s: Times) -> float:
    """Return the probe's own spacing: the median time between two sendings; 0 for none."""
    return float(np.median(np.diff(sent_s))) if sent_s.size > 1 else 0.0


def _between(
    lost_s: Times, arrivals_s: Times, sendings_s: Times, travel_s: float, least_s: float
) -> list[Outage]:
    outages = []
    for index in np.flatnonzero(np.diff(arrivals_s) > least_s):
        start_s, end_s = float(arrivals_s[index]), float(arrivals_s[index + 1])
        # A packet that was held up has an untypical travel time: take the wider estimate.
        first_s = min(float(sendings_s[index]), start_s - travel_s)
        last_s = max(float(sendings_s[index + 1]), end_s - travel_s)
        outage = _outage(lost_s, first_s, last_s, start_s, end_s)
        if outage is not None:
            outages.append(outage)
    return outages


def _before_first(
    sent_s: Times, lost_s: Times, first_arrival_s: float, travel_s: float
) -> Outage | None:
    start_s = float(sent_s[0])
    return _outage(
        lost_s, start_s, first_arrival_s - travel_s, start_s, first_arrival_s, open_start=True
    )


def _after_last(
    sent_s: Times, lost_s: Times, last_arrival_s: float, travel_s: float
) -> Outage | None:
    end_s = float(sent_s[-1])
    if end_s - last_arrival_s < UNDECIDED_S:
        return None
    return _outage(lost_s, last_arrival_s - travel_s, end_s, last_arrival_s, end_s, open_end=True)


def _outage(
    lost_s: Times,
    first_s: float,
    last_s: float,
    start_s: float,
    end_s: float,
    open_start: bool = False,
    open_end: bool = False,
) -> Outage | None:
    """Build the outage, unless too few probes sent from `first_s` to `last_s` were lost."""
    low, high = np.searchsorted(lost_s, first_s), np.searchsorted(lost_s, last_s, side="right")
    lost = int(high - low)
    if lost < FEWEST_LOST:
        return None
    # Packets that overtook each other can make the lost ones span more than the gap itself.
    certain_s = min(float(lost_s[high - 1] - lost_s[low]), end_s - start_s)
    return Outage(start_s, end_s, lost, certain_s, open_start, open_end)


def _longest_stall(arrivals_s: Times, outages: Sequence[Outage]) -> float:
    gaps_s = np.diff(arrivals_s)
    for outage in outages:
        gaps_s[(arrivals_s[:-1] >= outage.start_s) & (arrivals_s[1:] <= outage.end_s)] = 0.0
    return float(gaps_s.max()) if gaps_s.size else 0.0

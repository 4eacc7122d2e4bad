"""Faults and repairs, and what belongs to which of them.

A cause is a fault or a repair, at the time it took effect. Faults are numbered in the order of
time; a repair has the number of the fault it lifts (same machine, cable and kind). An outage, a
split or a transition belongs to the cause nearest to its start if that is within `NEAR_S` (a fault
is stamped when it was confirmed, so the first packet may be lost some milliseconds before), else to
the latest cause before it, and to `none` before all causes. Each belongs to one cause only, so that
sums count nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from carplab.analysis.load import Event
from carplab.network import place_text

NEAR_S = 0.05
CONFIRMED_S = 0.5
NO_CAUSE = "none"


@dataclass(frozen=True)
class Cause:
    """A fault or a repair: `name` is "fault 1", `what` its kind and the rest of its detail."""

    name: str
    t_s: float
    host: str
    segment: str
    what: str
    cable: int = 1

    @property
    def is_fault(self) -> bool:
        """Tell a fault from a repair."""
        return self.name.startswith("fault")

    def __str__(self) -> str:
        return f"{self.name}: {self.where}"

    @property
    def where(self) -> str:
        """What it was and where, as in `link_down fw1 outside`."""
        place = place_text(self.segment, self.cable)
        return " ".join(part for part in (self.what, self.host, place) if part)


def find_causes(events: Iterable[Event]) -> list[Cause]:
    """Return faults and repairs in the order of time, each repair with the number of its fault."""
    causes: list[Cause] = []
    unlifted: list[Cause] = []
    faults = 0
    for event in events:
        if event.kind == "fault":
            faults += 1
            causes.append(_cause(f"fault {faults}", event))
            unlifted.append(causes[-1])
        elif event.kind == "repair":
            fault = _lifted(event, unlifted)
            number = fault.name.split()[1] if fault else str(faults + 1)
            if fault:
                unlifted.remove(fault)
            causes.append(_cause(f"repair {number}", event))
    return causes


def cause_of(start_s: float, end_s: float, causes: Sequence[Cause]) -> Cause | None:
    """Return the cause of what lasted from a time to a time, by the rule of the module's text."""
    near = [cause for cause in causes if abs(cause.t_s - start_s) <= NEAR_S]
    if near:
        return min(near, key=lambda cause: abs(cause.t_s - start_s))
    confirmed_until_s = min(end_s, start_s + CONFIRMED_S)
    for cause in causes:
        if cause.is_fault and start_s < cause.t_s < confirmed_until_s:
            return cause
    return next((cause for cause in reversed(causes) if cause.t_s <= start_s), None)


def _cause(name: str, event: Event) -> Cause:
    return Cause(name, event.t_s, event.source, event.segment, event.detail, event.cable)


def _lifted(repair: Event, unlifted: Sequence[Cause]) -> Cause | None:
    """Return the fault that a repair lifts: the one most like it, the earliest of equals."""

    def likeness(fault: Cause) -> int:
        same_kind = fault.what.split()[:1] == repair.detail.split()[:1]
        same_cable = (fault.segment, fault.cable) == (repair.segment, repair.cable)
        return (fault.host == repair.source) * 4 + same_cable * 2 + same_kind

    return max(unlifted, key=likeness, default=None)

"""The faults of a session: those that are there, and those that were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from carplab.errors import UsageError, listed
from carplab.scenario import HANG, MACHINE_FAULTS, Fault


@dataclass(frozen=True)
class ActiveFault:
    """A fault that is there: as it was asked for, and with the time of its effect."""

    asked: Fault
    begun: Fault

    def lasted_until(self, t_s: float) -> Fault:
        """Return it with its length until then."""
        return replace(self.begun, length_s=max(0.0, t_s - self.begun.at_s))


class FaultBook:
    """Faults by their numbers, which count from 1 and are never used again.

    Written under the session's lock; what reads only may be called by any thread.
    """

    def __init__(self) -> None:
        self._active: Mapping[int, ActiveFault] = {}
        self._past: tuple[Fault, ...] = ()
        self._last_number = 0

    @property
    def numbers(self) -> list[int]:
        """The numbers of those that are there, the last one first."""
        return sorted(self._active, reverse=True)

    def add(self, asked: Fault, at_s: float) -> int:
        """Note a fault that took effect at `at_s`; return its number."""
        self._last_number += 1
        fault = ActiveFault(asked, replace(asked, at_s=at_s))
        self._active = {**self._active, self._last_number: fault}
        return self._last_number

    def find(self, number: int) -> ActiveFault:
        """Return a fault that is there; UsageError with the numbers there are otherwise."""
        if number not in self._active:
            there = listed(self._active) or "none"
            raise UsageError(f"there is no fault {number}: there are {there}")
        return self._active[number]

    def end(self, number: int, at_s: float) -> None:
        """Note that a fault was repaired."""
        self._past += (self.find(number).lasted_until(at_s),)
        self._active = {key: each for key, each in self._active.items() if key != number}

    def refuse_overlap(self, fault: Fault) -> None:
        """Raise UsageError where there is a fault already."""
        for number, active in self._active.items():
            other = active.asked
            whole = fault.kind in MACHINE_FAULTS or other.kind in MACHINE_FAULTS
            if other.host == fault.host and (whole or other.place == fault.place):
                where = f" on {other.place}" if other.place else ""
                raise UsageError(
                    f"{fault.host} has a fault already ({other.kind}{where}): lift {number} first"
                )

    def refuse_broken(self, router: str) -> None:
        """Raise UsageError when a machine is not up."""
        for number, active in self._active.items():
            if active.asked.host == router and active.asked.kind in MACHINE_FAULTS:
                raise UsageError(f"{router} is not up ({active.asked.kind}): lift {number} first")

    def is_hung(self, router: str) -> bool:
        """Tell whether a machine hangs."""
        faults = [active.asked for active in self._active.values()]
        return any((each.host, each.kind) == (router, HANG) for each in faults)

    def history(self, now_s: float) -> tuple[Fault, ...]:
        """Return all that were or are there, in the order of their times, with their lengths."""
        lasting = [active.lasted_until(now_s) for active in self._active.values()]
        return tuple(sorted([*self._past, *lasting], key=lambda fault: fault.at_s))

    def rows(self) -> list[dict[str, Any]]:
        """Return those that are there as a session's status has them."""
        return [
            {
                "id": number,
                "kind": active.begun.kind,
                "host": active.begun.host,
                "segment": active.begun.segment,
                "cable": active.begun.cable,
                "detail": active.begun.detail,
                "since_t_s": active.begun.at_s,
            }
            for number, active in self._active.items()
        ]

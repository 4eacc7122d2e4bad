"""What one run says in a few numbers, for verdicts over many runs. Draws nothing, writes nothing.

`summarise(load_run(folder))` costs reading the tables and finding the windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carplab.analysis.causes import NEAR_S, NO_CAUSE, Cause, cause_of
from carplab.analysis.flows import WHOLE_RUN, FlowRow
from carplab.analysis.load import Run
from carplab.analysis.outages import Outage
from carplab.analysis.states import (
    BACKUP,
    HUNG,
    INIT,
    MASTER,
    NOT_RUNNING,
    UNKNOWN,
    Split,
    Track,
    find_masters,
    is_whole,
)
from carplab.analysis.text import length_text
from carplab.analysis.windows import Bounds, Findings, Window, find_windows
from carplab.errors import CarplabError

_STRONGEST_FIRST = (MASTER, BACKUP, INIT, HUNG, NOT_RUNNING, UNKNOWN)


@dataclass(frozen=True)
class WorstSplit:
    """The longest split of a run: `who` was MASTER of what for most of it.

    `cause` is the fault or repair it belongs to, `dead_s` how much of it had no traffic; None where
    no probe was recorded.
    """

    length_s: float
    at_least: bool
    cause: str
    who: str
    dead_s: float | None

    @property
    def text(self) -> str:
        """One sentence without its full stop, for people."""
        length = ("at least " if self.at_least else "") + _rough(self.length_s)
        when = "before any fault" if self.cause == NO_CAUSE else f"after {self.cause}"
        said = f"worst split: {length} {when} ({self.who})"
        if self.dead_s is None:
            return said
        return f"{said}, {_rough(self.dead_s) if self.dead_s else 'none'} of it without traffic"


@dataclass(frozen=True)
class States:
    """Who was what when; times count from the first fault or from the first repair, in seconds.

    Of a host with several cables to the segment the strongest state counts: MASTER if any is.
    """

    tracks: tuple[Track, ...]
    fault_t_s: float | None
    repair_t_s: float | None
    end_s: float

    def after_fault(self, host: str, segment: str, vhid: int, seconds: float) -> str | None:
        """Return the state then; None where there was no fault or no such virtual host."""
        return self._state(host, segment, vhid, self.fault_t_s, seconds)

    def after_repair(self, host: str, segment: str, vhid: int, seconds: float) -> str | None:
        """Return the state then; None where there was no repair or no such virtual host."""
        return self._state(host, segment, vhid, self.repair_t_s, seconds)

    def master_after_repair_s(self, host: str, segment: str, vhid: int) -> float | None:
        """Return how long after the repair it first was MASTER: 0 if it was then, None if never."""
        if self.repair_t_s is None:
            return None
        since_s = (
            low_s - self.repair_t_s
            for track in self._of(host, segment, vhid)
            for low_s, _, state in track.spans(self.repair_t_s, self.end_s)
            if state == MASTER
        )
        return min(since_s, default=None)

    def _of(self, host: str, segment: str, vhid: int) -> list[Track]:
        wanted = host, segment, vhid
        return [t for t in self.tracks if (t.key.host, t.key.segment, t.key.vhid) == wanted]

    def _state(
        self, host: str, segment: str, vhid: int, since_s: float | None, seconds: float
    ) -> str | None:
        tracks = self._of(host, segment, vhid)
        if since_s is None or not tracks:
            return None
        states = {track.state_at(since_s + seconds) for track in tracks}
        return next((state for state in _STRONGEST_FIRST if state in states), UNKNOWN)


@dataclass(frozen=True)
class RunSummary:
    """A run in numbers; seconds. Faults and repairs are summed, the rest is of the first of each.

    outage_fault_s, outage_repair_s: all outages of the main flow that belong to faults, or to
    repairs; split_fault_s, split_repair_s: all splits likewise; 0.0 if none. packets_sent and
    packets_lost: the main probe's, in the measured time. flows: one row for each flow over the
    whole run, the main one's first. stream_ended: None without a stream, else `alive`, `stalled`,
    `reset`, `timed out`, ... stream_gap_s: the stream's longest gap since the first fault; None if
    it broke. recovery_s: None if it never came. detection_s, lateness_s: of the segment that
    decided. failed_over: the machine at fault was MASTER of something, and when the repair came,
    others were MASTER of everything, without a split. theory_s: bounds of the outage at the
    first fault.
    """

    outage_fault_s: float
    outage_repair_s: float
    split_fault_s: float
    split_repair_s: float
    worst_split: WorstSplit | None
    packets_sent: int
    packets_lost: int
    flows: tuple[FlowRow, ...]
    stream_ended: str | None
    stream_gap_s: float | None
    recovery_s: float | None
    detection_s: float | None
    lateness_s: float | None
    failed_over: bool
    theory_s: Bounds | None
    states: States


def summarise(run: Run) -> RunSummary:
    """Return the summary of a run; CarplabError where it recorded no probe or no CARP states."""
    findings = find_windows(run)
    if findings.quality is None or not findings.tracks:
        what = "probe" if findings.quality is None else "CARP states"
        raise CarplabError(f"{run.folder} recorded no {what}: it cannot be summed up")
    fault = next((cause for cause in findings.causes if cause.is_fault), None)
    repair = next((cause for cause in findings.causes if not cause.is_fault), None)
    outage = findings.first("outage", fault.name) if fault else None
    stream = findings.stream
    return RunSummary(
        outage_fault_s=_sum_s(findings.outages, findings.causes, of_faults=True),
        outage_repair_s=_sum_s(findings.outages, findings.causes, of_faults=False),
        split_fault_s=_sum_s(findings.splits, findings.causes, of_faults=True),
        split_repair_s=_sum_s(findings.splits, findings.causes, of_faults=False),
        worst_split=worst_split(findings),
        packets_sent=findings.quality.sent,
        packets_lost=findings.quality.lost,
        flows=tuple(row for row in findings.flows if row.cause == WHOLE_RUN),
        stream_ended=stream.ended if stream else None,
        stream_gap_s=_stream_gap_s(findings, fault),
        recovery_s=_length_s(findings.first("recovery", repair.name) if repair else None),
        detection_s=_length_s(findings.first("detection", fault.name) if fault else None),
        lateness_s=_length_s(findings.first("lateness", fault.name) if fault else None),
        failed_over=_failed_over(findings, fault, repair),
        theory_s=outage.theory_s if outage else None,
        states=States(
            findings.tracks,
            fault.t_s if fault else None,
            repair.t_s if repair else None,
            findings.end_s,
        ),
    )


def worst_split(findings: Findings) -> WorstSplit | None:
    """Return the longest split; None where there was none."""
    worst = max(findings.splits, key=lambda split: split.length_s, default=None)
    if worst is None:
        return None
    cause = cause_of(worst.start_s, worst.end_s, findings.causes)
    dead_s = sum(
        max(0.0, min(worst.end_s, outage.end_s) - max(worst.start_s, outage.start_s))
        for outage in findings.outages
    )
    return WorstSplit(
        length_s=worst.length_s,
        at_least=worst.open_end,
        cause=cause.name if cause else NO_CAUSE,
        who=worst.mostly,
        dead_s=dead_s if findings.quality else None,
    )


def _sum_s(
    lasting: Sequence[Outage | Split], causes: Sequence[Cause], of_faults: bool
) -> float:
    """Return the sum of what belongs to faults, or to repairs."""
    owners = [cause_of(each.start_s, each.end_s, causes) for each in lasting]
    return sum(
        (
            each.length_s
            for each, cause in zip(lasting, owners, strict=True)
            if cause and cause.is_fault == of_faults
        ),
        0.0,
    )


def _stream_gap_s(findings: Findings, fault: Cause | None) -> float | None:
    if findings.stream is None:
        return None
    since_s = fault.t_s - NEAR_S if fault else float("-inf")
    gap = findings.stream.longest_gap(since_s, float("inf"))
    return gap.length_s if gap and not gap.broken else None


def _failed_over(findings: Findings, fault: Cause | None, repair: Cause | None) -> bool:
    if fault is None:
        return False
    until_s = findings.end_s if repair is None else repair.t_s - NEAR_S
    masters = find_masters(findings.tracks)
    before, after = masters.at(fault.t_s - NEAR_S), masters.at(until_s)
    had, has = (
        any(fault.host in hosts for hosts in standing.values()) for standing in (before, after)
    )
    return had and not has and is_whole(after)


def _length_s(window: Window | None) -> float | None:
    return window.length_s if window else None


def _rough(length_s: float) -> str:
    return f"{length_s:.1f} s" if length_s >= 10 else length_text(length_s)

"""From the folder of a run to its facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from carplab import recording
from carplab.analysis.causes import NEAR_S, Cause, cause_of
from carplab.analysis.load import load_run
from carplab.analysis.states import MASTER, Split, Track, find_masters
from carplab.analysis.summary import RunSummary, summarise
from carplab.analysis.windows import Findings, Window, find_windows
from carplab.errors import CarplabError
from carplab.mail.facts import Facts

NOTICED_S = 0.01  # a state that is over sooner is not shown
NOTHING_RECORDED = "nothing was recorded"


def read_run(folder: Path, facts: Facts) -> Facts:
    """Return the facts of the run in this folder, given which one it is; also of one that failed.

    CarplabError where it is not one of a single fault and its repair.
    """
    try:
        about = recording.read_run(folder)
    except CarplabError:
        return replace(facts, outcome="failed", what=NOTHING_RECORDED)
    facts = replace(facts, outcome=about["outcome"], commit=about.get("git_commit") or "")
    if not facts.finished:
        return replace(facts, what=about.get("reason") or "")
    run = load_run(folder)
    findings = find_windows(run)
    if [cause.is_fault for cause in findings.causes] != [True, False]:
        raise CarplabError(f"{folder} is no run of one fault and its repair")
    return _find_facts(findings, summarise(run), facts)


def _find_facts(findings: Findings, summary: RunSummary, facts: Facts) -> Facts:
    fault, repair = findings.causes
    struck = [track for track in findings.tracks if track.key.host == fault.host]
    pulled = [track for track in struck if _is_at(track, fault)]
    others = [track for track in struck if track.key.segment != fault.segment]
    at_repair_s = repair.t_s - NEAR_S
    facts = replace(
        facts,
        fault=fault.where,
        outage_fault_s=_worst_s(findings, fault),
        outage_repair_s=_worst_s(findings, repair),
        split_fault_s=summary.split_fault_s,
        split_repair_s=summary.split_repair_s,
        broken_s=repair.t_s - fault.t_s,
        detection_s=summary.detection_s,
        lateness_s=summary.lateness_s,
        takeover_s=_length_s(findings.first("takeover", fault.name)),
        theory_s=summary.theory_s[1] if summary.theory_s else 0.0,
        recovery_s=summary.recovery_s,
        failed_over=summary.failed_over,
        flowed=not any(each.start_s < at_repair_s < each.end_s for each in findings.outages),
        kept=_was_kept(findings, fault, at_repair_s),
        pulled_state=_states_at(pulled, at_repair_s),
        others_state=_states_at(others, at_repair_s),
        others_back_s=_all_master_s(others, repair.t_s, findings.end_s),
        restored_back_s=_all_master_s(pulled, repair.t_s, findings.end_s),
        restored_shows=_shows(pulled[:1], repair.t_s, findings.end_s),
        packets_sent=sum(flow.sent for flow in summary.flows),
        packets_lost=sum(flow.lost for flow in summary.flows),
        flows_lost="; ".join(f"{row.client}>{row.server} {row.lost}" for row in summary.flows),
    )
    own = [
        split
        for split in findings.splits
        if cause_of(split.start_s, split.end_s, findings.causes) == repair
    ]
    facts = _with_split(facts, max(own, key=lambda split: split.length_s, default=None), repair)
    return _with_stream(facts, findings)


def _worst_s(findings: Findings, cause: Cause) -> float:
    """Return the outages that belong to a cause, of the flow that had most."""
    return max(row.outage_s for row in findings.flows if row.cause == cause.name)


def _length_s(window: Window | None) -> float | None:
    return window.length_s if window else None


def _is_at(track: Track, fault: Cause) -> bool:
    return (track.key.segment, track.key.cable) == (fault.segment, fault.cable)


def _was_kept(findings: Findings, fault: Cause, until_s: float) -> bool:
    """Tell whether the struck host was MASTER everywhere, and nobody else anywhere after that."""
    masters = find_masters(findings.tracks)
    before_s = fault.t_s - NEAR_S
    before = masters.at(before_s).values()
    since = [masters.at(t_s).values() for t_s in masters.times_s if before_s < t_s < until_s]
    others = [hosts - {fault.host} for standing in since for hosts in standing]
    return all(hosts == {fault.host} for hosts in before) and not any(others)


def _states_at(tracks: Sequence[Track], t_s: float) -> str:
    return "+".join(dict.fromkeys(track.state_at(t_s) for track in tracks))


def _all_master_s(tracks: Sequence[Track], since_s: float, end_s: float) -> float | None:
    """Return after how long each had been MASTER; None if one of them never was, or there is none.
    """
    firsts_s = []
    for track in tracks:
        spans = track.spans(since_s, end_s)
        first_s = next((low - since_s for low, _, state in spans if state == MASTER), None)
        if first_s is None:
            return None
        firsts_s.append(first_s)
    return max(firsts_s, default=None)


def _shows(tracks: Sequence[Track], since_s: float, end_s: float) -> str:
    return "; ".join(
        f"{state} {high - low:.4f}"
        for track in tracks
        for low, high, state in track.spans(since_s, end_s)
        if high - low > NOTICED_S
    )


def _with_split(facts: Facts, split: Split | None, repair: Cause) -> Facts:
    if split is None:
        return facts
    return replace(
        facts,
        split_begin_s=split.start_s - repair.t_s,
        split_end_s=split.end_s - repair.t_s,
        split_open=split.open_end,
        split_who=split.mostly,
    )


def _with_stream(facts: Facts, findings: Findings) -> Facts:
    stream = findings.stream
    if stream is None:
        return facts
    fault_s, repair_s = (cause.t_s - NEAR_S for cause in findings.causes)
    gaps = stream.longest_gap(fault_s, repair_s), stream.longest_gap(repair_s, float("inf"))
    named = zip(("fault", "repair"), gaps, strict=True)
    broke = [name for name, gap in named if gap and gap.broken]
    lengths_s = [None if gap is None or gap.broken else gap.length_s for gap in gaps]
    return replace(
        facts,
        stream_ended=stream.ended,
        stream_broke="".join(broke),
        stream_gap_fault_s=lengths_s[0],
        stream_gap_repair_s=lengths_s[1],
    )

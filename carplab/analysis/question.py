"""What a run was to find out, and what of it was not reached, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from carplab.analysis.causes import NO_CAUSE, Cause
from carplab.analysis.load import Run, mapping, sequence
from carplab.analysis.table import HIDDEN
from carplab.analysis.text import length_text
from carplab.analysis.windows import Findings
from carplab.network import place_text
from carplab.scenario import (
    BLACKHOLE,
    CRASH,
    DAEMON_KILL,
    FLAP,
    HANG,
    LINK_DOWN,
    LOSS,
    REBOOT,
)

# What happens, and what its repair is; a fault's own values are put in.
_WORDS = {
    LINK_DOWN: ("the cable of {host} to {place} is pulled", "put back"),
    BLACKHOLE: (
        "frames vanish on the cable of {host} to {place} ({direction}) while its carrier stays",
        "healed",
    ),
    LOSS: ("{percent:g} % of the frames to {host} on {place} are lost", "healed"),
    FLAP: (
        "the cable of {host} to {place} goes down and up {count} times, each {period_s:g} s",
        "whole again",
    ),
    CRASH: ("{host} dies: its processes are killed and all its links go down", "booted"),
    HANG: ("{host} hangs: it forwards nothing and sends nothing while its links stay", "woken"),
    REBOOT: ("{host} shuts down in order", "booted"),
    DAEMON_KILL: ("carpd on {host} is killed", "started again"),
}


def asked(run: Run, causes: Sequence[Cause] = ()) -> list[str]:
    """Return the question of a run, a paragraph each.

    First what the experiment's script says of itself, where the run has recorded it. `causes` are
    what happened, for a run that had no plan.
    """
    own = map(str, sequence(run.about.get("question")))
    return [*own, _generated(run, causes), *_conditions(run)]


def planned(run: Run) -> list[str]:
    """Return a sentence for each fault that was planned."""
    said = []
    for number, fault in enumerate(_faults(run), start=1):
        at_s, length_s = _seconds(fault, "at_s"), _seconds(fault, "length_s")
        words, mended = _said(fault)
        what = f"{words}; {mended} {length_s:.4g} s later"
        said.append(f"Fault {number}, {at_s:.4g} s after the start: {what}.")
    return said


def drawn(run: Run) -> str:
    """Return what is said about the moments of the faults; empty where none was drawn."""
    seed = run.about.get("seed")
    if seed is None or not _faults(run):
        return ""
    return (
        "Each fault and each repair waits for a moment within the MASTER's advertisement "
        f"interval that is drawn, with the seed {seed}."
    )


def traffic(run: Run) -> str:
    """Return a sentence about what ran from client to server; empty where that is not recorded."""
    about = mapping(mapping(run.about.get("scenario")).get("traffic"))
    if "probe_interval_s" not in about:
        return ""
    tools = [f"a UDP probe there and back each {_seconds(about, 'probe_interval_s') * 1000:g} ms"]
    if about.get("ping_interval_s") is not None:
        tools.append(f"ping each {_seconds(about, 'ping_interval_s') * 1000:g} ms")
    if about.get("iperf") is not None:
        tools.append(f"{about['iperf']} at {_seconds(about, 'iperf_mbps'):g} Mbit/s")
    if about.get("stream"):
        tools.append(f"a TCP connection on which the {about['stream']} sends")
    flows = [" to ".join(map(str, sequence(flow))) for flow in sequence(about.get("flows"))]
    further = f"; further probes from {', '.join(flows)}" if flows else ""
    return f"{' to '.join(run.flow)}: {', '.join(tools)}{further}"


def struck(run: Run, causes: Iterable[Cause] = ()) -> list[Mapping[str, Any]]:
    """Return where faults strike, as run.json has it: as planned, else as it happened."""
    return _faults(run) or [
        {
            "kind": cause.what.split()[0] if cause.what else "fault",
            "host": cause.host,
            "segment": cause.segment,
            "cable": cause.cable,
        }
        for cause in causes
        if cause.is_fault
    ]


def not_reached(findings: Findings) -> list[str]:
    """Return a sentence for each window of a run that never ended, or not within the record."""
    said = []
    for window in findings.windows:
        if window.window in HIDDEN or not (window.length_s is None or window.at_least):
            continue
        where = f" on {window.segment}" if window.segment else ""
        length = "never came to its end"
        if window.length_s is not None:
            length = f"lasted {length_text(window.length_s, at_least=True)}"
        detail = f" ({window.detail})" if window.detail else ""
        when = "before any fault" if window.cause == NO_CAUSE else f"after {window.cause}"
        said.append(f"{window.window} {when}{where} {length}{detail}.")
    return [f"{each[0].upper()}{each[1:]}" for each in said]


def _generated(run: Run, causes: Sequence[Cause]) -> str:
    """Return the question that every run asks, with this one's faults."""
    happens = [_said(fault)[0] for fault in _faults(run)]
    happens = happens or [cause.where for cause in causes if cause.is_fault]
    client, server = run.flow
    what = f"how long is the traffic between {client} and {server} out"
    if not happens:
        return f"When nothing is broken: {what}, and who is MASTER of what?"
    which = "; ".join(happens)
    return f"When {which}: {what}, and who is MASTER of what, until all is as before?"


def _conditions(run: Run) -> list[str]:
    condition = mapping(run.about.get("settings")).get("condition")
    return [f"Condition: {condition}."] if condition else []


def _faults(run: Run) -> list[Mapping[str, Any]]:
    faults = sequence(mapping(run.about.get("scenario")).get("faults"))
    return [mapping(fault) for fault in faults]


def _said(fault: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a fault does, and what its repair is called."""
    words, mended = _WORDS.get(str(fault.get("kind")), ("{kind} strikes {host}", "repaired"))
    cable = fault.get("cable", 1)
    place = place_text(str(fault.get("segment")), cable if isinstance(cable, int) else 1)
    values = {
        "kind": fault.get("kind"),
        "host": fault.get("host"),
        "place": place,
        "direction": str(fault.get("direction", "both")).replace("_", " "),
        "percent": _seconds(fault, "percent"),
        "count": fault.get("count"),
        "period_s": _seconds(fault, "period_s"),
    }
    return words.format(**values), mended


def _seconds(values: Mapping[str, Any], name: str) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0

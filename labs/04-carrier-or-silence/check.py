"""Whether fw2 notices a lost carrier at once and silence in time; what silence does to traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from carplab.labs.checking import Line, RunningLab

LONGEST_MOVE_S = 1.0  # by demotion it takes milliseconds, by a timer three seconds
MARGIN_S = 0.5  # for what is not the protocol's: a busy machine, switches that learn
SILENCES = {"both": "both", "mute": "from_host", "deaf": "to_host"}  # and their directions
PREDICTED = {
    "pulled": "the cable is pulled",
    "both": "frames vanish both ways",
    "mute": "fw1 is mute",
    "deaf": "fw1 is deaf",
}


class Seen(NamedTuple):
    """What became of a fault of fw1's cable, once fw2 had its time.

    `noticed_s` and `moved_s`: after so long fw2 was MASTER of that segment, of the other one.
    """

    noticed_s: float | None
    moved_s: float | None
    state: str
    masters: list[str]
    reach: str


def check(lab: RunningLab) -> Iterator[Line]:
    first = [at_home(lab), waits(lab)]
    yield from first
    if not first[0].passed:
        return
    pulled = look(lab, "link_down")
    lines = [*first, *carrier(lab, pulled)]
    yield from lines[len(first) :]
    if not all(line.passed for line in lines):
        return
    silent = {name: look(lab, "blackhole", direction=way) for name, way in SILENCES.items()}
    yield silence(lab, silent["both"])
    yield from answers(lab, {"pulled": pulled, **silent})


def at_home(lab: RunningLab) -> Line:
    return Line(
        lab.wait_until(lambda: lab.is_master_of_all("fw1")),
        "fw1 is MASTER of both segments while nothing is broken",
        lab.masters_text(),
        "advskew of both firewalls on each segment: the lower one wins",
    )


def waits(lab: RunningLab) -> Line:
    bound_s = float(lab.values["bound_s"])
    there = {each.segment: each.master_down_s for each in lab.virtual_hosts("fw2")}
    seen = ", ".join(f"{name} {wait_s:.2f} s" for name, wait_s in there.items())
    return Line(
        bool(there) and max(there.values()) <= bound_s,
        "fw2 waits no longer than your bound, on both segments",
        f"{seen}; your bound is {bound_s} s",
        "fw2.toml: advbase and advskew, on each segment",
    )


def look(lab: RunningLab, kind: str, **options: str) -> Seen:
    """Make a fault of fw1's cable, give fw2 its time, look, repair it and wait for fw1."""
    cable, other = str(lab.values["cable"]), str(lab.values["other"])
    with lab.fault(kind, "fw1", cable, **options) as fault:
        longest_s = float(lab.values["bound_s"]) + MARGIN_S
        lab.wait_until(lambda: "fw2" in lab.masters(cable), longest_s)
        reach = lab.reach()
        seen = Seen(
            lab.entered_s("fw2", cable, "MASTER", fault.t_s),
            lab.entered_s("fw2", other, "MASTER", fault.t_s),
            lab.virtual_hosts("fw1", cable)[0].state,
            lab.masters(cable),
            reach,
        )
    lab.wait_until(lambda: lab.is_master_of_all("fw1"))
    return seen


def carrier(lab: RunningLab, seen: Seen) -> Iterator[Line]:
    cable, other = lab.values["cable"], lab.values["other"]
    yield Line(
        seen.moved_s is not None and seen.moved_s < LONGEST_MOVE_S,
        f"when fw1 loses the {cable}'s carrier, fw2 takes the {other} within a second",
        _after(other, seen.moved_s),
        "fw2.toml: who hears a MASTER that is demoted, and may he push in?",
    )
    yield Line(
        _in_time(lab, seen.noticed_s) and seen.reach == "back",
        f"it takes the {cable} too, in time, and traffic flows",
        f"{_after(cable, seen.noticed_s)}; packets come {_REACH[seen.reach]}",
        "carpd events on fw2: what did it wait for?",
    )


def silence(lab: RunningLab, seen: Seen) -> Line:
    return Line(
        _in_time(lab, seen.noticed_s),
        "when fw1 falls silent with its carrier up, fw2 notices within your bound",
        _after(lab.values["cable"], seen.noticed_s),
        "advbase and advskew of fw2; advbase of fw1",
    )


def answers(lab: RunningLab, seen: Mapping[str, Seen]) -> Iterator[Line]:
    cable = lab.values["cable"]
    yield lab.answer(
        "longest_silence_s",
        lab.virtual_hosts("fw2", str(cable))[0].master_down_s,
        f"prediction: the longest silence on the {cable} that fw2 bears",
        "3 x advbase + advskew/256 s, with the values of fw2 as it runs",
        within=0.006,
        unit="s",
    )
    for name, text in PREDICTED.items():
        look_at = f"tasks 2 and 3: look again while {text}, ten seconds after it began"
        yield lab.answer(
            f"{name}_masters", seen[name].masters, f"{text}: the MASTER of the {cable}", look_at
        )
        how_far = f"{text}: how far packets come"
        yield lab.answer(f"{name}_reach", seen[name].reach, how_far, look_at)
    yield lab.answer(
        "pulled_state", seen["pulled"].state, "question 1: fw1, its cable pulled", "carp in task 2"
    )
    yield lab.answer(
        "silent_state", seen["both"].state, "question 2: fw1, in silence", "carp in task 3"
    )
    yield lab.answer(
        "cured",
        [name for name in PREDICTED if seen[name].reach == "back"],
        "question 3: what CARP gets over",
        "the ping in tasks 2 and 3: when does it go on?",
    )


def _in_time(lab: RunningLab, noticed_s: float | None) -> bool:
    return noticed_s is not None and noticed_s <= float(lab.values["bound_s"]) + MARGIN_S


def _after(segment: object, seconds: float | None) -> str:
    if seconds is None:
        return f"fw2 did not take the {segment}"
    return f"fw2 took the {segment} after {seconds:.3f} s"


_REACH = {
    "back": "to the server and back",
    "server": "to the server, but not back",
    "nowhere": "nowhere",
}

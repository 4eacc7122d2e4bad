"""Whether fw1 comes back after a crash, and one lost cable moves both segments to fw2."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from carplab.labs.checking import SLACK_S, Line, RunningLab

SEGMENTS = ("outside", "inside")
LONGEST_MOVE_S = 1.0  # by demotion it takes milliseconds, by a timer three seconds


def check(lab: RunningLab) -> Iterator[Line]:
    yield skews(lab)
    at_home = lab.wait_until(lambda: lab.is_master_of_all("fw1"))
    yield Line(
        at_home,
        "fw1 is MASTER of both segments while nothing is broken",
        lab.masters_text(),
        "without preempt, who is MASTER stays it: carpd force; else advskew in the two files",
    )
    returned = at_home and (yield from crash_and_return(lab))
    if returned:
        yield from lost_cable(lab)
    yield from answers(lab)


def skews(lab: RunningLab) -> Line:
    there = {(each.router, each.segment): each.advskew for each in lab.virtual_hosts()}
    right = {
        (name, segment): lab.values[f"advskew_{name}"]
        for name in ("fw1", "fw2")
        for segment in SEGMENTS
    }
    return Line(
        there == right,
        "both firewalls run with the advskew of your table",
        "; ".join(f"{name} {segment}: {skew}" for (name, segment), skew in there.items()),
        "advskew in fw1.toml and fw2.toml, then carplab lab apply",
    )


def crash_and_return(lab: RunningLab) -> Generator[Line, None, bool]:
    """Yield the lines about a crash; return whether fw1 came back as MASTER of both."""
    with lab.fault("crash", "fw1") as crash:
        outage = crash.outage()
        moved = lab.is_master_of_all("fw2")
        seen = f"{lab.masters_text()}; outage {outage}"
    yield Line(
        moved and outage.ended,
        "when fw1 crashes, fw2 takes both segments and traffic flows again",
        seen,
        "fw2.toml: its virtual hosts, their vhids and addresses",
    )
    returned = wait_for_fw1(lab)
    yield Line(
        returned,
        "when fw1 is back, it takes both segments from fw2",
        f"{lab.masters_text()}, {crash.repaired_ago_s:.1f} s after the repair",
        "preempt in the file of the firewall that comes back; advskew where it does not win",
    )
    return returned


def lost_cable(lab: RunningLab) -> Iterator[Line]:
    cable, other = str(lab.values["cable"]), str(lab.values["other"])
    with lab.fault("link_down", "fw1", cable) as fault:
        outage = fault.outage()
        moved_s = lab.entered_s("fw2", other, "MASTER", fault.t_s)
        moved, seen = lab.is_master_of_all("fw2"), lab.masters_text()
    yield Line(
        moved_s is not None and moved_s < LONGEST_MOVE_S,
        "when one cable of fw1 is out, fw2 takes the other segment within a second",
        "fw2 did not take it" if moved_s is None else f"fw2 took the {other} after {moved_s:.3f} s",
        "preempt in the file of the firewall that is to take it",
    )
    yield Line(
        moved and outage.ended,
        "while the cable is out, traffic flows through fw2",
        f"{seen}; outage {outage}",
        "ping during the fault: which firewall has a way to both sides?",
    )
    yield Line(
        wait_for_fw1(lab),
        "when the cable is back, fw1 takes both segments",
        f"{lab.masters_text()}, {fault.repaired_ago_s:.1f} s after the repair",
        "preempt in fw1.toml, and its advskew",
    )


def wait_for_fw1(lab: RunningLab) -> bool:
    """Wait for what fw2's next advertisement brings, on each segment."""
    interval_s = max(each.interval_s for each in lab.virtual_hosts("fw2"))
    return lab.wait_until(lambda: lab.is_master_of_all("fw1"), interval_s + SLACK_S)


def answers(lab: RunningLab) -> Iterator[Line]:
    cable, other = lab.values["cable"], lab.values["other"]
    advskew_fw2 = int(lab.values["advskew_fw2"])
    yield lab.answer(
        "returned_to",
        "fw2",
        "question 1: the MASTER after fw1's return, without preempt",
        "task 1: carplab lab reset 3, crash fw1, lift, and look",
    )
    yield lab.answer(
        "mistaken_segment",
        lab.values["mistaken"],
        "question 2: the segment that cannot be forced on fw1",
        "carp in carplab shell: the advskew of both firewalls on each segment",
    )
    yield lab.answer(
        "cable_out_cable",
        "fw2",
        f"question 3: the MASTER of the {cable} without preempt, that cable out",
        "task 3; who has no carrier cannot be MASTER",
    )
    yield lab.answer(
        "cable_out_other",
        "fw1",
        f"question 4: the MASTER of the {other} then",
        "task 3: who may push a MASTER aside that is worse, and may he without preempt?",
    )
    yield lab.answer(
        "demoted_advskew",
        240,
        "question 5: the advskew that fw1 advertises then",
        f"tcpdump on fw2's {other}, while the cable is out",
    )
    yield lab.answer(
        "needed_to_return",
        "fw1",
        "question 6: whose preempt brings fw1 back",
        "task 4: preempt on one firewall at a time",
    )
    yield lab.answer(
        "needed_to_follow",
        "fw2",
        "question 7: whose preempt moves the other segment",
        "task 4: who is it that pushes in when a cable is lost?",
    )
    yield lab.answer(
        "longest_outage_s",
        3 + advskew_fw2 / 256,
        "prediction: the longest outage when fw1 crashes",
        "fw2 waits for 3 x advbase + advskew/256 s, by its own values",
        within=0.006,
        unit="s",
    )
    yield lab.answer(
        "longest_return_s",
        1 + advskew_fw2 / 256,
        "prediction: the longest wait of a fw1 that is back",
        "fw1 preempts when it hears fw2: how often does fw2 advertise?",
        within=0.006,
        unit="s",
    )

"""Whether fw1's outside cable can be pulled and put back without a split that loses traffic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from carplab.labs.checking import SLACK_S, Fault, Line, RunningLab
from carplab.network import STP, STP_EDGE

Event = dict[str, Any]
SEGMENTS = CABLE, OTHER = "outside", "inside"
DETECTION_S = 3.0 + 255 / 256  # advbase is 1
LONGEST_OUTAGE_S = 1.0
LONGEST_SPLIT_S = 2.5  # each segment waits for an advertisement of fw2, up to 1.5 s
MARGIN_S = 0.5  # a busy machine learns of the port's state later than of the carrier
SWITCHES = (STP, STP_EDGE)


def check(lab: RunningLab) -> Iterator[Line]:
    yield switch(lab)
    at_home = lab.wait_until(lambda: lab.is_master_of_all("fw1"))
    yield Line(
        at_home,
        "fw1 is MASTER of both segments while nothing is broken",
        lab.masters_text(),
        "the two files: advskew, preempt; a demotion that stays (carpd status)",
    )
    if at_home:
        yield from pull_and_put_back(lab)
    yield from answers(lab)


def switch(lab: RunningLab) -> Line:
    kinds = {each["name"]: each["kind"] for each in lab.session.describe()["network"]["segments"]}
    return Line(
        kinds[CABLE] in SWITCHES,
        "the outside's switch keeps its spanning tree",
        f"it is {kinds[CABLE]!r}",
        f"network.toml: {' or '.join(SWITCHES)}",
    )


def pull_and_put_back(lab: RunningLab) -> Iterator[Line]:
    with lab.fault("link_down", "fw1", CABLE) as fault:
        outage = fault.outage(DETECTION_S + SLACK_S)
        moved, seen = lab.is_master_of_all("fw2"), lab.masters_text()
    yield Line(
        moved and outage.ended,
        "while the cable is out, fw2 is MASTER of both segments and traffic flows",
        f"{seen}; outage {outage}",
        "preempt: without it, who takes the inside from a demoted fw1?",
    )
    if moved:
        yield from put_back(lab, fault)


def put_back(lab: RunningLab, fault: Fault) -> Iterator[Line]:
    """Yield what follows the cable's return, which `fault` has seen just now; fw2 is MASTER."""
    longest_s = 3 * int(lab.values["forward_delay"]) + SLACK_S
    back = lab.wait_until(lambda: lab.is_master_of_all("fw1"), longest_s)
    yield Line(
        back,
        "fw1 is MASTER of both again, after three forward delays at the latest",
        f"{lab.masters_text()}, {fault.repaired_ago_s:.1f} s after the repair",
        "preempt; a delay that is too long; a demotion that stays (carpd status)",
    )
    outage = fault.outage_at_repair(SLACK_S)
    yield Line(
        outage.ended and outage.length_s <= LONGEST_OUTAGE_S,
        "when the cable is back, no packet is lost for longer than a second",
        f"outage {outage}",
        "watch while you put it back: the lost packets, and the states of the switch's port",
    )
    repair_s = fault.lifted_t_s or 0.0
    events = lab.events(repair_s - MARGIN_S)
    split_s = longest_split_s(events, lab.status()["t_s"])
    yield Line(
        split_s <= LONGEST_SPLIT_S,
        "both segments go back together, within the advertisements that fw1 waits for",
        f"a split of {split_s:.1f} s",
        "carpd events on both: who became MASTER of what, and when?",
    )
    yield joins_in_time(events, repair_s)


def longest_split_s(events: Sequence[Event], until_s: float) -> float:
    """Return the longest time in which not one firewall was MASTER of both segments.

    It begins with fw2 as MASTER of both.
    """
    there = {segment: {"fw2"} for segment in SEGMENTS}
    longest_s, since_s = 0.0, None
    for event in sorted(events, key=lambda each: float(each["t_s"])):
        if event["event"] != "carp":
            continue
        masters, name = there[event["segment"]], event["source"]
        (masters.add if "-> MASTER" in event["detail"] else masters.discard)(name)
        is_split = there[CABLE] != there[OTHER] or len(masters) != 1
        if is_split and since_s is None:
            since_s = event["t_s"]
        elif not is_split and since_s is not None:
            longest_s, since_s = max(longest_s, event["t_s"] - since_s), None
    return longest_s if since_s is None else max(longest_s, until_s - since_s)


def joins_in_time(events: Sequence[Event], repair_s: float) -> Line:
    # stamps are good to 2 ms: what the repair does may seem to come before it
    left_s = max(repair_s, first_s(events, "carp", "INIT ->"))
    forwards_s = max(repair_s, first_s(events, "port-state", "-> forwarding"))
    seen = (
        f"it left INIT after {left_s - repair_s:.2f} s, its port passed frames "
        f"after {forwards_s - repair_s:.2f} s"
    )
    return Line(
        forwards_s - MARGIN_S <= left_s < math.inf,
        "fw1's outside leaves INIT only when the switch passes its frames",
        seen,
        "port-state and carp in the output of watch, in carplab shell",
    )


def first_s(events: Sequence[Event], kind: str, change: str) -> float:
    """Return when fw1's end of the cable first told of such a change; infinity if never."""
    place = kind, "fw1", CABLE
    return min(
        (
            float(event["t_s"])
            for event in events
            if (event["event"], event["source"], event["segment"]) == place
            and change in event["detail"]
        ),
        default=math.inf,
    )


def answers(lab: RunningLab) -> Iterator[Line]:
    blocked_s = 2 * int(lab.values["forward_delay"])
    yield lab.answer(
        "predicted_split_s",
        blocked_s,
        "prediction: how long the split lasts",
        "what the switch's port does after the carrier is back, and for how long",
        within=2.0,
        unit="s",
    )
    yield lab.answer(
        "measured_split_s",
        blocked_s,
        "question 1: how long it lasted",
        "task 2: from fw1's MASTER on the inside to fw2's BACKUP on the outside",
        within=2.0,
        unit="s",
    )
    look = "task 2: port-state in the output of watch"
    yield lab.answer(
        "port_states", ["listening", "learning"], "question 2: the states of the port", look
    )
    yield lab.answer(
        "believing_state",
        "learning",
        "question 3: where the switch believes a blocked fw1",
        "task 3: bridge fdb, and what the names of the states say",
    )
    look = "task 2: carp in the output of watch; three times advbase"
    yield lab.answer("state_after_2_s", "BACKUP", "question 4: the outside after 2 s", look)
    yield lab.answer("state_after_5_s", "MASTER", "question 5: the outside after 5 s", look)
    yield lab.answer(
        "smallest_delay_s",
        blocked_s + 1,
        "question 6: the smallest link_up_delay that surely works",
        "it must be longer than what it waits for",
    )
    yield lab.answer(
        "cures",
        ["stp-edge", "link_up_delay"],
        "question 7: what avoids the split",
        "task 4: try each of them",
    )

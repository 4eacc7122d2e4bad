"""Whether the network is sound, in fair weather and in foul, and its faults were understood."""

from __future__ import annotations

from collections.abc import Iterator

from carplab.carp.packet import virtual_mac
from carplab.labs.checking import Line, RunningLab

PAIR = ("fw1", "fw2")
SEGMENTS = ("outside", "inside")
HEARD_S = 2.5
SLACK_S = 1.5
OUTSIDE_WHERE = {"password": "fw2", "addresses": "fw2", "deaf": "fw1", "snooping": "switch"}
INSIDE_WHERE = {"skew": "fw1", "clash": "fw3", "stray": "fw2"}


def check(lab: RunningLab) -> Iterator[Line]:
    pairs = list(fair_weather(lab))
    yield from pairs
    strays = no_stray_frames(lab)
    yield strays
    flows = lab.flows()
    yield Line(
        flows,
        "packets pass from the client to the server and back, all of them",
        "they do" if flows else "some or all are lost",
        "where does the switch think that the virtual MAC address is? bridge fdb show",
    )
    if all(line.passed for line in (*pairs, strays)) and flows:
        yield cable_comes_back(lab)
        yield takes_over(lab)
    yield from diagnosis(lab)


def vhid(lab: RunningLab, segment: str) -> int:
    return int(lab.values[f"vhid_{segment}"])


def roles(lab: RunningLab, segment: str) -> dict[str, str]:
    there = lab.virtual_hosts(segment=segment)
    return {
        each.router: each.state
        for each in there
        if each.router in PAIR and each.vhid == vhid(lab, segment)
    }


def is_right(lab: RunningLab, segment: str) -> bool:
    return roles(lab, segment) == {"fw1": "MASTER", "fw2": "BACKUP"}


def fair_weather(lab: RunningLab) -> Iterator[Line]:
    """The roles, for so long that a BACKUP that hears nobody would have given up."""
    lab.wait_until(lambda: all(is_right(lab, segment) for segment in SEGMENTS))
    seen: dict[str, dict[str, str]] = {}

    def has_changed() -> bool:
        seen.update({each: roles(lab, each) for each in SEGMENTS if not is_right(lab, each)})
        return len(seen) == len(SEGMENTS)

    lab.wait_until(has_changed, float(lab.values["longest_s"]) + SLACK_S)
    for segment in SEGMENTS:
        there = seen.get(segment, roles(lab, segment))
        said = ", ".join(f"{name} is {state}" for name, state in there.items())
        yield Line(
            segment not in seen,
            f"fw1 is MASTER and fw2 is BACKUP of your vhid on the {segment}, and stay so",
            said or "nobody carries it",
            "does each hear the other, and believe it? carpd status counts what was dropped",
        )


def no_stray_frames(lab: RunningLab) -> Line:
    """Nobody sends from the inside's virtual MAC address who is not MASTER of your vhid there."""
    mac = virtual_mac(vhid(lab, "inside"))
    there = roles(lab, "inside")
    others = [name for name in ("fw2", "fw3") if there.get(name) != "MASTER"]
    senders = [name for name in others if sends_from(lab, name, mac)]
    return Line(
        not senders,
        "nobody sends from the inside's virtual MAC address without being MASTER of your vhid",
        f"{' and '.join(senders)} sent from {mac}" if senders else "nobody else did",
        "tcpdump -e on the inside of each: whose frames have this source?",
    )


def sends_from(lab: RunningLab, name: str, mac: str) -> bool:
    tcpdump = ("tcpdump", "-n", "-l", "-c", "1", "-Q", "out", "-i", f"{name}-inside")
    limit = ("timeout", "--signal=INT", f"{HEARD_S}")
    return bool(lab.run(name, *limit, *tcpdump, "ether", "src", mac).stdout.strip())


def cable_comes_back(lab: RunningLab) -> Line:
    """A BACKUP whose cable was out has to hear the MASTER afterwards, and stay BACKUP."""
    with lab.fault("link_down", "fw2", "outside"):
        lab.wait_until(lambda: roles(lab, "outside").get("fw2") == "INIT")
    lab.wait_until(lambda: roles(lab, "outside").get("fw2") == "BACKUP")
    watched_s = float(lab.values["longest_s"]) + SLACK_S
    fell = lab.wait_until(lambda: not is_right(lab, "outside"), watched_s)
    return Line(
        not fell,
        "fw2 stays BACKUP when its outside cable was pulled and put back",
        "it became MASTER, beside fw1" if fell else f"it did, for {watched_s:.1f} s",
        "what does fw2 hear after that? tcpdump on fw2-outside, and the switch's kind",
    )


def takes_over(lab: RunningLab) -> Line:
    bound_s = float(lab.values["longest_s"]) + SLACK_S
    outage = lab.outage("crash", "fw1")
    return Line(
        outage.ended and outage.length_s < bound_s,
        "fw2 takes over when fw1 crashes",
        f"the outage was {outage}",
        "carpd events on fw2",
    )


def diagnosis(lab: RunningLab) -> Iterator[Line]:
    for segment, places in (("outside", OUTSIDE_WHERE), ("inside", INSIDE_WHERE)):
        fault = str(lab.values[f"{segment}_fault"])
        look = "your map of the prediction: which of its rows fits all that you have seen?"
        yield lab.answer(f"{segment}_fault", fault, f"diagnosis: the {segment}'s fault", look)
        where = f"diagnosis: where the {segment}'s fault is"
        yield lab.answer(f"{segment}_where", places[fault], where, look)

"""Whether fw1 is MASTER on both segments, and fw2 stands by."""

from __future__ import annotations

from collections.abc import Iterator

from carplab.carp.packet import TTL, virtual_mac
from carplab.labs.checking import Frame, Line, RunningLab

SEGMENTS = ("outside", "inside")
FIREWALLS = ("fw1", "fw2")
WANTED = {
    (name, segment): state
    for name, state in (("fw1", "MASTER"), ("fw2", "BACKUP"))
    for segment in SEGMENTS
}
CAPTURED = 3  # advertisements: enough to tell how far apart they come


def check(lab: RunningLab) -> Iterator[Line]:
    carried = [carry_it(lab, segment) for segment in SEGMENTS]
    yield from carried
    settled = all(line.passed for line in carried) and lab.wait_until(lambda: states(lab) == WANTED)
    yield Line(
        settled,
        "fw1 is MASTER and fw2 is BACKUP on both segments",
        "; ".join(f"{name} is {state} on {place}" for (name, place), state in states(lab).items()),
        "carpd status on both: do they hear each other, and who advertises more often?",
    )
    if not settled:
        return
    frames = {segment: lab.capture("fw2", segment, count=CAPTURED) for segment in SEGMENTS}
    for segment in SEGMENTS:
        yield advertised(lab, segment, frames[segment])
    yield neighbour(lab)
    flows = lab.flows()
    yield Line(
        flows,
        "packets pass from the client to the server and back",
        "they all do" if flows else "some or all are lost",
        "ping the server from the client: where does it stop?",
    )
    yield from answers(lab, frames["outside"])


def vhid_of(lab: RunningLab, segment: str) -> int:
    return int(lab.values[f"vhid_{segment}"])


def address_of(lab: RunningLab, segment: str) -> str:
    return str(lab.network.router("fw1").interface(segment).virtual_hosts[0].addresses[0])


def carry_it(lab: RunningLab, segment: str) -> Line:
    there = [
        (each.router, each.vhid, each.addresses) for each in lab.virtual_hosts(segment=segment)
    ]
    right = (vhid_of(lab, segment), (address_of(lab, segment),))
    seen = "; ".join(f"{name}: vhid {vhid} with {', '.join(own)}" for name, vhid, own in there)
    return Line(
        sorted(there) == [(name, *right) for name in FIREWALLS],
        f"both firewalls carry the virtual host of the {segment}",
        seen or "none does",
        f"the [[virtual_host]] of the {segment} in each file: is it there, with your vhid?",
    )


def states(lab: RunningLab) -> dict[tuple[str, str], str]:
    return {(each.router, each.segment): each.state for each in lab.virtual_hosts()}


def advertised(lab: RunningLab, segment: str, frames: list[Frame]) -> Line:
    source = str(lab.network.router("fw1").interface(segment).addresses[0].ip)
    vhid, address = vhid_of(lab, segment), address_of(lab, segment)
    right = [
        (str(each.source), each.ttl, each.advertisement.vhid) == (source, TTL, vhid)
        and each.is_signed(str(lab.values["password"]), [address])
        for each in frames
    ]
    heard = dict.fromkeys(f"vhid {each.advertisement.vhid} from {each.source}" for each in frames)
    return Line(
        bool(right) and all(right),
        f"the {segment} hears advertisements of fw1 alone, signed with your password",
        ", ".join(heard) or "no advertisement",
        f"carplab decode --password ... --address {address} of a capture on fw2",
    )


def neighbour(lab: RunningLab) -> Line:
    address, right = address_of(lab, "inside"), virtual_mac(vhid_of(lab, "inside"))
    lab.wait_until(lambda: mac_of(lab, address) == right)
    mac = mac_of(lab, address)
    return Line(
        mac == right,
        "the client's neighbour entry for its gateway is the virtual MAC address",
        f"{address} is at {mac or 'no address'}",
        "ip neigh on the client; arp in a capture on the inside",
    )


def mac_of(lab: RunningLab, address: str) -> str:
    words = lab.run("client", "ip", "neigh", "show", address).stdout.split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


def answers(lab: RunningLab, frames: list[Frame]) -> Iterator[Line]:
    seconds = (frames[-1].time_s - frames[0].time_s) / (len(frames) - 1)
    yield lab.answer(
        "predicted_per_minute",
        round(60 / seconds),
        "prediction: the advertisements of a minute",
        "who sends on a segment that works, and how often (advbase)?",
        within=5,
        unit="a minute",
        measured=True,
    )
    yield lab.answer(
        "master_at_start",
        "fw2",
        "question 1: the MASTER at the start",
        "carplab lab reset 1, then carpd status on both",
    )
    yield lab.answer(
        "virtual_mac",
        virtual_mac(vhid_of(lab, "outside")),
        "question 2: the virtual MAC address",
        "ip neigh on the server",
    )
    yield lab.answer("ttl", frames[0].ttl, "question 3: the TTL", "tcpdump -v, or tshark")
    yield lab.answer(
        "destination",
        str(frames[0].destination),
        "question 4: where advertisements are sent",
        "tcpdump -n",
    )
    yield lab.answer(
        "fw2_interval_s",
        1 + int(lab.values["advskew"]) / 256,
        "question 5: the interval of fw2",
        "advbase and advskew of fw2, and what a step of advskew is worth",
        within=0.006,
        unit="s",
    )

"""Whether carpd and ucarp are one pair on the outside, and two keepalived another on the inside."""

from __future__ import annotations

import re
from collections.abc import Iterator

from carplab.carp.packet import virtual_mac
from carplab.labs.checking import Frame, Line, RunningLab

HEARD_S = 3.5  # three advertisements, where one comes each second
# ucarp looks at its clock once an advertisement interval, and VRRP's skew is up to a second.
SLACK_S = 3.5
WATCHED_S = 8.0  # the inside and the outside fail over at different times
VRRP = re.compile(r"(\d+\.\d+\.\d+\.\d+) > 224\.0\.0\.18: VRRPv2, Advertisement, vrid (\d+)")


def check(lab: RunningLab) -> Iterator[Line]:
    outside = one_pair_outside(lab)
    yield outside
    inside = one_pair_inside(lab)
    yield inside
    if not (outside.passed and inside.passed):
        return
    flows = lab.flows()
    yield Line(
        flows,
        "packets pass from the client to the server and back",
        "they all do" if flows else "some or all are lost",
        "ping the server from the client: where does it stop?",
    )
    if not flows:
        return
    yield from fails_over(lab)
    yield from answers(lab)


def own(lab: RunningLab, router: str, segment: str) -> str:
    return str(lab.network.router(router).interface(segment).addresses[0].ip)


def one_pair_outside(lab: RunningLab) -> Line:
    frames: list[Frame] = []

    def is_right() -> bool:
        frames[:] = lab.capture("server", "outside", seconds=HEARD_S)
        return bool(frames) and all(is_of_fw1(lab, each) for each in frames)

    lab.wait_until(is_right, 3 * HEARD_S)
    return Line(
        bool(frames) and all(is_of_fw1(lab, each) for each in frames),
        "the outside hears CARP advertisements of fw1 alone, signed with your password",
        said(f"vhid {each.advertisement.vhid} from {each.source}" for each in frames),
        "why does ucarp not believe fw1? vhid, password and address are all signed",
    )


def is_of_fw1(lab: RunningLab, frame: Frame) -> bool:
    address = str(lab.network.router("fw1").interface("outside").virtual_hosts[0].addresses[0])
    return (
        str(frame.source) == own(lab, "fw1", "outside")
        and frame.advertisement.vhid == int(lab.values["vhid"])
        and frame.is_signed(str(lab.values["password"]), [address])
    )


def one_pair_inside(lab: RunningLab) -> Line:
    right = {(own(lab, "fw1", "inside"), int(lab.values["vrid"]))}
    lab.wait_until(lambda: vrrp_heard(lab) == right, 3 * HEARD_S)
    heard = vrrp_heard(lab)
    return Line(
        heard == right,
        "the inside hears VRRP advertisements of fw1 alone, with your VRID",
        said(f"VRID {vrid} from {source}" for source, vrid in sorted(heard)),
        "virtual_router_id in both scripts",
    )


def vrrp_heard(lab: RunningLab) -> set[tuple[str, int]]:
    tcpdump = ("tcpdump", "-n", "-l", "-i", "client-inside", "ip", "proto", "112")
    output = lab.run("client", "timeout", "--signal=INT", f"{HEARD_S}", *tcpdump).stdout
    return {(source, int(vrid)) for source, vrid in VRRP.findall(output)}


def said(texts: Iterator[str]) -> str:
    return ", ".join(dict.fromkeys(texts)) or "none was heard"


def fails_over(lab: RunningLab) -> Iterator[Line]:
    bound_s = max(float(lab.values["carp_down_s"]), float(lab.values["vrrp_down_s"])) + SLACK_S
    with lab.fault("crash", "fw1") as fault:
        outage = fault.outage(watch_s=WATCHED_S)
        frames = lab.capture("server", "outside", seconds=HEARD_S)
    yield Line(
        outage.ended and outage.length_s < bound_s,
        "fw2 takes over from a fw1 that has crashed, on both segments",
        f"the outage was {outage}",
        "/run/carplab/*/fw2.script.log: which of ucarp and keepalived did not become MASTER?",
    )
    macs = {each.mac for each in frames}
    yield Line(
        macs == {lab.values["ucarp_mac"]},
        "it is ucarp that advertises in fw1's place",
        said(f"advertisements from {each.mac} ({each.source})" for each in frames),
        f"carpd would send from {virtual_mac(int(lab.values['vhid']))}: fw2.toml, fw2.sh",
    )
    back = lab.wait_until(lambda: lab.masters("outside") == ["fw1"])
    again = one_pair_inside(lab)
    yield Line(
        back and again.passed and lab.flows(),
        "fw1 takes both segments back when it has returned",
        f"{'fw1' if back else 'not fw1'} is MASTER outside; inside, {again.seen}",
        "preempt in fw1.toml; priority in the scripts",
    )


def answers(lab: RunningLab) -> Iterator[Line]:
    for key, what in [
        ("carp_down_s", "prediction: CARP's time until fw2 is MASTER"),
        ("vrrp_down_s", "prediction: VRRP's time until fw2 is MASTER"),
    ]:
        look = "the handout's prediction: three intervals, and the skew of the BACKUP"
        yield lab.answer(key, float(lab.values[key]), what, look, within=0.011, unit="s")
    facts: list[tuple[str, object, str]] = [
        ("same_first_byte", True, "question 1: the first byte"),
        ("ucarp_mac", lab.values["ucarp_mac"], "question 2: ucarp's MAC address"),
        ("inside_mac_of", "fw1", "question 3: the inside's MAC address"),
        ("inside_master_after_pull", "fw1", "question 4: a lost cable outside, and the inside"),
    ]
    for key, right, what in facts:
        yield lab.answer(key, right, what, "tcpdump -e -x on the segment; carplab shell: fault")

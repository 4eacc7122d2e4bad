"""Whether the server can take fw1's role away: it tries to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from carplab.carp.frames import carp_datagram, ethernet, multicast_mac
from carplab.carp.packet import MULTICAST_GROUP, Address, Advertisement, digest, encode
from carplab.labs.checking import Frame, Line, RunningLab

ATTACKER, LABEL = "server", "attack"
WATCHED_S = 5.0  # of an attack: fw1 would step down at the first forged advertisement
SLACK_S = 1.5
HEARD_S = 4.0  # two of fw2's intervals, and tcpdump's start
ETHERTYPE_IPV4 = 0x0800
COUNTER = 1

# Sends a frame twice a second until it is ended; run with the frame in hexadecimal.
SENDER = """
import socket, sys, time
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((sys.argv[1], 0))
    while True:
        sock.send(bytes.fromhex(sys.argv[2]))
        time.sleep(0.5)
"""


def check(lab: RunningLab) -> Iterator[Line]:
    whole = lab.wait_until(lambda: is_whole(lab))
    yield Line(
        whole,
        "fw1 is MASTER and fw2 is BACKUP on both segments",
        describe(lab),
        "carpd status on both: they hear nothing (peers), or believe nothing (badauth: password)?",
    )
    if not whole:
        return
    frames = lab.capture(ATTACKER, "outside", seconds=HEARD_S)
    yield heard_nothing(frames, "the server hears no advertisement that it could send again")
    if frames:
        yield withstands(lab, "sending again what it has heard", replayed(frames[0].advertisement))
    kept = withstands(lab, "sending what it heard long ago", old(lab))
    yield kept
    if kept.passed and lab.wait_until(lambda: is_whole(lab)):
        yield from takes_over(lab)
    yield from answers(lab)


def is_whole(lab: RunningLab) -> bool:
    everywhere = len(lab.virtual_hosts()) == 4
    return everywhere and all(lab.masters(each) == ["fw1"] for each in ("outside", "inside"))


def describe(lab: RunningLab) -> str:
    said = (f"{each.router} {each.state} on {each.segment}" for each in lab.virtual_hosts())
    return ", ".join(said) or "no virtual host runs"


def heard_nothing(frames: list[Frame], what: str) -> Line:
    return Line(
        not frames,
        what,
        f"it heard {len(frames)} in {HEARD_S:g} s" if frames else "it heard none",
        "carpd's key `peers`: to whom are advertisements sent without it?",
    )


def replayed(heard: Advertisement) -> Advertisement:
    """As spoof.py does it: the digest stays, as it does not cover what is changed."""
    return replace(heard, advskew=0)


def old(lab: RunningLab) -> Advertisement:
    """What the server may have kept since the days of the first password."""
    vhid = int(lab.values["vhid_outside"])
    return Advertisement(
        vhid, 1, 0, COUNTER, digest(str(lab.values["password"]), vhid, [address(lab)], COUNTER)
    )


def address(lab: RunningLab) -> Address:
    return lab.network.router("fw1").interface("outside").virtual_hosts[0].addresses[0]


@contextmanager
def attack(lab: RunningLab, forged: Advertisement) -> Iterator[None]:
    """The server sends this advertisement twice a second, in fw1's name."""
    source = lab.network.router("fw1").interface("outside").addresses[0].ip
    group = MULTICAST_GROUP[4]
    datagram = carp_datagram(source, group, encode(forged))
    mac = lab.network.host(ATTACKER).mac
    frame = ethernet(mac, multicast_mac(group), ETHERTYPE_IPV4, datagram)
    command = [sys.executable, "-c", SENDER, f"{ATTACKER}-outside", frame.hex()]
    lab.session.spawn(ATTACKER, command, LABEL)
    try:
        yield
    finally:
        lab.session.end(LABEL)


def withstands(lab: RunningLab, how: str, forged: Advertisement) -> Line:
    with attack(lab, forged):
        fell = lab.wait_until(lambda: lab.masters("outside") != ["fw1"], WATCHED_S)
        seen = describe(lab) if fell else f"fw1 stayed MASTER for {WATCHED_S:g} s"
    lab.wait_until(lambda: is_whole(lab))
    return Line(
        not fell,
        f"the server cannot take fw1's role away by {how}",
        seen,
        "whose password is it, and who has heard what was signed with it?",
    )


def takes_over(lab: RunningLab) -> Iterator[Line]:
    """A BACKUP that hears advertisements does not take over, whoever sends them."""
    bound_s = float(lab.values["longest_s"]) + SLACK_S
    with lab.fault("crash", "fw1") as crash:
        with attack(lab, old(lab)):
            outage = crash.outage(deadline_s=2 * bound_s)
        frames = to_everybody(lab.capture(ATTACKER, "outside", seconds=HEARD_S))
    yield Line(
        outage.ended and outage.length_s < bound_s,
        "fw2 takes over from a fw1 that has crashed, whatever the server sends",
        f"the outage was {outage}",
        "advskew of fw2, and whether it believes the server",
    )
    yield heard_nothing(frames, "fw2 does not tell everybody either, while it is MASTER")
    back = lab.wait_until(lambda: is_whole(lab))
    yield Line(
        back,
        "fw1 is MASTER of both again when it is back",
        describe(lab),
        "preempt on fw1; do the two hear each other (peers), and believe it (password)?",
    )


def to_everybody(frames: list[Frame]) -> list[Frame]:
    """Leave out what is for fw1: to its port, which is down, a switch floods at first."""
    return [each for each in frames if each.destination.is_multicast]


def answers(lab: RunningLab) -> Iterator[Line]:
    facts = [
        ("predicted_fw1", "BACKUP", "prediction: fw1 on the outside"),
        ("predicted_fw2", "BACKUP", "prediction: fw2 on the outside"),
        ("predicted_fw1_inside", "MASTER", "prediction: fw1 on the inside"),
        ("not_covered", ["advbase", "advskew"], "question 1: what the digest does not cover"),
        ("notices_replay", False, "question 2: an advertisement that comes again"),
        ("old_one_works", True, "question 3: peers, and the old password"),
    ]
    for key, right, what in facts:
        look = "try it: spoof.py on the files of the start (lab reset keeps yours)"
        yield lab.answer(key, right, what, look)

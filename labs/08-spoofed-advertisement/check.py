"""Whether the server can take fw1's role away: it tries to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from carplab.carp.frames import carp_datagram, ethernet, multicast_mac
from carplab.carp.packet import MULTICAST_GROUP, Address, Advertisement, digest, encode
from carplab.labs.checking import Line, RunningLab

ATTACKER, LABEL = "server", "attack"
WATCHED_S = 5.0  # of an attack: fw1 would step down at the first forged advertisement
SLACK_S = 1.5
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
        "carpd status on both: a peer that is wrong leaves both without the other's advertisements",
    )
    if not whole:
        return
    frames = lab.capture(ATTACKER, "outside", seconds=3.0)
    yield Line(
        not frames,
        "the server hears no advertisement that it could send again",
        f"it heard {len(frames)} in 3 s" if frames else "it heard none",
        "carpd's key `peers`: to whom are advertisements sent without it?",
    )
    if frames:
        yield withstands(lab, "sending again what it has heard", replayed(frames[0].advertisement))
    yield withstands(lab, "sending what it heard long ago", old(lab))
    if not lab.wait_until(lambda: is_whole(lab)):
        return
    yield takes_over(lab)
    yield from answers(lab)


def is_whole(lab: RunningLab) -> bool:
    everywhere = len(lab.virtual_hosts()) == 4
    return everywhere and all(lab.masters(each) == ["fw1"] for each in ("outside", "inside"))


def describe(lab: RunningLab) -> str:
    said = (f"{each.router} {each.state} on {each.segment}" for each in lab.virtual_hosts())
    return ", ".join(said) or "no virtual host runs"


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


def takes_over(lab: RunningLab) -> Line:
    """A BACKUP that hears advertisements does not take over, whoever sends them."""
    bound_s = float(lab.values["longest_s"]) + SLACK_S
    with attack(lab, old(lab)):
        outage = lab.outage("crash", "fw1", deadline_s=2 * bound_s)
    return Line(
        outage.ended and outage.length_s < bound_s,
        "fw2 takes over from a fw1 that has crashed, whatever the server sends",
        f"the outage was {outage}",
        "advskew of fw2, and whether it believes the server",
    )


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

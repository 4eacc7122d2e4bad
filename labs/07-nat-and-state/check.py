"""Whether a TCP connection through the NAT outlives a crash of its firewall, and the return."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from carplab.emulation.stream import StreamTraffic
from carplab.emulation.traffic import Endpoint
from carplab.errors import CarplabError
from carplab.labs.checking import Line, RunningLab
from carplab.session.client import enter_command

PORT = 7117
INTERVAL_S = 0.02
FLOWING_DEADLINE_S = 10.0
# TCP doubles its timer: after a takeover at 3.5 s its next attempt may be as far away once more.
LONGEST_GAP_S = 8.0
BOTH_SEGMENTS = {"outside": ["fw1"], "inside": ["fw1"]}


def check(lab: RunningLab) -> Iterator[Line]:
    whole = lab.wait_until(lambda: masters(lab) == BOTH_SEGMENTS)
    yield Line(
        whole,
        "fw1 is MASTER on both segments",
        "; ".join(f"{' and '.join(who) or 'nobody'} {at}" for at, who in masters(lab).items()),
        "carpd status on both firewalls; is there a fault left? (lift all, in the shell)",
    )
    if not whole:
        return
    with connection(lab) as stream:
        yield translated(lab)
        yield known_to_fw2(lab)
        with lab.fault("crash", "fw1") as crash:
            outage = crash.outage()
            survived, words = what_became_of(stream, lab, crash.t_s)
            yield Line(
                survived,
                "the connection outlives a crash of fw1",
                f"{words}; the outage of the packets was {outage}",
                "tcpdump on the server while fw1 crashes: who answers its segments, and how?",
            )
        if survived:
            yield outlives_return(lab, stream, crash.lifted_t_s or 0.0)
    yield from answers(lab)


def masters(lab: RunningLab) -> dict[str, list[str]]:
    return {segment: lab.masters(segment) for segment in BOTH_SEGMENTS}


def virtual_address(lab: RunningLab) -> str:
    (virtual_host,) = lab.network.router("fw1").interface("outside").virtual_hosts
    return str(virtual_host.addresses[0])


def translated(lab: RunningLab) -> Line:
    said = lab.run("server", "ss", "-Htn", "sport", "=", f":{PORT}").stdout.split()
    peer = said[4].rpartition(":")[0] if len(said) > 4 else "nobody"
    return Line(
        peer == virtual_address(lab),
        "the server sees the client as the outside's virtual address",
        f"its connection is with {peer}",
        "nat in network.toml; has the network been started since it was edited?",
    )


def known_to_fw2(lab: RunningLab) -> Line:
    found = lab.wait_until(lambda: entry(lab, "fw2"), FLOWING_DEADLINE_S / 2)
    broken = " ".join(lab.status()["conntrackd"].values())
    return Line(
        f"dst={virtual_address(lab)}" in found.split(),
        "fw2's kernel knows the connection that runs over fw1",
        broken or found or f"it knows none to port {PORT}; fw1's: {entry(lab, 'fw1') or 'neither'}",
        "conntrackd -s on fw2: has it heard of it? where does it keep it? tcpdump on fw1-sync",
    )


def entry(lab: RunningLab, router: str) -> str:
    """Return what a firewall's kernel has on the connection, without what changes all the time."""
    said = lab.run(router, "conntrack", "-L", "-p", "tcp", "--dport", str(PORT)).stdout
    return " ".join(word for word in said.split() if word.startswith(("src=", "dst=", "[ASS")))


def outlives_return(lab: RunningLab, stream: Connection, since_s: float) -> Line:
    lab.wait_until(lambda: masters(lab) == BOTH_SEGMENTS)
    lives, words = what_became_of(stream, lab, since_s)
    return Line(
        lives,
        "it outlives the return of fw1, too",
        words,
        "conntrack -L on fw1 when it is back: who tells it what it has forgotten?",
    )


def what_became_of(stream: Connection, lab: RunningLab, since_s: float) -> tuple[bool, str]:
    """Return whether the connection lives, and how it fared since a time, in words."""
    now_s = float(lab.status()["t_s"])
    lab.wait_until(lambda: stream.ending or stream.has_gone_on(now_s), LONGEST_GAP_S)
    if stream.ending:
        return False, f"it was {stream.ending}"
    if not stream.has_gone_on(now_s):
        return False, "nothing arrives any more, and neither end was told why"
    gap_s = stream.gap_s(since_s)
    return gap_s <= LONGEST_GAP_S, f"it goes on; its longest silence was {gap_s:.2f} s"


class Connection:
    """A TCP connection on which the server sends; times are those of the session."""

    def __init__(self, stream: StreamTraffic, raw_dir: Path, origin_s: float) -> None:
        self._stream = stream
        self._raw_dir = raw_dir
        self._origin_s = origin_s

    @property
    def ending(self) -> str:
        """How an end saw the connection end; empty while neither did."""
        notes = [
            (event.source, event.detail)
            for event in self._stream.read_events(self._raw_dir)
            if not event.detail.startswith(("connected", "retransmitted"))
        ]
        return ", ".join(f"{how} at the {who}" for who, how in notes)

    def has_gone_on(self, since_s: float) -> bool:
        """Whether what was sent after this time has arrived."""
        return any(sent > since_s and got is not None for _, sent, got in self._rows())

    def gap_s(self, since_s: float) -> float:
        """Return the longest time without an arrival that ended after this time."""
        arrived = sorted(got for _, _, got in self._rows() if got is not None)
        return max((b - a for a, b in pairwise(arrived) if b > since_s), default=0.0)

    def _rows(self) -> list[Any]:
        return self._stream.read(self._raw_dir, self._origin_s)


@contextmanager
def connection(lab: RunningLab) -> Iterator[Connection]:
    """Connect the client with the server; CarplabError if nothing comes through."""
    about = lab.session.describe()
    client, server = (
        Endpoint(name, str(lab.network.host(name).addresses[0].ip), partial(popen, about, name))
        for name in ("client", "server")
    )
    stream = StreamTraffic("server", INTERVAL_S, PORT)
    with tempfile.TemporaryDirectory(prefix="carplab-") as folder:
        raw_dir = Path(folder)
        try:
            stream.start(client, server, raw_dir)
            stream.wait_flowing(FLOWING_DEADLINE_S)
            yield Connection(stream, raw_dir, float(about["origin_monotonic_s"]))
        except CarplabError as error:
            raise CarplabError(f"no connection from the client to the server: {error}") from None
        finally:
            stream.stop()


def popen(
    about: dict[str, Any], name: str, argv: list[str], **options: Any
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(enter_command(about["machines"], name, tuple(argv)), **options)


def answers(lab: RunningLab) -> Iterator[Line]:
    crash = "measure it again: iperf3 -R, then 'fault crash fw1' in the shell"
    for key, right, what in (
        ("with_static", "reset", "NAT without shared states"),
        ("with_static_strict", "stalls", "NAT without shared states, tcp_loose off"),
        ("with_none", "goes on", "no NAT"),
        ("with_synced", "goes on", "NAT with shared states"),
    ):
        yield lab.answer(key, right, f"prediction: a download at a crash, {what}", crash)
    yield lab.answer(
        "reset_mac",
        lab.network.macs()["fw2", "outside", 1],
        "question 1: where the reset comes from",
        "tcpdump -e on the server; ip link on both firewalls",
    )
    yield lab.answer(
        "client_is_told",
        False,
        "question 2: whether the client is told",
        "tcpdump on the client during the crash, with nat = static",
    )
    yield lab.answer(
        "new_one_works",
        True,
        "question 3: a new download after the crash",
        "try it: whose packet comes first, and who translates it?",
    )
    yield lab.answer(
        "cache",
        "external",
        "question 4: where fw2's conntrackd keeps what it was told",
        "conntrackd -i and -e on fw2; DisableExternalCache in conntrackd.conf(5)",
    )

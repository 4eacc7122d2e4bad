"""What a lab's check.py is written with: the running network, faults, measurements, answers.

    from collections.abc import Iterator
    from carplab.labs.checking import Line, RunningLab

    def check(lab: RunningLab) -> Iterator[Line]:
        right = lab.wait_until(lambda: lab.masters("outside") == ["fw1"])
        yield Line(right, "fw1 is MASTER on the outside", f"MASTER is {lab.masters('outside')}",
                   "carpd status on both firewalls: who advertises more often?")
        if not right:
            return
        outage = lab.outage("crash", "fw1")
        yield lab.answer("outage_s", outage.length_s, "the outage was predicted",
                         "3 advbase + advskew/256", within=0.6, unit="s", measured=True)

`check` yields a `Line` for each thing it looked at, and returns when there is no point in looking
further. It holds what it sees on the running network against `lab.values`, what was drawn for the
student, never against what the student's files say. It polls with deadlines (`wait_until`), as a
busy machine takes longer, and sleeps never. A CarplabError that escapes is a line that failed.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeVar

from carplab import decode
from carplab.carp import packet
from carplab.carp.frames import FrameError, parse_ip
from carplab.carp.packet import Address, Advertisement, PacketError
from carplab.errors import CarplabError
from carplab.labs.handout import Handout
from carplab.labs.recorder import CALM_S, Recorder, flows_since, how_far, longest_outage
from carplab.network import interface_name
from carplab.session.client import Session

SLACK_S = 6.0  # what a busy machine may take on top of the protocol's own times
POLL_S = 0.05
UNDER_WAY_S = 0.2  # packets sent before a fault that it may still catch
STAMPED_S = 0.02  # what a fault does may be stamped before it: both stamps are good to 2 ms
REACH_S = 0.3  # packets of so long are looked at
DECIDED_S = 1.1  # so long after it was sent a packet is back, or told of as lost
NOT_ANSWERED = ("", "?", None)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    `what` is what should be, the same for all students; `seen` what is, with the values; `look`
    where to look if it failed. `is_answer`: it is about answers.toml, not about the network.
    """

    passed: bool
    what: str
    seen: str
    look: str = ""
    is_answer: bool = False


@dataclass(frozen=True)
class VirtualHost:
    """A virtual host as a running carpd tells of it."""

    router: str
    segment: str
    cable: int
    interface: str
    vhid: int
    state: str
    advbase: int
    advskew: int
    demotion: int
    addresses: tuple[str, ...]

    @property
    def interval_s(self) -> float:
        """Seconds between two of its advertisements, as it is configured."""
        return packet.timer_s(self.advbase, self.advskew)

    @property
    def master_down_s(self) -> float:
        """Seconds without an advertisement after which it becomes MASTER."""
        return packet.master_down_s(self.advbase, self.advskew)


@dataclass(frozen=True)
class Frame:
    """A CARP advertisement that was captured."""

    time_s: float
    mac: str
    source: Address
    destination: Address
    ttl: int
    advertisement: Advertisement

    def is_signed(self, password: str, addresses: Sequence[str]) -> bool:
        """Whether its digest is that of this password and these virtual addresses."""
        secret = decode.Secret(password, tuple(map(ip_address, addresses)))
        return secret.judge(self.advertisement) == decode.OK


@dataclass(frozen=True)
class Outage:
    """The longest time without a packet from client to server and back; 0 for none.

    `ended` says whether the traffic flowed again before the deadline.
    """

    length_s: float
    lost: int
    ended: bool

    def __str__(self) -> str:
        if not self.ended:
            return f"more than {self.length_s:.1f} s, and no end"
        return f"{self.length_s:.2f} s" if self.lost else "none"


class Fault:
    """A fault that is there, or was: what `RunningLab.fault` gives."""

    def __init__(self, lab: RunningLab, number: int, t_s: float) -> None:
        self._lab = lab
        self._number = number
        self.t_s = t_s
        self.lifted_t_s: float | None = None

    def lift(self) -> None:
        """Take it back, unless that was done."""
        if self.lifted_t_s is None:
            self.lifted_t_s = float(self._lab.session.lift(self._number)["t_s"])

    @property
    def repaired_ago_s(self) -> float:
        """Seconds since it was lifted."""
        assert self.lifted_t_s is not None, "the fault was not lifted yet"
        return float(self._lab.status()["t_s"]) - self.lifted_t_s

    def outage(self, deadline_s: float | None = None, watch_s: float = CALM_S) -> Outage:
        """Return the outage of the fault, when traffic flows again or the deadline has passed.

        It is watched for `watch_s` at least, for a fault that shows later.
        """
        return self._lab.outage_since(self.t_s, deadline_s, watch_s)

    def outage_at_repair(self, deadline_s: float | None = None, watch_s: float = CALM_S) -> Outage:
        """Return the outage since the fault was lifted, in the same way."""
        assert self.lifted_t_s is not None, "the fault was not lifted yet"
        return self._lab.outage_since(self.lifted_t_s, deadline_s, watch_s)


class RunningLab:
    """A student's network as it runs, with what was drawn for him and what he answered."""

    def __init__(
        self, session: Session, recorder: Recorder, handout: Handout, answers: dict[str, Any]
    ) -> None:
        self.session = session
        self.values = handout.values
        self.network = handout.network()  #: the lab's network as it should be
        self.answers = answers
        self._recorder = recorder

    # --- looking ---

    def status(self) -> dict[str, Any]:
        """Return the session's status: virtual hosts, demotions, carpds, faults."""
        return self.session.status()

    def virtual_hosts(self, router: str = "", segment: str = "") -> list[VirtualHost]:
        """Return the virtual hosts of the running carpds, all or those of a firewall or segment."""
        found = (_virtual_host(row) for row in self.status()["virtual_hosts"])
        return [
            each
            for each in found
            if router in ("", each.router) and segment in ("", each.segment)
        ]

    def masters(self, segment: str) -> list[str]:
        """Return the firewalls that are MASTER of a virtual host on a segment, in their order."""
        there = [each.router for each in self.virtual_hosts(segment=segment) if _is_master(each)]
        return list(dict.fromkeys(there))

    def is_master_of_all(self, router: str) -> bool:
        """Whether a firewall, and no other one, is MASTER on every segment."""
        segments = self._segments()
        return bool(segments) and all(self.masters(segment) == [router] for segment in segments)

    def masters_text(self) -> str:
        """Return who is MASTER of what, for a line."""
        there = (
            f"of the {segment}: {' and '.join(self.masters(segment)) or 'nobody'}"
            for segment in self._segments()
        )
        return f"MASTER {'; '.join(there) or 'is nobody'}"

    def has_masters(self) -> bool:
        """Whether nobody waits for a MASTER any more: a check begins when that is so."""
        groups: dict[tuple[str, int], set[str]] = {}
        for each in self.virtual_hosts():
            groups.setdefault((each.segment, each.vhid), set()).add(each.state)
        return all("MASTER" in states for states in groups.values() if "BACKUP" in states)

    def run(self, machine: str, *argv: str, timeout_s: float = 30.0) -> CompletedProcess[str]:
        """Run a command on a machine and return how it ended and what it said."""
        return self.session.run(machine, *argv, timeout_s=timeout_s)

    def reaches(self, machine: str, address: str) -> bool:
        """Whether an address answers a machine's ping, one of three."""
        ping = ("ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", address)
        return self.run(machine, *ping).returncode == 0

    def capture(
        self, machine: str, segment: str, seconds: float = 4.0, count: int = 0, cable: int = 1
    ) -> list[Frame]:
        """Return the advertisements that a machine's interface sends and hears.

        For so many seconds, or until there are `count`, if that is given.
        """
        interface = interface_name(machine, segment, cable)
        with tempfile.TemporaryDirectory(prefix="carplab-") as folder:
            path = Path(folder, "capture.pcap")
            # -Z root: Debian's tcpdump would drop to a user who may not write here.
            tcpdump = ["tcpdump", "-n", "-U", "-Z", "root", "-i", interface, "-w", str(path)]
            tcpdump += ["-c", str(count)] if count else []
            tcpdump.append("ip proto 112 or ip6 proto 112")
            limit = ("timeout", "--signal=INT", f"{seconds:g}")
            said = self.run(machine, *limit, *tcpdump, timeout_s=seconds + SLACK_S)
            if not path.exists():
                raise CarplabError(f"tcpdump on {interface} failed: {said.stderr.strip()}")
            return [frame for each in decode.read_capture(path) for frame in _frames(each)]

    def events(self, since_s: float = 0.0) -> list[dict[str, Any]]:
        """Return what has happened since the check began, or a later time of the session."""
        return self._recorder.events(since_s)

    def entered_s(self, router: str, segment: str, state: str, since_s: float) -> float | None:
        """Return how long after `since_s` a virtual host first came into a state; None if not."""
        place = ("carp", router, segment)
        for event in self.events(since_s - STAMPED_S):
            came = f"-> {state} " in event["detail"]
            if came and (event["event"], event["source"], event["segment"]) == place:
                return max(0.0, float(event["t_s"]) - since_s)
        return None

    # --- waiting ---

    @property
    def patience_s(self) -> float:
        """How long to wait until a network that works is whole: its own times, and some slack.

        A BACKUP loses its MASTER, becomes one, and is preempted at its next advertisement.
        """
        running = [each.master_down_s + each.interval_s for each in self.virtual_hosts()]
        right = self.network
        own_s = max(*running, right.master_down_s() + right.interval_s(), 0.0)
        return own_s + right.blocked_s() + right.hold_s() + SLACK_S

    def wait_until(self, condition: Callable[[], _T], deadline_s: float | None = None) -> _T:
        """Return what `condition` returns, as soon as it is true or when the deadline has passed.

        Without one it is `patience_s`.
        """
        end_s = time.monotonic() + (self.patience_s if deadline_s is None else deadline_s)
        while True:
            found = condition()
            if found or time.monotonic() > end_s:
                return found
            time.sleep(POLL_S)

    def flows(self) -> bool:
        """Whether probes go from client to server and back; waits for that."""
        now_s = self.status()["t_s"]
        probes = self._recorder.probes
        return self.wait_until(lambda: flows_since(probes(now_s - CALM_S), 0.0) is not None)

    def reach(self) -> str:
        """How far most packets of the client come from now on: "back", "server" or "nowhere"."""
        since_s = float(self.status()["t_s"])
        until_s = since_s + REACH_S
        self.wait_until(lambda: len(self._recorder.probes(until_s + DECIDED_S)) > 0)
        return how_far(self._recorder.probes(since_s), until_s)

    # --- breaking ---

    @contextmanager
    def fault(self, kind: str, host: str, segment: str = "", **options: Any) -> Iterator[Fault]:
        """Break something while the block lasts: words of carplab.scenario.Fault."""
        made = self.session.inject(kind, host, segment, **options)
        fault = Fault(self, made["id"], float(made["t_s"]))
        try:
            yield fault
        finally:
            fault.lift()

    def outage(
        self,
        kind: str,
        host: str,
        segment: str = "",
        *,
        deadline_s: float | None = None,
        watch_s: float = CALM_S,
        **options: Any,
    ) -> Outage:
        """Break something, measure until traffic flows again, mend it, wait until all is as before.

        CarplabError if no traffic flows to begin with.
        """
        if not self.flows():
            raise CarplabError(f"no traffic passes the firewalls, so no {kind} can be measured")
        before = self._states()
        with self.fault(kind, host, segment, **options) as fault:
            outage = fault.outage(deadline_s, watch_s)
        self.wait_until(lambda: self._states() == before)
        return outage

    def outage_since(
        self, t_s: float, deadline_s: float | None = None, watch_s: float = CALM_S
    ) -> Outage:
        """Return the outage since a time of the session, when it is over or the deadline passed."""

        def over() -> bool:
            probes = self._recorder.probes(t_s - UNDER_WAY_S)
            watched = len(probes) > 0 and float(probes[-1, 1]) - t_s >= watch_s
            return watched and flows_since(probes, t_s) is not None

        ended = self.wait_until(over, deadline_s)
        length_s, lost = longest_outage(self._recorder.probes(t_s - UNDER_WAY_S))
        if not ended:
            length_s = max(length_s, self.status()["t_s"] - t_s)
        return Outage(length_s, lost, ended)

    def _segments(self) -> list[str]:
        return list(dict.fromkeys(each.segment for each in self.virtual_hosts()))

    def _states(self) -> dict[tuple[str, str, int], str]:
        there = self.virtual_hosts()
        return {(each.router, each.interface, each.vhid): each.state for each in there}

    # --- answers ---

    def answer(
        self,
        key: str,
        right: object,
        what: str,
        look: str,
        *,
        within: float = 0.0,
        unit: str = "",
        measured: bool = False,
    ) -> Line:
        """Hold an answer of answers.toml against the right one; blank or "?" is none yet.

        Numbers may differ by `within`, texts in capitals, lists in order. The line tells the right
        one only if it was `measured`, as of a prediction.
        """
        given = self.answers.get(key)
        if given in NOT_ANSWERED or given == []:
            return Line(False, what, f"{key} is not answered yet", look, is_answer=True)
        problem = _type_problem(key, given, right, unit)
        if problem:
            return Line(False, what, problem, look, is_answer=True)
        passed = _agree(given, right, within)
        said = f"{key} = {_text(given, unit)}"
        known = measured or passed
        seen = f"{said}, {'measured' if measured else 'right'}" if known else f"{said} is not right"
        if measured:
            seen += f" {_text(right, unit)}"
        return Line(passed, what, seen, "" if passed else look, is_answer=True)


def _virtual_host(row: dict[str, Any]) -> VirtualHost:
    words = {field.name: row[field.name] for field in fields(VirtualHost)}
    return VirtualHost(**{**words, "addresses": tuple(row["addresses"])})


def _is_master(virtual_host: VirtualHost) -> bool:
    return virtual_host.state == "MASTER"


def _frames(captured: decode.Captured) -> Iterator[Frame]:
    try:
        datagram = parse_ip(captured.ip)
        advertisement = packet.decode(datagram.payload)
    except (FrameError, PacketError):
        return  # VRRP, or broken
    ends = datagram.source, datagram.destination
    yield Frame(captured.time_s, captured.mac or "", *ends, datagram.ttl, advertisement)


def _type_problem(key: str, given: object, right: object, unit: str) -> str:
    """Return what is wrong with the kind of an answer, as a sentence; empty if nothing is."""
    for kinds, name in _KINDS:
        if _is(right, kinds) and not _is(given, kinds):
            return f"{key} = {given!r} is not {name}{f' ({unit})' if unit else ''}"
    return ""


def _is(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (isinstance(value, bool) == (kinds == (bool,)))


def _agree(given: Any, right: Any, within: float) -> bool:
    if _is(right, (int, float)):
        return math.isclose(given, right, rel_tol=1e-9, abs_tol=within)
    if isinstance(right, (list, tuple)):
        return sorted(map(_plain, given)) == sorted(map(_plain, right))
    return _plain(given) == _plain(right)


def _plain(value: object) -> str:
    return str(value).strip().casefold()


def _text(value: object, unit: str) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()


_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool,), "true or false"),
    ((int, float), "a number, without quotes and unit"),
    ((str,), "a text in quotes"),
    ((list, tuple), "a list in square brackets"),
)

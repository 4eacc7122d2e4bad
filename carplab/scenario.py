"""What happens to a network: timed faults, traffic, a length, repetitions. Plain data.

Times are seconds after the start of the measurement, when the network has settled and traffic
flows. A fault comes at its time plus a phase, and so does its repair: what follows depends on where
within the MASTER's advertisement interval they fall, so that each is a fraction of that interval,
drawn evenly.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from carplab.errors import UsageError
from carplab.network import Network, place_text, preferred_router
from carplab.network_checks import check_network

LINK_DOWN = "link_down"
BLACKHOLE = "blackhole"
LOSS = "loss"
FLAP = "flap"
CRASH = "crash"
HANG = "hang"
REBOOT = "reboot"
DAEMON_KILL = "daemon_kill"

NETWORK_FAULTS = (LINK_DOWN, BLACKHOLE, LOSS, FLAP)
MACHINE_FAULTS = (CRASH, HANG, REBOOT, DAEMON_KILL)
STREAM_SENDERS = ("server", "client", "echo")
DIRECTIONS = ("from_host", "to_host", "both")


@dataclass(frozen=True)
class Fault:
    """One fault of a machine, or of its cable to `segment`, from `at_s` for `length_s` seconds.

    `cable` says which one, where it has several to that segment.

    link_down: the cable is out. blackhole: frames vanish in `direction`, carrier stays. loss:
    `percent` of the frames to the host vanish. flap: the link goes down and up `count` times in
    `period_s` each, and is whole after count x period_s. crash: processes killed, every link down;
    the repair boots the machine. hang: processes stopped, nothing forwarded, carrier stays. reboot:
    shut down in order, away for `length_s`, booted. daemon_kill: carpd alone is killed; the repair
    starts it again.
    """

    kind: str
    host: str
    at_s: float
    length_s: float
    segment: str = ""
    direction: str = "both"
    percent: float = 0.0
    period_s: float = 0.0
    count: int = 0
    cable: int = 1

    @property
    def place(self) -> str:
        """The cable as a run's record names it; empty for a fault of a whole machine."""
        return place_text(self.segment, self.cable)

    @property
    def detail(self) -> str:
        """The kind and what it was asked for, as a run's record says it."""
        asked = {
            BLACKHOLE: self.direction,
            LOSS: f"{self.percent:g} %",
            FLAP: f"{self.count} times {self.period_s:g} s",
        }
        return f"{self.kind} {asked[self.kind]}" if self.kind in asked else self.kind


@dataclass(frozen=True)
class Traffic:
    """What runs from `client` to `server` all the time; None leaves a tool out.

    `stream` says who sends on one TCP connection: "server", "client", or "echo", the client with
    the server sending back. `flows` are further probes, each from one host to another.
    """

    client: str = "client"
    server: str = "server"
    probe_interval_s: float = 0.001
    ping_interval_s: float | None = 0.01
    iperf: str | None = "iperf3"
    iperf_mbps: float = 20.0
    stream: str | None = None
    flows: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A network, what happens to it and what is measured; `scenario()` builds a checked one."""

    experiment: str
    network: Network
    faults: tuple[Fault, ...]
    duration_s: float
    preferred: str
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True)
class Phases:
    """Where in the MASTER's advertisement interval a fault and its repair fall: 0 to 1 each."""

    fault: float
    repair: float


def scenario(
    experiment: str,
    network: Network,
    faults: Sequence[Fault],
    duration_s: float,
    traffic: Traffic | None = None,
) -> Scenario:
    """Return a checked scenario; UsageError says what is impossible in it."""
    check_network(network)
    traffic = traffic or Traffic()
    _check_traffic(network, traffic)
    for fault in faults:
        _check_times(fault, duration_s)
        check_fault(network, fault)
    _check_order(faults)
    preferred = preferred_router(network)
    return Scenario(experiment, network, tuple(faults), duration_s, preferred, traffic)


def draw_phases(seed: int, repetitions: int, faults: int) -> Iterator[tuple[Phases, ...]]:
    """Yield the phases of each repetition, one pair a fault.

    One generator, `random.Random(seed)`, serves them all: per repetition and fault first the
    fault's phase, then the repair's, each `random()`. So repetition 3 is the same whether 3 or 10
    were asked for.
    """
    generator = random.Random(seed)
    for _ in range(repetitions):
        yield tuple(Phases(generator.random(), generator.random()) for _ in range(faults))


def _check_traffic(network: Network, traffic: Traffic) -> None:
    flows = [(traffic.client, traffic.server), *traffic.flows]
    for client, server in flows:
        for name in (client, server):
            network.host(name)
        if flows.count((client, server)) > 1:
            raise UsageError(f"the flow from {client} to {server} is given twice: once is possible")
    if traffic.stream not in (None, *STREAM_SENDERS):
        raise UsageError(
            f"nobody called {traffic.stream!r} can send on the stream: "
            f"known are {', '.join(STREAM_SENDERS)}"
        )


def _check_times(fault: Fault, duration_s: float) -> None:
    if fault.at_s < 0 or fault.length_s <= 0 or fault.at_s + fault.length_s >= duration_s:
        raise UsageError(
            f"{fault.kind} at {fault.at_s:g} s for {fault.length_s:g} s is not within "
            f"the scenario's {duration_s:g} s"
        )


def check_fault(network: Network, fault: Fault) -> None:
    """Raise UsageError for a fault that this network cannot have, whenever it comes."""
    if fault.kind not in NETWORK_FAULTS + MACHINE_FAULTS:
        known = ", ".join(NETWORK_FAULTS + MACHINE_FAULTS)
        raise UsageError(f"unknown fault {fault.kind!r}: known are {known}")
    if fault.kind in MACHINE_FAULTS:
        network.router(fault.host)
        if fault.segment or fault.cable != 1:
            raise UsageError(f"{fault.kind} strikes a whole machine: it has no segment or cable")
        return
    network.segment(fault.segment)
    places = [
        place_text(segment, cable)
        for host, segment, cable in network.attachments()
        if host == fault.host
    ]
    if fault.place not in places:
        there = ", ".join(places) or "nowhere"
        raise UsageError(f"{fault.host} is not on {fault.place}: it is on {there}")
    if fault.kind == BLACKHOLE and fault.direction not in DIRECTIONS:
        raise UsageError(
            f"unknown direction {fault.direction!r}: known are {', '.join(DIRECTIONS)}"
        )
    if fault.kind == LOSS and not 0 < fault.percent <= 100:
        raise UsageError(f"a loss of {fault.percent:g} percent is out of range: above 0, to 100")
    if fault.kind == FLAP and (fault.count < 1 or fault.period_s <= 0):
        raise UsageError("a flap needs a count of at least 1 and a period of more than 0 seconds")


def _check_order(faults: Sequence[Fault]) -> None:
    """Faults come one after the other: an outage must have one cause."""
    for earlier, later in pairwise(faults):
        if later.at_s <= earlier.at_s + earlier.length_s:
            raise UsageError(
                f"{later.kind} at {later.at_s:g} s begins before "
                f"{earlier.kind} at {earlier.at_s:g} s is repaired"
            )

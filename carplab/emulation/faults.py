"""Makes faults and repairs them.

Those of cables are the business of who looks after the segment's switch: the controller for
OpenFlow switches, `carplab.emulation.port_faults` for Linux bridges. Those of machines are made
here.

An emulated machine shares the kernel with all others, and that kernel goes on forwarding whatever
happens to the processes. So what a crashed or hung machine no longer does is taken from it at its
ports:

crash: carpd is killed, then every link is down. hang: carpd is frozen, then every port swallows the
frames of both directions, with the carrier up. reboot: carpd is told to end and bows out, then
every link is down. daemon_kill: carpd alone is killed; the dead daemon's addresses go on answering.

A machine that comes back has forgotten what its kernel knew: the virtual interfaces, neighbours and
connections. Its conntrackd, where there is one, is killed or frozen with it.

The time of a fault is that of its first effect: carpd gone, frozen or told to end; the carrier
lost; the switch's barrier answered. The time of a repair is when the last cable works again, or
carpd was started.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from carplab.emulation.carrier import CarrierWatcher
from carplab.emulation.conntrackd import Conntrackds
from carplab.emulation.controller import Effect
from carplab.emulation.mininet_network import EmulatedNetwork
from carplab.emulation.states import States
from carplab.network import NO_NAT, Network, interface_name, plug_name
from carplab.scenario import (
    BLACKHOLE,
    CRASH,
    DAEMON_KILL,
    FLAP,
    HANG,
    LINK_DOWN,
    LOSS,
    NETWORK_FAULTS,
    REBOOT,
    Fault,
)


@dataclass(frozen=True)
class _Active:
    kind: str
    cable: Cable
    number: int


Cable = tuple[str, str, int]  # machine, segment, which of its cables there


class CableFaults(Protocol):
    """Who makes the faults of a segment's cables."""

    def inject(self, kind: str, segment: str, host: str, **options: Any) -> Effect:
        """Put a fault on the cable between `segment` and `host`."""
        ...

    def lift(self, identifier: int) -> Effect:
        """Take away the fault whose "id" was in the answer."""
        ...


OnProcess = Callable[[float, str, str], None]  # monotonic seconds, firewall, what happened to carpd


class Daemon(Protocol):
    """What makes a firewall redundant: its carpd, or what a script has started there."""

    what: str

    @property
    def pid(self) -> int:
        """Its process; 0 while none runs."""
        ...

    def start(self) -> float:
        """Start it; return when, on the monotonic clock, as all these do."""
        ...

    def kill(self) -> float:
        """End it without a word."""
        ...

    def freeze(self) -> float:
        """Stop it in its tracks."""
        ...

    def thaw(self) -> float:
        """Let it go on."""
        ...

    def shut_down(self) -> float:
        """Tell it to end, and wait until it has."""
        ...

    def check(self) -> None:
        """Raise CarplabError when it has ended without having been told."""
        ...

    def stop(self) -> None:
        """End it whatever state it is in. Never raises."""
        ...


class FaultMaker:
    """Makes and repairs faults; `cable_faults` says who does those of cables, by segment.

    Several may be there at once, each on machines and cables of its own.
    """

    def __init__(
        self,
        network: Network,
        emulated: EmulatedNetwork,
        cable_faults: Mapping[str, CableFaults],
        carriers: CarrierWatcher,
        daemons: Mapping[str, Daemon],
        conntrackds: Conntrackds,
        states: States,
        on_process: OnProcess,
    ) -> None:
        self._network = network
        self._emulated = emulated
        self._cable_faults = cable_faults
        self._carriers = carriers
        self._daemons = daemons
        self._conntrackds = conntrackds
        self._states = states
        self._on_process = on_process
        self._active: dict[Fault, list[_Active]] = {}
        self._made_s: dict[Fault, float] = {}

    def make(self, fault: Fault) -> float:
        """Make the fault; return when it took effect, on the monotonic clock."""
        self._made_s[fault] = self._make(fault)
        return self._made_s[fault]

    def repair(self, fault: Fault) -> float:
        """Repair the fault; return when that took effect, on the monotonic clock."""
        if fault.kind == DAEMON_KILL:
            del self._made_s[fault]
            return self._start(fault.host)
        if fault.kind == HANG:
            thawed_s = self._daemons[fault.host].thaw()
            self._conntrackds.thaw(fault.host)
            self._note(thawed_s, fault.host, "continued")
        # A flap may be over by itself: then its last edge was the repair.
        made_s = self._made_s.pop(fault)
        lifted = self._active.pop(fault)
        repaired_s = self._lift(lifted, made_s if fault.kind == FLAP else time.monotonic())
        if fault.kind in (CRASH, REBOOT):
            self._set_direct_links(fault.host, "up")
            self._conntrackds.start(fault.host)
            self._start(fault.host)
        return repaired_s

    def _make(self, fault: Fault) -> float:
        if fault.kind in NETWORK_FAULTS:
            cable = (fault.host, fault.segment, fault.cable)
            return self._inject(fault, [cable], fault.kind, **_options(fault))
        if fault.kind == HANG:
            frozen_s = self._daemons[fault.host].freeze()
            self._conntrackds.freeze(fault.host)
            self._note(frozen_s, fault.host, "frozen")
            self._inject(fault, self._cables(fault.host), BLACKHOLE, direction="both")
            return frozen_s
        gone_s = self._shut_down(fault.host) if fault.kind == REBOOT else self._kill(fault.host)
        if fault.kind in (CRASH, REBOOT):
            self._cut_off(fault)
        return gone_s

    def _kill(self, host: str) -> float:
        pid = self._daemons[host].pid
        killed_s = self._daemons[host].kill()
        self._states.set_gone(host)
        self._note(killed_s, host, "killed", pid)
        return killed_s

    def _shut_down(self, host: str) -> float:
        pid = self._daemons[host].pid
        told_s = self._daemons[host].shut_down()
        self._states.set_gone(host)
        self._note(told_s, host, "ended", pid)
        return told_s

    def _start(self, host: str) -> float:
        started_s = self._daemons[host].start()
        self._note(started_s, host, "started")
        return started_s

    def _note(self, at_s: float, host: str, what: str, pid: int = 0) -> None:
        daemon = self._daemons[host]
        self._on_process(at_s, host, f"{daemon.what} {what} (pid {pid or daemon.pid})")

    def _cut_off(self, fault: Fault) -> None:
        host = fault.host
        # Before the connections are forgotten: it would tell the other firewall of that.
        self._conntrackds.kill(host)
        self._inject(fault, self._cables(host), LINK_DOWN)
        self._set_direct_links(host, "down")
        self._forget(host)

    def _cables(self, host: str) -> list[Cable]:
        return [cable for cable in self._network.attachments() if cable[0] == host]

    def _inject(
        self, fault: Fault, cables: Sequence[Cable], kind: str, **options: Any
    ) -> float:
        """Put the fault on all cables at once; return when the first one had it."""
        asked_s = time.monotonic()

        def inject(cable: Cable) -> Effect:
            host, segment, number = cable
            maker = self._cable_faults[segment]
            return maker.inject(kind, segment, plug_name(host, number), **options)

        with ThreadPoolExecutor(len(cables)) as pool:
            effects = list(pool.map(inject, cables))
        self._active[fault] = [
            _Active(kind, cable, effect.answer["id"])
            for cable, effect in zip(cables, effects, strict=True)
        ]
        return min(
            self._seen(active, up=False, since_s=asked_s) or effect.monotonic_s
            for active, effect in zip(self._active[fault], effects, strict=True)
        )

    def _lift(self, lifted: Sequence[_Active], since_s: float) -> float:
        """Take faults of the network away; return when the last one was gone."""

        def lift(active: _Active) -> Effect:
            return self._cable_faults[active.cable[1]].lift(active.number)

        with ThreadPoolExecutor(len(lifted)) as pool:
            effects = list(pool.map(lift, lifted))
        return max(
            self._seen(active, up=True, since_s=since_s) or effect.monotonic_s
            for active, effect in zip(lifted, effects, strict=True)
        )

    def _seen(self, active: _Active, up: bool, since_s: float) -> float | None:
        """When the machine saw the carrier change: before the switch answers the barrier."""
        if active.kind not in (LINK_DOWN, FLAP):
            return None
        interface = interface_name(*active.cable)
        return self._carriers.wait_for(active.cable[0], interface, up, since_s)

    def _set_direct_links(self, host: str, state: str) -> None:
        for link in self._network.links:
            if host in (router for router, _ in link.ends):
                name = interface_name(host, link.name)
                self._emulated.run(host, "ip", "link", "set", name, state)

    def _forget(self, host: str) -> None:
        listed = self._emulated.run(host, "ip", "-json", "link", "show", "type", "macvlan")
        for link in json.loads(listed or "[]"):
            self._emulated.run(host, "ip", "link", "delete", link["ifname"])
        self._emulated.run(host, "ip", "neighbour", "flush", "all")
        if self._network.router(host).nat != NO_NAT:
            self._emulated.run(host, "conntrack", "--flush")


def _options(fault: Fault) -> dict[str, Any]:
    if fault.kind == BLACKHOLE:
        return {"direction": fault.direction}
    if fault.kind == LOSS:
        return {"percent": fault.percent}
    if fault.kind == FLAP:
        return {"period_s": fault.period_s, "count": fault.count}
    return {}

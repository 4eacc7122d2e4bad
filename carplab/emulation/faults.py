"""Makes faults and repairs them: those of the network by the controller, those of machines here.

An emulated machine shares the kernel with all others, and that kernel goes on forwarding whatever
happens to the processes. So what a crashed or hung machine no longer does is taken from it at its
ports:

crash: carpd is killed, then every link is down. hang: carpd is frozen, then every port swallows the
frames of both directions, with the carrier up. reboot: carpd is told to end and bows out, then
every link is down. daemon_kill: carpd alone is killed; the dead daemon's addresses go on answering.

A machine that comes back has forgotten what its kernel knew: the virtual interfaces and neighbours.

The time of a fault is that of its first effect: carpd gone, frozen or told to end; the switch's
barrier answered. The time of a repair is when the last cable works again, or carpd was started.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from carplab.emulation.carpd import Carpd
from carplab.emulation.controller import ControllerClient, Effect
from carplab.emulation.mininet_network import EmulatedNetwork
from carplab.emulation.states import States
from carplab.network import Network, interface_name
from carplab.scenario import (
    BLACKHOLE,
    CRASH,
    DAEMON_KILL,
    FLAP,
    HANG,
    LINK_DOWN,
    LOSS,
    REBOOT,
    Fault,
)

OnProcess = Callable[[float, str, str], None]  # monotonic seconds, firewall, what happened to carpd


class FaultMaker:
    """Makes the faults of a scenario, one at a time."""

    def __init__(
        self,
        network: Network,
        emulated: EmulatedNetwork,
        controller: ControllerClient,
        carpds: dict[str, Carpd],
        states: States,
        on_process: OnProcess,
    ) -> None:
        self._network = network
        self._emulated = emulated
        self._controller = controller
        self._carpds = carpds
        self._states = states
        self._on_process = on_process
        self._active: list[int] = []

    def make(self, fault: Fault) -> float:
        """Make the fault; return when it took effect, on the monotonic clock."""
        if fault.kind in (CRASH, DAEMON_KILL):
            effective_s = self._kill(fault.host)
        elif fault.kind == HANG:
            effective_s = self._carpds[fault.host].freeze()
            self._on_process(effective_s, fault.host, f"carpd frozen (pid {self._pid(fault)})")
        elif fault.kind == REBOOT:
            effective_s = self._shut_down(fault.host)
        else:
            return self._inject([(fault.segment, fault.host)], fault.kind, **_options(fault))
        if fault.kind in (CRASH, REBOOT):
            self._cut_off(fault.host)
        if fault.kind == HANG:
            self._inject(self._cables(fault.host), BLACKHOLE, direction="both")
        return effective_s

    def repair(self, fault: Fault) -> float:
        """Repair the fault; return when that took effect, on the monotonic clock."""
        if fault.kind == DAEMON_KILL:
            return self._start(fault.host)
        if fault.kind == HANG:
            thawed_s = self._carpds[fault.host].thaw()
            self._on_process(thawed_s, fault.host, f"carpd continued (pid {self._pid(fault)})")
            return self._lift()
        repaired_s = self._lift()
        if fault.kind in (CRASH, REBOOT):
            self._set_direct_links(fault.host, "up")
            self._start(fault.host)
        return repaired_s

    def _pid(self, fault: Fault) -> int:
        return self._carpds[fault.host].pid

    def _kill(self, host: str) -> float:
        pid = self._carpds[host].pid
        killed_s = self._carpds[host].kill()
        self._states.set_gone(host)
        self._on_process(killed_s, host, f"carpd killed (pid {pid})")
        return killed_s

    def _shut_down(self, host: str) -> float:
        pid = self._carpds[host].pid
        told_s = self._carpds[host].shut_down()
        self._states.set_gone(host)
        self._on_process(told_s, host, f"carpd ended (pid {pid})")
        return told_s

    def _start(self, host: str) -> float:
        started_s = self._carpds[host].start()
        self._on_process(started_s, host, f"carpd started (pid {self._carpds[host].pid})")
        return started_s

    def _cut_off(self, host: str) -> None:
        self._inject(self._cables(host), LINK_DOWN)
        self._set_direct_links(host, "down")
        self._forget(host)

    def _cables(self, host: str) -> list[tuple[str, str]]:
        return [(segment, name) for name, segment in self._network.attachments() if name == host]

    def _inject(self, cables: Sequence[tuple[str, str]], kind: str, **options: Any) -> float:
        """Put the fault on all cables at once; return when the first one had it."""

        def inject(cable: tuple[str, str]) -> Effect:
            return self._controller.inject(kind, *cable, **options)

        with ThreadPoolExecutor(len(cables)) as pool:
            effects = list(pool.map(inject, cables))
        self._active = [effect.answer["id"] for effect in effects]
        return min(effect.monotonic_s for effect in effects)

    def _lift(self) -> float:
        """Take the active faults of the network away; return when the last one was gone."""
        with ThreadPoolExecutor(len(self._active)) as pool:
            effects = list(pool.map(self._controller.lift, self._active))
        self._active = []
        return max(_lifted_s(effect) for effect in effects)

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


def _options(fault: Fault) -> dict[str, Any]:
    if fault.kind == BLACKHOLE:
        return {"direction": fault.direction}
    if fault.kind == LOSS:
        return {"percent": fault.percent}
    if fault.kind == FLAP:
        return {"period_s": fault.period_s, "count": fault.count}
    return {}


def _lifted_s(effect: Effect) -> float:
    """A flap that has run its course was over with its last edge, not when it was taken off."""
    edges = effect.answer.get("edges") or []
    if edges and edges[-1]["up"]:
        return float(edges[-1]["monotonic_s"])
    return effect.monotonic_s

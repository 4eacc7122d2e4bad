"""One run of a scenario: build, settle, measure while faults come and go, take down, collect."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from carplab.emulation.display import Display
from carplab.emulation.experiment import Options
from carplab.emulation.interruption import InterruptedRunError, Interruption
from carplab.emulation.neighbours import find_neighbours
from carplab.emulation.registry import Registry
from carplab.emulation.running_network import Foundation, RunningNetwork
from carplab.emulation.states import Place, States
from carplab.emulation.tools import chosen_tools
from carplab.emulation.traffic import Traffic
from carplab.errors import CarplabError
from carplab.network import Network, preferred_masters
from carplab.recording import Origin, RunFolder, writing
from carplab.scenario import Fault, Phases, Scenario

FLOWING_DEADLINE_S = 10.0
SETTLE_MARGIN_S = 10.0
CHECK_INTERVAL_S = 0.2
POLL_S = 0.02
LEAST_FREE_BYTES = 64 * 1024


@dataclass
class Plan:
    """What is run, on what, and who is told."""

    scenario: Scenario
    options: Options
    datapath: str
    registry: Registry
    interruption: Interruption
    display: Display


class Repetition:
    """Runs the scenario once into a run folder."""

    def __init__(self, plan: Plan, folder: RunFolder, phases: tuple[Phases, ...]) -> None:
        self._plan = plan
        self._scenario = plan.scenario
        self._network = plan.scenario.network
        self._folder = folder
        self._phases = phases
        self._states = States(self._network)
        self._running = RunningNetwork(
            self._network, _foundation(plan, self._say), folder, self._states
        )
        self._traffic: list[Traffic] = []
        self._origin_s = 0.0
        self._checked_s = 0.0

    def execute(self) -> None:
        """Run. What went wrong is in run.json, and raised: CarplabError or InterruptedRunError.

        Nothing of the run is left on the machine then; its files keep what was measured so far.
        """
        try:
            self._run()
        except BaseException as error:
            self._end_badly(error)
            if self._plan.interruption.noted:
                raise InterruptedRunError(self._plan.interruption.reason) from None
            raise
        self._folder.finish("finished")

    def _run(self) -> None:
        try:
            self._running.build()
            self._settle()
            self._running.introduce_machines()
            self._start_traffic()
            self._measure()
        finally:
            self._stop()
        self._say("collect", "collecting")
        self._collect()
        self._plan.interruption.check()

    def _end_badly(self, error: BaseException) -> None:
        interruption = self._plan.interruption
        outcome = "interrupted" if interruption.noted else "failed"
        reason = interruption.reason if interruption.noted else _reason(error)
        with contextlib.suppress(CarplabError):
            self._folder.event(time.monotonic(), "runner", "phase", detail=outcome)
        with contextlib.suppress(CarplabError):
            self._collect()
        self._folder.finish(outcome, reason=reason)

    # --- the steps ---

    def _settle(self) -> None:
        preferred = self._scenario.preferred
        goal = _goal(self._network)
        self._say("settle", f"waiting until {goal}")
        self._running.start_daemons(preferred)
        network = self._network
        deadline_s = time.monotonic() + 2 * network.master_down_s() + SETTLE_MARGIN_S
        deadline_s += network.hold_s()
        while not self._states.has_settled():
            if time.monotonic() > deadline_s:
                raise CarplabError(
                    f"the network has not settled, which is when {goal}: {self._states.describe()}"
                )
            self._wait_until(time.monotonic() + POLL_S)

    def _start_traffic(self) -> None:
        self._say("settle", "starting the traffic")
        for traffic, client, server in chosen_tools(self._scenario):
            self._traffic.append(traffic)
            ends = self._running.endpoint(client), self._running.endpoint(server)
            traffic.start(*ends, self._folder.raw_dir)
            for label, pid in traffic.processes:
                self._plan.registry.add_process(label, pid)
        for traffic in self._traffic:
            traffic.wait_flowing(FLOWING_DEADLINE_S)
        self._wait_until(time.monotonic())

    def _measure(self) -> None:
        origin = Origin.now()
        self._origin_s = origin.monotonic_s
        self._folder.set_origin(origin)
        self._folder.event(origin.monotonic_s, "runner", "phase", detail="settled")
        self._note_neighbours()
        self._say("measure", "measuring before the fault")
        for fault, phases in zip(self._scenario.faults, self._phases, strict=True):
            self._make(fault, phases.fault)
            self._repair(fault, phases.repair)
        self._wait_until(self._origin_s + self._scenario.duration_s)
        self._note_neighbours()
        self._folder.event(time.monotonic(), "runner", "phase", detail="end")

    def _make(self, fault: Fault, phase: float) -> None:
        self._wait_for_phase(fault.at_s, fault, phase)
        effective_s = self._running.faults.make(fault)
        detail = fault.detail
        self._folder.event(effective_s, fault.host, "fault", segment=fault.place, detail=detail)
        self._folder.event(effective_s, "runner", "phase", detail="fault")
        self._say("fault", f"{detail} of {_target(fault)}")

    def _repair(self, fault: Fault, phase: float) -> None:
        self._wait_for_phase(fault.at_s + fault.length_s, fault, phase)
        effective_s = self._running.faults.repair(fault)
        self._folder.event(
            effective_s, fault.host, "repair", segment=fault.place, detail=fault.detail
        )
        self._folder.event(effective_s, "runner", "phase", detail="repair")
        self._say("repair", f"{_target(fault)} is whole again")

    def _note_neighbours(self) -> None:
        for host, address, mac in find_neighbours(self._network, self._running.emulated):
            detail = f"{address} is {mac}"
            self._folder.event(time.monotonic(), host, "neighbour", detail=detail)

    def _wait_for_phase(self, at_s: float, fault: Fault, phase: float) -> None:
        """Wait for the time, and then for `phase` of the MASTER's advertisement interval.

        That counts from the MASTER's first advertisement after the time, as it should come; from
        the time itself when no MASTER has advertised lately. Of several MASTERs on the segment it
        is one on the machine that is struck, if there is one.
        """
        self._wait_until(self._origin_s + at_s)
        self._note_neighbours()
        start_s = time.monotonic()
        interval_s = self._network.interval_s()
        last = self._states.last_advertisement(fault.segment, fault.host)
        if last:
            place, sent_s = last
            interval_s = _interval_s(self._network, place)
            if sent_s + interval_s >= start_s - interval_s:
                start_s = max(start_s, sent_s + interval_s)
        self._wait_until(start_s + phase * interval_s)

    def _wait_until(self, monotonic_s: float) -> None:
        """Wait for that time while looking after everything that runs."""
        while True:
            if time.monotonic() - self._checked_s > CHECK_INTERVAL_S:
                self._check()
            self._plan.interruption.sleep_until(
                min(monotonic_s, time.monotonic() + CHECK_INTERVAL_S)
            )
            if time.monotonic() >= monotonic_s:
                return

    def _check(self) -> None:
        self._checked_s = time.monotonic()
        _check_disk(self._folder.path)
        self._running.check()
        for traffic in self._traffic:
            traffic.check()
        if self._origin_s:
            self._plan.display.advance_to(self._checked_s - self._origin_s)

    def _stop(self) -> None:
        """End everything, however the run has ended: the traffic first."""
        with contextlib.ExitStack() as last_first:
            last_first.callback(self._running.stop)
            for traffic in self._traffic:
                last_first.callback(traffic.stop)

    def _collect(self) -> None:
        origin_s = self._origin_s or self._folder.origin.monotonic_s
        for traffic in self._traffic:
            rows = traffic.collect(origin_s)
            self._folder.write_rows(traffic.table, rows, compress=traffic.compressed)
            for event in traffic.collect_events():
                self._folder.event(
                    event.monotonic_s, event.source, event.kind, detail=event.detail
                )
        self._traffic = []
        self._folder.drop_raw()

    def _say(self, phase: str, text: str) -> None:
        self._folder.write_run(phase=phase)
        self._plan.display.step(text)


def _foundation(plan: Plan, say: Callable[[str, str], None]) -> Foundation:
    options = plan.options
    return Foundation(
        plan.datapath,
        plan.registry,
        plan.interruption.check,
        say,
        options.framework,
        options.ofp_port,
        options.api_port,
        options.pcap,
    )


def _check_disk(folder: Path) -> None:
    """A tool that dies of a full disk can say nothing about it: look before asking who has died."""
    state = os.statvfs(folder)
    if state.f_bavail * state.f_frsize < LEAST_FREE_BYTES:
        with writing(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _interval_s(network: Network, place: Place) -> float:
    interface = network.router(place.router).interface(place.segment, place.cable)
    return next(each.interval_s for each in interface.virtual_hosts if each.vhid == place.vhid)


def _goal(network: Network) -> str:
    """Return what holds when the network has settled."""
    masters = preferred_masters(network)
    names = list(dict.fromkeys(masters.values()))
    if len(names) == 1:
        return f"{names[0]} is MASTER everywhere"
    shares = (
        f"{router} is MASTER of vhid {vhid} on {segment}"
        for (segment, vhid), router in masters.items()
    )
    return ", ".join(shares)


def _target(fault: Fault) -> str:
    return f"{fault.host} on {fault.place}" if fault.segment else fault.host


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, CarplabError) else f"{type(error).__name__}: {error}"

"""One run of a scenario: build, settle, measure while faults come and go, take down, collect."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from carplab.emulation.capture import Capture
from carplab.emulation.carpd import Carpd
from carplab.emulation.carrier import CarrierWatcher
from carplab.emulation.conntrackd import Conntrackds
from carplab.emulation.controller import ControllerClient, ControllerProcess
from carplab.emulation.display import Display
from carplab.emulation.experiment import Options
from carplab.emulation.faults import CableFaults, FaultMaker
from carplab.emulation.interruption import InterruptedRunError, Interruption
from carplab.emulation.mininet_network import EmulatedNetwork, wait_forwarding
from carplab.emulation.neighbours import find_neighbours
from carplab.emulation.port_faults import PortFaults
from carplab.emulation.port_states import BridgeWatcher, PortStates
from carplab.emulation.registry import Registry
from carplab.emulation.reports import Reports
from carplab.emulation.states import Place, States
from carplab.emulation.tools import chosen_tools
from carplab.emulation.traffic import Endpoint, Traffic
from carplab.errors import CarplabError
from carplab.network import (
    OPENFLOW,
    RYU_STP,
    Host,
    Network,
    Router,
    interface_name,
    preferred_masters,
)
from carplab.recording import Origin, RunFolder, writing
from carplab.scenario import Fault, Phases, Scenario

FLOWING_DEADLINE_S = 10.0
SETTLE_MARGIN_S = 10.0
PING_WAIT_S = "10"
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
        self._reports = Reports(self._network, folder, self._states)
        self._controllers: list[ControllerProcess] = []
        self._port_states = PortStates(self._network, self._reports.on_port_state)
        self._bridge_watcher: BridgeWatcher | None = None
        self._port_faults: PortFaults | None = None
        self._emulated: EmulatedNetwork | None = None
        self._carriers: CarrierWatcher | None = None
        self._capture: Capture | None = None
        self._faults: FaultMaker | None = None
        self._carpds: dict[str, Carpd] = {}
        self._conntrackds: Conntrackds | None = None
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
            self._build()
            self._settle()
            self._introduce_machines()
            self._start_traffic()
            self._measure()
        finally:
            # Ends what could go on writing; the rest is taken down however the run has ended.
            self._reports.end()
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

    def _build(self) -> None:
        injector = self._start_fault_injector()
        spanning_tree = self._start_spanning_tree()
        self._say("setup", "building the network")
        ofp_ports = {
            kind: controller.ofp_port
            for kind, controller in ((OPENFLOW, injector), (RYU_STP, spanning_tree))
            if controller
        }
        self._emulated = EmulatedNetwork(
            self._network, self._plan.registry, self._plan.datapath, ofp_ports
        )
        self._emulated.build()
        self._port_faults = PortFaults(self._network, self._plan.registry)
        cable_faults: dict[str, CableFaults] = dict.fromkeys(
            (segment.name for segment in self._network.segments), self._port_faults
        )
        if injector:
            client = ControllerClient(injector.api_port)
            client.wait_connected(self._network)
            cable_faults |= dict.fromkeys(self._segments_of(OPENFLOW), client)
        self._emulated.wait_forwarding(self._plan.interruption.check)
        wait_forwarding(self._port_states.blocked, self._plan.interruption.check)
        self._bridge_watcher = BridgeWatcher(self._port_states)
        carriers = self._watch_carriers(self._emulated)
        if self._plan.options.pcap:
            self._capture = Capture(self._folder.path, self._plan.registry.add_process)
            self._capture.start(self._network, self._emulated)
        self._plan.interruption.check()
        on_event = self._reports.on_carpd_event
        self._carpds = {
            router.name: Carpd(self._emulated, self._plan.registry, router, on_event)
            for router in self._network.routers
        }
        self._conntrackds = Conntrackds(self._network, self._emulated, self._plan.registry)
        self._faults = FaultMaker(
            self._network,
            self._emulated,
            cable_faults,
            carriers,
            self._carpds,
            self._conntrackds,
            self._states,
            self._reports.on_process,
        )

    def _segments_of(self, kind: str) -> list[str]:
        return [segment.name for segment in self._network.segments if segment.kind == kind]

    def _start_fault_injector(self) -> ControllerProcess | None:
        """Start the controller of OpenFlow segments, where there are any."""
        if not self._segments_of(OPENFLOW):
            return None
        self._say("setup", "starting the controller")
        controller = self._start_controller("controller", _controller_arguments(self._plan.options))
        self._plan.registry.add_tables(f"carplab_loss_{controller.pid}_")
        return controller

    def _start_spanning_tree(self) -> ControllerProcess | None:
        """Start the controller of the segments with Ryu's spanning tree, where there are any."""
        arguments = [
            f"--spanning-tree={dpid}:{segment.forward_delay_s}"
            for dpid, segment in enumerate(self._network.segments, start=1)
            if segment.kind == RYU_STP
        ]
        if not arguments:
            return None
        self._say("setup", "starting the spanning tree's controller")
        if self._plan.options.framework:
            arguments += ["--framework", self._plan.options.framework]
        controller = self._start_controller("spanning-tree", arguments)
        controller.follow(
            lambda said: self._port_states.note(said["monotonic_s"], said["port"], said["state"])
        )
        return controller

    def _start_controller(self, label: str, arguments: list[str]) -> ControllerProcess:
        registry = self._plan.registry
        controller = ControllerProcess(registry.run_dir / f"{label}.log", arguments)
        self._controllers.append(controller)
        controller.start()
        registry.add_process(label, controller.pid)
        controller.wait_ready()
        self._folder.write_run(controller=controller.framework)
        self._plan.interruption.check()
        return controller

    def _watch_carriers(self, emulated: EmulatedNetwork) -> CarrierWatcher:
        self._carriers = CarrierWatcher(self._reports.on_carrier)
        machines: list[Router | Host] = [*self._network.routers, *self._network.hosts]
        for machine in machines:
            pid = emulated.node(machine.name).pid
            self._carriers.add(machine.name, pid, self._reports.cables_of(machine))
        self._carriers.start()
        return self._carriers

    def _settle(self) -> None:
        preferred = self._scenario.preferred
        goal = _goal(self._network)
        self._say("settle", f"waiting until {goal}")
        assert self._conntrackds
        self._conntrackds.start_all()
        # The preferred one first: without preempt whoever is first stays MASTER.
        for name in sorted(self._carpds, key=lambda name: name != preferred):
            carpd = self._carpds[name]
            started_s = carpd.start()
            self._reports.on_process(started_s, name, f"carpd started (pid {carpd.pid})")
        network = self._network
        deadline_s = time.monotonic() + 2 * network.master_down_s() + SETTLE_MARGIN_S
        deadline_s += network.hold_s()
        while not self._states.has_settled():
            if time.monotonic() > deadline_s:
                raise CarplabError(
                    f"the network has not settled, which is when {goal}: {self._states.describe()}"
                )
            self._wait_until(time.monotonic() + POLL_S)

    def _introduce_machines(self) -> None:
        """Let the switches learn each machine's MAC address from single frames.

        The controller gets a copy of each frame until it has learned the sender: at the rate of
        the traffic that keeps it busy for seconds on a slow machine, and faults wait for it.
        """
        assert self._emulated
        for router in self._network.routers:
            for interface in router.interfaces:
                name = interface_name(router.name, interface.segment, interface.cable)
                ping = ["ping", "-c", "1", "-w", PING_WAIT_S, "-I", name]
                for host in self._network.hosts:
                    if host.segment == interface.segment:
                        self._emulated.run(router.name, *ping, str(host.addresses[0].ip))

    def _start_traffic(self) -> None:
        assert self._emulated
        self._say("settle", "starting the traffic")
        for traffic, client, server in chosen_tools(self._scenario):
            self._traffic.append(traffic)
            traffic.start(self._endpoint(client), self._endpoint(server), self._folder.raw_dir)
            for label, pid in traffic.processes:
                self._plan.registry.add_process(label, pid)
        for traffic in self._traffic:
            traffic.wait_flowing(FLOWING_DEADLINE_S)
        self._wait_until(time.monotonic())

    def _endpoint(self, name: str) -> Endpoint:
        assert self._emulated
        address = str(self._network.host(name).addresses[0].ip)
        return Endpoint(name, address, partial(_popen, self._emulated, name))

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
        assert self._faults
        self._wait_for_phase(fault.at_s, fault, phase)
        effective_s = self._faults.make(fault)
        detail = _detail(fault)
        self._folder.event(effective_s, fault.host, "fault", segment=fault.place, detail=detail)
        self._folder.event(effective_s, "runner", "phase", detail="fault")
        self._say("fault", f"{detail} of {_target(fault)}")

    def _repair(self, fault: Fault, phase: float) -> None:
        assert self._faults
        self._wait_for_phase(fault.at_s + fault.length_s, fault, phase)
        effective_s = self._faults.repair(fault)
        self._folder.event(
            effective_s, fault.host, "repair", segment=fault.place, detail=_detail(fault)
        )
        self._folder.event(effective_s, "runner", "phase", detail="repair")
        self._say("repair", f"{_target(fault)} is whole again")

    def _note_neighbours(self) -> None:
        assert self._emulated
        for host, address, mac in find_neighbours(self._network, self._emulated):
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
        if self._reports.error:
            raise self._reports.error
        _check_disk(self._folder.path)
        for controller in self._controllers:
            controller.check()
        for carpd in self._carpds.values():
            carpd.check()
        if self._conntrackds:
            self._conntrackds.check()
        for traffic in self._traffic:
            traffic.check()
        if self._origin_s:
            self._plan.display.advance_to(self._checked_s - self._origin_s)

    def _stop(self) -> None:
        """End everything, the last one started first; what one leaves does not keep the others."""
        with contextlib.ExitStack() as last_first:
            for controller in self._controllers:
                last_first.callback(controller.stop)
            if self._emulated:
                last_first.callback(self._emulated.tear_down)
            if self._port_faults:
                last_first.callback(self._port_faults.stop)
            if self._bridge_watcher:
                last_first.callback(self._bridge_watcher.stop)
            if self._carriers:
                last_first.callback(self._carriers.stop)
            if self._capture:
                last_first.callback(self._capture.stop)
            if self._conntrackds:
                last_first.callback(self._conntrackds.stop)
            for carpd in self._carpds.values():
                last_first.callback(carpd.stop)
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


def _check_disk(folder: Path) -> None:
    """A tool that dies of a full disk can say nothing about it: look before asking who has died."""
    state = os.statvfs(folder)
    if state.f_bavail * state.f_frsize < LEAST_FREE_BYTES:
        with writing(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _popen(
    emulated: EmulatedNetwork, name: str, argv: list[str], **options: Any
) -> subprocess.Popen[bytes]:
    return emulated.popen(name, argv, **options)


def _controller_arguments(options: Options) -> list[str]:
    arguments = []
    if options.framework:
        arguments += ["--framework", options.framework]
    if options.ofp_port:
        arguments += ["--ofp-port", str(options.ofp_port)]
    if options.api_port:
        arguments += ["--api-port", str(options.api_port)]
    return arguments


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


def _detail(fault: Fault) -> str:
    extra = {
        "blackhole": fault.direction,
        "loss": f"{fault.percent:g} %",
        "flap": f"{fault.count} times {fault.period_s:g} s",
    }
    return f"{fault.kind} {extra[fault.kind]}" if fault.kind in extra else fault.kind


def _target(fault: Fault) -> str:
    return f"{fault.host} on {fault.place}" if fault.segment else fault.host


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, CarplabError) else f"{type(error).__name__}: {error}"

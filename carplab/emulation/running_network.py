"""A network that is up: machines and switches, controllers, daemons, and what they report.

Whoever has it built measures on it: a run (`carplab.emulation.repetition`) or a session that stays
up (`carplab.session`).
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from carplab.emulation.capture import Capture
from carplab.emulation.carpd import Carpd
from carplab.emulation.carrier import CarrierWatcher
from carplab.emulation.conntrackd import Conntrackds
from carplab.emulation.controller import ControllerClient, ControllerProcess
from carplab.emulation.faults import CableFaults, Daemon, FaultMaker
from carplab.emulation.mininet_network import EmulatedNetwork, wait_forwarding
from carplab.emulation.port_faults import PortFaults
from carplab.emulation.port_states import BridgeWatcher, PortStates
from carplab.emulation.registry import Registry
from carplab.emulation.reports import Reports
from carplab.emulation.states import States
from carplab.emulation.traffic import Endpoint
from carplab.network import OPENFLOW, RYU_STP, Host, Network, Router, interface_name
from carplab.recording import RunFolder

PING_WAIT_S = "10"


@dataclass(frozen=True)
class Foundation:
    """What a network is built on: the machine's datapath, the registry, the controllers' options.

    `check` is called between the steps and while waiting, and may raise; `say` is told which step
    comes: its phase, as run.json has it, and a text for the user.
    """

    datapath: str
    registry: Registry
    check: Callable[[], None]
    say: Callable[[str, str], None]
    framework: str = ""
    ofp_port: int = 0
    api_port: int = 0
    pcap: bool = False


class RunningNetwork:
    """The network while it is up; its events go into the run folder.

    `daemons` makes the daemons of firewalls that do not run the carpd that their description asks
    for, `sync_sections` configures their conntrackds likewise.
    """

    def __init__(
        self,
        network: Network,
        foundation: Foundation,
        folder: RunFolder,
        states: States,
        daemons: Mapping[str, Callable[[RunningNetwork], Daemon]] | None = None,
        sync_sections: Mapping[str, str] | None = None,
    ) -> None:
        self.network = network
        self.states = states
        self.reports = Reports(network, folder, states)
        self._foundation = foundation
        self._folder = folder
        self._makers = daemons or {}
        self._sync_sections = sync_sections
        self._controllers: list[ControllerProcess] = []
        self._port_states = PortStates(network, self.reports.on_port_state)
        self._bridge_watcher: BridgeWatcher | None = None
        self._port_faults: PortFaults | None = None
        self._emulated: EmulatedNetwork | None = None
        self._carriers: CarrierWatcher | None = None
        self._capture: Capture | None = None
        self._faults: FaultMaker | None = None
        self._conntrackds: Conntrackds | None = None
        self.daemons: dict[str, Daemon] = {}

    @property
    def registry(self) -> Registry:
        """What keeps the record of all that was made."""
        return self._foundation.registry

    @property
    def emulated(self) -> EmulatedNetwork:
        """The machines; there is one once the network is built."""
        assert self._emulated
        return self._emulated

    @property
    def conntrackds(self) -> Conntrackds:
        """What shares the firewalls' connections; they are there once the network is built."""
        assert self._conntrackds
        return self._conntrackds

    @property
    def faults(self) -> FaultMaker:
        """Who makes faults; there is one once the network is built."""
        assert self._faults
        return self._faults

    def build(self) -> None:
        """Start controllers, make switches, machines and cables, and wait until they forward."""
        injector = self._start_fault_injector()
        spanning_tree = self._start_spanning_tree()
        self._foundation.say("setup", "building the network")
        ofp_ports = {
            kind: controller.ofp_port
            for kind, controller in ((OPENFLOW, injector), (RYU_STP, spanning_tree))
            if controller
        }
        self._emulated = EmulatedNetwork(
            self.network, self.registry, self._foundation.datapath, ofp_ports
        )
        self._emulated.build()
        self._port_faults = PortFaults(self.network, self.registry)
        cable_faults: dict[str, CableFaults] = dict.fromkeys(
            (segment.name for segment in self.network.segments), self._port_faults
        )
        if injector:
            client = ControllerClient(injector.api_port)
            client.wait_connected(self.network)
            cable_faults |= dict.fromkeys(self._segments_of(OPENFLOW), client)
        self._emulated.wait_forwarding(self._foundation.check)
        wait_forwarding(self._port_states.blocked, self._foundation.check)
        self._bridge_watcher = BridgeWatcher(self._port_states)
        carriers = self._watch_carriers(self._emulated)
        if self._foundation.pcap:
            self._capture = Capture(self._folder.path, self.registry.add_process)
            self._capture.start(self.network, self._emulated)
        self._foundation.check()
        self.daemons = {
            router.name: self._makers.get(router.name, partial(_carpd, router=router))(self)
            for router in self.network.routers
        }
        self._conntrackds = Conntrackds(
            self.network, self._emulated, self.registry, self._sync_sections
        )
        self._faults = FaultMaker(
            self.network,
            self._emulated,
            cable_faults,
            carriers,
            self.daemons,
            self._conntrackds,
            self.states,
            self.reports.on_process,
        )

    def start_daemons(self, preferred: str = "") -> None:
        """Start what runs on the firewalls, the preferred one's first.

        Without preempt whoever is first stays MASTER.
        """
        self.conntrackds.start_all()
        for name in sorted(self.daemons, key=lambda name: name != preferred):
            self.start_daemon(name)

    def start_daemon(self, name: str) -> None:
        """Start what runs on one firewall."""
        daemon = self.daemons[name]
        started_s = daemon.start()
        self.reports.on_process(started_s, name, f"{daemon.what} started (pid {daemon.pid})")

    def _segments_of(self, kind: str) -> list[str]:
        return [segment.name for segment in self.network.segments if segment.kind == kind]

    def _start_fault_injector(self) -> ControllerProcess | None:
        """Start the controller of OpenFlow segments, where there are any."""
        if not self._segments_of(OPENFLOW):
            return None
        self._foundation.say("setup", "starting the controller")
        controller = self._start_controller("controller", _controller_arguments(self._foundation))
        self.registry.add_tables(f"carplab_loss_{controller.pid}_")
        return controller

    def _start_spanning_tree(self) -> ControllerProcess | None:
        """Start the controller of the segments with Ryu's spanning tree, where there are any."""
        arguments = [
            f"--spanning-tree={dpid}:{segment.forward_delay_s}"
            for dpid, segment in enumerate(self.network.segments, start=1)
            if segment.kind == RYU_STP
        ]
        if not arguments:
            return None
        self._foundation.say("setup", "starting the spanning tree's controller")
        if self._foundation.framework:
            arguments += ["--framework", self._foundation.framework]
        controller = self._start_controller("spanning-tree", arguments)
        controller.follow(
            lambda said: self._port_states.note(said["monotonic_s"], said["port"], said["state"])
        )
        return controller

    def _start_controller(self, label: str, arguments: list[str]) -> ControllerProcess:
        registry = self.registry
        controller = ControllerProcess(registry.run_dir / f"{label}.log", arguments)
        self._controllers.append(controller)
        controller.start()
        registry.add_process(label, controller.pid)
        controller.wait_ready()
        self._folder.write_run(controller=controller.framework)
        self._foundation.check()
        return controller

    def _watch_carriers(self, emulated: EmulatedNetwork) -> CarrierWatcher:
        self._carriers = CarrierWatcher(self.reports.on_carrier)
        machines: list[Router | Host] = [*self.network.routers, *self.network.hosts]
        for machine in machines:
            pid = emulated.node(machine.name).pid
            self._carriers.add(machine.name, pid, self.reports.cables_of(machine))
        self._carriers.start()
        return self._carriers

    def introduce_machines(self) -> None:
        """Let the switches learn each machine's MAC address from single frames.

        The controller gets a copy of each frame until it has learned the sender: at the rate of
        the traffic that keeps it busy for seconds on a slow machine, and faults wait for it.
        """
        for router in self.network.routers:
            for interface in router.interfaces:
                name = interface_name(router.name, interface.segment, interface.cable)
                ping = ["ping", "-c", "1", "-w", PING_WAIT_S, "-I", name]
                for host in self.network.hosts:
                    if host.segment == interface.segment:
                        self.emulated.run(router.name, *ping, str(host.addresses[0].ip))

    def endpoint(self, name: str) -> Endpoint:
        """Return a host as the end of traffic."""
        address = str(self.network.host(name).addresses[0].ip)
        return Endpoint(name, address, partial(_popen, self.emulated, name))

    def check(self) -> None:
        """Raise CarplabError when something has ended by itself, or the record cannot be kept."""
        self.check_record()
        self.conntrackds.check()
        for daemon in self.daemons.values():
            daemon.check()

    def check_record(self) -> None:
        """Check everything but what runs on the firewalls."""
        if self.reports.error:
            raise self.reports.error
        for controller in self._controllers:
            controller.check()

    def stop(self) -> None:
        """End everything, the last one started first; what one leaves does not keep the others."""
        self.reports.end()
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
            for daemon in self.daemons.values():
                last_first.callback(daemon.stop)


def _carpd(running: RunningNetwork, router: Router) -> Daemon:
    return Carpd(running.emulated, running.registry, router, running.reports.on_carpd_event)


def _popen(
    emulated: EmulatedNetwork, name: str, argv: list[str], **options: Any
) -> subprocess.Popen[bytes]:
    return emulated.popen(name, argv, **options)


def _controller_arguments(foundation: Foundation) -> list[str]:
    arguments = []
    if foundation.framework:
        arguments += ["--framework", foundation.framework]
    if foundation.ofp_port:
        arguments += ["--ofp-port", str(foundation.ofp_port)]
    if foundation.api_port:
        arguments += ["--api-port", str(foundation.api_port)]
    return arguments

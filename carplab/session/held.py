"""A session's network: what can be asked of it and done to it, and what it tells its followers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from carplab.emulation.carpd import Carpd
from carplab.emulation.faults import Daemon
from carplab.emulation.running_network import Foundation, RunningNetwork
from carplab.emulation.states import States
from carplab.errors import CarplabError, UsageError, listed
from carplab.network import Network, Router, as_plain, preferred_masters
from carplab.recording import Event, Origin, RunFolder
from carplab.scenario import Fault, Scenario, check_fault
from carplab.session import virtual_hosts
from carplab.session.fault_book import FaultBook
from carplab.session.flows import Flows
from carplab.session.followers import Followers
from carplab.session.machines import Processes, ScriptedDaemon, run_script
from carplab.session.spec import SessionSpec, with_configuration
from carplab.session.tails import shifted

SETTLE_MARGIN_S = 10.0
POLL_S = 0.05
RUNNING, FROZEN, DOWN = "running", "frozen", "down"


class HeldNetwork:
    """The network of a session. Any thread may call, except `start`, `look_after` and `stop`."""

    def __init__(
        self, spec: SessionSpec, foundation: Foundation, folder: RunFolder, datapath: str
    ) -> None:
        self._spec = spec
        self._foundation = foundation
        self._folder = folder
        self._datapath = datapath
        self._network = spec.configured_network()
        self._configurations = dict(spec.configurations)
        self._states = States(self._network)
        self._running = RunningNetwork(
            self._network,
            foundation,
            folder,
            self._states,
            self._daemon_makers(),
            spec.sync_sections,
        )
        self._followers = Followers()
        self._acting = threading.RLock()  # one thing is done to the network at a time
        self._failed: dict[str, str] = {}
        self._faults = FaultBook()
        self._telling = threading.Lock()  # a status is sent before a later one is looked up
        self._told: dict[str, Any] = {}
        self._flows: Flows | None = None
        self._processes: Processes | None = None
        self.is_told_to_stop = False

    # --- its life ---

    def start(self) -> None:
        """Bring everything up. CarplabError when it does not."""
        running = self._running
        running.build()
        self._processes = Processes(
            running.emulated, self._foundation.registry, self._foundation.registry.run_dir
        )
        self._foundation.say("settle", "starting the firewalls")
        running.conntrackds.start_all()
        for name in running.daemons:
            self._start_daemon(name)
        self._run_scripts()
        if self._spec.wait_settled:
            self._settle()
        with contextlib.suppress(CarplabError):  # a lab may begin with hosts that reach nobody
            running.introduce_machines()
        self._folder.set_origin(Origin.now())
        self._folder.event(self._folder.origin.monotonic_s, "runner", "phase", detail="settled")
        if self._spec.traffic:
            self._flows = Flows(running, self._folder, self._scenario())
        self._write_scenario()
        self._folder.listen(self._on_event)

    def look_after(self) -> None:
        """What is to be done all the time: traffic, followers, daemons that have ended."""
        self._running.check_record()
        if self._acting.acquire(blocking=False):  # else something is being done: the next time
            try:
                self._check_daemons()
            finally:
                self._acting.release()
        now_s = time.monotonic()
        if self._flows:
            self._flows.look_after(now_s)
            for kind, rows in self._flows.rows(now_s):
                shift = shifted(kind, self._folder.origin.monotonic_s)
                self._followers.send({"kind": kind, "rows": [shift(row) for row in rows]})
        self._tell_status()

    def stop(self) -> None:
        """Take everything down."""
        self._followers.stop()
        with contextlib.ExitStack() as last_first:
            last_first.callback(self._running.stop)
            if self._processes:
                last_first.callback(self._processes.stop)
            if self._flows:
                last_first.callback(self._flows.stop)

    def collect(self) -> None:
        """Make the tables of the run; for after `stop`."""
        self._folder.event(time.monotonic(), "runner", "phase", detail="end")
        self._write_scenario()
        if self._flows:
            self._flows.collect()

    # --- what is asked of it ---

    def describe(self) -> dict[str, Any]:
        """What it is."""
        spec, emulated = self._spec, self._running.emulated
        names = [router.name for router in self._network.routers]
        names += [host.name for host in self._network.hosts]
        return {
            "title": spec.title,
            "network": as_plain(self._network),
            "machines": {name: emulated.node(name).pid for name in names},
            "folder": str(self._folder.path.resolve()),
            "origin_monotonic_s": self._folder.origin.monotonic_s,
            "lab": spec.lab
            and {
                "name": spec.lab.name,
                "student": spec.lab.student,
                "folder": str(spec.lab.folder),
                "values": dict(spec.lab.values),
            },
            "settings": dict(spec.settings),
            "configurations": dict(self._configurations),
            "scripts": dict(spec.scripts),
            "sync_sections": dict(spec.sync_sections),
            "datapath": self._datapath,
        }

    def status(self) -> dict[str, Any]:
        """How it is now."""
        return {"t_s": self._now_s(), **self._status()}

    def follow(self, add: Callable[[Followers, dict[str, Any]], Any]) -> Any:
        """Let `add` join the followers; its second argument is the message that comes first."""
        return add(self._followers, {"kind": "status", **self.status()})

    # --- what is done to it ---

    def inject(self, **asked: Any) -> dict[str, Any]:
        """Make a fault. UsageError when it is none, or there is one already where it would be."""
        with self._acting:
            fault = Fault(at_s=max(0.0, self._now_s()), length_s=0.0, **asked)
            check_fault(self._network, fault)
            self._faults.refuse_overlap(fault)
            effective_s = self._running.faults.make(fault)
            number = self._faults.add(fault, self._t_s(effective_s))
            self._record(effective_s, fault, "fault")
            self._write_scenario()
            return {"id": number, "t_s": self._t_s(effective_s)}

    def lift(self, number: int) -> dict[str, Any]:
        """Repair a fault."""
        with self._acting:
            fault = self._faults.find(number).asked
            effective_s = self._running.faults.repair(fault)
            self._failed.pop(fault.host, None)
            self._faults.end(number, self._t_s(effective_s))
            self._record(effective_s, fault, "repair")
            self._write_scenario()
            return {"t_s": self._t_s(effective_s)}

    def lift_all(self) -> dict[str, Any]:
        """Repair every fault, the last one first."""
        with self._acting:
            numbers = self._faults.numbers
            for number in numbers:
                self.lift(number)
            return {"lifted": numbers}

    def configure(self, router: str, text: str) -> dict[str, Any]:
        """Restart a firewall's carpd with this configuration. UsageError when it is refused."""
        with self._acting:
            network = with_configuration(self._network, router, text)
            daemon = self._running.daemons[router]
            if not isinstance(daemon, Carpd) or not text.strip():
                raise UsageError(
                    f"{router} does not change between carpd and a script while it runs: "
                    "start the network anew"
                )
            self._faults.refuse_broken(router)
            if daemon.pid:
                ended_s, pid = time.monotonic(), daemon.pid
                daemon.shut_down()
                self._running.reports.on_process(ended_s, router, f"carpd ended (pid {pid})")
            self._states.set_gone(router)
            self._network = network
            self._configurations[router] = text
            self._states.renew(network)
            self._write_scenario()
            daemon.configure(text)
            self._failed.pop(router, None)
            try:
                self._running.start_daemon(router)
            except CarplabError as error:
                self._note_failure(router, str(error))
                raise
            return {"pid": daemon.pid}

    def spawn(self, machine: str, argv: list[str], label: str) -> dict[str, Any]:
        """Start a process that belongs to the session."""
        if machine not in self.describe()["machines"]:
            raise UsageError(
                f"there is no machine {machine!r}: there are {listed(self.describe()['machines'])}"
            )
        assert self._processes
        return {"pid": self._processes.spawn(machine, argv, label)}

    def end(self, label: str) -> dict[str, Any]:
        """End such a process."""
        assert self._processes
        self._processes.end(label)
        return {}

    def tell_to_stop(self) -> dict[str, Any]:
        """End the session, once this is answered."""
        self.is_told_to_stop = True
        return {}

    # --- within ---

    def _daemon_makers(self) -> Mapping[str, Callable[[RunningNetwork], Daemon]]:
        return {
            router.name: self._daemon_maker(router, self._spec.configurations[router.name])
            for router in self._network.routers
            if router.name in self._spec.configurations
        }

    def _daemon_maker(self, router: Router, text: str) -> Callable[[RunningNetwork], Daemon]:
        def make(running: RunningNetwork) -> Daemon:
            emulated, registry = running.emulated, running.registry
            if not text.strip():
                script = self._spec.scripts.get(router.name, "")
                return ScriptedDaemon(router.name, emulated, registry, script)
            carpd = Carpd(emulated, registry, router, running.reports.on_carpd_event)
            carpd.configure(text)
            return carpd

        return make

    def _run_scripts(self) -> None:
        for name, script in self._spec.scripts.items():
            if not isinstance(self._running.daemons.get(name), ScriptedDaemon):
                run_script(self._running.emulated, self._foundation.registry, name, script)

    def _start_daemon(self, name: str) -> None:
        try:
            self._running.start_daemon(name)
        except CarplabError as error:
            if self._spec.wait_settled:
                raise
            self._note_failure(name, str(error))

    def _check_daemons(self) -> None:
        for name, daemon in self._running.daemons.items():
            try:
                daemon.check()
            except CarplabError as error:
                self._note_failure(name, str(error))
        self._running.conntrackds.look_after()

    def _note_failure(self, name: str, sentence: str) -> None:
        self._failed[name] = sentence
        self._states.set_gone(name)
        self._running.reports.on_process(time.monotonic(), name, sentence)

    def _settle(self) -> None:
        self._foundation.say("settle", "waiting until the preferred firewalls are MASTER")
        network = self._network
        wait_s = 2 * network.master_down_s() + network.hold_s() + SETTLE_MARGIN_S
        deadline_s = time.monotonic() + wait_s
        while not self._states.has_settled():
            self._foundation.check()
            self._running.check()
            if time.monotonic() > deadline_s:
                raise CarplabError(f"the network has not settled: {self._states.describe()}")
            time.sleep(POLL_S)

    def _status(self) -> dict[str, Any]:
        states, demotions = self._states.snapshot()
        network = self._network
        demoted = virtual_hosts.by_router(network, demotions)
        return {
            "virtual_hosts": virtual_hosts.rows(network, states, demoted),
            "demotions": demoted,
            "carpd": {name: self._condition(name) for name in self._running.daemons},
            "conntrackd": dict(self._running.conntrackds.failed),
            "faults": self._faults.rows(),
        }

    def _condition(self, name: str) -> str:
        if name in self._failed:
            return f"failed: {self._failed[name]}"
        if self._faults.is_hung(name):
            return FROZEN
        return RUNNING if self._running.daemons[name].pid else DOWN

    def _tell_status(self) -> None:
        with self._telling:
            status = self._status()
            if status != self._told:
                self._told = status
                self._followers.send({"kind": "status", "t_s": self._now_s(), **status})

    def _on_event(self, event: Event) -> None:
        self._followers.send(
            {
                "kind": "event",
                "t_s": self._t_s(event.monotonic_s),
                "source": event.source,
                "event": event.kind,
                "segment": event.segment,
                "vhid": event.vhid,
                "detail": event.detail,
            }
        )
        if event.kind in ("carp", "demotion", "process", "fault", "repair"):
            self._tell_status()

    def _record(self, at_s: float, fault: Fault, kind: str) -> None:
        self._folder.event(at_s, fault.host, kind, segment=fault.place, detail=fault.detail)
        self._folder.event(at_s, "runner", "phase", detail=kind)

    def _write_scenario(self) -> None:
        """Keep run.json as a run's: what it says is enough to analyse what was recorded so far."""
        scenario = self._scenario()
        plain: dict[str, Any] = as_plain(scenario)
        keys = ("network", "faults", "traffic", "preferred")
        self._folder.write_run(
            duration_s=self._now_s(), scenario={key: plain[key] for key in keys}
        )

    def _scenario(self) -> Scenario:
        now_s = self._now_s()
        faults = self._faults.history(now_s)
        traffic = {"traffic": self._spec.traffic} if self._spec.traffic else {}
        return Scenario("", self._network, faults, now_s, _preferred(self._network), **traffic)

    def _t_s(self, monotonic_s: float) -> float:
        return round(monotonic_s - self._folder.origin.monotonic_s, 6)

    def _now_s(self) -> float:
        return self._t_s(time.monotonic())


def _preferred(network: Network) -> str:
    """Return the firewall that is preferred most, or none where two tie."""
    try:
        masters = list(preferred_masters(network).values())
    except UsageError:
        return ""
    return max(masters, key=masters.count, default="")

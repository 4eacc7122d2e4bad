"""A Ryu (or os-ken) application: a learning switch, and faults injected into it over HTTP.

Started by `python -m controllers.launch`, or by `python -m controllers.ryu_manager
controllers/fault_injector.py`; then the API listens on 127.0.0.1, port 8081 or that of the
environment variable FAULT_INJECTOR_API_PORT.

A fault is effective when the switch has answered the barrier sent behind it. What hosts saw lay
close to that stamp (60 faults of each kind, Open vSwitch's userspace datapath): the carrier changed
2.2 ms before to 3.7 ms after it, the last and the first frame passed 1.3 ms before to 1.6 ms after.

A switch that comes back after a lost connection gets its faults again, by the names of its ports; a
fault whose port is gone, then or while the switch is connected, is dropped and the log says so.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any, ClassVar

from controllers import http_server, listening, packet_loss
from controllers.faults import (
    Edge,
    Fault,
    FaultBook,
    FaultSpec,
    Place,
    PortDemand,
    RefusedError,
    Switch,
    read_request,
)
from controllers.frameworks import (
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    Application,
    hub,
    ofp_event,
    set_ev_cls,
)
from controllers.frameworks import ofproto_v1_3 as ofp
from controllers.switch_link import SwitchLink

DEFAULT_API_PORT = 8081
API_PORT_VARIABLE = "FAULT_INJECTOR_API_PORT"
_SOURCE_MAC = slice(6, 12)


class FaultInjector(Application):  # type: ignore[misc]
    """The application. It serves HTTP on `api_listener`; without one it opens its own socket."""

    OFP_VERSIONS: ClassVar[list[int]] = [ofp.OFP_VERSION]

    def __init__(
        self, *args: Any, api_listener: socket.socket | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._links: dict[int, SwitchLink] = {}
        self._book = FaultBook()
        self._touched: set[Place] = set()
        self._finishing = False
        # The handlers of the switches' messages never take this lock: who holds it waits for them.
        self._changing_faults = hub.Semaphore(1)
        if api_listener is None:
            port = int(os.environ.get(API_PORT_VARIABLE, DEFAULT_API_PORT))
            api_listener = listening.open_listener(port)
        hub.spawn(http_server.serve, api_listener, self, hub.spawn)

    # The API (controllers.api.Injector); called by the HTTP threads

    def list_switches(self) -> list[dict[str, Any]]:
        """The connected switches."""
        return [switch.to_json() for switch in self._switches()]

    def list_faults(self) -> list[dict[str, Any]]:
        """The faults that are there."""
        with self._changing_faults:
            return [fault.to_json() for fault in self._book.list()]

    def inject(self, request: object) -> dict[str, Any]:
        """Inject what a decoded JSON body asks for. Raises RefusedError."""
        with self._changing_faults:
            if self._finishing:
                raise RefusedError(409, "The controller is being stopped.")
            spec = read_request(request, self._switches())
            self._book.check(spec)
            self._refuse_foreign_state(spec)
            return self._inject(spec).to_json()

    def lift(self, number: int) -> dict[str, Any]:
        """Lift one fault. Raises RefusedError."""
        with self._changing_faults:
            return self._lift(self._book.find(number))

    def lift_all(self) -> list[dict[str, Any]]:
        """Lift every fault. Raises RefusedError if some cannot be, after the others are lifted."""
        with self._changing_faults:
            return self._lift_all()

    def finish(self) -> None:
        """Lift every fault for good; what cannot be lifted any more is logged."""
        with self._changing_faults:
            self._finishing = True
            try:
                self._lift_all()
            except RefusedError as refused:
                self.logger.warning("%s", refused.sentence)

    # Faults; the lock is held

    def _switches(self) -> list[Switch]:
        links = sorted(self._links.copy().items())
        return [link.describe() for _dpid, link in links if link.ready]

    def _refuse_foreign_state(self, spec: FaultSpec) -> None:
        """Lifting a fault could not restore the state of a port that was like that before it."""
        link = self._link(spec)
        link.refresh_ports()
        port = link.describe().find_port(spec.port_name)
        if port is None:
            raise RefusedError(
                404, f"Switch {spec.switch} has no port {spec.port_name!r} any more."
            )
        ours = self._book.demand(spec.place)
        if "link" in spec.claims and port.admin_down and not ours.down:
            raise RefusedError(409, f"Port {port.name} has been taken down by somebody else.")
        if "to_host" in spec.claims and port.no_forward and not ours.drop_to_host:
            raise RefusedError(
                409, f"Port {port.name} has been set not to forward by somebody else."
            )

    def _inject(self, spec: FaultSpec) -> Fault:
        before = self._book.demand(spec.place)
        fault = self._book.add(spec)
        try:
            fault.effective_monotonic_s = self._step(spec, before, self._book.demand(spec.place))
        except RefusedError:
            self._book.remove(fault)
            raise
        if spec.kind == "flap":
            fault.edges.append(Edge(fault.effective_monotonic_s, up=False))
            hub.spawn(self._flap, fault, fault.effective_monotonic_s)
        return fault

    def _lift(self, fault: Fault) -> dict[str, Any]:
        before = self._book.demand(fault.spec.place)
        self._book.remove(fault)
        try:
            lifted_s = self._step(fault.spec, before, self._book.demand(fault.spec.place))
        except RefusedError:
            self._book.restore(fault)
            raise
        return {**fault.to_json(), "lifted_monotonic_s": lifted_s}

    def _lift_all(self) -> list[dict[str, Any]]:
        lifted = []
        refusals = []
        for fault in self._book.list():
            try:
                lifted.append(self._lift(fault))
            except RefusedError as refused:
                refusals.append(refused)
        if refusals:
            raise refusals[0]
        return lifted

    def _step(self, spec: FaultSpec, before: PortDemand, after: PortDemand) -> float:
        """Take a port from one demand to another; the moment it was there.

        Raises RefusedError, after having taken back what was done.
        """
        if before.loss_percent != after.loss_percent:
            self._set_loss(spec, after.loss_percent)
        if before.of_switch == after.of_switch:
            return time.monotonic()
        link = self._link(spec)
        port = link.describe().find_port(spec.port_name)
        if port is None:
            raise RefusedError(
                424, f"Switch {spec.switch} has no port {spec.port_name!r} any more."
            )
        self._touched.add(spec.place)
        try:
            return link.carry_out(link.demand_messages(port, before, after))
        except RefusedError:
            link.send(link.demand_messages(port, after, before))
            raise

    def _set_loss(self, spec: FaultSpec, percent: float | None) -> None:
        table = packet_loss.table_name(spec.dpid, spec.port)
        if percent is None:
            packet_loss.stop(table)
        else:
            packet_loss.start(table, spec.port_name, percent)

    def _link(self, spec: FaultSpec) -> SwitchLink:
        link = self._links.get(spec.dpid)
        if link is None or not link.ready:
            raise RefusedError(424, f"Switch {spec.switch} is not connected now.")
        return link

    def _flap(self, fault: Fault, start_s: float) -> None:
        """The edges after the first one, half a period apart; the last one brings the link up."""
        for edge in range(1, 2 * (fault.spec.count or 0)):
            due_s = start_s + edge * (fault.spec.period_s or 0.0) / 2
            hub.sleep(max(0.0, due_s - time.monotonic()))
            with self._changing_faults:
                if not self._book.has(fault):
                    return
                self._turn_link(fault, up=edge % 2 == 1)
        fault.finished = True

    def _turn_link(self, fault: Fault, up: bool) -> None:
        before = self._book.demand(fault.spec.place)
        fault.link_up = up
        try:
            turned_s = self._step(fault.spec, before, self._book.demand(fault.spec.place))
        except RefusedError as refused:
            self.logger.warning("Fault %d: %s", fault.number, refused.sentence)
        else:
            fault.edges.append(Edge(turned_s, up))

    # What the switches say; the application's event thread

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def _handle_state(self, event: Any) -> None:
        if event.state == MAIN_DISPATCHER:
            link = SwitchLink(event.datapath)
            self._links[link.dpid] = link
            hub.spawn(self._welcome, link)
            return
        lost = self._link_of(event.datapath)
        if lost is not None:
            del self._links[lost.dpid]
            lost.handle_disconnect()

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_frame(self, event: Any) -> None:
        link = self._link_of(event.msg.datapath)
        if link is None:
            return
        mac = event.msg.data[_SOURCE_MAC].hex(":")
        learned = link.macs.learn(mac, event.msg.match["in_port"])
        if learned is not None:
            link.send(link.learned_flows(learned))

    @set_ev_cls(ofp_event.EventOFPFlowRemoved, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_silence(self, event: Any) -> None:
        link = self._link_of(event.msg.datapath)
        if link is None or event.msg.reason != ofp.OFPRR_IDLE_TIMEOUT:
            return
        mac, port = event.msg.match["eth_src"], event.msg.match["in_port"]
        if link.macs.forget(mac, port):
            link.send(link.forgotten_flows([mac], port))

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_port(self, event: Any) -> None:
        link = self._link_of(event.msg.datapath)
        if link is None:
            return
        port = link.handle_port(event.msg)
        if event.msg.reason == ofp.OFPPR_DELETE:
            link.send(link.forgotten_flows(link.macs.flush(port.number), port.number))
            hub.spawn(self._drop_faults, [(link.dpid, port.name)])
            return
        # A port without carrier keeps its sources: what moves away is noticed where it sends next.
        # A host that comes back would send the controller a copy of every frame it forwards until
        # it was learned again, and the virtual MAC's frame waited behind them: 6 s on a slow
        # machine.
        link.send(link.carrier_flows(link.macs.behind(port.number), port))

    @set_ev_cls(ofp_event.EventOFPPortDescStatsReply, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_ports(self, event: Any) -> None:
        link = self._link_of(event.msg.datapath)
        if link is not None:
            link.handle_ports(event.msg)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_barrier(self, event: Any) -> None:
        link = self._link_of(event.msg.datapath)
        if link is not None:
            link.handle_barrier(event.msg.xid)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_error(self, event: Any) -> None:
        link = self._link_of(event.msg.datapath)
        if link is not None:
            link.handle_error(event.msg)

    def _link_of(self, datapath: Any) -> SwitchLink | None:
        """The link over this very connection; None once another one has taken its place."""
        link = self._links.get(datapath.id)
        return link if link is not None and link.datapath is datapath else None

    # Switches that come, ports that go; threads of their own, which take the lock

    def _welcome(self, link: SwitchLink) -> None:
        """Make a switch of what has connected, and bring back the faults it had."""
        try:
            link.carry_out(link.base_flows() + link.forget_learned())
            link.refresh_ports()
            with self._changing_faults:
                self._restore_faults(link)
                link.ready = True
        except RefusedError as refused:
            self.logger.warning(
                "%s Closing its connection, so that it tries again.", refused.sentence
            )
            link.datapath.close()

    def _restore_faults(self, link: SwitchLink) -> None:
        switch = link.describe()
        messages = link.forget_faults()
        gone = []
        for place in sorted(self._touched | self._book.places()):
            port = switch.find_port(place[1])
            if place[0] != link.dpid:
                continue
            if port is None:
                gone.append(place)
            else:
                messages += link.assert_demand(port, self._book.demand(place))
        link.carry_out(messages)
        self._forget_places(gone)

    def _drop_faults(self, places: list[Place]) -> None:
        with self._changing_faults:
            self._forget_places(places)

    def _forget_places(self, places: list[Place]) -> None:
        """These ports are gone, and their faults with them."""
        self._touched.difference_update(places)
        for fault in self._book.list():
            if fault.spec.place not in places:
                continue
            self.logger.warning(
                "Port %s is gone; fault %d (%s) on it is dropped.",
                fault.spec.port_name,
                fault.number,
                fault.spec.kind,
            )
            self._book.remove(fault)
            if fault.spec.kind == "loss":
                self._end_loss(fault.spec)

    def _end_loss(self, spec: FaultSpec) -> None:
        try:
            self._set_loss(spec, None)
        except RefusedError as refused:
            self.logger.warning("%s", refused.sentence)

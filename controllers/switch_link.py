"""One switch's OpenFlow 1.3 connection: its flows, its ports, requests that await the barrier.

Tables and flows (see `controllers.forwarding` for why there are two):

    0  200  fault     in_port=P                 drop
    0  100  learned   in_port=P, eth_src=M      go to table 1; ages out after 300 s (802.1D)
    0    0  base      anything                  copy the headers to the controller, go to table 1
    1  100  learned   eth_dst=M                 out of M's port
    1    0  base      anything                  flood

Each kind has its own cookie, so that what a former connection left can be taken away by kind.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from controllers.faults import Port, PortDemand, RefusedError, Switch, host_of_port
from controllers.forwarding import Learned, MacTable
from controllers.frameworks import Datapath, hub
from controllers.frameworks import ofproto_v1_3 as ofp
from controllers.frameworks import ofproto_v1_3_parser as parser

BARRIER_TIMEOUT_S = 4.0  # two of them, a port description's and a fault's, make one request
_AGEING_S = 300
_HEADER_BYTES = 64
_SOURCES, _DESTINATIONS = 0, 1
_FAULT_PRIORITY, _LEARNED_PRIORITY, _BASE_PRIORITY = 200, 100, 0
_BASE_COOKIE, _LEARNED_COOKIE, _FAULT_COOKIE = 0xCA00, 0xCA01, 0xCA02
_EVERY_BIT = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(slots=True)
class _Transaction:
    """Messages that were sent together with a barrier, and what the switch answered."""

    xids: set[int]
    done: Any = field(default_factory=lambda: hub.Queue(1))
    errors: list[str] = field(default_factory=list)


class SwitchLink:
    """The connection to one switch. Any thread may call; replies come by the handle_ methods."""

    def __init__(self, datapath: Datapath) -> None:
        self.datapath = datapath
        self.dpid: int = datapath.id
        self.name = f"{datapath.id:016x}"
        self.ready = False
        self.macs = MacTable()
        self._ports: dict[int, Port] = {}
        self._described: list[Any] = []
        self._sending = hub.Semaphore(1)
        self._transactions: dict[int, _Transaction] = {}

    # Sending

    def send(self, messages: Iterable[Any]) -> None:
        """Send in this order, and wait for nothing."""
        with self._sending:
            for message in messages:
                self.datapath.send_msg(message)

    def carry_out(self, messages: Iterable[Any]) -> float:
        """Send, and wait for the switch's answer to a barrier; time.monotonic() when it came.

        Raises RefusedError (424) if the switch refuses a message, is gone, or is silent for
        BARRIER_TIMEOUT_S.
        """
        barrier = parser.OFPBarrierRequest(self.datapath)
        outgoing = [*messages, barrier]
        with self._sending:
            transaction = _Transaction({self.datapath.set_xid(message) for message in outgoing})
            self._transactions[barrier.xid] = transaction
            for message in outgoing:
                self.datapath.send_msg(message)
        try:
            answered_s = transaction.done.get(timeout=BARRIER_TIMEOUT_S)
        except hub.QueueEmpty:
            answered_s = None
        finally:
            self._transactions.pop(barrier.xid, None)
        if answered_s is None:
            raise RefusedError(424, f"Switch {self.name} did not answer; it is gone or stuck.")
        if transaction.errors:
            raise RefusedError(424, f"Switch {self.name} refused: {transaction.errors[0]}.")
        return float(answered_s)

    # What comes back

    def handle_barrier(self, xid: int) -> None:
        """A barrier's reply."""
        self._finish(self._transactions.get(xid), time.monotonic())

    def handle_error(self, message: Any) -> None:
        """An error message."""
        sentence = (
            f"{ofp.ofp_error_type_to_str(message.type)}, "
            f"{ofp.ofp_error_code_to_str(message.type, message.code)}"
        )
        for transaction in tuple(self._transactions.values()):
            if message.xid in transaction.xids:
                transaction.errors.append(sentence)

    def handle_disconnect(self) -> None:
        """The connection is lost: nobody need wait any longer."""
        for transaction in tuple(self._transactions.values()):
            self._finish(transaction, None)

    @staticmethod
    def _finish(transaction: _Transaction | None, answered_s: float | None) -> None:
        if transaction is not None and transaction.done.empty():
            transaction.done.put(answered_s)

    # Ports

    def describe(self) -> Switch:
        """The switch as it was last heard of."""
        ports = (port for number, port in sorted(self._ports.items()) if number <= ofp.OFPP_MAX)
        return Switch(self.dpid, self.name, tuple(ports))

    def refresh_ports(self) -> None:
        """Ask the switch for its ports. Raises RefusedError (424)."""
        self.carry_out([parser.OFPPortDescStatsRequest(self.datapath, 0)])

    def handle_ports(self, message: Any) -> None:
        """A part of the switch's description of its ports."""
        self._described += message.body
        if message.flags & ofp.OFPMPF_REPLY_MORE:
            return
        described, self._described = self._described, []
        for port in described:
            if port.port_no == ofp.OFPP_LOCAL:
                self.name = _port_name(port)
        self._ports = {port.port_no: self._read_port(port) for port in described}

    def handle_port(self, message: Any) -> Port:
        """A port has changed, has come or is gone."""
        port = self._read_port(message.desc)
        others = {number: other for number, other in self._ports.items() if number != port.number}
        deleted = message.reason == ofp.OFPPR_DELETE
        self._ports = others if deleted else {**others, port.number: port}
        return port

    def _read_port(self, described: Any) -> Port:
        name = _port_name(described)
        admin_down = bool(described.config & ofp.OFPPC_PORT_DOWN)
        return Port(
            number=described.port_no,
            name=name,
            host=host_of_port(self.name, name),
            mac=described.hw_addr,
            link_up=not admin_down and not described.state & ofp.OFPPS_LINK_DOWN,
            admin_down=admin_down,
            no_forward=bool(described.config & ofp.OFPPC_NO_FWD),
        )

    # Messages

    def base_flows(self) -> list[Any]:
        """The flows that make a switch of it."""
        copy = parser.OFPActionOutput(ofp.OFPP_CONTROLLER, _HEADER_BYTES)
        flood = parser.OFPActionOutput(ofp.OFPP_FLOOD)
        miss = [self._apply(copy), parser.OFPInstructionGotoTable(_DESTINATIONS)]
        return [
            self._add(_SOURCES, _BASE_PRIORITY, _BASE_COOKIE, {}, miss),
            self._add(_DESTINATIONS, _BASE_PRIORITY, _BASE_COOKIE, {}, [self._apply(flood)]),
        ]

    def forget_learned(self) -> list[Any]:
        """Take away what was learned, here or over a former connection."""
        return [self._delete(ofp.OFPTT_ALL, {}, cookie=_LEARNED_COOKIE)]

    def forget_faults(self) -> list[Any]:
        """Take away the fault flows of a former connection."""
        return [self._delete(ofp.OFPTT_ALL, {}, cookie=_FAULT_COOKIE)]

    def learned_flows(self, learned: Learned) -> list[Any]:
        """The destination first; only then may the source's frames pass unasked."""
        go_on = [parser.OFPInstructionGotoTable(_DESTINATIONS)]
        source = {"in_port": learned.port, "eth_src": learned.mac}
        messages = [
            self._add_destination(learned.mac, learned.port),
            parser.OFPBarrierRequest(self.datapath),
            self._add(_SOURCES, _LEARNED_PRIORITY, _LEARNED_COOKIE, source, go_on, _AGEING_S),
        ]
        if learned.previous is not None:
            messages.append(self._delete_source(learned.mac, learned.previous))
        return messages

    def forgotten_flows(self, macs: Iterable[str], port: int) -> list[Any]:
        """Frames to these flood again, frames from them are asked about again."""
        messages = []
        for mac in macs:
            messages.append(self._delete_source(mac, port))
            messages.append(self._delete(_DESTINATIONS, {"eth_dst": mac}, cookie=_LEARNED_COOKIE))
        return messages

    def carrier_flows(self, macs: Iterable[str], port: Port) -> list[Any]:
        """Frames to these MACs behind a port: flood while it has no carrier, go there else.

        So whoever takes a virtual MAC over gets its frames at once, as from a hardware switch.
        """
        if port.link_up:
            return [self._add_destination(mac, port.number) for mac in macs]
        return [
            self._delete(_DESTINATIONS, {"eth_dst": mac}, cookie=_LEARNED_COOKIE) for mac in macs
        ]

    def demand_messages(self, port: Port, before: PortDemand, after: PortDemand) -> list[Any]:
        """The step from one demand on a port to another; loss is not the switch's affair."""
        messages: list[Any] = []
        if before.drop_from_host != after.drop_from_host:
            messages.append(self._drop_flow(port, after.drop_from_host))
        mask = 0
        if before.down != after.down:
            mask |= ofp.OFPPC_PORT_DOWN
        if before.drop_to_host != after.drop_to_host:
            mask |= ofp.OFPPC_NO_FWD
        if mask:
            messages.append(self._port_mod(port, after, mask))
        return messages

    def assert_demand(self, port: Port, demand: PortDemand) -> list[Any]:
        """Bring a port to what is asked of it, whatever it is like; it has no fault flows."""
        messages = [self._port_mod(port, demand, ofp.OFPPC_PORT_DOWN | ofp.OFPPC_NO_FWD)]
        if demand.drop_from_host:
            messages.append(self._drop_flow(port, wanted=True))
        return messages

    def _drop_flow(self, port: Port, wanted: bool) -> Any:
        match = {"in_port": port.number}
        if wanted:
            return self._add(_SOURCES, _FAULT_PRIORITY, _FAULT_COOKIE, match, [])
        return self._delete(_SOURCES, match, cookie=_FAULT_COOKIE)

    def _port_mod(self, port: Port, demand: PortDemand, mask: int) -> Any:
        config = ofp.OFPPC_PORT_DOWN if demand.down else 0
        config |= ofp.OFPPC_NO_FWD if demand.drop_to_host else 0
        return parser.OFPPortMod(
            self.datapath, port.number, port.mac, config=config & mask, mask=mask, advertise=0
        )

    def _add_destination(self, mac: str, port: int) -> Any:
        out = self._apply(parser.OFPActionOutput(port))
        match = {"eth_dst": mac}
        return self._add(_DESTINATIONS, _LEARNED_PRIORITY, _LEARNED_COOKIE, match, [out])

    def _delete_source(self, mac: str, port: int) -> Any:
        return self._delete(_SOURCES, {"in_port": port, "eth_src": mac}, cookie=_LEARNED_COOKIE)

    def _apply(self, action: Any) -> Any:
        return parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, [action])

    def _add(
        self,
        table: int,
        priority: int,
        cookie: int,
        match: dict[str, Any],
        instructions: list[Any],
        idle_timeout_s: int = 0,
    ) -> Any:
        return parser.OFPFlowMod(
            self.datapath,
            cookie=cookie,
            table_id=table,
            command=ofp.OFPFC_ADD,
            idle_timeout=idle_timeout_s,
            priority=priority,
            flags=ofp.OFPFF_SEND_FLOW_REM if idle_timeout_s else 0,
            match=parser.OFPMatch(**match),
            instructions=instructions,
        )

    def _delete(self, table: int, match: dict[str, Any], cookie: int) -> Any:
        return parser.OFPFlowMod(
            self.datapath,
            cookie=cookie,
            cookie_mask=_EVERY_BIT,
            table_id=table,
            command=ofp.OFPFC_DELETE,
            out_port=ofp.OFPP_ANY,
            out_group=ofp.OFPG_ANY,
            match=parser.OFPMatch(**match),
        )


def _port_name(described: Any) -> str:
    return str(described.name.rstrip(b"\0").decode("utf-8", "replace"))

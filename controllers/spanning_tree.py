"""A Ryu application: learning switches under Ryu's own spanning tree.

Started by `python -m controllers.launch --spanning-tree DPID:SECONDS`. The tree is stplib's; what
is not blocked is learned and forwarded as `controllers.forwarding` has it, and forgotten when the
topology changes. It prints a JSON line for each change of a port's state:

    {"port": "outside-fw1", "state": "listening", "monotonic_s": 123.4}

A switch starts with a forward delay of 2 s, until all its ports forward: then it gets its own.

What stplib does that 802.1D does not (OpenFlow 1.3): a port that listens or learns drops what comes
in, but what is sent to it goes out. It learns no addresses in the state of learning. Where a port
loses its carrier, Open vSwitch says first that it is not live, then that its link is down: stplib
takes the first for a link that comes up, so the port listens for a moment before it is disabled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from controllers.forwarding import MacTable
from controllers.frameworks import (
    MAIN_DISPATCHER,
    Application,
    load_stplib,
    ofp_event,
    set_ev_cls,
)
from controllers.frameworks import ofproto_v1_3 as ofp
from controllers.frameworks import ofproto_v1_3_parser as parser
from controllers.switch_link import SwitchLink

FIRST_FORWARD_DELAY_S = 2
_SOURCE_MAC = slice(6, 12)

stplib = load_stplib()
STATES = {
    stplib.PORT_STATE_DISABLE: "disabled",
    stplib.PORT_STATE_BLOCK: "blocking",
    stplib.PORT_STATE_LISTEN: "listening",
    stplib.PORT_STATE_LEARN: "learning",
    stplib.PORT_STATE_FORWARD: "forwarding",
}


_OF_SPANNING_TREE = ofp.OFPPC_NO_RECV | ofp.OFPPC_NO_FWD | ofp.OFPPC_NO_PACKET_IN


def _set_port_status(control: Any, port: Any, state: int) -> None:
    """Tell a switch what a port may do, in place of stplib's own way, which sets one bit more.

    It takes OFPPC_PORT_DOWN away with each change of state. A cable that is pulled at the switch's
    end shows as that bit, and Open vSwitch would put it back in.
    """
    config = stplib.PORT_CONFIG_V1_3[state]
    control.dp.send_msg(
        parser.OFPPortMod(
            control.dp, port.port_no, port.hw_addr, config, _OF_SPANNING_TREE, port.advertised
        )
    )
    if config & ofp.OFPPC_NO_PACKET_IN:
        control.add_no_pkt_in_flow(port.port_no)
    else:
        control.del_no_pkt_in_flow(port.port_no)


stplib.OfCtl_v1_2later.set_port_status = _set_port_status


class SpanningTree(Application):  # type: ignore[misc]
    """The application; `forward_delays_s` gives each switch its forward delay, by its dpid."""

    OFP_VERSIONS: ClassVar[list[int]] = [ofp.OFP_VERSION]
    _CONTEXTS: ClassVar[dict[str, Any]] = {"tree": stplib.Stp}

    def __init__(
        self, *args: Any, tree: Any, forward_delays_s: Mapping[int, int], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._tree = tree
        self._links: dict[int, SwitchLink] = {}
        self._delays_s = dict(forward_delays_s)
        # Every switch needs an entry: stplib changes its defaults to what the last one was given.
        tree.set_config(
            {dpid: {"bridge": {"fwd_delay": FIRST_FORWARD_DELAY_S}} for dpid in self._delays_s}
        )

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_connection(self, event: Any) -> None:
        link = SwitchLink(event.datapath)
        self._links[link.dpid] = link
        link.send(link.forget_learned() + link.base_flows())

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_frame(self, event: Any) -> None:
        link = self._links.get(event.msg.datapath.id)
        if link is None:
            return
        learned = link.macs.learn(
            event.msg.data[_SOURCE_MAC].hex(":"), event.msg.match["in_port"]
        )
        if learned is not None:
            link.send(link.learned_flows(learned))

    @set_ev_cls(stplib.EventTopologyChange, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_topology(self, event: Any) -> None:
        link = self._links.get(event.dp.id)
        if link is not None:
            link.macs = MacTable()
            link.send(link.forget_learned())

    @set_ev_cls(stplib.EventPortStateChange, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _handle_port_state(self, event: Any) -> None:
        name = event.dp.ports[event.port_no].name.rstrip(b"\0").decode()
        state = STATES[event.port_state]
        change = {"port": name, "state": state, "monotonic_s": time.monotonic()}
        print(json.dumps(change), flush=True)
        if event.port_state == stplib.PORT_STATE_FORWARD:
            self._slow_down(event.dp.id)

    def _slow_down(self, dpid: int) -> None:
        """Give the switch its own forward delay when all its ports forward for the first time."""
        bridge = self._tree.bridge_list[dpid]
        if all(port.state == stplib.PORT_STATE_FORWARD for port in bridge.ports.values()):
            bridge.bridge_times.forward_delay = self._delays_s[dpid]

"""Builds a network on Mininet and takes it down again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mininet.log import setLogLevel
from mininet.net import Mininet

from carplab.emulation import segments
from carplab.emulation.registry import SHELL_LABEL, Registry
from carplab.emulation.topology import NetworkTopo, random_mac
from carplab.errors import CarplabError
from carplab.network import (
    FORWARD_DELAYS_S,
    OPEN_VSWITCH_KINDS,
    SPANNING_TREE_KINDS,
    Network,
    Segment,
    port_name,
)

OVS_DEADLINE_S = 15
FORWARDING_MARGIN_S = 25.0  # 802.1D's max age, and what a busy machine takes
POLL_S = 0.1


class EmulatedNetwork:
    """The network while it exists. Build everything first and measure then.

    Making or deleting a switch stalls the forwarding of all switches of the userspace datapath.
    `ofp_ports` gives the port of the controller of each kind of segment that has one.
    """

    def __init__(
        self, network: Network, registry: Registry, datapath: str, ofp_ports: Mapping[str, int]
    ) -> None:
        self._network = network
        self._registry = registry
        self._datapath = datapath
        self._ofp_ports = ofp_ports
        self._mininet: Any = None

    def build(self) -> None:
        """Make switches, namespaces, cables. CarplabError when a name is taken or OVS refuses."""
        _refuse_taken_names(self._network)
        names = [*_port_names(self._network), *_bridge_names(self._network)]
        macs = {name: random_mac() for name in names}
        self._registry.add_interfaces(macs)
        setLogLevel("error")
        # Mininet.init() would raise limits in the machine's own sysctls, and leave them so.
        Mininet.inited = True
        mark = self._registry.record.mark
        topology = NetworkTopo(
            _quick_to_forward(self._network), self._datapath, mark, macs, self._ofp_ports
        )
        self._mininet = Mininet(topo=topology, controller=None, build=False)
        self._mininet.build()
        for node in self._mininet.hosts:
            self._registry.add_process(f"{SHELL_LABEL}{node.name}", node.pid)
        self._mininet.start()
        if missing := _open_vswitches(self._network) - _bridges(self._network):
            raise CarplabError(
                f"Open vSwitch has not made the switch {', '.join(sorted(missing))}: see "
                "/var/log/openvswitch/ovs-vswitchd.log"
            )

    def wait_forwarding(self, check: Callable[[], None]) -> None:
        """Return when every bridge's spanning tree forwards, its forward delay as it shall be.

        Until then the delay is the shortest that there is: nothing is measured yet. `check` is
        called meanwhile and may raise.
        """
        trees = [each for each in _bridged(self._network) if each.kind in SPANNING_TREE_KINDS]
        for segment in trees:
            wait_forwarding(partial(segments.unsettled_ports, self._network, segment), check)
            for bridge in segments.bridge_names(segment):
                segments.set_forward_delay(bridge, segment.forward_delay_s)

    def node(self, name: str) -> Any:
        """Return Mininet's node for a machine: `.pid` is a process in its namespace."""
        return self._mininet[name]

    def popen(self, name: str, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in the namespace of a machine, in a session of its own."""
        process: subprocess.Popen[bytes] = self.node(name).popen(list(command), **options)
        return process

    def run(self, name: str, *command: str) -> str:
        """Run a command to its end in the namespace of a machine; CarplabError if it fails."""
        process = self.popen(name, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = process.communicate()[0].decode(errors="replace").strip()
        if process.returncode != 0:
            raise CarplabError(
                f"{' '.join(command)} on {name} failed: {output or 'without a word'}"
            )
        return output

    def tear_down(self) -> None:
        """Remove cables, switches and namespaces."""
        if self._mininet is None:
            return
        mininet, self._mininet = self._mininet, None
        mininet.stop()


def wait_forwarding(blocked: Callable[[], str], check: Callable[[], None]) -> None:
    """Return when `blocked` names no port any more; CarplabError with what it says otherwise."""
    deadline_s = time.monotonic() + 2 * FORWARD_DELAYS_S[0] + FORWARDING_MARGIN_S
    while ports := blocked():
        if time.monotonic() > deadline_s:
            raise CarplabError(f"spanning tree does not come to forward: {ports}")
        check()
        time.sleep(POLL_S)


def _quick_to_forward(network: Network) -> Network:
    return replace(
        network,
        segments=tuple(
            replace(segment, forward_delay_s=FORWARD_DELAYS_S[0])
            if segment.kind in SPANNING_TREE_KINDS
            else segment
            for segment in network.segments
        ),
    )


def _bridged(network: Network) -> list[Segment]:
    return [each for each in network.segments if each.kind not in OPEN_VSWITCH_KINDS]


def _open_vswitches(network: Network) -> set[str]:
    return {each.name for each in network.segments if each.kind in OPEN_VSWITCH_KINDS}


def _bridge_names(network: Network) -> list[str]:
    return [name for segment in _bridged(network) for name in segments.bridge_names(segment)]


def _port_names(network: Network) -> list[str]:
    names = [
        port_name(segment, machine, cable) for machine, segment, cable in network.attachments()
    ]
    cables = [cable for segment in network.segments for cable in segments.loop_cables(segment)]
    return names + [end for cable in cables for end in cable]


def _refuse_taken_names(network: Network) -> None:
    for name in sorted(_open_vswitches(network) & _bridges(network)):
        raise CarplabError(
            f"there is already a switch {name!r} that is not of this run: "
            f"remove it with 'ovs-vsctl del-br {name}'"
        )
    names = [*_open_vswitches(network), *_bridge_names(network), *_port_names(network)]
    for name in names:
        if Path(f"/sys/class/net/{name}").exists():
            raise CarplabError(
                f"there is already an interface {name!r} that is not of this run: "
                f"remove it with 'ip link delete {name}'"
            )


def _bridges(network: Network) -> set[str]:
    """Return the switches of Open vSwitch; none where the network has none of them."""
    if not _open_vswitches(network):
        return set()
    command = ["ovs-vsctl", "--timeout=10", "list-br"]
    try:
        output = subprocess.run(
            command, capture_output=True, text=True, timeout=OVS_DEADLINE_S, check=True
        ).stdout
    except FileNotFoundError:
        raise CarplabError("Open vSwitch is not installed: 'carplab doctor' says how") from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise CarplabError(
            "Open vSwitch is not running: 'carplab doctor' says how to start it"
        ) from None
    return set(output.split())

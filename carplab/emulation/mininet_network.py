"""Builds a network on Mininet and takes it down again."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mininet.log import setLogLevel
from mininet.net import Mininet

from carplab.emulation.registry import Registry
from carplab.emulation.topology import NetworkTopo
from carplab.errors import CarplabError
from carplab.network import Network, port_name

OVS_DEADLINE_S = 15


@dataclass(frozen=True)
class ControllerAddress:
    """Where the switches find their controller, in the form in which Mininet wants to be told."""

    port: int
    name: str = "c0"
    protocol: str = "tcp"

    def IP(self) -> str:  # noqa: N802 - Mininet's name
        """Return the address: the controller runs on this machine."""
        return "127.0.0.1"

    def start(self) -> None:
        """Nothing: it runs already."""

    def stop(self) -> None:
        """Nothing: who started it ends it."""


class EmulatedNetwork:
    """The network while it exists. Build everything first and measure then.

    Making or deleting a switch stalls the forwarding of all switches of the userspace datapath.
    """

    def __init__(self, network: Network, registry: Registry, datapath: str, ofp_port: int) -> None:
        self._network = network
        self._registry = registry
        self._datapath = datapath
        self._ofp_port = ofp_port
        self._mininet: Any = None

    def build(self) -> None:
        """Make switches, namespaces, cables. CarplabError when a name is taken or OVS refuses."""
        _refuse_taken_names(self._network)
        macs = {
            port_name(place, name): _random_mac() for name, place in self._network.attachments()
        }
        self._registry.add_interfaces(macs)
        setLogLevel("error")
        # Mininet.init() would raise limits in the machine's own sysctls, and leave them so.
        Mininet.inited = True
        topology = NetworkTopo(self._network, self._datapath, self._registry.record.mark, macs)
        self._mininet = Mininet(topo=topology, controller=None, build=False)
        self._mininet.controllers.append(ControllerAddress(self._ofp_port))
        self._mininet.build()
        for node in self._mininet.hosts:
            self._registry.add_process(f"shell of {node.name}", node.pid)
        self._mininet.start()
        missing = {segment.name for segment in self._network.segments} - _bridges()
        if missing:
            raise CarplabError(
                f"Open vSwitch has not made the switch {', '.join(sorted(missing))}: see "
                "/var/log/openvswitch/ovs-vswitchd.log"
            )

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


def _refuse_taken_names(network: Network) -> None:
    bridges = _bridges()
    for segment in network.segments:
        if segment.name in bridges:
            raise CarplabError(
                f"there is already a switch {segment.name!r} that is not of this run: "
                f"remove it with 'ovs-vsctl del-br {segment.name}'"
            )
    names = [segment.name for segment in network.segments]
    names += [port_name(segment, machine) for machine, segment in network.attachments()]
    for name in names:
        if Path(f"/sys/class/net/{name}").exists():
            raise CarplabError(
                f"there is already an interface {name!r} that is not of this run: "
                f"remove it with 'ip link delete {name}'"
            )


def _bridges() -> set[str]:
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


def _random_mac() -> str:
    """Return a locally administered unicast MAC address."""
    octets = [random.getrandbits(8) & 0xFC | 0x02, *(random.getrandbits(8) for _ in range(5))]
    return ":".join(f"{octet:02x}" for octet in octets)

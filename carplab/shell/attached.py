"""Mininet's view of a network that another process has built, and owns.

Nodes, interfaces and links are Mininet's own, so that its commands work on them; but nothing is
made, moved or removed: each node is a shell of our own in the namespaces of a machine that is
there, each link a note of which interfaces a cable joins. Which these are, the topology says from
which the other process has built them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mininet.link import Intf, Link
from mininet.log import output
from mininet.net import Mininet
from mininet.node import Node, OVSSwitch
from mininet.node import Switch as MininetSwitch

from carplab.emulation.enter import machine_environment
from carplab.emulation.topology import NetworkTopo, Switch
from carplab.network import InterfaceAddress, Network, interface_name

IPERF_DEADLINE_S = 10.0
POLL_MS = 100


class AttachedMachine(Node):  # type: ignore[misc]
    """A machine that is there, in the namespaces of the process `pid`."""

    def __init__(self, name: str, pid: int, environment: Mapping[str, str]) -> None:
        self._entered_pid = pid
        self._environment = dict(environment)
        super().__init__(name, inNamespace=False)

    def startShell(self, mnopts: str | None = None) -> None:  # noqa: N802 - Mininet's name
        """Start the shell that runs this node's commands, in the machine's namespaces."""
        # mnexec(1): close descriptors, detach from the terminal, attach to the process.
        super().startShell(f"-cda{self._entered_pid}")

    def _popen(self, cmd: list[str], **params: Any) -> Any:
        return super()._popen(cmd, env=self._environment, **params)


class AttachedSwitch(OVSSwitch):  # type: ignore[misc]
    """A switch of Open vSwitch that is there: `dpctl` works on it."""


class AttachedBridge(MininetSwitch):  # type: ignore[misc]
    """A Linux bridge that is there."""


class AttachedInterface(Intf):  # type: ignore[misc]
    """An interface that is there, with the address that it was given."""

    def config(self, **_params: Any) -> dict[str, Any]:
        """Change nothing: Mininet would set it up."""
        return {}

    def updateIP(self) -> str | None:  # noqa: N802 - Mininet's name
        """Return its address: it does not change."""
        address: str | None = self.ip
        return address


class AttachedLink(Link):  # type: ignore[misc]
    """A cable that is there."""

    @classmethod
    def makeIntfPair(cls, *_: Any, **__: Any) -> None:  # noqa: N802 - Mininet's name
        """Make nothing."""


class AttachedNetwork(Mininet):  # type: ignore[misc]
    """A network that is there; a context manager whose end ends our shells on it, and no more.

    `machines` gives a process of each machine by name, `sockets` is where their carpds listen.
    """

    def __init__(
        self,
        network: Network,
        machines: Mapping[str, int],
        sockets: Path,
        environment: Mapping[str, str],
    ) -> None:
        # Mininet.init() would raise limits in the machine's own sysctls, and leave them so.
        Mininet.inited = True
        super().__init__(controller=None, build=False)
        topology = NetworkTopo(network)
        try:
            for name in topology.hosts():
                inside = machine_environment(name, sockets, environment)
                self._add(self.hosts, AttachedMachine(name, machines[name], inside))
            for name in topology.switches():
                about = topology.nodeInfo(name)
                kind = AttachedSwitch if about["cls"] is Switch else AttachedBridge
                self._add(self.switches, kind(name, dpid=about["dpid"], inNamespace=False))
            self._add_links(topology, dict(_addresses(network)))
        except BaseException:
            self.detach()
            raise

    def __enter__(self) -> AttachedNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def iperf(
        self,
        hosts: Sequence[Any] | None = None,
        l4Type: str = "TCP",  # noqa: N803 - Mininet's names
        udpBw: str = "10M",  # noqa: N803
        seconds: int = 5,
        port: int = 5001,
    ) -> list[str]:
        """Measure the throughput between two machines; return what server and client say of it.

        Mininet's asks with telnet whether the server listens, and waits for a report about that
        connection too: iperf 2.1.8 gives none, and it would wait forever.
        """
        client, server = hosts or (self.hosts[0], self.hosts[-1])
        is_udp = l4Type == "UDP"
        iperf = f"iperf -p {port}{' -u' if is_udp else ''}"
        rate = f" -b {udpBw}" if is_udp else ""
        output(f"*** Iperf: testing {l4Type} bandwidth between {client} and {server}\n")
        server.sendCmd(f"{iperf} -s")
        received = _read_until(server, "listening")
        said = client.cmd(f"{iperf} -t {seconds} -c {server.IP()}{rate}")
        received += _read_until(server, "/sec")
        server.sendInt()
        received += server.waitOutput()
        results = [self._parseIperf(each) for each in (received, said)]
        output(f"*** Results: {results}\n")
        return results

    def detach(self) -> None:
        """End our shells."""
        for node in (*self.hosts, *self.switches):
            node.terminate()

    def _add(self, nodes: list[Any], node: Any) -> None:
        nodes.append(node)
        self.nameToNode[node.name] = node

    def _add_links(self, topology: NetworkTopo, addresses: Mapping[str, InterfaceAddress]) -> None:
        for left, right, how in topology.links(sort=True, withInfo=True):
            ends = {key: how[key] for key in ("port1", "port2", "intfName1", "intfName2")}
            link = AttachedLink(self[left], self[right], intf=AttachedInterface, **ends)
            self.links.append(link)
            for interface in (link.intf1, link.intf2):
                if interface.name in addresses:
                    address = addresses[interface.name]
                    interface.ip = str(address.ip)
                    interface.prefixLen = address.network.prefixlen


def _read_until(node: Any, text: str) -> str:
    """Return what the command on a node says, until that is in it, it ends or it takes too long."""
    said = ""
    deadline_s = time.monotonic() + IPERF_DEADLINE_S
    while text not in said and node.waiting and time.monotonic() < deadline_s:
        said += node.monitor(timeoutms=POLL_MS)
    return said


def _addresses(network: Network) -> Iterator[tuple[str, InterfaceAddress]]:
    """Yield the first address of each interface, an IPv4 one where there is one."""
    for router in network.routers:
        for each in router.interfaces:
            yield interface_name(router.name, each.segment, each.cable), _first(each.addresses)
    for host in network.hosts:
        yield interface_name(host.name, host.segment), _first(host.addresses)
    for link in network.links:
        for name, address in link.ends:
            yield interface_name(name, link.name), address


def _first(addresses: tuple[InterfaceAddress, ...]) -> InterfaceAddress:
    return min(addresses, key=lambda address: address.version)

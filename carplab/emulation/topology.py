"""A `carplab.network.Network` as a Mininet topology.

It is what a run builds, and what `mn --custom topo/...` shows: so nothing but Mininet and the
standard library is imported here, and Mininet is a package of the system's own Python.
"""

from __future__ import annotations

import ipaddress
import random
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mininet.node import Host as MininetHost
from mininet.node import OVSSwitch
from mininet.topo import Topo

from carplab.emulation import carpd_config, segments
from carplab.emulation.machine import choose_datapath, try_kernel_datapath
from carplab.emulation.nat import nat_commands
from carplab.errors import CarplabError
from carplab.network import (
    OPEN_VSWITCH_KINDS,
    Host,
    InterfaceAddress,
    Network,
    Router,
    Segment,
    interface_name,
    mac_address,
    port_name,
)

KERNEL = "kernel"
USER = "user"
CARPD_DEADLINE_S = 5

RUN_DIR = Path("/run/carpd")
PROJECT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class ControllerAddress:
    """Where a switch finds its controller, in the form in which Mininet wants to be told."""

    port: int
    name: str = "c0"
    protocol: str = "tcp"

    def IP(self) -> str:  # noqa: N802 - Mininet's name
        """Return the address: the controller runs on this machine."""
        return "127.0.0.1"


class Switch(OVSSwitch):  # type: ignore[misc]
    """An Open vSwitch bridge that carries the mark of the run it belongs to.

    Its controller listens on `ofp_port` here; without one it takes those that Mininet has.
    """

    def __init__(self, name: str, mark: str = "", ofp_port: int = 0, **params: Any) -> None:
        super().__init__(name, **params)
        self._mark = mark
        self._ofp_port = ofp_port

    def start(self, controllers: list[Any]) -> None:
        """Make the bridge."""
        super().start([ControllerAddress(self._ofp_port)] if self._ofp_port else controllers)

    def bridgeOpts(self) -> str:  # noqa: N802 - Mininet's name
        """Return the columns of the bridge's row: set in the transaction that creates it."""
        options: str = super().bridgeOpts()
        return f"{options} external_ids:carplab={self._mark}" if self._mark else options


class Machine(MininetHost):  # type: ignore[misc]
    """A host or firewall in a network namespace, set up from its description."""

    def __init__(self, name: str, commands: Iterable[str] = (), **params: Any) -> None:
        self._commands = tuple(commands)
        super().__init__(name, **params)

    def config(self, **_params: Any) -> dict[str, Any]:
        """Give the interfaces their addresses and offload settings, and the machine its routes.

        Mininet calls this when all links are there. CarplabError with the first complaint.
        """
        for command in ("ip link set lo up", *self._commands):
            output = self.cmd(command).strip()
            if output:
                raise CarplabError(f"cannot set up {self.name}: {command!r} says {output!r}")
        return {}


class Firewall(Machine):
    """A machine with its carpd, for the networks that `mn` runs: it starts and ends with it."""

    def __init__(self, name: str, carpd: str = "", configuration: str = "", **params: Any) -> None:
        self._carpd = carpd
        self._configuration = Path(configuration)
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(name, **params)

    def config(self, **params: Any) -> dict[str, Any]:
        """Set the machine up, then start carpd, its log beside its configuration."""
        result = super().config(**params)
        if self._carpd:
            with self._configuration.with_suffix(".log").open("wb") as log:
                command = [self._carpd, "run", str(self._configuration)]
                self._process = self.popen(command, stdout=log, stderr=log)
        return result

    def terminate(self) -> None:
        """End carpd, then the machine."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(CARPD_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._process = None
            self._configuration.unlink(missing_ok=True)
            self._configuration.with_suffix(".log").unlink(missing_ok=True)
        super().terminate()


class NetworkTopo(Topo):  # type: ignore[misc]
    """The network as Mininet wants it: switches, machines and cables by name.

    `datapath` is "kernel" or "user"; `mark` goes onto the switches of Open vSwitch; `macs` gives
    the MAC address of each switch port and Linux bridge by its name, random ones where it is
    silent; `ofp_ports` the port of the controller of each kind of segment. With `carpd`, a path,
    each firewall runs that program, its configuration in `run_dir`.
    """

    def build(
        self,
        network: Network,
        datapath: str = KERNEL,
        mark: str = "",
        macs: dict[str, str] | None = None,
        ofp_ports: Mapping[str, int] | None = None,
        carpd: str = "",
        run_dir: Path = RUN_DIR,
    ) -> None:
        """Called by Topo's constructor with the constructor's arguments."""
        macs = macs or {}
        for dpid, segment in enumerate(network.segments, start=1):
            if segment.kind in OPEN_VSWITCH_KINDS:
                options = {"dpid": f"{dpid:x}", "datapath": datapath, "mark": mark}
                ofp_port = (ofp_ports or {}).get(segment.kind, 0)
                self.addSwitch(segment.name, cls=Switch, ofp_port=ofp_port, **options)
            else:
                self._add_bridges(segment, dpid, macs)
        for router in network.routers:
            daemon = _daemon_options(router, carpd, run_dir) if carpd else {}
            setup = router_commands(network, router, datapath)
            self.addHost(router.name, cls=Firewall, ip=None, commands=setup, **daemon)
        for host in network.hosts:
            setup = host_commands(host, datapath)
            self.addHost(host.name, cls=Machine, ip=None, commands=setup)
        for (machine, segment_name, cable), mac in network.macs().items():
            switch = segments.bridge_of(network, network.segment(segment_name), machine)
            name = interface_name(machine, segment_name, cable)
            port = port_name(segment_name, machine, cable)
            given = {"addr1": mac, "addr2": macs.get(port) or random_mac()}
            self.addLink(machine, switch, intfName1=name, intfName2=port, **given)
        for link in network.links:
            (left, left_address), (right, right_address) = link.ends
            options = {
                "intfName1": interface_name(left, link.name),
                "intfName2": interface_name(right, link.name),
                "addr1": mac_address([left_address]),
                "addr2": mac_address([right_address]),
            }
            self.addLink(left, right, **options)

    def _add_bridges(self, segment: Segment, dpid: int, macs: dict[str, str]) -> None:
        names = segments.bridge_names(segment)
        for number, name in enumerate(names):
            self.addSwitch(
                name,
                cls=segments.LinuxBridge,
                dpid=f"{dpid:x}",  # Mininet wants one
                options=segments.bridge_options(segment, number),
                mac=macs.get(name, ""),
            )
        for left, right in segments.loop_cables(segment):
            given = {"addr1": macs.get(left), "addr2": macs.get(right)}
            self.addLink(*names, intfName1=left, intfName2=right, **given)


def random_mac() -> str:
    """Return a locally administered unicast MAC address."""
    octets = [random.getrandbits(8) & 0xFC | 0x02, *(random.getrandbits(8) for _ in range(5))]
    return ":".join(f"{octet:02x}" for octet in octets)


def _daemon_options(router: Router, carpd: str, run_dir: Path) -> dict[str, str]:
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = run_dir / f"{router.name}.toml"
    configuration.write_text(carpd_config.render(router, run_dir))
    return {"carpd": carpd, "configuration": str(configuration)}


def standalone_options() -> dict[str, Any]:
    """Return the options of NetworkTopo for `mn`, which asks for the topology alone.

    The datapath that works here, and carpd, where `make setup` has installed it.
    """
    datapath, _ = choose_datapath(try_kernel_datapath())
    carpd = PROJECT / ".venv" / "bin" / "carpd"
    return {"datapath": datapath, "carpd": str(carpd) if carpd.exists() else ""}


def router_commands(network: Network, router: Router, datapath: str) -> list[str]:
    """Return the shell commands that make a namespace this firewall; silent on success."""
    addresses = [
        (interface_name(router.name, interface.segment, interface.cable), address)
        for interface in router.interfaces
        for address in interface.addresses
    ]
    addresses += [
        (interface_name(name, link.name), address)
        for link in network.links
        for name, address in link.ends
        if name == router.name
    ]
    # No redirects: a firewall must not tell hosts the way around its virtual address.
    forwarding = [
        "net.ipv4.ip_forward=1",
        "net.ipv4.conf.all.send_redirects=0",
        "net.ipv4.conf.default.send_redirects=0",
    ]
    has_ipv6 = _has_ipv6(address for _, address in addresses)
    if has_ipv6:
        forwarding.append("net.ipv6.conf.all.forwarding=1")
    if any(interface.cable > 1 for interface in router.interfaces):
        # The routes over a cable without carrier must not count: there is another one.
        versions = (4, 6) if has_ipv6 else (4,)
        forwarding += [
            f"net.ipv{version}.conf.all.ignore_routes_with_linkdown=1" for version in versions
        ]
    names = list(dict.fromkeys(name for name, _ in addresses))
    forwarding += [f"net.ipv4.conf.{name}.send_redirects=0" for name in names]
    return [
        *_namespace_commands(address for _, address in addresses),
        f"sysctl -q -w {' '.join(forwarding)}",
        *_address_commands(addresses, datapath),
        *nat_commands(network, router),
    ]


def host_commands(host: Host, datapath: str) -> list[str]:
    """Return the shell commands that make a namespace this host; silent on success."""
    name = interface_name(host.name, host.segment)
    routes = [
        f"ip -{route.via.version} route add {route.destination} via {route.via} dev {name}"
        for route in host.routes
    ]
    return [
        *_namespace_commands(host.addresses),
        *_address_commands([(name, address) for address in host.addresses], datapath),
        *routes,
    ]


def _namespace_commands(addresses: Iterable[InterfaceAddress]) -> list[str]:
    # Without IPv6 addresses of ours the kernel's own IPv6 chatter would only blur the measurement.
    disable = 0 if _has_ipv6(addresses) else 1
    values = (
        f"net.ipv6.conf.all.disable_ipv6={disable} net.ipv6.conf.default.disable_ipv6={disable}"
    )
    return [f"sysctl -q -w {values} net.ipv4.conf.all.accept_redirects=0"]


def _address_commands(addresses: list[tuple[str, InterfaceAddress]], datapath: str) -> list[str]:
    commands = []
    for name in dict.fromkeys(name for name, address in addresses if address.version == 6):
        # Nobody has the same address, and no router advertises itself: no waiting, no asking.
        values = f"net.ipv6.conf.{name}.accept_dad=0 net.ipv6.conf.{name}.accept_ra=0"
        commands.append(f"sysctl -q -w {values}")
    for name in dict.fromkeys(name for name, _ in addresses):
        if datapath == USER:
            # The userspace datapath does not complete checksums that the sender left to the NIC.
            commands.append(f"ethtool -K {name} tx off > /dev/null")
        commands.append(f"ip link set {name} up")
    for name, address in addresses:
        nodad = " nodad" if address.version == 6 else ""
        commands.append(f"ip address add {address} dev {name}{nodad}")
    return commands


def _has_ipv6(addresses: Iterable[InterfaceAddress]) -> bool:
    return any(isinstance(address, ipaddress.IPv6Interface) for address in addresses)

"""The switches that are Linux bridges: how each kind is made on Mininet, and when it forwards.

bridge: no spanning tree, as a plain switch. stp: the kernel's own 802.1D spanning tree, hello 2 s
and max age 20 s as the standard has them. stp-edge: every port of the one switch is an edge port
(PortFast), which neither listens nor learns; the kernel has no such setting, and a spanning tree
whose ports all are edge ports has nothing to decide, so it is a bridge without one. snooping: IGMP
and MLD snooping, and no querier. snooping-strict: no snooping, but
`carplab.emulation.bridge_faults` keeps multicast from each port from its first pulled cable on, as
a switch would that has forgotten the port's memberships and gets no report. loop: two bridges with
spanning tree and two cables between them, the first the root; the firewalls are plugged into both
by turns, hosts into the first.

It is also part of what `mn` loads: nothing but Mininet and the standard library is imported here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from mininet.node import Switch

from carplab.errors import CarplabError
from carplab.network import LOOP, SNOOPING, STP, Network, Segment, port_name

FORWARDING = "forwarding"
BLOCKING = "blocking"
LOOP_CABLES = (1, 2)

_TICKS_S = 100  # bridges count in hundredths of a second
_ROOT_PRIORITY = 4096  # lowest wins; the default is 32768
_COMMAND_DEADLINE_S = 10


class LinuxBridge(Switch):  # type: ignore[misc]
    """A Linux bridge in the machine's own namespace, known by the MAC address drawn for it."""

    def __init__(self, name: str, options: str = "", mac: str = "", **params: Any) -> None:
        self._options = options
        self._mac = mac
        super().__init__(name, **params)

    def start(self, _controllers: object) -> None:
        """Make the bridge and plug the ports in."""
        address = f"address {self._mac} " if self._mac else ""
        ports = [port.name for port in self.intfList() if self.ports[port]]
        commands = [
            f"ip link add name {self.name} {address}type bridge {self._options}",
            # It is no machine of the segment: no IPv6 chatter of its own.
            f"sysctl -q -w net/ipv6/conf/{self.name}/disable_ipv6=1",
            *(f"ip link set dev {port} master {self.name} up" for port in ports),
            f"ip link set dev {self.name} up",
        ]
        for command in commands:
            output = self.cmd(command).strip()
            if output:
                raise CarplabError(f"cannot make the bridge {self.name}: {output}")

    def stop(self, deleteIntfs: bool = True) -> None:  # noqa: N803 - Mininet's name
        """Remove the bridge, and its ports."""
        self.cmd(f"ip link delete dev {self.name}")
        super().stop(deleteIntfs)


def bridge_names(segment: Segment) -> list[str]:
    """Return the names of the segment's bridges: outside, and outside.2 of a loop."""
    return [segment.name, f"{segment.name}.2"] if segment.kind == LOOP else [segment.name]


def bridge_options(segment: Segment, number: int) -> str:
    """Return what ip-link(8) is told of the segment's bridge, `number` counted from 0."""
    spanning_tree = segment.kind in (STP, LOOP)
    options = [
        f"stp_state {int(spanning_tree)}",
        f"mcast_snooping {int(segment.kind == SNOOPING)}",
        "mcast_querier 0",
    ]
    if spanning_tree:
        options.append(f"forward_delay {segment.forward_delay_s * _TICKS_S}")
    if segment.kind == LOOP and number == 0:
        options.append(f"priority {_ROOT_PRIORITY}")
    return " ".join(options)


def bridge_of(network: Network, segment: Segment, machine: str) -> str:
    """Return the bridge or switch that the machine is plugged into."""
    routers = [router.name for router in network.routers]
    if segment.kind == LOOP and machine in routers:
        return bridge_names(segment)[routers.index(machine) % 2]
    return segment.name


def loop_cables(segment: Segment) -> Iterator[tuple[str, str]]:
    """Yield the port names of each cable between the two bridges of a loop."""
    if segment.kind == LOOP:
        for cable in LOOP_CABLES:
            yield f"{segment.name}.a{cable}", f"{segment.name}.b{cable}"


def port_states(bridge: str) -> dict[str, str]:
    """Return port -> spanning tree state of a bridge: "listening", "forwarding"..."""
    command = ["ip", "-json", "-details", "link", "show", "master", bridge]
    links = json.loads(_output(command) or "[]")
    return {link["ifname"]: link["linkinfo"]["info_slave_data"]["state"] for link in links}


def unsettled_ports(network: Network, segment: Segment) -> str:
    """Return the ports that do not forward yet, for an error message; "" when all is settled.

    Machines' ports come to forward; between the bridges of a loop one port stays blocking.
    """
    machines = {port_name(name, host, cable) for host, name, cable in network.attachments()}
    states: dict[str, str] = {}
    for bridge in bridge_names(segment):
        states |= port_states(bridge)
    return ", ".join(
        f"{port} {state}"
        for port, state in states.items()
        if state != FORWARDING and (port in machines or state != BLOCKING)
    )


def set_forward_delay(bridge: str, forward_delay_s: int) -> None:
    """Change the forward delay of a bridge that runs: for the next port that comes up."""
    delay = str(forward_delay_s * _TICKS_S)
    _output(["ip", "link", "set", "dev", bridge, "type", "bridge", "forward_delay", delay])


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_DEADLINE_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", "") or str(error)
        raise CarplabError(f"{' '.join(command)} failed: {words.strip()}") from None

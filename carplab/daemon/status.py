"""What `carpd status` shows: the report that travels as JSON, and its table for people."""

from __future__ import annotations

import os
from typing import Any

from carplab import __version__
from carplab.carp.node import NodeStatus, VirtualHostStatus
from carplab.carp.virtual_host import DEFAULT_GROUP


def report(name: str, node: NodeStatus, ports: dict[str, str], now: float) -> dict[str, Any]:
    """Everything about a running carpd, as JSON takes it. `monotonic_s` is when it was true.

    `ports` has the interface that each failover set works through.
    """
    return {
        "name": name,
        "pid": os.getpid(),
        "version": __version__,
        "monotonic_s": now,
        "dialect": node.dialect,
        "preempt": node.preempt,
        "demotions": dict(node.demotions),
        "ports": ports,
        "virtual_hosts": [_virtual_host(host) for host in node.virtual_hosts],
        "statistics": dict(node.statistics),
    }


def table(status: dict[str, Any]) -> str:
    """A report as text, an interface a paragraph with lines like those of the BSDs' ifconfig."""
    preempt = "on" if status["preempt"] else "off"
    demotions = ", ".join(f"{group} {count}" for group, count in status["demotions"].items())
    lines = [
        f"{status['name']}: pid {status['pid']} dialect {status['dialect']} "
        f"preempt {preempt} demotion {demotions}"
    ]
    hosts = status["virtual_hosts"]
    for interface in dict.fromkeys(host["interface"] for host in hosts):
        here = [host for host in hosts if host["interface"] == interface]
        through = f" through {status['ports'][interface]}" if interface in status["ports"] else ""
        lines.append(f"{interface}: {f'up{through}' if here[0]['interface_up'] else 'no carrier'}")
        for host in here:
            lines += _host_lines(host)
    counted = [f"{name} {count}" for name, count in status["statistics"].items() if count]
    lines.append(f"statistics: {', '.join(counted) or 'nothing yet'}")
    return "\n".join(lines)


def _virtual_host(host: VirtualHostStatus) -> dict[str, Any]:
    return {
        "interface": host.key.interface,
        "vhid": host.key.vhid,
        "state": host.state.value,
        "enabled": host.enabled,
        "interface_up": host.interface_up,
        "advbase": host.advbase,
        "advskew": host.advskew,
        "effective_advskew": host.effective_advskew,
        "addresses": [str(address) for address in host.addresses],
        "groups": list(host.groups),
        "demotion": host.demotion,
    }


def _host_lines(host: dict[str, Any]) -> list[str]:
    skew = f"advskew {host['advskew']}"
    if host["effective_advskew"] != host["advskew"]:
        skew += f" (demoted to {host['effective_advskew']})"
    down = "" if host["enabled"] else " (down)"
    lines = [f"\tcarp: {host['state']} vhid {host['vhid']} advbase {host['advbase']} {skew}{down}"]
    if host["groups"] != [DEFAULT_GROUP]:
        lines.append(f"\t\tgroups {', '.join(host['groups'])} demotion {host['demotion']}")
    for address in host["addresses"]:
        lines.append(f"\t\tinet{'6' if ':' in address else ''} {address}")
    return lines

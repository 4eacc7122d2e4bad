"""What a session is asked to be. Plain data, handed to the holder when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from carplab.daemon import config
from carplab.daemon.config import DaemonConfig
from carplab.emulation.conntrackd_config import check_sync_section
from carplab.errors import UsageError, listed
from carplab.network import Interface, Network, Router, VirtualHost
from carplab.scenario import Traffic

DEFAULT_TRAFFIC = Traffic(probe_interval_s=0.01, ping_interval_s=0.1, iperf_mbps=5.0)


@dataclass(frozen=True)
class Lab:
    """Which lab a session is of: `values` are those drawn for the student."""

    name: str
    student: str
    folder: Path
    values: Mapping[str, Any]


@dataclass(frozen=True)
class SessionSpec:
    """The network and what runs on it.

    `configurations` are carpd's by firewall, TOML, where they are not those of the network; an
    empty one means that no carpd runs there. `scripts` are shell scripts by machine, run there when
    the network is up; on a firewall without carpd also after each boot. `sync_sections` are those
    called Sync of conntrackd.conf(5), by firewall, where they are not the network's; a network that
    does not share its connections has no use for them. `traffic` None sends nothing. With
    `wait_settled` the session is ready when the preferred ones are MASTER, else when everything has
    been started. It ends with the process `owner_pid`, if that is not 0.
    """

    title: str
    network: Network
    out: Path
    traffic: Traffic | None = DEFAULT_TRAFFIC
    settings: Mapping[str, Any] = field(default_factory=dict)
    configurations: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    sync_sections: Mapping[str, str] = field(default_factory=dict)
    wait_settled: bool = True
    lab: Lab | None = None
    framework: str = ""
    owner_pid: int = 0

    def configured_network(self) -> Network:
        """Return the network with its firewalls as configured. UsageError for what is wrong."""
        network = self.network
        for name, text in self.sync_sections.items():
            check_sync_section(text, f"{name}-sync.conf")
        for name, text in self.configurations.items():
            network = with_configuration(network, name, text)
        return network


def with_configuration(network: Network, name: str, text: str) -> Network:
    """Return the network with one firewall as its carpd is configured; none where that is empty.

    UsageError when carpd would refuse it, or for an interface that the firewall has not.
    """
    router = network.router(name)
    configured = _configured(router, text)
    return replace(
        network, routers=tuple(configured if each is router else each for each in network.routers)
    )


def _configured(router: Router, text: str) -> Router:
    if not text.strip():
        bare = tuple(replace(each, virtual_hosts=()) for each in router.interfaces)
        return replace(router, interfaces=bare)
    parsed = config.parse(text, f"{router.name}.toml")
    known = [router.carp_interface(each) for each in router.interfaces]
    for name in parsed.interfaces:
        if name not in known:
            raise UsageError(
                f"{parsed.source}: there is no interface {name!r} on {router.name}: "
                f"there are {listed(known)}"
            )
    return replace(
        router,
        interfaces=tuple(_with_virtual_hosts(router, each, parsed) for each in router.interfaces),
        preempt=parsed.node.preempt,
        dialect=parsed.node.dialect.name,
        arp_balance=parsed.node.arp_balance,
        extensions=parsed.node.extensions,
    )


def _with_virtual_hosts(router: Router, interface: Interface, parsed: DaemonConfig) -> Interface:
    found = tuple(
        VirtualHost(
            each.vhid, each.addresses, each.advbase, each.advskew, each.password, each.groups
        )
        for each in parsed.virtual_hosts_on(router.carp_interface(interface))
    )
    # Of the cables of a failover set the first one stands for all.
    return replace(interface, virtual_hosts=found if _stands_for(router, interface) else ())


def _stands_for(router: Router, interface: Interface) -> bool:
    return all(
        each.segment != interface.segment or each.cables[0] == interface.cable
        for each in router.failover_sets
    )

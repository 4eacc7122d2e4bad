"""The network under Mininet's own command, which knows neither this project nor its interpreter."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carplab.carp.extensions import Extensions, Settled
from carplab.daemon.config import DaemonConfig, parse
from carplab.emulation.carpd_config import render
from carplab.emulation.controller import ControllerProcess
from carplab.network import Router
from carplab.settings import apply_settings
from tests.emulation.lab import PROJECT, left_behind
from topo.firewall_pair import firewall_pair

DEADLINE_S = 20.0
UNTIL_ANSWERED = "until ping -c 1 -W 1 10.0.1.100 &> /dev/null; do sleep 0.2; done; echo answered"


def load(router: Router, folder: Path) -> DaemonConfig:
    """What carpd reads of what is rendered for it."""
    return parse(render(router, folder), f"{router.name}.toml")


def test_rendered_configuration_is_what_carpd_reads(tmp_path: Path) -> None:
    network = apply_settings(
        firewall_pair(), ["dialect=freebsd", 'fw2.password=a"\\é', "fw2.preempt=no"]
    )
    loaded = load(network.router("fw2"), tmp_path)
    assert (loaded.name, Path(loaded.run_dir)) == ("fw2", tmp_path)
    assert (loaded.node.dialect.name, loaded.node.preempt) == ("freebsd", False)
    outside, inside = loaded.node.virtual_hosts
    assert (outside.interface, outside.vhid, outside.advskew) == ("fw2-outside", 1, 100)
    assert (inside.interface, inside.vhid, inside.password) == ("fw2-inside", 2, 'a"\\é')
    assert [str(address) for address in inside.addresses] == ["10.0.2.1"]


def test_groups_and_failover_sets_reach_carpd(tmp_path: Path) -> None:
    demotion = load(firewall_pair(design="grouped-demotion").routers[0], tmp_path)
    assert [(host.interface, host.groups) for host in demotion.node.virtual_hosts] == [
        ("fw1-outside", ("outside1",)),
        ("fw1-outside-2", ("outside2",)),
        ("fw1-inside", ("inside1",)),
        ("fw1-inside-2", ("inside2",)),
    ]
    failover = load(firewall_pair(design="grouped-failover").routers[0], tmp_path)
    assert [host.interface for host in failover.node.virtual_hosts] == [
        "fw1-outside-set",
        "fw1-inside-set",
    ]
    assert failover.failover == {
        "fw1-outside-set": ("fw1-outside", "fw1-outside-2"),
        "fw1-inside-set": ("fw1-inside", "fw1-inside-2"),
    }


def test_balancing_and_extensions_reach_carpd(tmp_path: Path) -> None:
    settings = [
        "dialect=openbsd-3.8",
        "link_up_delay=2.5",
        "bulk_hold=30",
        "demote_until_settled=heard",
    ]
    network = apply_settings(firewall_pair(design="balanced", family="both"), settings)
    node = load(network.routers[0], tmp_path).node
    assert node.arp_balance
    assert node.extensions == Extensions(2.5, Settled.HEARD, 30)
    first = apply_settings(firewall_pair(), ["demotion_first=yes"]).routers[0]
    assert load(first, tmp_path).node.extensions == Extensions(demotion_first=True)
    plain = load(firewall_pair().routers[0], tmp_path).node
    assert (plain.arp_balance, plain.extensions) == (False, Extensions())


def test_second_cables_ignore_dead_routes() -> None:
    pytest.importorskip("mininet")
    from carplab.emulation.topology import router_commands

    network = firewall_pair(design="grouped-separate", family="both")
    commands = "\n".join(router_commands(network, network.routers[0], "user"))
    for version in (4, 6):
        assert f"net.ipv{version}.conf.all.ignore_routes_with_linkdown=1" in commands
    network = firewall_pair()
    commands = "\n".join(router_commands(network, network.routers[0], "user"))
    assert "linkdown" not in commands


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[ControllerProcess]:
    process = ControllerProcess(tmp_path / "controller.log")
    process.start()
    process.wait_ready()
    yield process
    process.stop()


@pytest.mark.root
@pytest.mark.mininet
def test_mn_runs_the_topology_with_carpd(controller: ControllerProcess) -> None:
    command = [
        "mn",
        "--custom",
        "topo/firewall_pair.py",
        "--topo",
        "firewall_pair,firewalls=3,design=grouped-separate,family=both",
        "--controller",
        f"remote,port={controller.ofp_port}",
    ]
    mn = subprocess.Popen(
        command,
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert mn.stdin
        # carpd needs 3 s to become MASTER.
        mn.stdin.write(f"client {UNTIL_ANSWERED}\nfw3 ip -br addr\nexit\n")
        mn.stdin.flush()
        output, _ = mn.communicate(timeout=4 * DEADLINE_S)
    finally:
        mn.kill()
        mn.wait()
    assert mn.returncode == 0, output
    assert "answered" in output
    assert "10.0.1.33/24" in output and "fd00:2::33/64" in output
    deadline_s = time.monotonic() + DEADLINE_S
    while left_behind() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert left_behind() == []
    running = subprocess.run(["pgrep", "-f", "/run/carpd/fw[123].toml"], capture_output=True)
    assert running.stdout == b""

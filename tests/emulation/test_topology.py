"""The network under Mininet's own command, which knows neither this project nor its interpreter."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carplab.emulation.carpd_config import render
from carplab.emulation.controller import ControllerProcess
from carplab.network import apply_settings
from tests.emulation.lab import PROJECT, left_behind
from topo.firewall_pair import firewall_pair

DEADLINE_S = 20.0
UNTIL_ANSWERED = "until ping -c 1 -W 1 10.0.1.100 &> /dev/null; do sleep 0.2; done; echo answered"


def test_rendered_configuration_is_what_carpd_reads(tmp_path: Path) -> None:
    config = pytest.importorskip("carplab.daemon.config")
    network = apply_settings(
        firewall_pair(), ["dialect=freebsd", 'fw2.password=a"\\é', "fw2.preempt=no"]
    )
    loaded = config.parse(render(network.router("fw2"), tmp_path), "fw2.toml")
    assert (loaded.name, Path(loaded.run_dir)) == ("fw2", tmp_path)
    assert (loaded.node.dialect.name, loaded.node.preempt) == ("freebsd", False)
    outside, inside = loaded.node.virtual_hosts
    assert (outside.interface, outside.vhid, outside.advskew) == ("fw2-outside", 1, 100)
    assert (inside.interface, inside.vhid, inside.password) == ("fw2-inside", 2, 'a"\\é')
    assert [str(address) for address in inside.addresses] == ["10.0.2.1"]


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
        "firewall_pair,firewalls=3",
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
    assert "10.0.1.13/24" in output
    deadline_s = time.monotonic() + DEADLINE_S
    while left_behind() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert left_behind() == []
    running = subprocess.run(["pgrep", "-f", "/run/carpd/fw[123].toml"], capture_output=True)
    assert running.stdout == b""

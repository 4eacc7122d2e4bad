"""NAT on the firewalls: its rules, and that conntrackd brings the connections where it should."""

from __future__ import annotations

import csv
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from carplab.cli import main
from carplab.emulation.conntrackd import Conntrackds
from carplab.emulation.conntrackd_config import hooks, render
from carplab.emulation.mininet_network import EmulatedNetwork
from carplab.emulation.nat import nat_commands, ruleset
from carplab.emulation.registry import Registry
from carplab.errors import CarplabError, UsageError
from carplab.network import Network
from carplab.settings import apply_settings
from tests.emulation.lab import FAST_TIMERS, write_experiment
from topo.firewall_pair import firewall_pair


def wait_for(what: str, condition: Callable[[], object], deadline_s: float = 5.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.02)


# --- rules and configuration ---


def test_a_firewall_without_nat_tracks_nothing() -> None:
    network = firewall_pair()
    assert nat_commands(network, network.routers[0]) == []


@pytest.mark.parametrize(("setting", "value"), [("yes", 1), ("no", 0)])
def test_who_is_inside_gets_the_virtual_address(setting: str, value: int) -> None:
    network = apply_settings(firewall_pair(), ["nat=static", f"tcp_loose={setting}"])
    nft, loose = nat_commands(network, network.router("fw2"))
    rule = 'oifname { "fw2-outside" } ip saddr { 10.0.2.0/24 } snat ip to 10.0.1.1;'
    assert rule in nft
    assert "masquerade" not in nft
    assert loose.endswith(f"nf_conntrack_tcp_loose={value}")


def test_each_family_is_translated_to_its_own_virtual_address() -> None:
    network = apply_settings(firewall_pair(family="both"), ["nat=static"])
    rules = ruleset(network, network.router("fw1"))
    assert "ip saddr { 10.0.2.0/24 } snat ip to 10.0.1.1;" in rules
    assert "ip6 saddr { fd00:2::/64 } snat ip6 to fd00:1::1;" in rules


@pytest.mark.parametrize("nat", ["static", "synced", "committed"])
def test_what_is_not_committed_yet_gets_no_reset(nat: str) -> None:
    network = apply_settings(firewall_pair(), [f"nat={nat}"])
    rules = ruleset(network, network.router("fw1"))
    quiet = "hook input priority filter; ct state new tcp flags & (syn | ack) != syn drop;"
    assert (quiet in rules) == (nat == "committed")


def test_nat_needs_an_outside() -> None:
    network = apply_settings(firewall_pair(), ["nat=static"])
    renamed = Network(
        network.name, network.segments[1:], network.routers, network.hosts[:1], network.links
    )
    with pytest.raises(UsageError, match="no segment called 'outside'"):
        apply_settings(renamed, [])


def test_conntrackd_knows_the_link_and_passes_over_what_is_the_firewalls_own(
    tmp_path: Path,
) -> None:
    network = apply_settings(firewall_pair(), ["nat=synced"])
    router = network.router("fw2")
    text = render(network, router, tmp_path)
    assert "IPv4_address 10.0.3.12\n        IPv4_Destination_Address 10.0.3.11" in text
    assert "Interface fw2-sync" in text
    ignored = text.partition("Address Ignore {")[2]
    for address in ("10.0.3.11", "10.0.3.12", "10.0.1.12", "10.0.2.12"):
        assert f"IPv4_address {address}\n" in ignored
    assert "DisableExternalCache yes" in text


def test_conntrackd_is_asked_for_its_cache_only_where_there_is_one(tmp_path: Path) -> None:
    def asked(nat: str) -> dict[str, list[str]]:
        network = apply_settings(firewall_pair(), [f"nat={nat}"])
        commands = hooks(network.router("fw2"), tmp_path)
        client = f"conntrackd -C {tmp_path}/fw2-conntrackd.conf "
        return {
            hook: [each.removeprefix(client) for each in words[-1].split(" && ")]
            for hook, words in commands.items()
        }

    assert asked("none") == asked("static") == {}
    assert asked("synced") == {"on_master": ["-R", "-B"]}
    assert asked("committed") == {"on_master": ["-c", "-R", "-B"], "on_backup": ["-t", "-n"]}
    network = apply_settings(firewall_pair(), ["nat=committed"])
    assert "DisableExternalCache no" in render(network, network.router("fw2"), tmp_path)


# --- conntrackd itself, in two namespaces joined by a link ---


class TwoFirewalls:
    """The two ends of a sync link, as much of an EmulatedNetwork as conntrackd needs."""

    def __init__(self) -> None:
        self.names = {name: f"nat{os.getpid()}-{name}" for name in ("fw1", "fw2")}

    def build(self, network: Network) -> None:
        for name in self.names.values():
            subprocess.run(["ip", "netns", "add", name], check=True)
        ends = [f"{name}-sync netns {self.names[name]}" for name in ("fw1", "fw2")]
        link = f"ip link add {ends[0]} type veth peer name {ends[1]}"
        subprocess.run(link.split(), check=True)
        for router in network.routers:
            (end,) = (each for each in network.links[0].ends if each[0] == router.name)
            self.run(router.name, "ip", "address", "add", str(end[1]), "dev", f"{end[0]}-sync")
            self.run(router.name, "ip", "link", "set", f"{end[0]}-sync", "up")
            for command in nat_commands(network, router):
                assert self.run(router.name, "sh", "-c", command) == ""

    def remove(self) -> None:
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=True)

    def popen(self, name: str, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["ip", "netns", "exec", self.names[name], *command], **options)

    def run(self, name: str, *command: str) -> str:
        process = self.popen(name, [*command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    def connections(self, name: str) -> str:
        """The TCP connections that this firewall's kernel knows."""
        return self.run(name, "conntrack", "--dump", "--proto", "tcp")


@pytest.fixture
def network() -> Network:
    return apply_settings(firewall_pair(), ["nat=synced"])


@pytest.fixture
def firewalls(network: Network) -> Iterator[TwoFirewalls]:
    firewalls = TwoFirewalls()
    try:
        firewalls.build(network)
        yield firewalls
    finally:
        firewalls.remove()


@pytest.fixture
def conntrackds(
    network: Network, firewalls: TwoFirewalls, tmp_path: Path
) -> Iterator[Conntrackds]:
    registry = SimpleNamespace(run_dir=tmp_path, add_process=lambda label, pid: None)
    conntrackds = Conntrackds(
        network, cast(EmulatedNetwork, firewalls), cast(Registry, registry)
    )
    try:
        conntrackds.start_all()
        yield conntrackds
    finally:
        conntrackds.stop()


CONNECTION = (
    "conntrack --create --proto tcp --src 10.0.2.100 --dst 10.0.1.100 --sport 1234 --dport 7111 "
    "--state ESTABLISHED --status ASSURED,SEEN_REPLY --src-nat 10.0.1.1 --timeout 100"
)
TRANSLATED = "src=10.0.1.100 dst=10.0.1.1 sport=7111 dport=1234 [ASSURED]"


@pytest.mark.root
def test_a_connection_is_in_the_other_kernel_and_comes_back_after_a_crash(
    network: Network, firewalls: TwoFirewalls, conntrackds: Conntrackds, tmp_path: Path
) -> None:
    firewalls.run("fw1", *CONNECTION.split())
    wait_for("fw2's kernel knows it", lambda: TRANSLATED in firewalls.connections("fw2"))

    conntrackds.kill("fw1")
    firewalls.run("fw1", "conntrack", "--flush")
    assert TRANSLATED not in firewalls.connections("fw1")
    assert TRANSLATED in firewalls.connections("fw2")
    firewalls.run("fw2", *hooks(network.router("fw2"), tmp_path)["on_master"])  # MASTER now

    conntrackds.start("fw1")
    wait_for("fw1 hears of it", lambda: TRANSLATED in firewalls.connections("fw1"))
    conntrackds.check()


@pytest.mark.root
def test_a_conntrackd_that_dies_is_named_and_a_frozen_one_stops(
    firewalls: TwoFirewalls, conntrackds: Conntrackds, tmp_path: Path
) -> None:
    conntrackds.freeze("fw2")
    conntrackds.check()
    firewalls.run("fw1", "conntrackd", "-C", str(tmp_path / "fw1-conntrackd.conf"), "-k")

    def complains() -> bool:
        try:
            conntrackds.check()
        except CarplabError as error:
            assert "conntrackd on fw1 ended by itself" in str(error)
            return True
        return False

    wait_for("its death is noticed", complains)


@pytest.mark.root
def test_a_conntrackd_that_cannot_start_says_why(
    network: Network, firewalls: TwoFirewalls, tmp_path: Path
) -> None:
    registry = SimpleNamespace(run_dir=tmp_path, add_process=lambda label, pid: None)
    conntrackds = Conntrackds(
        network, cast(EmulatedNetwork, firewalls), cast(Registry, registry)
    )
    (tmp_path / "fw1-conntrackd.conf").write_text("Sync { Mode NONSENSE }\n")
    try:
        with pytest.raises(CarplabError, match=r"conntrackd on fw1 ended .* \(exit code 1\)"):
            conntrackds.start_all()
    finally:
        conntrackds.stop()


# --- all of it ---

CRASH = '''
"""The MASTER crashes while the server pushes."""

from dataclasses import replace

from carplab.emulation.script import run_experiment
from carplab.scenario import Fault, scenario
from topo.firewall_pair import firewall_pair


def build(options):
    network = options.network(firewall_pair())
    traffic = replace(options.traffic(), stream="server", ping_interval_s=None)
    fault = Fault("crash", "fw1", 0.5, 3.5)
    return scenario("crash", network, [fault], 5.5, traffic)


if __name__ == "__main__":
    run_experiment(build)
'''


@pytest.mark.root
@pytest.mark.mininet
@pytest.mark.parametrize(
    ("nat", "survives"), [("static", False), ("synced", True), ("committed", True)]
)
def test_only_shared_connections_outlive_a_crash(tmp_path: Path, nat: str, survives: bool) -> None:
    experiment = write_experiment(tmp_path, CRASH)
    out = tmp_path / "results"
    words = [str(experiment), "--set", f"nat={nat}", *FAST_TIMERS, "--iperf", "none", "--seed", "7"]
    assert main(["run", *words, "--out", str(out), "--no-plots", "--quiet"]) == 0
    (folder,) = out.glob("*/*")
    with (folder / "events.csv").open() as file:
        events = list(csv.DictReader(file))
    resets = [row for row in events if (row["kind"], row["detail"]) == ("stream", "reset")]
    assert [row["source"] for row in resets] == ([] if survives else ["server"])
    told = {(row["source"], row["detail"]) for row in events if row["kind"] == "neighbour"}
    assert {("client", "10.0.2.1 is 00:00:5e:00:01:02")} < told

"""The designs of the firewall pair, run: who is MASTER of what while a cable is out."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.emulation.lab import left_behind, running, write_experiment

pytestmark = [pytest.mark.root, pytest.mark.mininet]

# advbase 0 makes all intervals fractions of a second: OpenBSD's fast timers keep the tests short.
EXPERIMENT = '''
"""The first firewall's first cable to the outside is out for two seconds."""

from dataclasses import replace

from carplab.scenario import Fault, scenario


def faster(virtual_host):
    return replace(virtual_host, advbase=0, advskew=32 + virtual_host.advskew // 2)


def faster_router(router):
    interfaces = tuple(
        replace(each, virtual_hosts=tuple(map(faster, each.virtual_hosts)))
        for each in router.interfaces
    )
    return replace(router, interfaces=interfaces)


def build(options):
    network = options.build_network()
    network = replace(network, routers=tuple(map(faster_router, network.routers)))
    flows = (("client2", "server2"),) if options.design == "balanced" else ()
    traffic = replace(options.traffic(), flows=flows)
    fault = Fault("link_down", "fw1", at_s=0.5, length_s=2, segment="outside")
    return scenario("designs", network, [fault], 4.5, traffic)
'''


@dataclass
class Event:
    """A line of events.csv of the time after the network had settled."""

    t_s: float
    source: str
    kind: str
    segment: str
    vhid: str
    detail: str

    @property
    def change(self) -> str:
        """A transition without its reason: `fw1 outside BACKUP -> MASTER`."""
        return f"{self.source} {self.segment} {self.detail.split(' (')[0]}"


def run(tmp_path: Path, *options: str) -> tuple[list[Event], float]:
    """Run the experiment; what happened while it was measured, and the longest outage, seconds."""
    path = write_experiment(tmp_path, EXPERIMENT)
    words = ["run", path, "--out", tmp_path / "results", "--iperf", "none", "--no-plots", *options]
    with running(*words) as cli:
        assert cli.wait() == 0, cli.output
    assert left_behind() == []
    (folder,) = (tmp_path / "results").glob("designs/*")
    with (folder / "events.csv").open() as file:
        events = [Event(float(row.pop("t_s")), **row) for row in csv.DictReader(file)]
    with (folder / "windows.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["window"] == "outage"]
    return events, max((float(row["length_s"]) for row in rows), default=0.0)


def changes(events: list[Event]) -> list[str]:
    return [event.change for event in events if event.kind == "carp" and event.t_s > 0]


def test_group_of_the_lost_cable_is_demoted_and_no_other(tmp_path: Path) -> None:
    events, outage_s = run(tmp_path, "--design", "grouped-demotion", "--family", "both")
    assert changes(events) == [
        "fw1 outside MASTER -> INIT",
        "fw1 outside/2 BACKUP -> MASTER",
        "fw1 outside INIT -> BACKUP",
        "fw1 outside BACKUP -> MASTER",
        "fw1 outside/2 MASTER -> BACKUP",
    ]
    demotions = [event.detail.split(" (")[0] for event in events if event.kind == "demotion"]
    assert demotions == ["outside1 0 -> 1", "outside1 1 -> 0"]
    # The second cable waits 3 x 57/256 s for the first one's advertisements, sent each 32/256 s.
    assert 0.5 < outage_s < 0.95


def test_failover_set_keeps_the_firewall_master(tmp_path: Path) -> None:
    events, outage_s = run(tmp_path, "--design", "grouped-failover", "--family", "ipv6")
    assert changes(events) == []
    ports = [event.segment for event in events if event.kind == "port" and event.t_s > 0]
    assert ports == ["outside/2", "outside"]
    assert outage_s < 0.4


def test_balanced_firewalls_share_the_clients_until_one_has_all(tmp_path: Path) -> None:
    events, _ = run(tmp_path, "--design", "balanced")
    answers = {
        (event.detail.split()[0], event.source, event.vhid)
        for event in events
        if (event.kind, event.segment) == ("arp", "inside") and event.t_s < 0
    }
    # XOR of the MAC addresses' bytes: even for the client, odd for client2.
    assert answers == {("10.0.2.100", "fw1", "2"), ("10.0.2.101", "fw2", "4")}
    repair_s = next(event.t_s for event in events if event.kind == "repair")
    masters = {
        (event.segment, event.vhid)
        for event in events
        if event.kind == "carp" and event.source == "fw2" and 0 < event.t_s < repair_s
        if "BACKUP -> MASTER" in event.detail
    }
    assert masters == {("outside", "1"), ("inside", "2")}

"""Segments that are Linux bridges: how they are made, and whole runs on them."""

from __future__ import annotations

import csv
import gzip
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from carplab.emulation.carrier import RTM_NEWLINK
from carplab.emulation.port_states import AF_BRIDGE, parse_port_states
from carplab.emulation.segments import bridge_names, bridge_of, bridge_options
from carplab.network import Segment
from carplab.settings import apply_settings
from tests.emulation.lab import FAST_TIMERS, left_behind, only_run, running, write_experiment
from tests.emulation.test_run import read_table, windows
from topo.firewall_pair import firewall_pair

FORWARD_DELAY_S = 2
ARP_RETRY_S = 1  # a firewall that has asked for the server through the blocked port asks again
LOSS = ("fault", "loss 50 %")
FAULTS = '''
"""Every fault that a bridge's cable can have."""

from carplab.scenario import Fault, scenario
from topo.firewall_pair import firewall_pair


def build(options):
    network = options.network(firewall_pair())
    faults = [
        Fault("link_down", "fw1", 0.5, 1, segment="outside"),
        Fault("flap", "fw1", 7.4, 1.3, segment="inside", period_s=0.5, count=2),
        Fault("hang", "fw1", 9.7, 1),
        Fault("crash", "fw1", 12.2, 1),
    ]
    return scenario("bridges", network, faults, 14.2, options.traffic())
'''

SPANNING_TREE_OF_RYU = '''
"""The faults that the fault injector is not asked for, on an OpenFlow switch."""

from carplab.scenario import Fault, scenario
from topo.firewall_pair import firewall_pair


def build(options):
    network = options.network(firewall_pair())
    faults = [
        Fault("link_down", "fw1", 0.5, 1, segment="outside"),
        Fault("blackhole", "fw1", 7.4, 1.2, segment="outside", direction="from_host"),
        Fault("loss", "fw1", 9.6, 1, segment="outside", percent=50),
    ]
    return scenario("ryu", network, faults, 11.7, options.traffic())
'''


def words_of(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def port_states(events: list[dict[str, str]], segment: str) -> list[tuple[float, str]]:
    """When fw1's port on the segment went into which state, from the start of the measurement."""
    return [
        (float(row["t_s"]), row["detail"].split()[-1])
        for row in events
        if (row["kind"], row["source"], row["segment"]) == ("port-state", "fw1", segment)
        and float(row["t_s"]) > 0
    ]


def answered(folder: Path, start_s: float, end_s: float) -> list[bool]:
    """Whether each probe that was sent between these times has come back."""
    with gzip.open(folder / "probe.csv.gz", "rt") as file:
        return [
            bool(row["returned_t_s"])
            for row in csv.DictReader(file)
            if start_s < float(row["sent_t_s"]) < end_s
        ]


def test_firewalls_of_a_loop_are_plugged_in_by_turns() -> None:
    network = apply_settings(firewall_pair(3), ["segment.outside=loop"])
    outside, inside = network.segments
    assert bridge_names(outside) == ["outside", "outside.2"]
    machines = ("fw1", "fw2", "fw3", "server")
    assert [bridge_of(network, outside, machine) for machine in machines] == [
        "outside",
        "outside.2",
        "outside",
        "outside",
    ]
    assert bridge_of(network, inside, "fw2") == "inside"


def test_options_of_the_kinds() -> None:
    def options(kind: str, number: int = 0) -> str:
        return bridge_options(Segment("outside", (), kind), number)

    assert "stp_state 1" in options("stp") and "forward_delay 1500" in options("stp")
    assert "priority 4096" in options("loop") and "priority" not in options("loop", 1)
    assert "mcast_snooping 1" in options("snooping")
    for kind in ("bridge", "stp-edge", "snooping-strict"):
        assert options(kind) == "stp_state 0 mcast_snooping 0 mcast_querier 0"


def test_port_states_are_read_from_messages_about_bridge_ports() -> None:
    def message(family: int, state: int) -> bytes:
        name = struct.pack("=HH", 4 + 12, 3) + b"outside-fw1\0"
        inner = struct.pack("=HHB3x", 5, 1, state)
        nested = struct.pack("=HH", 4 + len(inner), 12 | 0x8000) + inner
        body = struct.pack("=BxHiII", family, 1, 7, 1, 0) + name + nested
        return struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, 0, 0, 0) + body

    data = message(AF_BRIDGE, 1) + message(0, 2) + message(AF_BRIDGE, 3)
    assert parse_port_states(data) == [("outside-fw1", "listening"), ("outside-fw1", "forwarding")]


@pytest.mark.root
@pytest.mark.mininet
def test_faults_on_a_loop_and_on_a_strictly_snooping_switch(tmp_path: Path) -> None:
    out = tmp_path / "results"
    words = words_of(
        "segment.outside=loop",
        f"segment.outside.forward_delay={FORWARD_DELAY_S}",
        "segment.inside=snooping-strict",
    )
    path = write_experiment(tmp_path, FAULTS)
    words += ["--no-plots", "--out", str(out), "--seed", "1", *FAST_TIMERS]
    with running("run", path, *words) as cli:
        assert cli.wait() == 0, cli.output
    assert left_behind() == []
    assert "controller" not in only_run(out)
    (folder,) = out.glob("bridges/*")
    events = read_table(folder, "events.csv")

    # Spanning tree holds the port that comes back for two forward delays, and frames with it.
    states = port_states(events, "outside")[:4]
    assert [state for _, state in states] == ["disabled", "listening", "learning", "forwarding"]
    for (earlier_s, _), (later_s, _) in pairwise(states[1:]):
        assert later_s - earlier_s == pytest.approx(FORWARD_DELAY_S, abs=0.3)
    outage, *_ = windows(folder, "outage", "repair 1")  # the longest
    assert 2 * FORWARD_DELAY_S - 0.5 < outage < 2 * FORWARD_DELAY_S + ARP_RETRY_S + 0.5
    # A loop that is not broken would drown everything: each probe is answered before the fault.
    fault_s = next(float(row["t_s"]) for row in events if row["kind"] == "fault")
    before = answered(folder, 0, fault_s - 0.1)
    assert len(before) > 200 and all(before)

    # From its first pulled cable on no advertisement reaches the port, though they are sent.
    pulled_s = next(float(row["t_s"]) for row in events if row["detail"].startswith("flap"))
    inside = [row for row in events if row["segment"] == "inside" and float(row["t_s"]) > pulled_s]
    assert any((row["kind"], row["source"]) == ("sent", "fw2") for row in inside)
    assert not any((row["kind"], row["source"]) == ("heard", "fw1") for row in inside)
    assert any((row["kind"], row["source"]) == ("heard", "fw2") for row in inside)

    carrier = [row["detail"] for row in inside if row["kind"] == "carrier"]
    assert carrier == ["up", "down", "up", "down", "up"]  # the rest of the flap, the crash
    for number in (3, 4):  # hang and crash: 0.625 to 0.75 s, theory
        assert 0.6 < windows(folder, "failover", f"fault {number}")[0] < 0.95


@pytest.mark.root
@pytest.mark.mininet
def test_spanning_tree_of_ryu_beside_the_fault_injector(tmp_path: Path) -> None:
    out = tmp_path / "results"
    words = words_of("segment.outside=ryu-stp", f"segment.outside.forward_delay={FORWARD_DELAY_S}")
    path = write_experiment(tmp_path, SPANNING_TREE_OF_RYU)
    words += ["--no-plots", "--out", str(out), "--seed", "1", *FAST_TIMERS]
    with running("run", path, *words) as cli:
        assert cli.wait() == 0, cli.output
    assert left_behind() == []
    (folder,) = out.glob("ryu/*")
    events = read_table(folder, "events.csv")
    states = port_states(events, "outside")
    # Open vSwitch's first word on a lost carrier makes stplib listen for a moment.
    assert [state for _, state in states] == [
        "listening",
        "disabled",
        "listening",
        "learning",
        "forwarding",
    ]
    for (earlier_s, _), (later_s, _) in pairwise(states[2:]):
        assert later_s - earlier_s == pytest.approx(FORWARD_DELAY_S, abs=0.3)
    outage, *_ = windows(folder, "outage", "repair 1")  # the longest
    assert 2 * FORWARD_DELAY_S - 1 < outage < 2 * FORWARD_DELAY_S + ARP_RETRY_S + 0.5
    # What fw1 sends vanishes, what is sent to it arrives: both are MASTER until the repair.
    split, *_ = windows(folder, "split", "fault 2")
    assert split > 0.2
    (recovery, *_) = windows(folder, "recovery", "repair 2")
    assert recovery < 1
    (start_s,) = (float(r["t_s"]) for r in events if (r["kind"], r["detail"]) == LOSS)
    through = answered(folder, start_s, start_s + 0.9)
    assert 0.3 < sum(through) / len(through) < 0.7

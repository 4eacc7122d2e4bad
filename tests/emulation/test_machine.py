"""What a machine can do: words of real tools, and trials on the machine that runs the tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from carplab.emulation import machine
from carplab.emulation.machine import Trial

# First lines as Debian 12, Debian 13 and Ubuntu 22.04 print them.
SAID = [
    ("openvswitch", "ovs-vswitchd (Open vSwitch) 3.1.0\n", "3.1.0"),
    ("iperf3", "iperf 3.12 (cJSON 1.7.15)\nLinux vm 6.1.0-56-amd64\n", "3.12"),
    ("iperf", "iperf version 2.1.8 (12 August 2022) pthreads\n", "2.1.8"),
    ("ping", "ping from iputils 20221126\nlibcap: yes, IDN: yes\n", "20221126"),
    ("ping", "ping utility, iputils-s20190709\n", "20190709"),
    ("ucarp", "\nucarp 1.5.2 - Jan  3 2023\n\n", "1.5.2"),
    ("keepalived", "Keepalived v2.2.7 (01/16,2022)\n\nCopyright(C)\n", "2.2.7"),
    ("conntrack", "conntrack v1.4.7 (conntrack-tools)\n", "1.4.7"),
    ("conntrackd", "Connection tracking userspace daemon v1.4.7. Licensed under GPLv2.\n", "1.4.7"),
    ("ethtool", "ethtool version 6.1\n", "6.1"),
    ("nft", "nftables v1.0.6 (Lester Gooch #5)\n", "1.0.6"),
    ("tcpdump", "tcpdump version 4.99.3\nlibpcap version 1.10.3\n", "4.99.3"),
    ("ip", "ip utility, iproute2-6.1.0, libbpf 1.1.2\n", "6.1.0"),
    ("ip", "ip utility, iproute2-5.15.0, libbpf 0.5.0\n", "5.15.0"),
]


@pytest.mark.parametrize(("program", "output", "version"), SAID)
def test_version_is_found_in_what_a_program_says(program: str, output: str, version: str) -> None:
    match = re.search(machine.PROGRAMS[program][1], output, re.MULTILINE)
    assert match is not None
    assert match.group(1) == version


def test_every_program_has_a_sample() -> None:
    assert {program for program, _, _ in SAID} == set(machine.PROGRAMS)


def test_version_of_a_program_that_is_not_there() -> None:
    assert machine.read_program_version(["no-such-program"], r"(\d+)") is None


def test_version_of_a_program_that_says_something_else() -> None:
    assert machine.read_program_version(["true"], r"(\d+)") == "unknown"


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("Error: Specified qdisc kind is unknown.\n", "Specified qdisc kind is unknown."),
        ("RTNETLINK answers: Operation not permitted\n", "Operation not permitted"),
        (
            "modprobe: FATAL: Module openvswitch not found in directory /lib/modules/6.18\n",
            "Module openvswitch not found in directory /lib/modules/6.18",
        ),
        (
            "unshare: unshare failed: Operation not permitted\n",
            "unshare failed: Operation not permitted",
        ),
        ("", ""),
    ],
)
def test_complaint_is_the_last_line_without_the_tool(output: str, complaint: str) -> None:
    assert machine.parse_complaint(output) == complaint


@pytest.mark.parametrize(
    ("trial", "datapath", "word"),
    [
        (Trial(True), "kernel", "works"),
        (Trial(False, "Module openvswitch not found"), "user", "Module openvswitch not found"),
        (Trial(None, "only root can try"), "user", "only root can try"),
    ],
)
def test_datapath_follows_from_the_trial(trial: Trial, datapath: str, word: str) -> None:
    chosen, reason = machine.choose_datapath(trial)
    assert chosen == datapath
    assert word in reason


def test_settings_are_those_of_the_kernel() -> None:
    settings = machine.read_settings()
    path = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    assert settings["net.ipv4.tcp_congestion_control"] == path.read_text().strip()
    assert set(settings) <= set(machine.SETTINGS)


def test_record_of_the_machine_is_json() -> None:
    examined = machine.examine()
    record = json.loads(json.dumps(examined.as_dict()))
    assert record["datapath"] in {"kernel", "user"}
    assert record["cpus"] >= 1
    assert record["congestion_control"] == examined.congestion_control
    assert examined.versions["python"] == examined.python


def test_a_plain_user_is_told_that_only_root_can_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    assert machine.try_in_namespace("true") == Trial(None, "only root can try")


@pytest.mark.root
def test_trial_tells_what_failed_and_leaves_nothing() -> None:
    def interfaces() -> set[str]:
        return {path.name for path in Path("/sys/class/net").iterdir()}

    before = interfaces()
    works = machine.try_in_namespace("ip link add name probe0 type veth peer name probe1")
    fails = machine.try_in_namespace("ip link add name probe0 type no-such-type")
    assert works == Trial(True)
    assert fails.works is False
    assert "no-such-type" in fails.reason or "Unknown device type" in fails.reason
    assert not {"probe0", "probe1"} & (interfaces() - before)


@pytest.mark.mininet
def test_kernel_datapath_works_exactly_where_the_kernel_has_it() -> None:
    trial = machine.try_kernel_datapath()
    # Generic netlink lists the families of the loaded modules; the trial has loaded it if it can.
    loaded = Path("/sys/module/openvswitch").exists()
    assert trial.works is loaded, trial.reason

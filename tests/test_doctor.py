"""What the doctor makes of a machine, and that it works on this one."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import pytest

from carplab import doctor
from carplab.emulation import machine, openvswitch
from carplab.emulation.machine import Machine, Trial

PROGRAMS = [row[0] for row in doctor.PROGRAMS]
VERSIONS = dict.fromkeys(["openvswitch", "mininet", "ryu", "os-ken", *PROGRAMS], "1.0")
STOCK = Machine(
    kernel="6.1.0-56-amd64",
    distribution="Debian GNU/Linux 12 (bookworm)",
    python="3.11.2",
    cpu="some processor",
    cpus=2,
    root=True,
    datapath="kernel",
    datapath_reason="the kernel's Open vSwitch module works",
    kernel_datapath=Trial(True),
    namespaces=Trial(True),
    netem=Trial(True),
    macvlan=Trial(True),
    congestion_control="cubic",
    clocksource="tsc",
    settings={"net.ipv4.tcp_congestion_control": "cubic"},
    versions=VERSIONS,
)
BROKEN = Trial(False, "no such thing")


@pytest.fixture(autouse=True)
def all_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvswitch, "is_running", lambda: True)
    monkeypatch.setattr(openvswitch, "was_started_here", lambda: False)
    monkeypatch.setattr(doctor, "try_controller", lambda framework: "")


def examine(**changes: Any) -> dict[str, doctor.Finding]:
    findings = doctor.list_findings(dataclasses.replace(STOCK, **changes))
    return {finding.subject: finding for finding in findings}


def without(*names: str) -> dict[str, str | None]:
    return {name: None if name in names else version for name, version in VERSIONS.items()}


def run_doctor(*options: str) -> int:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["doctor", *options])
    code: int = arguments.handler(arguments)
    return code


def test_stock_machine_has_nothing_to_mend() -> None:
    findings = examine()
    assert {finding.level for finding in findings.values()} == {"ok"}
    assert [finding.mend for finding in findings.values() if finding.mend] == []


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"versions": without("mininet")}, "Mininet"),
        ({"versions": without("openvswitch")}, "Open vSwitch"),
        ({"versions": without("ryu")}, "ryu"),
        ({"versions": without("iperf3")}, "iperf3"),
        ({"versions": without("ping")}, "ping"),
        ({"namespaces": BROKEN}, "namespaces"),
        ({"macvlan": BROKEN}, "macvlan"),
    ],
)
def test_gap_is_named_with_what_mends_it(changes: dict[str, Any], subject: str) -> None:
    finding = examine(**changes)[subject]
    assert finding.level == "gap"
    assert finding.follows
    assert finding.mend
    assert not doctor.can_run([finding])


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"versions": without("os-ken")}, "os-ken"),
        ({"versions": without("ucarp")}, "ucarp"),
        ({"versions": without("keepalived")}, "keepalived"),
        ({"versions": without("conntrack")}, "conntrack"),
        ({"versions": without("conntrackd")}, "conntrackd"),
        ({"netem": BROKEN}, "netem"),
        ({"kernel_datapath": BROKEN, "datapath": "user"}, "datapath"),
    ],
)
def test_what_experiments_can_do_without_is_a_note(changes: dict[str, Any], subject: str) -> None:
    finding = examine(**changes)[subject]
    assert finding.level == "note"
    assert finding.mend
    assert doctor.can_run([finding])


def test_switch_that_does_not_run_is_started_by_the_first_experiment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvswitch, "is_running", lambda: False)
    finding = examine()["Open vSwitch"]
    assert finding.level == "note"
    assert finding.mend == openvswitch.start_command()


def test_switch_that_carplab_started_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvswitch, "was_started_here", lambda: True)
    assert "carplab started it" in examine()["Open vSwitch"].found


def test_controller_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "try_controller", lambda framework: "No module named 'six'")
    findings = examine()
    assert findings["ryu"].level == "gap"
    assert "No module named 'six'" in findings["ryu"].found
    assert findings["os-ken"].level == "note"


@pytest.mark.parametrize(("sudo", "level"), [("/usr/bin/sudo", "note"), (None, "gap")])
def test_plain_user_needs_sudo(
    sudo: str | None, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: sudo)
    untried = Trial(None, "only root can try")
    findings = examine(
        root=False, kernel_datapath=untried, namespaces=untried, netem=untried, macvlan=untried
    )
    assert findings["root"].level == level
    for subject in ("Open vSwitch", "datapath", "namespaces", "macvlan", "netem"):
        assert findings[subject].level == "unknown"


def test_missing_modules_are_a_package_on_ubuntu_only() -> None:
    on_ubuntu = examine(netem=BROKEN, distribution="Ubuntu 24.04.1 LTS")["netem"]
    assert "linux-modules-extra" in on_ubuntu.mend
    assert "linux-modules-extra" not in examine(netem=BROKEN)["netem"].mend


def test_settings_that_change_results_are_told() -> None:
    findings = examine(
        settings={
            "net.ipv4.conf.all.rp_filter": "2",
            "net.bridge.bridge-nf-call-arptables": "1",
            "net.bridge.bridge-nf-call-iptables": "0",
        },
        clocksource="acpi_pm",
        cpus=1,
        cpu="QEMU TCG CPU version 2.5+",
    )
    assert findings["net.ipv4.conf.all.rp_filter"].found == "2"
    assert findings["bridge-nf-call"].found == "arptables"
    assert findings["bridge-nf-call"].mend.endswith("bridge-nf-call-arptables=0")
    for subject in ("clock", "processors", "processor"):
        assert findings[subject].level == "note"


def test_table_names_gaps_and_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = dataclasses.replace(STOCK, versions=without("iperf3", "ucarp"))
    monkeypatch.setattr(machine, "examine", lambda: broken)
    assert run_doctor() == 1
    printed = capsys.readouterr().out
    assert "  iperf3: make setup\n" in printed
    assert printed.endswith("Experiments cannot run here before this is mended: iperf3.\n")


def test_json_has_findings_machine_and_versions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "examine", lambda: STOCK)
    assert run_doctor("--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["ready"] is True
    assert record["machine"]["datapath"] == "kernel"
    assert record["versions"]["ryu"] == "1.0"
    assert {"subject", "level", "found", "follows", "mend"} == set(record["findings"][0])

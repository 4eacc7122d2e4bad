"""`carplab doctor`: what this machine has for experiments, what follows, what mends each gap."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from carplab.errors import CarplabError

if TYPE_CHECKING:
    from carplab.emulation.machine import Machine, Trial

# "gap": experiments cannot run. "note": they can; something is missing or changes results.
Level = Literal["ok", "note", "unknown", "gap"]

STYLES = {"ok": "green", "note": "yellow", "unknown": "cyan", "gap": "bold red"}
SETUP = "make setup"
PRIVILEGES = "leave the container, or give it privileges (docker run --privileged)"
STEADY_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen")

# program in Machine.versions, whether experiments need it, what it is for, what installs it
PROGRAMS: tuple[tuple[str, bool, str, str], ...] = (
    ("ping", True, "the ping series", SETUP),
    ("iperf3", True, "the TCP throughput series", SETUP),
    ("iperf", False, "throughput by iperf 2 instead of iperf3", SETUP),
    ("ethtool", True, "switching off checksum offload on the userspace datapath", SETUP),
    ("nft", False, "the fault `loss`, and firewalls with NAT", SETUP),
    ("conntrack", False, "crashes of firewalls with NAT", SETUP),
    ("conntrackd", False, "firewalls that share their connections (nat=synced, committed)", SETUP),
    ("tcpdump", False, "captures with --pcap", SETUP),
    ("ucarp", False, "tests of carpd against another CARP", SETUP),
    ("keepalived", False, "the lab that sets CARP beside VRRP", SETUP),
)
BRIDGE_SETTINGS = (
    "net.bridge.bridge-nf-call-arptables",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
)
# sysctl that new hosts inherit, its usual value, what another one means
HOST_SETTINGS: tuple[tuple[str, str, str], ...] = (
    ("net.ipv4.conf.all.rp_filter", "0", "hosts start with it; carpd sets 0 while it runs"),
    ("net.ipv4.conf.all.arp_ignore", "0", "hosts start with it; carpd sets 1 while it runs"),
    ("net.ipv4.conf.all.arp_announce", "0", "hosts start with it; carpd sets 2 while it runs"),
    ("net.ipv6.conf.all.disable_ipv6", "0", "hosts may have no IPv6 virtual addresses"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    subject: str
    level: Level
    found: str
    follows: str = ""
    mend: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor", help="show what this machine has for experiments, and what mends each gap"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 0 when experiments can run here, 1 when not."""
    from carplab.emulation import machine

    examined = machine.examine()
    findings = list_findings(examined)
    ready = can_run(findings)
    if arguments.json:
        record = {
            "ready": ready,
            "findings": [asdict(finding) for finding in findings],
            "machine": examined.as_dict(),
            "versions": dict(examined.versions),
        }
        print(json.dumps(record, indent=2))
    else:
        print_table(findings, ready)
    return 0 if ready else 1


def can_run(findings: list[Finding]) -> bool:
    """Whether nothing that experiments need is known to be missing."""
    return all(finding.level != "gap" for finding in findings)


def list_findings(machine: Machine) -> list[Finding]:
    """Everything there is to say about the machine, in the order of the table."""
    modules = mend_modules(machine)
    return [
        judge_root(machine),
        judge_mininet(machine),
        judge_switch(machine),
        judge_datapath(machine),
        judge_trial("namespaces", machine.namespaces, "gap", "no hosts can be made", PRIVILEGES),
        judge_trial("macvlan", machine.macvlan, "gap", "carpd cannot have virtual MACs", modules),
        judge_trial("netem", machine.netem, "note", "no delay on links; faults do work", modules),
        judge_framework("ryu", machine),
        judge_framework("os-ken", machine),
        *judge_programs(machine),
        *judge_settings(machine),
    ]


def mend_modules(machine: Machine) -> str:
    """How to get kernel modules that are missing."""
    if "Ubuntu" in machine.distribution:
        return "sudo apt-get install linux-modules-extra-$(uname -r)"
    return "boot the distribution's own kernel"


def judge_root(machine: Machine) -> Finding:
    """Whether this is root, or a user who can become it."""
    if machine.root:
        return Finding("root", "ok", "yes")
    follows = "experiments need root; what only root can try is unknown below"
    if shutil.which("sudo"):
        return Finding(
            "root", "note", "no, but there is sudo", follows, "sudo .venv/bin/carplab ..."
        )
    return Finding("root", "gap", "no, and there is no sudo", follows, "log in as root")


def judge_mininet(machine: Machine) -> Finding:
    """Whether the Python that runs this sees Mininet."""
    version = machine.versions["mininet"]
    if version is not None:
        return Finding("Mininet", "ok", version)
    found = f"Python {machine.python} does not see it"
    return Finding(
        "Mininet", "gap", found, "no networks can be built", f"{SETUP}, then .venv/bin/carplab"
    )


def judge_switch(machine: Machine) -> Finding:
    """Whether Open vSwitch is there and runs."""
    from carplab.emulation import openvswitch

    version = machine.versions["openvswitch"]
    if version is None:
        return Finding("Open vSwitch", "gap", "not installed", "there are no switches", SETUP)
    if not machine.root:
        return Finding("Open vSwitch", "unknown", f"{version}; only root can ask whether it runs")
    if openvswitch.is_running():
        who = (
            " (carplab started it and leaves it running)" if openvswitch.was_started_here() else ""
        )
        return Finding("Open vSwitch", "ok", f"{version}, runs{who}")
    follows = "the first experiment starts it and leaves it running"
    return Finding(
        "Open vSwitch", "note", f"{version}, does not run", follows, openvswitch.start_command()
    )


def judge_datapath(machine: Machine) -> Finding:
    """What the switches forward with."""
    if machine.kernel_datapath.works is None:
        return Finding("datapath", "unknown", machine.kernel_datapath.reason)
    if machine.datapath == "kernel":
        return Finding("datapath", "ok", "kernel")
    follows = "throughput ends near 600 Mbit/s, and forwarding costs processor time"
    return Finding(
        "datapath", "note", f"user: {machine.datapath_reason}", follows, mend_modules(machine)
    )


def judge_trial(subject: str, trial: Trial, level: Level, follows: str, mend: str) -> Finding:
    """The outcome of a trial; `level` is what a failure amounts to."""
    if trial.works is None:
        return Finding(subject, "unknown", trial.reason)
    if trial.works:
        return Finding(subject, "ok", "works")
    return Finding(subject, level, f"does not work: {trial.reason}", follows, mend)


def judge_framework(name: str, machine: Machine) -> Finding:
    """Whether the controller starts on this framework; one that is not installed is not tried."""
    version = machine.versions[name]
    # Experiments run on Ryu unless told otherwise.
    level: Level = "gap" if name == "ryu" else "note"
    follows = "no controller, so no faults" if name == "ryu" else "only Ryu can be the controller"
    if version is None:
        return Finding(name, level, "not installed", follows, SETUP)
    complaint = try_controller(name)
    if complaint:
        return Finding(name, level, f"{version}: {complaint}", follows, SETUP)
    return Finding(name, "ok", f"{version}, starts")


def try_controller(framework: str) -> str:
    """Start the controller on free ports and end it; returns why it did not start, or ""."""
    from carplab.emulation.controller import ControllerProcess

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "controller.log")
        controller = ControllerProcess(log, ["--framework", framework])
        try:
            controller.start()
            controller.wait_ready()
        except CarplabError as error:
            return str(error)
        finally:
            controller.stop()
    return ""


def judge_programs(machine: Machine) -> Iterator[Finding]:
    """The programs that experiments and tests call."""
    for name, needed, purpose, mend in PROGRAMS:
        version = machine.versions[name]
        if version is not None:
            yield Finding(name, "ok", version)
            continue
        level: Level = "gap" if needed else "note"
        yield Finding(name, level, "not installed", f"needed for {purpose}", mend)


def judge_settings(machine: Machine) -> Iterator[Finding]:
    """What changes results without being missing."""
    control = machine.congestion_control
    follows = "TCP's recovery after an outage depends on it; every run records it"
    yield Finding("TCP congestion control", "ok", control, follows)
    yield from judge_bridge_settings(machine)
    for name, usual, follows in HOST_SETTINGS:
        value = machine.settings.get(name, usual)
        if value != usual:
            yield Finding(name, "ok", value, follows)
    if machine.clocksource not in STEADY_CLOCKS:
        yield Finding(
            "clock", "note", machine.clocksource, "reading the time is slow: expect more jitter"
        )
    if machine.cpus < 2:
        yield Finding(
            "processors", "note", str(machine.cpus), "the 1 ms probe will be late at times"
        )
    if "QEMU TCG" in machine.cpu or "QEMU Virtual" in machine.cpu:
        follows = "an emulated processor: trust no milliseconds"
        yield Finding("processor", "note", machine.cpu, follows, "use a virtual machine with KVM")


def judge_bridge_settings(machine: Machine) -> Iterator[Finding]:
    """Whether the machine's own firewall sees what Linux bridges forward."""
    names = [name for name in BRIDGE_SETTINGS if machine.settings.get(name, "0") != "0"]
    if not names:
        return
    found = ", ".join(name.rpartition("-")[2] for name in names)
    follows = "this machine's own nft rules see frames on Linux bridges (Open vSwitch: not)"
    mend = "sudo sysctl -w " + " ".join(f"{name}=0" for name in names)
    yield Finding("bridge-nf-call", "note", found, follows, mend)


def print_table(findings: list[Finding], ready: bool) -> None:
    """Print the table, the commands that mend each gap (whole, to be copied), and the verdict."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="carplab doctor")
    for column in ("", "what", "found", "what follows"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        level = Text(finding.level, style=STYLES[finding.level])
        table.add_row(level, *map(Text, (finding.subject, finding.found, finding.follows)))
    console = Console()
    console.print(table)
    mends = [finding for finding in findings if finding.mend]
    if mends:
        print("\nWhat mends it:")
        for finding in mends:
            print(f"  {finding.subject}: {finding.mend}")
    print("\n" + conclude(findings, ready))


def conclude(findings: list[Finding], ready: bool) -> str:
    """The verdict, in a sentence."""
    if not ready:
        gaps = ", ".join(finding.subject for finding in findings if finding.level == "gap")
        return f"Experiments cannot run here before this is mended: {gaps}."
    if any(finding.level == "unknown" for finding in findings):
        return (
            "Experiments can run here, as far as a plain user can tell: "
            "`sudo .venv/bin/carplab doctor` sees all."
        )
    return "Experiments can run here."

"""What this machine can do for an emulation, found by trying, and what on it changes results.

Every trial happens in a network namespace that ends with it, so that nothing stays behind and no
network that is being measured notices.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carplab.emulation import openvswitch
from carplab.errors import CarplabError

TRIAL_TIMEOUT_S = 10.0
ONLY_ROOT = "only root can try"

# Where a program says its version, and which of its words is it.
PROGRAMS: Mapping[str, tuple[list[str], str]] = {
    "openvswitch": (["ovs-vswitchd", "--version"], r"\(Open vSwitch\) (\S+)"),
    "iperf3": (["iperf3", "--version"], r"^iperf (\S+)"),
    "iperf": (["iperf", "-v"], r"^iperf version (\S+)"),
    "ping": (["ping", "-V"], r"iputils[- ](?:s)?(\S+)"),
    "ucarp": (["ucarp", "--help"], r"^ucarp (\S+)"),
    "keepalived": (["keepalived", "--version"], r"^Keepalived v(\S+)"),
    "conntrack": (["conntrack", "--version"], r"^conntrack v(\S+)"),
    "conntrackd": (["conntrackd", "-v"], r" v(\d[\d.]*\d)"),
    "ethtool": (["ethtool", "--version"], r"^ethtool version (\S+)"),
    "nft": (["nft", "--version"], r"^nftables v(\S+)"),
    "tcpdump": (["tcpdump", "--version"], r"^tcpdump version (\S+)"),
    "ip": (["ip", "-V"], r"iproute2-([^\s,]+)"),
}
DISTRIBUTIONS = ("mininet", "ryu", "os-ken", "eventlet", "setuptools")

# Hosts get these from the machine: Linux copies the IPv4 ones into each new network namespace
# (net.core.devconf_inherit_init_net, kernel Documentation/admin-guide/sysctl/net.rst), and the
# bridge ones and the congestion control hold for all of it.
SETTINGS = (
    "net.ipv4.tcp_congestion_control",
    "net.core.default_qdisc",
    "net.core.devconf_inherit_init_net",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv6.conf.all.disable_ipv6",
    "net.bridge.bridge-nf-call-arptables",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """Whether something works here; `works` is None where it could not be tried."""

    works: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine, as far as it matters to an emulation."""

    kernel: str
    distribution: str
    python: str
    cpu: str
    cpus: int
    root: bool
    datapath: str  # "kernel" or "user": what switches are made with
    datapath_reason: str
    kernel_datapath: Trial
    namespaces: Trial
    netem: Trial
    macvlan: Trial
    congestion_control: str
    clocksource: str
    settings: Mapping[str, str]  # sysctl -> value; those that the kernel does not have are absent
    versions: Mapping[str, str | None]  # None: not installed

    def as_dict(self) -> dict[str, Any]:
        """For a run's record, in plain types; it keeps the versions in a place of their own."""
        return {
            "kernel": self.kernel,
            "distribution": self.distribution,
            "cpu": self.cpu,
            "cpus": self.cpus,
            "datapath": self.datapath,
            "datapath_reason": self.datapath_reason,
            "netem": self.netem.works,
            "macvlan": self.macvlan.works,
            "congestion_control": self.congestion_control,
            "clocksource": self.clocksource,
            "settings": dict(self.settings),
        }


def examine() -> Machine:
    """Look at this machine; as root with trials, else with what a plain user can see."""
    kernel_datapath = try_kernel_datapath()
    datapath, reason = choose_datapath(kernel_datapath)
    settings = read_settings()
    return Machine(
        kernel=platform.release(),
        distribution=read_distribution(),
        python=platform.python_version(),
        cpu=read_cpu(),
        cpus=len(os.sched_getaffinity(0)),
        root=os.geteuid() == 0,
        datapath=datapath,
        datapath_reason=reason,
        kernel_datapath=kernel_datapath,
        namespaces=try_in_namespace("true"),
        netem=try_in_namespace("tc qdisc add dev lo root netem delay 1ms"),
        macvlan=try_in_namespace(
            "ip link add name probe0 type veth peer name probe1"
            " && ip link add link probe0 name probe2 type macvlan mode private"
        ),
        congestion_control=settings.get("net.ipv4.tcp_congestion_control", "unknown"),
        clocksource=_read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        settings=settings,
        versions=read_versions(),
    )


def choose_datapath(kernel_datapath: Trial) -> tuple[str, str]:
    """Return which datapath switches are made with, and why."""
    if kernel_datapath.works:
        return "kernel", "the kernel's Open vSwitch module works"
    if kernel_datapath.works is None:
        return "user", f"the kernel's Open vSwitch module was not tried: {kernel_datapath.reason}"
    return "user", f"the kernel's Open vSwitch module does not work: {kernel_datapath.reason}"


def try_kernel_datapath() -> Trial:
    """Whether the kernel makes an Open vSwitch datapath (ovs-dpctl(8): without the daemon)."""
    if not openvswitch.is_installed():
        return Trial(None, "Open vSwitch is not installed")
    if os.geteuid() != 0:
        return Trial(None, ONLY_ROOT)
    _, said_modprobe = _run(["modprobe", "openvswitch"])
    trial = try_in_namespace("ovs-dpctl --verbose=console:off add-dp carplab-probe")
    # A module that is built in or loaded already needs no modprobe; else its words say more.
    return trial if trial.works else Trial(False, parse_complaint(said_modprobe) or trial.reason)


def try_in_namespace(command: str) -> Trial:
    """Run a shell command in a network namespace of its own."""
    if os.geteuid() != 0:
        return Trial(None, ONLY_ROOT)
    code, output = _run(["unshare", "--net", "sh", "-c", command])
    if code == 0:
        return Trial(True)
    return Trial(False, parse_complaint(output) or f"`{command}` failed")


def parse_complaint(output: str) -> str:
    """The last line of what a tool wrote, without its own name in front."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return re.sub(r"^((\w|-)+|RTNETLINK answers): (FATAL: )?", "", lines[-1]) if lines else ""


def read_versions() -> dict[str, str | None]:
    """Version by name of Python, Mininet, the controllers' frameworks and the programs used."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        versions[name] = read_distribution_version(name)
    for name, (command, pattern) in PROGRAMS.items():
        versions[name] = read_program_version(command, pattern)
    return versions


def read_distribution_version(name: str) -> str | None:
    """The version of an installed Python distribution, None where this Python does not see it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def read_program_version(command: list[str], pattern: str) -> str | None:
    """What the program says of itself; "unknown" where it is there but says something else."""
    if shutil.which(command[0], path=openvswitch.search_path()) is None:
        return None
    _, output = _run(command)
    match = re.search(pattern, output, re.MULTILINE)
    return match.group(1) if match else "unknown"


def read_settings() -> dict[str, str]:
    """The kernel settings that change results, those that this kernel has."""
    paths = {name: Path("/proc/sys", *name.split(".")) for name in SETTINGS}
    return {name: _read(path) for name, path in paths.items() if path.exists()}


def read_distribution() -> str:
    """For example "Debian GNU/Linux 12 (bookworm)" (os-release(5))."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown"


def read_cpu() -> str:
    """The processor's name (proc_cpuinfo(5)); an emulated one shows here."""
    match = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return match.group(1) if match else platform.machine()


def sees_mininet() -> bool:
    """Whether this Python can import Mininet, a package of the distribution's own Python."""
    return importlib.util.find_spec("mininet") is not None


def require_mininet() -> None:
    """Raise CarplabError where this Python cannot import Mininet: it says what mends that."""
    if not sees_mininet():
        raise CarplabError(
            f"{sys.executable} does not see Mininet, a package of the distribution's own Python: "
            "run `make setup`"
        )


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def _run(command: list[str]) -> tuple[int, str]:
    """Return the exit code and all output; 127 where the program is missing, as a shell would."""
    try:
        completed = subprocess.run(
            command,
            env={**os.environ, "PATH": openvswitch.search_path(), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return 127, f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} did not end within {TRIAL_TIMEOUT_S:.0f} s"
    return completed.returncode, completed.stdout.decode(errors="replace")

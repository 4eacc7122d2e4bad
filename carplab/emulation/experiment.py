"""What an experiment is: a function `build(options)` that returns a scenario, in a script of its
own.

    def build(options: Options) -> Scenario:
        network = options.build_network()
        times = options.times(network)
        fault = Fault("link_down", "fw1", times.fault_s, times.broken_s, segment="outside")
        return scenario("my-experiment", network, [fault], times.duration_s, options.traffic())

    if __name__ == "__main__":
        run_experiment(build)  # of carplab.emulation.script

Started as a script or by `carplab run`, by its name or its path, it takes the same options. It may
also have `CONDITIONS`, a tuple of names from which `--condition` chooses (the first one without
it), and `judge(folder)`, which returns what to say about a finished run or series.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import inspect
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from carplab.errors import CarplabError, UsageError
from carplab.network import DEFAULT_DIALECT, Network
from carplab.scenario import Scenario, Traffic
from carplab.settings import apply_settings
from topo.firewall_pair import DESIGNS, FAMILIES, IPV4, SINGLE, firewall_pair

PROJECT = Path(__file__).resolve().parent.parent.parent
EXPERIMENTS = PROJECT / "experiments"
TOPOLOGIES = PROJECT / "topo"

IPERFS = ("iperf3", "iperf", "none")
FRAMEWORKS = ("", "ryu", "os-ken")
MOST_MBPS = 1000.0
PROBE_INTERVALS_MS = 1.0, 100.0


@dataclass(frozen=True)
class Times:
    """When the fault comes, how long it lasts and how long all is measured, in seconds."""

    fault_s: float
    broken_s: float
    duration_s: float


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line, the same for every experiment."""

    dialect: str = DEFAULT_DIALECT
    settings: tuple[str, ...] = ()
    design: str = SINGLE
    family: str = IPV4
    condition: str | None = None
    host: str | None = None
    segment: str | None = None
    cable: int = 1
    firewalls: int = 2
    iperf: str = "iperf3"
    bandwidth_mbps: float = 20.0
    probe_interval_ms: float = 1.0
    quick: bool = False
    repeat: int = 1
    seed: int | None = None
    out: Path = Path("results")
    pcap: bool = False
    no_plots: bool = False
    no_analysis: bool = False
    quiet: bool = False
    framework: str = ""
    ofp_port: int = 0
    api_port: int = 0

    def build_network(self) -> Network:
        """Return the firewall pair of `--firewalls`, `--design`, `--family` and the settings."""
        return self.network(
            firewall_pair(self.firewalls, design=self.design, family=self.family)
        )

    def network(self, network: Network) -> Network:
        """Return the network with `--dialect` and every `--set` applied, in this order."""
        return apply_settings(network, [f"dialect={self.dialect}", *self.settings])

    def traffic(self) -> Traffic:
        """Return the traffic that was asked for."""
        if self.iperf not in IPERFS:
            raise UsageError(f"unknown traffic tool {self.iperf!r}: known are {', '.join(IPERFS)}")
        if not 0 < self.bandwidth_mbps <= MOST_MBPS:
            raise UsageError(
                f"a bandwidth of {self.bandwidth_mbps:g} Mbit/s is out of range: above 0, to "
                f"{MOST_MBPS:g}"
            )
        shortest_ms, longest_ms = PROBE_INTERVALS_MS
        if not shortest_ms <= self.probe_interval_ms <= longest_ms:
            raise UsageError(
                f"a probe each {self.probe_interval_ms:g} ms is out of range: {shortest_ms:g} to "
                f"{longest_ms:g}"
            )
        return Traffic(
            probe_interval_s=self.probe_interval_ms / 1000,
            iperf=None if self.iperf == "none" else self.iperf,
            iperf_mbps=self.bandwidth_mbps,
        )

    def times(self, network: Network) -> Times:
        """Return times that leave room for a failover and a recovery in this network.

        25 s in all with the default timers, 13 s with `--quick`. A fault and a repair come up to
        two advertisement intervals after their time, for their phase.
        """
        interval_s = network.interval_s()
        before_s = 2.0 if self.quick else 4.0
        fail_over_s = 2 * interval_s + network.master_down_s()
        recover_s = 4 * interval_s + network.hold_s() + network.blocked_s()
        broken_s = max(6.0 if self.quick else 11.0, fail_over_s)
        after_s = max(5.0 if self.quick else 10.0, recover_s)
        return Times(before_s, broken_s, before_s + broken_s + after_s)

    def check(self) -> None:
        """Raise UsageError for what no experiment can do."""
        if self.framework not in FRAMEWORKS:
            known = ", ".join(name for name in FRAMEWORKS if name)
            raise UsageError(f"unknown framework {self.framework!r}: known are {known}")
        if self.repeat < 1:
            raise UsageError(f"--repeat {self.repeat} is out of range: 1 or more")
        for name, port in (("--ofp-port", self.ofp_port), ("--api-port", self.api_port)):
            if not 0 <= port <= 65535:
                raise UsageError(f"{name} {port} is out of range: 1 to 65535, or 0 for a free one")

    def record(self) -> dict[str, Any]:
        """Return the options that a run's record shows."""
        hidden = ("out", "quiet", "seed", "repeat", "no_plots", "no_analysis")
        values = {
            key: value for key, value in dataclasses.asdict(self).items() if key not in hidden
        }
        return {key: value for key, value in values.items() if value not in (None, "", (), 0)}

    def command(self, experiment: str, seed: int) -> str:
        """Return the command line that draws and runs the same again."""
        words = ["carplab", "run", experiment, "--seed", str(seed)]
        defaults = Options()
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            left_out = option.name in ("seed", "out", "quiet", "no_plots", "no_analysis")
            if left_out or value == getattr(defaults, option.name):
                continue
            flag = _flag(option.name)
            if value is True:
                words.append(flag)
            elif isinstance(value, tuple):
                words += [word for each in value for word in (flag, str(each))]
            else:
                words += [flag, str(value)]
        return shlex.join(words)


_FLAGS = {
    "settings": "--set",
    "bandwidth_mbps": "--bandwidth",
    "probe_interval_ms": "--probe-interval",
}
# By a condition:
_DECIDED = (
    "host", "segment", "firewalls", "design", "family", "quick", "iperf", "bandwidth_mbps",
    "probe_interval_ms",
)  # fmt: skip


def _flag(option: str) -> str:
    return _FLAGS.get(option, "--" + option.replace("_", "-"))


Build = Callable[[Options], Scenario]
Judge = Callable[[Path], str]


@dataclass(frozen=True)
class Experiment:
    """An experiment that was found; `summary` is the first line of its description.

    `question` is what that says of it, a paragraph each: for the record of a run.
    """

    name: str
    summary: str
    build: Build = field(compare=False)
    path: Path
    conditions: tuple[str, ...] = ()
    judge: Judge | None = field(default=None, compare=False)
    question: tuple[str, ...] = field(default=(), compare=False)

    def choose(self, options: Options) -> Options:
        """Return the options with one of this experiment's conditions, if it has any.

        UsageError for a condition that is not there, or an option that the condition decides.
        """
        defaults = Options()
        for name in _DECIDED if self.conditions else ():
            if getattr(options, name) != getattr(defaults, name):
                raise UsageError(
                    f"{self.name} has conditions, which decide {_flag(name)}: leave it out "
                    "(--set changes what a condition has)"
                )
        if options.condition is None:
            return replace(options, condition=self.conditions[0]) if self.conditions else options
        if options.condition in self.conditions:
            return options
        if not self.conditions:
            raise UsageError(
                f"{self.name} has no conditions: leave --condition {options.condition} out"
            )
        raise UsageError(
            f"{self.name} has no condition {options.condition!r}: "
            f"there are {', '.join(self.conditions)}"
        )


def add_network_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options that say which network it is, and return their group."""
    network = parser.add_argument_group("the network")
    network.add_argument(
        "--dialect",
        default=DEFAULT_DIALECT,
        help="generation of CARP: openbsd-3.8, openbsd, freebsd (%(default)s)",
    )
    network.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a setting, as in advbase=2, fw2.advskew=50, fw1.outside.password=x",
    )
    network.add_argument("--firewalls", type=int, default=2, metavar="N", help="(%(default)s)")
    network.add_argument(
        "--design",
        default=SINGLE,
        help=f"how CARP is laid over the firewalls: {', '.join(DESIGNS)} (%(default)s)",
    )
    network.add_argument("--family", default=IPV4, help=f"{', '.join(FAMILIES)} (%(default)s)")
    return network


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every experiment."""
    network = add_network_options(parser)
    network.add_argument(
        "--condition", metavar="NAME", help="which of the experiment's conditions (the first)"
    )
    fault = parser.add_argument_group("the fault")
    fault.add_argument("--host", help="which firewall it strikes (the preferred one)")
    fault.add_argument("--segment", "--interface", help="which of its cables (outside)")
    fault.add_argument(
        "--cable", type=int, default=1, metavar="N", help="if it has several there (%(default)s)"
    )
    fault.add_argument(
        "--seed", type=int, help="of the fault's phase; drawn and recorded if not given"
    )
    fault.add_argument("--repeat", type=int, default=1, metavar="N", help="times, a phase each")
    fault.add_argument("--quick", action="store_true", help="shorter: 13 s instead of 25")
    traffic = parser.add_argument_group("the traffic")
    traffic.add_argument("--iperf", default="iperf3", help="iperf3, iperf or none (%(default)s)")
    traffic.add_argument(
        "--bandwidth",
        dest="bandwidth_mbps",
        type=float,
        default=20.0,
        metavar="MBPS",
        help="what iperf sends, Mbit/s (%(default)g)",
    )
    traffic.add_argument(
        "--probe-interval",
        dest="probe_interval_ms",
        type=float,
        default=1.0,
        metavar="MS",
        help="time between two packets of the probe, ms (%(default)g)",
    )
    output = parser.add_argument_group("what it leaves and says")
    output.add_argument("--out", type=Path, default=Path("results"), help="folder (%(default)s)")
    output.add_argument(
        "--pcap",
        action="store_true",
        help="capture CARP, ARP and ICMP on each firewall's interfaces",
    )
    output.add_argument(
        "--no-plots",
        action="store_true",
        help="only the data and windows.csv: 'carplab report' draws the rest later",
    )
    output.add_argument(
        "--no-analysis",
        action="store_true",
        help="only the data: 'carplab report' finds the windows later, too",
    )
    output.add_argument("--quiet", action="store_true", help="say only what went wrong")
    controller = parser.add_argument_group("the controller")
    controller.add_argument("--framework", default="", help="ryu or os-ken (what is installed)")
    controller.add_argument(
        "--ofp-port", type=int, default=0, metavar="PORT", help="for the switches (a free one)"
    )
    controller.add_argument(
        "--api-port", type=int, default=0, metavar="PORT", help="for the HTTP API (a free one)"
    )


def options_from(arguments: argparse.Namespace) -> Options:
    """Return the options that were parsed; those that a command has not are as by default."""
    values = {
        option.name: getattr(arguments, option.name)
        for option in dataclasses.fields(Options)
        if hasattr(arguments, option.name)
    }
    options = Options(**{**values, "settings": tuple(arguments.settings)})
    options.check()
    return options


def find_experiment(name: str) -> Experiment:
    """Return the experiment of this name (`cable-pull`) or path (`./my_experiment.py`)."""
    if name.endswith(".py") or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no experiment at {name}")
        return _load(path)
    path = EXPERIMENTS / f"{name.replace('-', '_')}.py"
    if not path.is_file():
        known = ", ".join(experiment.name for experiment in list_experiments())
        raise UsageError(
            f"unknown experiment {name!r}: known are {known}; or give a path to a script"
        )
    return _load(path)


def list_experiments() -> list[Experiment]:
    """Return the experiments in the folder for them, by name."""
    return [_load(path) for path in _scripts(EXPERIMENTS)]


def list_topologies() -> list[tuple[str, str]]:
    """Return (name, first sentence) of the topologies in the folder for them."""
    return [(path.stem, _summary(import_script(path))) for path in _scripts(TOPOLOGIES)]


def _scripts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _load(path: Path) -> Experiment:
    return describe(import_script(path), path)


def describe(module: ModuleType, path: Path) -> Experiment:
    """Return the experiment of a script that was imported."""
    build = getattr(module, "build", None)
    if not callable(build):
        raise UsageError(f"{path} is no experiment: it has no function build(options)")
    conditions = tuple(getattr(module, "CONDITIONS", ()))
    judge = getattr(module, "judge", None)
    question = tuple(_paragraphs(module))
    return Experiment(_name(path), _summary(module), build, path, conditions, judge, question)


def import_script(path: Path) -> ModuleType:
    """Return the module of a Python file that is in no package; UsageError if it cannot be loaded.
    """
    spec = importlib.util.spec_from_file_location(f"carplab_script_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except CarplabError:
        raise
    except Exception as error:
        raise UsageError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from None
    return module


def _name(path: Path) -> str:
    """Return the experiment's name: cable-pull for cable_pull.py."""
    return path.stem.replace("_", "-")


def _paragraphs(module: ModuleType) -> Iterator[str]:
    """Yield the paragraphs of a script's description, each as one line; commands are no text."""
    for paragraph in (inspect.getdoc(module) or "").split("\n\n"):
        if paragraph.strip() and not paragraph.startswith(" "):
            yield " ".join(paragraph.split())


def _summary(module: ModuleType) -> str:
    lines = (inspect.getdoc(module) or "").splitlines()
    return lines[0] if lines else ""

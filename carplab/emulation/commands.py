"""`carplab run`, `carplab exec`, `carplab list` and `carplab clean`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from carplab.emulation.experiment import (
    add_options,
    find_experiment,
    list_experiments,
    list_topologies,
    options_from,
)
from carplab.emulation.script import start
from carplab.errors import CarplabError

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the four commands."""
    run = subparsers.add_parser("run", help="run an experiment on Mininet (root)")
    run.add_argument("experiment", help="its name, as 'carplab list' shows it, or a script's path")
    add_options(run)
    run.set_defaults(handler=_run)
    inside = subparsers.add_parser(
        "exec",
        help="run a command on a machine of the network that is running (root)",
        usage="carplab exec [-h] MACHINE [COMMAND ...]",
        description="Run a command on a machine of the network that is running: an experiment's, "
        "from another terminal, a lab's, a shell's. It has this terminal and these files; its "
        "exit code is the command's. 'carpd status' there asks the machine's own carpd.",
    )
    inside.add_argument("machine", metavar="MACHINE", help="as in fw1, client")
    inside.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="as in tcpdump -ni fw1-outside; a shell there, if left out",
    )
    inside.set_defaults(handler=_exec)
    listing = subparsers.add_parser("list", help="list experiments, topologies and recorded runs")
    listing.add_argument("--out", type=Path, default=Path("results"), help="folder (%(default)s)")
    listing.set_defaults(handler=_list)
    clean = subparsers.add_parser("clean", help="remove what a killed run has left (root)")
    clean.set_defaults(handler=_clean)


def _run(arguments: argparse.Namespace) -> int:
    start(find_experiment(arguments.experiment), options_from(arguments))
    return 0


def _exec(arguments: argparse.Namespace) -> int:
    from carplab.emulation.enter import enter

    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    enter(arguments.machine, words)


def _list(arguments: argparse.Namespace) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from carplab.recording import list_runs

    def table(*columns: str) -> Table:
        return Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)

    console = Console(highlight=False)
    experiments = table("experiment", "")
    for experiment in list_experiments():
        experiments.add_row(experiment.name, experiment.summary)
    topologies = table("topology", "")
    for name, summary in list_topologies():
        topologies.add_row(name, summary)
    runs = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    runs.add_column("run", no_wrap=True)
    runs.add_column("outcome")
    runs.add_column("reason")
    for run in list_runs(arguments.out):
        runs.add_row(f"{run.experiment}/{run.run}", run.outcome, run.reason or "")
    for each in (experiments, topologies):
        console.print(each)
    count = runs.row_count or "none"
    console.print(f"recorded runs in {arguments.out}: {count}", soft_wrap=True)
    if runs.row_count:
        console.print(runs)
    return 0


def _clean(_arguments: argparse.Namespace) -> int:
    from carplab.emulation.registry import clean

    if os.geteuid() != 0:
        raise CarplabError("cleaning needs root: run it with sudo")
    removed = clean()
    for text in removed:
        print(f"removed {text}")
    if not removed:
        print("nothing was left")
    return 0

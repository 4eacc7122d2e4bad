"""Starts an experiment: one that was found by its name, or its file as a script of its own."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from pathlib import Path
from typing import NoReturn

from carplab.command_line import Parser, run_command
from carplab.emulation import machine
from carplab.emulation.experiment import (
    Build,
    Experiment,
    Options,
    add_options,
    describe,
    options_from,
)
from carplab.errors import CarplabError


def start(experiment: Experiment, options: Options) -> None:
    """Run the experiment; CarplabError when it cannot, fails or is interrupted."""
    options = experiment.choose(options)
    scenario = experiment.build(options)
    if os.geteuid() != 0:
        raise CarplabError(
            f"running {scenario.experiment} needs root, for network namespaces: run it with sudo"
        )
    machine.require_mininet()
    # Mininet comes with this: looking at an experiment needs none.
    from carplab.emulation.runner import run

    folder = run(scenario, options, experiment.question)
    if experiment.judge and not (options.quiet or options.no_analysis):
        print(experiment.judge(folder))


def run_experiment(build: Build) -> NoReturn:
    """Run the experiment of this function; ends the process with its exit code."""
    path = Path(inspect.getfile(build))
    module = sys.modules[build.__module__]
    parser = Parser(
        prog=path.name,
        description=inspect.getdoc(module),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)

    def execute(arguments: argparse.Namespace) -> int:
        start(describe(module, path), options_from(arguments))
        return 0

    sys.exit(run_command(parser, execute))

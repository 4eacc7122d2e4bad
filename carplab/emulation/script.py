"""An experiment's file started as a script of its own."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import NoReturn

from carplab.command_line import Parser, run_command
from carplab.emulation.experiment import (
    Build,
    Experiment,
    add_options,
    options_from,
    script_name,
)
from carplab.emulation.runner import run


def run_experiment(build: Build) -> NoReturn:
    """Run the experiment of this function; ends the process with its exit code."""
    path = Path(inspect.getfile(build))
    parser = Parser(
        prog=path.name,
        description=inspect.getdoc(sys.modules[build.__module__]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)

    def execute(arguments: argparse.Namespace) -> int:
        run(Experiment(script_name(path), "", build, path), options_from(arguments))
        return 0

    sys.exit(run_command(parser, execute))

"""`carplab`: the command line.

Each subcommand lives beside what it runs, and adds its own parser. Their modules import what is
heavy (pandas, matplotlib, scapy) only when they run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from carplab import __version__, decode, doctor
from carplab.analysis import report
from carplab.command_line import Parser, run_command
from carplab.emulation import commands
from carplab.labs import commands as labs
from carplab.live import commands as live
from carplab.mail import commands as mail
from carplab.shell import commands as shell

DESCRIPTION = "Emulate, break and measure networks whose routers and firewalls run CARP."


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="carplab", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"carplab {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (commands, shell, live, report, labs, mail, decode, doctor):
        module.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    return run_command(build_parser(), lambda arguments: int(arguments.handler(arguments)), argv)


if __name__ == "__main__":
    sys.exit(main())

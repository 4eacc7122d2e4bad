"""`carplab`: the command line.

Each subcommand lives beside what it runs, and adds its own parser. Their modules import what is
heavy (pandas, matplotlib, scapy) only when they run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from carplab import __version__, decode, doctor
from carplab.analysis import report
from carplab.emulation import commands
from carplab.errors import CarplabError, UsageError

DESCRIPTION = "Emulate, break and measure networks whose routers and firewalls run CARP."


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command line as one sentence."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see '{self.prog} --help')")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="carplab", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"carplab {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (commands, report, decode, doctor):
        module.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0, 1 for trouble, 2 for a wrong command line."""
    try:
        arguments = build_parser().parse_args(argv)
        code: int = arguments.handler(arguments)
        sys.stdout.flush()
        return code
    except CarplabError as error:
        print(f"carplab: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # `carplab decode FILE | head`: the reader has enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())

"""`carplab shell`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from carplab.emulation.experiment import add_network_options

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    shell = subparsers.add_parser(
        "shell",
        help="Mininet's command line on a network that stays up, with words for CARP (root)",
        description="Mininet's command line, with words for CARP: carp, fault, lift, watch, plot. "
        "It attaches to the network that a lab, a live view or another shell keeps up; where there "
        "is none it starts one, which ends with it.",
    )
    shell.add_argument(
        "experiment",
        nargs="?",
        metavar="EXPERIMENT",
        help="start the network of this one, or of a script (the firewall pair)",
    )
    network = add_network_options(shell)
    network.add_argument(
        "--condition", metavar="NAME", help="which of the experiment's conditions (the first)"
    )
    shell.add_argument("--out", type=Path, default=Path("results"), help="folder (%(default)s)")
    shell.add_argument("--framework", default="", help="ryu or os-ken (what is installed)")
    shell.add_argument(
        "-c",
        dest="lines",
        metavar="COMMAND",
        action="append",
        help="do this and leave, as in -c 'fault crash fw1' -c 'watch 5'; so are lines of a pipe",
    )
    shell.set_defaults(handler=_shell)


def _shell(arguments: argparse.Namespace) -> int:
    from carplab.shell.start import run_shell

    return run_shell(arguments)

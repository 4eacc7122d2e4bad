"""`carplab live`: a page that shows a network while it runs, or a recorded run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from carplab.emulation.experiment import add_network_options, options_from
from carplab.errors import UsageError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

DEFAULT_PORT = 8078


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    live = subparsers.add_parser("live", help="show a network, or a recorded run, on a page")
    add_network_options(live)
    replay = live.add_argument_group("a recorded run")
    replay.add_argument("--replay", type=Path, metavar="RUN", help="its folder (needs no root)")
    replay.add_argument(
        "--speed", type=float, metavar="X", help="2 is twice as fast as it was recorded (1)"
    )
    page = live.add_argument_group("the page")
    page.add_argument(
        "--address", default="127.0.0.1", help="to listen on; others need a token (%(default)s)"
    )
    page.add_argument("--token", default="", help="what a viewer has to know")
    page.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0 for a free one (%(default)s)"
    )
    page.add_argument("--no-browser", action="store_true", help="only print the page's address")
    live.add_argument(
        "--out", type=Path, default=Path("results"), help="for what is recorded (%(default)s)"
    )
    live.set_defaults(handler=_live)


def _live(arguments: argparse.Namespace) -> int:
    from carplab.live.program import Page, show_network, show_recorded

    options = options_from(arguments)
    port = arguments.port
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port} is out of range: 1 to 65535, or 0 for a free one")
    page = Page(arguments.address, port, arguments.token, not arguments.no_browser)
    if arguments.replay is None:
        if arguments.speed is not None:
            raise UsageError("--speed is for a recorded run: give its folder with --replay")
        show_network(page, options)
    else:
        speed = 1.0 if arguments.speed is None else arguments.speed
        show_recorded(page, options, arguments.replay, speed)
    return 0

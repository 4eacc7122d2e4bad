"""The command `carpd`: run it, or talk to one that runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carplab.command_line import Parser, run_command
from carplab.daemon import control
from carplab.daemon.instance import DEFAULT_RUN_DIR, SOCKET_VARIABLE, socket_path
from carplab.errors import CarplabError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0, 1 for what went wrong, 2 for wrong usage."""
    return run_command(build_parser(), _execute, arguments)


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="carpd", description="CARP for Linux.")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--name", help="which carpd to talk to (default: the host name)")
    chosen.add_argument(
        "--socket",
        type=Path,
        help=f"its control socket, where run_dir is not the default (default: ${SOCKET_VARIABLE})",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run in the foreground until SIGTERM or SIGINT")
    described = "`python3 -m pydoc carplab.daemon.config` describes it"
    run.add_argument("config", type=Path, metavar="CONFIG.toml", help=described)
    status = commands.add_parser("status", help="show the virtual hosts and the demotion")
    status.add_argument("--json", action="store_true", help="as one JSON object")
    demote = commands.add_parser("demote", help="change a group's demotion by +N or -N")
    which = "which interface group (default: carp)"
    demote.add_argument("group", nargs="?", metavar="GROUP", help=which)
    demote.add_argument("delta", metavar="+N|-N", type=_signed)
    for name, what in (("down", "take a virtual host out"), ("up", "let it run again")):
        commands.add_parser(name, help=what).add_argument("vhid", type=_vhid, metavar="VHID")
    force = commands.add_parser("force", help="make a virtual host MASTER or BACKUP now")
    force.add_argument("state", choices=("master", "backup"), type=str.lower)
    force.add_argument("vhid", type=_vhid, metavar="VHID", help="as 1, or as 1@INTERFACE")
    events = commands.add_parser("events", help="show what happened, as JSON lines")
    events.add_argument("--follow", action="store_true", help="go on with what happens")
    return parser


def _execute(options: argparse.Namespace) -> int:
    if options.command == "run":
        _run(options.config)
        return 0
    path = _socket_path(options)
    if options.command == "status":
        _show_status(path, options.json)
    elif options.command == "events":
        _show_events(path, options.follow)
    else:
        control.request(path, _order(options))
    return 0


def _socket_path(options: argparse.Namespace) -> Path:
    """Return --socket, or that of --name, of the environment or of the host name, in this order."""
    if options.socket:
        return Path(options.socket)
    given = os.environ.get(SOCKET_VARIABLE)
    if given and not options.name:
        return Path(given)
    return socket_path(DEFAULT_RUN_DIR, options.name or socket.gethostname())


def _run(config_path: Path) -> None:
    # not needed by the other commands, which answer sooner without it
    from carplab.daemon import config, loop

    checked = config.load(config_path)
    if os.geteuid() != 0:
        raise CarplabError("`run` needs root: it opens packet sockets and creates interfaces")
    loop.run(checked)


def _show_status(path: Path, as_json: bool) -> None:
    from carplab.daemon import status

    report = control.request(path, {"command": "status"})
    print(json.dumps(report) if as_json else status.table(report))


def _show_events(path: Path, follow: bool) -> None:
    with control.EventStream(path, follow) as stream:
        for event in stream:
            print(json.dumps(event), flush=follow)


def _order(options: argparse.Namespace) -> dict[str, Any]:
    if options.command == "demote":
        group = {"group": options.group} if options.group else {}
        return {"command": "demote", "delta": options.delta, **group}
    order = {"command": options.command, **options.vhid}
    if options.command == "force":
        order["state"] = options.state.upper()
    return order


def _signed(text: str) -> int:
    if not re.fullmatch(r"[+-][0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form +N or -N")
    return int(text)


def _vhid(text: str) -> dict[str, Any]:
    number, at, interface = text.partition("@")
    if not number.isdecimal() or not 1 <= int(number) <= 255 or bool(at) != bool(interface):
        raise argparse.ArgumentTypeError(f"{text!r} is not a vhid from 1 to 255 or VHID@INTERFACE")
    return {"vhid": int(number), **({"interface": interface} if at else {})}


if __name__ == "__main__":
    sys.exit(main())

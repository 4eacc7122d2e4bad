"""Starts the fault injector on Ryu or os-ken: `python -m controllers.launch`.

Prints one JSON line when both ports listen, {"ofp_port": N, "api_port": M, "framework": "ryu
4.34"}; SIGTERM or SIGINT lifts every fault and ends it with code 0. An error is one sentence on
stderr and code 1.

With --spanning-tree it starts `controllers.spanning_tree` instead, which has no HTTP API and prints
the states of the ports after that line, without "api_port".
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from controllers.eventlet_shim import prepare_for_ryu

_FRAMEWORKS = ("ryu", "os-ken")
_START_TIMEOUT_S = 15.0
_FAULT_INJECTOR = "controllers.fault_injector"
_SPANNING_TREE = "controllers.spanning_tree"


class LaunchError(Exception):
    """The controller cannot be started; the text is one sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Run the controller until a signal ends it; the exit code."""
    options = _parse(arguments)
    _end_at_signals()
    try:
        if options.spanning_tree and options.framework == "os-ken":
            # os-ken 4 has native threads, which cannot be sent the exception that its stplib waits
            # for when a timer is over.
            raise LaunchError("The timers of os-ken's spanning tree never run out: use Ryu for it.")
        framework = _load_framework(options.framework)
    except LaunchError as problem:
        return _fail(str(problem))
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING)
    # Only now, because eventlet has to replace the parts of the standard library that they use.
    from controllers import listening

    ready: dict[str, Any] = {}
    try:
        if options.spanning_tree:
            application = {"forward_delays_s": dict(options.spanning_tree)}
        else:
            application = {"api_listener": listening.open_listener(options.api_port)}
            ready["api_port"] = application["api_listener"].getsockname()[1]
        ready["ofp_port"] = listening.choose_port(options.ofp_port)
        stop_requests = _watch_signals()
        finish = _start(ready["ofp_port"], application)
        _wait_until_listening(ready["ofp_port"])
    except (listening.PortTakenError, LaunchError) as problem:
        return _fail(str(problem))
    print(json.dumps({**ready, "framework": framework}), flush=True)
    stop_requests.recv(1)
    finish()
    return _leave(0)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m controllers.launch", description=__doc__)
    parser.add_argument("--framework", choices=_FRAMEWORKS, default="ryu")
    parser.add_argument("--ofp-port", type=_port, default=0, help="for switches; 0: a free one")
    parser.add_argument("--api-port", type=_port, default=0, help="for HTTP; 0: a free one")
    parser.add_argument(
        "--spanning-tree",
        type=_forward_delay,
        action="append",
        metavar="DPID:SECONDS",
        help="be a switch with spanning tree and this forward delay; once for each switch",
    )
    parser.add_argument("--verbose", action="store_true", help="log requests and switches too")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _forward_delay(text: str) -> tuple[int, int]:
    dpid, _, seconds = text.partition(":")
    if not dpid.isdecimal() or not seconds.isdecimal():
        raise argparse.ArgumentTypeError(f"DPID:SECONDS is a form such as 1:15, not {text!r}")
    return int(dpid), int(seconds)


def _load_framework(name: str) -> str:
    """Import Ryu or os-ken, which decides for controllers.frameworks; its name and version."""
    try:
        if name == "ryu":
            prepare_for_ryu()
            import ryu.lib.hub

            ryu.lib.hub.patch()
        else:
            import os_ken.lib.hub  # noqa: F401
    except ImportError as problem:
        raise LaunchError(f"{name} cannot be loaded: {problem}; run `make setup`.") from None
    return f"{name} {importlib.metadata.version(name)}"


def _end_at_signals() -> None:
    """End at once: nothing has been made that would have to be taken back."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: _leave(0))


def _watch_signals() -> socket.socket:
    """A socket that can be read once SIGTERM or SIGINT has come.

    That wakes green threads as well as native ones. It has to be made after eventlet is loaded.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            writer.send(b".")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request_stop)
    return reader


def _start(ofp_port: int, options: dict[str, Any]) -> Callable[[], None]:
    """Load and start the application with these options as ryu-manager does; what ends it."""
    from controllers import frameworks, listening

    frameworks.cfg.CONF(args=[], project="carplab", default_config_files=[])
    manager = frameworks.AppManager.get_instance()
    manager.load_apps([_SPANNING_TREE if "forward_delays_s" in options else _FAULT_INJECTOR])
    frameworks.cfg.CONF.set_override("ofp_tcp_listen_port", ofp_port)
    frameworks.cfg.CONF.set_override("ofp_listen_host", listening.LOOPBACK)
    manager.instantiate_apps(**options, **manager.create_contexts())
    injector = manager.applications.get("FaultInjector")
    return injector.finish if injector else lambda: None


def _wait_until_listening(port: int) -> None:
    from controllers import frameworks, listening

    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while os.getpid() not in [pid for pid, _name in listening.holders(port)]:
        if time.monotonic() > deadline_s:
            raise LaunchError(f"The OpenFlow server did not come up on port {port}.")
        frameworks.hub.sleep(0.01)


def _fail(sentence: str) -> int:
    print(f"controllers.launch: {sentence}", file=sys.stderr)
    return _leave(1)


def _leave(code: int) -> int:
    """End the process: os-ken's threads wait in accept() for ever and cannot be asked to return."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

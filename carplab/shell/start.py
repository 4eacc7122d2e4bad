"""Finds or starts the session that a shell is for, and runs the shell on it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from carplab.emulation import machine, registry
from carplab.emulation.experiment import Options, find_experiment, options_from
from carplab.errors import CarplabError, UsageError, listed
from carplab.network import Network, network_from_plain
from carplab.session.client import Session, find_session, start_session
from carplab.session.spec import SessionSpec

TITLE = "shell"


def run_shell(arguments: argparse.Namespace) -> int:
    """Run `carplab shell` and return its exit code: of lines that were given, that of the last."""
    lines: Iterable[str] | None = arguments.lines
    if lines is None and not sys.stdin.isatty():
        lines = sys.stdin
    with _session(arguments.experiment, options_from(arguments)) as session:
        return _run(session, lines)


def _run(session: Session, lines: Iterable[str] | None) -> int:
    machine.require_mininet()
    from carplab.shell.attached import AttachedNetwork
    from carplab.shell.command_line import CommandLine

    about = session.describe()
    record = registry.find_running()
    if record is None:
        raise CarplabError("the session has ended")
    network, sockets = network_from_plain(about["network"]), registry.run_dir(record)
    if lines is None:
        _greet(about)
    with AttachedNetwork(network, about["machines"], sockets, os.environ) as attached:
        origin_s = about["origin_monotonic_s"]
        done = CommandLine(attached, session, network, sockets, origin_s, lines)
    return 0 if lines is None else done.exit_code


@contextlib.contextmanager
def _session(experiment: str | None, options: Options) -> Iterator[Session]:
    """Yield the session that is running, or one that ends with the block."""
    session = _running_session()
    if session:
        with session:
            _refuse_options(session, experiment, options)
            yield session
        return
    spec = SessionSpec(
        experiment or TITLE,
        _network(experiment, options),
        options.out,
        settings=options.record(),
        framework=options.framework,
        owner_pid=os.getpid(),
    )
    with start_session(spec, on_progress=_say) as session:
        folder = session.describe()["folder"]
        _say("it is up, and ends with this shell")
        try:
            yield session
        finally:
            # On a connection of its own: an answer may be yet to come on the shell's.
            with find_session() as last:
                last.stop()
            _say(f"the network is taken down; what was recorded is in {folder}")


def _running_session() -> Session | None:
    try:
        return find_session()
    except CarplabError:
        return None  # what is wrong, if anything is, starting one says


def _refuse_options(session: Session, experiment: str | None, options: Options) -> None:
    if experiment or replace(options, out=Options().out) != Options():
        raise UsageError(
            f"a network is up already ({session.describe()['title']}): leave the options out to "
            "attach to it, or end it first"
        )


def _network(experiment: str | None, options: Options) -> Network:
    if experiment is None:
        return options.build_network()
    found = find_experiment(experiment)
    return found.build(found.choose(options)).network


def _greet(about: dict[str, Any]) -> None:
    print(f"{about['title']}: {listed(about['machines'])}; 'help' lists the words, 'exit' leaves")


def _say(text: str) -> None:
    print(text, file=sys.stderr)

"""Enters a machine of the network that is running on this computer, from another process.

A machine is a pair of namespaces, network and mounts: a process in them is on that machine, and
shares the files, the users and the host name with all others.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from carplab.daemon.instance import SOCKET_VARIABLE, socket_path
from carplab.emulation.registry import ROOT, Record, find_running, run_dir
from carplab.errors import CarplabError, UsageError, listed

SHELL = ("bash", "--norc")  # a .bashrc would set another prompt


def enter(machine: str, command: Sequence[str] = (), root: Path = ROOT) -> NoReturn:
    """Become the command on that machine, or a shell there: signals, terminal, exit code are its.

    CarplabError when nothing is running, UsageError for a machine or a program that is not there.
    """
    if os.geteuid() != 0:
        raise CarplabError("entering a machine needs root: run it with sudo")
    record = find_running(root)
    if record is None:
        raise CarplabError(
            "no network is running: 'carplab shell', 'carplab lab start', 'carplab run' start one"
        )
    pid = find_machine(record, machine)
    environment = machine_environment(machine, run_dir(record, root), os.environ)
    words = list(command) or list(SHELL)
    if shutil.which(words[0], path=environment["PATH"]) is None:
        raise UsageError(f"there is no program called {words[0]!r} to run on {machine}")
    os.execvpe("mnexec", ["mnexec", "-a", str(pid), *words], environment)


def find_machine(record: Record, name: str) -> int:
    """Return the pid of a process in the machine's namespaces; UsageError names those there are."""
    machines = record.machines()
    if not machines:
        raise CarplabError(f"the network of {record.what} is not there yet, or not any more")
    if name in machines:
        return machines[name]
    if Path("/sys/class/net", name).exists():
        raise UsageError(
            f"{name!r} is no machine with namespaces of its own, as a switch is not: leave "
            f"'carplab exec {name}' out, the command can be run as it is"
        )
    raise UsageError(
        f"there is no machine called {name!r}: there are {listed(sorted(machines))}"
    )


def machine_environment(
    machine: str, sockets: Path, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a command on a machine, made of that of who starts it.

    A shell says where it is, `carpd` is among the programs and talks to the machine's own carpd.
    """
    programs = [environment.get("PATH") or os.defpath, str(Path(sys.executable).parent)]
    return {
        **environment,
        "PATH": os.pathsep.join(programs),
        "PS1": rf"{machine}:\w\$ ",
        SOCKET_VARIABLE: str(socket_path(sockets, machine)),
    }

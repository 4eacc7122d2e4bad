"""Talks to a session from another process: `start_session`, `find_session`, :class:`Session`."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from carplab.emulation import machine
from carplab.errors import CarplabError, UsageError, listed
from carplab.session.protocol import encode, find_socket
from carplab.session.spec import SessionSpec

ANSWER_DEADLINE_S = 60.0  # spanning tree and slow machines: a boot, a restart take seconds
NONE_RUNS = (
    "no session is running: start one with 'carplab shell', 'carplab live' or 'carplab lab start'"
)


class Session:
    """A connection to a session. Use it as a context manager: its end leaves the session running.

    Methods raise CarplabError with the session's sentence, UsageError for what was asked wrongly.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection, self._lines = _connect(path)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._connection.close()

    def describe(self) -> dict[str, Any]:
        """What the session is: title, network (plain data), machines and their pids, folder..."""
        return self._ask("describe")

    def status(self) -> dict[str, Any]:
        """How it is now: virtual hosts and their states, demotions, carpd by firewall, faults.

        "conntrackd" has the sentence of each that does not run and should, by firewall.
        """
        return self._ask("status")

    def inject(
        self,
        kind: str,
        host: str,
        segment: str = "",
        cable: int = 1,
        direction: str = "both",
        percent: float = 0.0,
        period_s: float = 0.0,
        count: int = 0,
    ) -> dict[str, Any]:
        """Make a fault (`carplab.scenario.Fault`); its "id", and "t_s" when it took effect."""
        return self._ask(
            "inject",
            kind=kind,
            host=host,
            segment=segment,
            cable=cable,
            direction=direction,
            percent=percent,
            period_s=period_s,
            count=count,
        )

    def lift(self, number: int) -> dict[str, Any]:
        """Repair a fault by its id; "t_s" is when that took effect."""
        return self._ask("lift", number=number)

    def lift_all(self) -> dict[str, Any]:
        """Repair all faults, the last one first; "lifted" are their ids."""
        return self._ask("lift_all")

    def configure(self, router: str, text: str) -> dict[str, Any]:
        """Restart a firewall's carpd with this TOML text; a wrong one changes nothing."""
        return self._ask("configure", router=router, text=text)

    def spawn(self, machine: str, argv: list[str], label: str) -> dict[str, Any]:
        """Start a process on a machine that ends with the session; its "pid"."""
        return self._ask("spawn", machine=machine, argv=argv, label=label)

    def end(self, label: str) -> None:
        """End a process that `spawn` started."""
        self._ask("end", label=label)

    def stop(self) -> None:
        """End the session, and wait until everything is taken down."""
        self._ask("stop")
        while self._lines.readline():
            pass

    def run(
        self, machine: str, *argv: str, timeout_s: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a machine to its end. CarplabError when it takes longer."""
        try:
            return subprocess.run(
                enter_command(self.describe()["machines"], machine, argv),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise CarplabError(
                f"{' '.join(argv)} on {machine} took longer than {timeout_s:g} s"
            ) from None

    def follow(self) -> Iterator[dict[str, Any]]:
        """Yield the session's messages as they come, over a connection of its own, until it ends.

        First "status"; then "status" when something has changed, "event", "probe", "ping",
        "iperf", and "dropped" where this reader was too slow.
        """
        connection, lines = _connect(self._path)
        with connection, lines:
            _request(connection, lines, "follow", {})
            connection.settimeout(None)
            for line in lines:
                yield json.loads(line)

    def export(self, to: Path, seconds: float | None = None) -> Path:
        """Write what was recorded so far, or in the last seconds, as an analysed run into `to`."""
        from carplab.session.export import export_run

        active_since_s = [fault["since_t_s"] for fault in self.status()["faults"]]
        return export_run(Path(self.describe()["folder"]), to, seconds, active_since_s)

    def _ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return _request(self._connection, self._lines, command, arguments)


def find_session() -> Session:
    """Connect to the session that is running. CarplabError when none is."""
    if os.geteuid() != 0:
        raise CarplabError("talking to a session needs root, as its network does: use sudo")
    path = find_socket()
    if path is None:
        raise CarplabError(NONE_RUNS)
    return Session(path)


def start_session(spec: SessionSpec, on_progress: Callable[[str], None] = print) -> Session:
    """Start a session and connect to it when it is ready.

    `on_progress` is told each step. CarplabError or UsageError when it cannot be started.
    """
    if os.geteuid() != 0:
        raise CarplabError("a network of namespaces needs root: run it with sudo")
    machine.require_mininet()
    spec.configured_network()
    process = subprocess.Popen(
        [sys.executable, "-m", "carplab.session.holder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    with process.stdin as stdin:
        pickle.dump(spec, stdin)
    try:
        return Session(_wait_ready(process, process.stdout, on_progress))
    except BaseException:
        process.terminate()  # it takes down what it has made
        process.wait()
        raise
    finally:
        process.stdout.close()


def enter_command(machines: dict[str, int], machine: str, argv: tuple[str, ...]) -> list[str]:
    """Return the command that runs another one on a machine, mnexec(1)."""
    if machine not in machines:
        raise UsageError(f"there is no machine {machine!r}: there are {listed(machines)}")
    return ["mnexec", "-a", str(machines[machine]), *argv]


def _wait_ready(
    process: subprocess.Popen[bytes], lines: Any, on_progress: Callable[[str], None]
) -> Path:
    for line in lines:
        said = json.loads(line)
        if "ready" in said:
            return Path(said["ready"])
        if "error" in said:
            raise (UsageError if said["usage"] else CarplabError)(said["error"])
        on_progress(said["say"])
    raise CarplabError(f"the session has ended before it was ready (exit code {process.wait()})")


def _connect(path: Path) -> tuple[socket.socket, BinaryIO]:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_DEADLINE_S)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise CarplabError(NONE_RUNS) from None
    return connection, connection.makefile("rb")


def _request(
    connection: socket.socket, lines: BinaryIO, command: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    try:
        connection.sendall(encode({"command": command, **arguments}))
        line = lines.readline()
    except TimeoutError:
        raise CarplabError(f"the session does not answer {command!r}") from None
    except OSError:
        line = b""
    if not line:
        raise CarplabError("the session has ended")
    reply = json.loads(line)
    if not reply["ok"]:
        raise (UsageError if reply["usage"] else CarplabError)(reply["error"])
    result: dict[str, Any] = reply["result"]
    return result

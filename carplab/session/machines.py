"""Processes on a session's machines that are not carplab's own: scripts, and what they leave."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from carplab.emulation.mininet_network import EmulatedNetwork
from carplab.emulation.registry import Registry
from carplab.errors import UsageError, listed

STOP_DEADLINE_S = 3.0
POLL_S = 0.02


class Processes:
    """Processes that were started on request, by label. They end with the session."""

    def __init__(self, emulated: EmulatedNetwork, registry: Registry, log_dir: Path) -> None:
        self._emulated = emulated
        self._registry = registry
        self._log_dir = log_dir
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, machine: str, argv: list[str], label: str) -> int:
        """Start a command on a machine and return its pid; what it prints goes into its log."""
        with self._lock:
            if label in self._running and self._running[label].poll() is None:
                raise UsageError(f"there is already a process {label!r}: end it first")
            with (self._log_dir / f"{label}.log").open("wb") as log:
                try:
                    process = self._emulated.popen(
                        machine, argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                    )
                except OSError as error:
                    raise UsageError(f"cannot start {argv[0]!r}: {error.strerror}") from None
            self._running[label] = process
            self._registry.add_process(label, process.pid)
            return process.pid

    def end(self, label: str) -> None:
        """End a process: SIGTERM, and SIGKILL when that does not help."""
        with self._lock:
            if label not in self._running:
                known = listed(self._running) or "none"
                raise UsageError(f"there is no process {label!r}: there are {known}")
            _end(self._running.pop(label))

    def stop(self) -> None:
        """End all of them."""
        with self._lock:
            for process in self._running.values():
                _end(process)
            self._running.clear()


class ScriptedDaemon:
    """A firewall that a script makes redundant, with ucarp or keepalived for instance.

    What runs in its namespace is what the script has started, beside the machine's own shell.
    """

    what = "script"

    def __init__(
        self, name: str, emulated: EmulatedNetwork, registry: Registry, script: str
    ) -> None:
        self._name = name
        self._emulated = emulated
        self._registry = registry
        self._script = script

    @property
    def pid(self) -> int:
        return next(iter(self._pids()), 0)

    def start(self) -> float:
        """Run the script; it is not waited for."""
        started_s = time.monotonic()
        if self._script.strip():
            run_script(self._emulated, self._registry, self._name, self._script)
        return started_s

    def kill(self) -> float:
        self._signal(signal.SIGKILL)
        return time.monotonic()

    def freeze(self) -> float:
        self._signal(signal.SIGSTOP)
        return time.monotonic()

    def thaw(self) -> float:
        self._signal(signal.SIGCONT)
        return time.monotonic()

    def shut_down(self) -> float:
        told_s = time.monotonic()
        self._signal(signal.SIGTERM)
        while self.pid and time.monotonic() < told_s + STOP_DEADLINE_S:
            time.sleep(POLL_S)
        self._signal(signal.SIGKILL)
        return told_s

    def check(self) -> None:
        """Whatever the script has started may end when it likes."""

    def stop(self) -> None:
        self.thaw()
        self.shut_down()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self) -> Iterator[int]:
        shell = self._emulated.node(self._name).pid
        home = _namespace(shell)
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != shell and _namespace(int(entry)) == home:
                yield int(entry)


def run_script(emulated: EmulatedNetwork, registry: Registry, name: str, script: str) -> None:
    """Run a shell script on a machine; what it prints goes into NAME.script.log."""
    with (registry.run_dir / f"{name}.script.log").open("ab") as log:
        process = emulated.popen(
            name, ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    registry.add_process(f"script of {name}", process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # so that no zombie stays


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""A short experiment, run as a user runs it, and what must not be left behind by it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent.parent
RECORD = Path("/run/carplab/record.json")
DEADLINE_S = 60.0

# advbase 0 makes intervals of 1/8 and 1/4 s: OpenBSD's fast timers keep the tests short.
SHORT_EXPERIMENT = '''
"""A cable is out for a second and a half."""

from carplab.emulation.script import run_experiment
from carplab.scenario import Fault, scenario
from topo.firewall_pair import firewall_pair


def build(options):
    network = options.network(firewall_pair(options.firewalls))
    faults = [Fault("link_down", "fw1", at_s=0.5, length_s=1.5, segment="outside")]
    return scenario("short", network, faults, 3.5, options.traffic())


if __name__ == "__main__":
    run_experiment(build)
'''
FAST_TIMERS = ("--set", "advbase=0", "--set", "fw1.advskew=32", "--set", "fw2.advskew=64")


def write_experiment(folder: Path, text: str = SHORT_EXPERIMENT) -> Path:
    """Write the experiment as a user's own script."""
    path = folder / "short.py"
    path.write_text(text)
    return path


def command(*words: str | Path) -> list[str]:
    """Return the command line of `carplab WORDS` in this interpreter."""
    return [sys.executable, "-m", "carplab.cli", *map(str, words)]


class Cli:
    """A `carplab` that runs, whose lines are read as they come."""

    def __init__(self, *words: str | Path, before: tuple[str, ...] = ()) -> None:
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [*before, *command(*words)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def output(self) -> str:
        """What it has said so far."""
        return "".join(self.lines)

    def wait_for(self, text: str) -> None:
        """Return when a line with the text has come; the test fails if none comes."""
        deadline_s = time.monotonic() + DEADLINE_S
        while text not in self.output:
            self._next(deadline_s)

    def wait(self) -> int:
        """Return the exit code when it has ended and said everything."""
        deadline_s = time.monotonic() + DEADLINE_S
        with contextlib.suppress(EOFError):
            while True:
                self._next(deadline_s)
        return self.process.wait(DEADLINE_S)

    def _next(self, deadline_s: float) -> None:
        try:
            line = self._queue.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"nothing more was said after:\n{self.output}") from None
        if line is None:
            raise EOFError(f"it has ended after:\n{self.output}")
        self.lines.append(line)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)


@contextlib.contextmanager
def running(*words: str | Path, before: tuple[str, ...] = ()) -> Iterator[Cli]:
    """Run `carplab WORDS` while the block lasts; kill it after that, should it still be there."""
    cli = Cli(*words, before=before)
    try:
        yield cli
    finally:
        cli.process.kill()
        cli.process.wait()
        if RECORD.exists():
            subprocess.run(command("clean"), cwd=PROJECT, check=True, capture_output=True)


def recorded_pid(label: str) -> int:
    """Return the pid of the running experiment's process whose label begins so."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError, ValueError):
            processes = json.loads(RECORD.read_text())["processes"]
            for name, (pid, _) in processes.items():
                if name.startswith(label):
                    return int(pid)
        time.sleep(0.02)
    raise AssertionError(f"no process {label!r} was recorded")


def only_run(out: Path) -> dict[str, Any]:
    """Return run.json of the one run in the folder."""
    (path,) = out.glob("*/*/run.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def left_behind() -> list[str]:
    """Return what a run has left on the machine: nothing, one hopes."""
    bridges = subprocess.run(["ovs-vsctl", "list-br"], capture_output=True, text=True, check=True)
    found = [f"bridge {name}" for name in bridges.stdout.split()]
    found += [
        f"interface {name}"
        for name in os.listdir("/sys/class/net")
        if name.startswith(("outside", "inside", "fw", "client", "server"))
    ]
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if b"CARPLAB_RUN=" in Path(f"/proc/{entry}/environ").read_bytes():
                found.append(f"process {entry} {Path(f'/proc/{entry}/comm').read_text().strip()}")
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    found += [line for line in tables.stdout.splitlines() if "carplab" in line]
    if RECORD.parent.exists():
        found += [str(path) for path in RECORD.parent.iterdir() if path.name != "lock"]
    return found

"""The process that owns a session's network, from its start to its end.

`python -m carplab.session.holder` reads a SessionSpec from standard input, pickled by the process
that starts it, and prints a line of JSON for each step: {"say": text}, at last {"ready": socket} or
{"error": sentence, "usage": bool}. After that it is on its own, until it is told to stop, gets a
signal, or its owner has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import sys
import time
from datetime import datetime, timezone
from typing import Any

from carplab import __version__
from carplab.emulation import machine, openvswitch
from carplab.emulation.interruption import InterruptedRunError, Interruption
from carplab.emulation.machine import Machine
from carplab.emulation.registry import Registry
from carplab.emulation.running_network import Foundation
from carplab.errors import CarplabError, UsageError
from carplab.network import OPEN_VSWITCH_KINDS
from carplab.recording import Origin, RunFolder
from carplab.session.held import HeldNetwork
from carplab.session.protocol import socket_path
from carplab.session.server import Server
from carplab.session.spec import SessionSpec

EXPERIMENT = "session"
LOOK_S = 0.1


def main() -> int:
    """Hold the session that standard input describes."""
    spec: SessionSpec = pickle.load(sys.stdin.buffer)
    try:
        with Interruption() as interruption:
            _hold(spec, interruption)
    except InterruptedRunError:
        return 0
    except CarplabError as error:
        _tell(error=str(error), usage=isinstance(error, UsageError))
        return error.exit_code
    return 0


def _hold(spec: SessionSpec, interruption: Interruption) -> None:
    wants_openvswitch = any(each.kind in OPEN_VSWITCH_KINDS for each in spec.network.segments)
    if wants_openvswitch and openvswitch.ensure_running():
        _tell(say="started Open vSwitch, which did not run; it is left running")
    registry = Registry.acquire(spec.title)
    try:
        for text in registry.left_over:
            _tell(say=f"removed what a killed run had left: {text}")
        _Holder(spec, interruption, registry, machine.examine()).run()
    finally:
        registry.release()


class _Holder:
    def __init__(
        self, spec: SessionSpec, interruption: Interruption, registry: Registry, examined: Machine
    ) -> None:
        self._spec = spec
        self._interruption = interruption
        self._registry = registry
        name = spec.lab.name if spec.lab else EXPERIMENT
        self._folder = RunFolder.create(spec.out, name, Origin.now())
        registry.set_folder(self._folder.path)
        self._folder.write_run(**_description(spec, examined))
        foundation = Foundation(
            examined.datapath, registry, interruption.check, self._say, spec.framework
        )
        self._held = HeldNetwork(spec, foundation, self._folder, examined.datapath)

    def run(self) -> None:
        """Hold the network. What went wrong is in run.json too, and raised."""
        outcome, reason = "finished", None
        try:
            self._serve()
        except InterruptedRunError:
            pass
        except BaseException as error:
            outcome, reason = "failed", str(error)
            raise
        finally:
            self._held.stop()
            with contextlib.suppress(CarplabError):
                self._held.collect()
            self._folder.finish(outcome, reason=reason)

    def _serve(self) -> None:
        self._held.start()
        with Server(self._held, socket_path(self._registry.run_dir)) as server:
            _tell(ready=str(server.path))
            self._let_go_of_the_terminal()
            owner = _Owner(self._spec.owner_pid)
            while not (self._held.is_told_to_stop or owner.has_gone):
                self._held.look_after()
                self._interruption.sleep_until(time.monotonic() + LOOK_S)

    def _let_go_of_the_terminal(self) -> None:
        """From here on nobody reads what this process prints: it goes into a log."""
        log = os.open(self._registry.run_dir / "session.log", os.O_WRONLY | os.O_CREAT, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)

    def _say(self, phase: str, text: str) -> None:
        self._folder.write_run(phase=phase)
        _tell(say=text)


class _Owner:
    """The process for which the session is there; nobody, with pid 0."""

    def __init__(self, pid: int) -> None:
        self._fd = -1
        self._was_gone = False
        if pid:
            try:
                self._fd = os.pidfd_open(pid)
            except ProcessLookupError:
                self._was_gone = True

    @property
    def has_gone(self) -> bool:
        if self._fd < 0:
            return self._was_gone
        # A pidfd can be read from when its process has ended, pidfd_open(2).
        return bool(select.select([self._fd], [], [], 0)[0])


def _description(spec: SessionSpec, examined: Machine) -> dict[str, Any]:
    lab = {"lab": spec.lab.name, "student": spec.lab.student} if spec.lab else {}
    return {
        "started_wall": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "settings": {**spec.settings, **lab},
        "machine": examined.as_dict(),
        "versions": {"carplab": __version__, **examined.versions},
    }


def _tell(**message: Any) -> None:
    with contextlib.suppress(OSError):
        print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main())

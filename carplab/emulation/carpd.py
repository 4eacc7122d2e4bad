"""carpd on the firewalls: its process, its control socket and what it says about itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from carplab.daemon.control import EventStream
from carplab.emulation import carpd_config
from carplab.emulation.mininet_network import EmulatedNetwork
from carplab.emulation.priority import AHEAD_OF_TRAFFIC
from carplab.emulation.registry import Registry
from carplab.emulation.words import last_words
from carplab.errors import CarplabError
from carplab.network import Router

START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 5.0
POLL_S = 0.01

OnEvent = Callable[[str, dict[str, Any]], None]  # the firewall's name, a line of carpd's events


class Carpd:
    """One firewall's carpd, which may be killed, frozen and started again.

    `on_event` is called from a thread with each event, from the daemon's first one on. Its
    configuration is made from the description of the firewall; `configure` gives it another one.
    """

    what = "carpd"

    def __init__(
        self, network: EmulatedNetwork, registry: Registry, router: Router, on_event: OnEvent
    ) -> None:
        self.name = router.name
        self._network = network
        self._registry = registry
        self._on_event = on_event
        self._run_dir = registry.run_dir
        self._configuration = registry.run_dir / f"{self.name}.toml"
        self._log = registry.run_dir / f"{self.name}.log"
        self._socket = registry.run_dir / f"{self.name}.sock"
        self._configuration.write_text(carpd_config.render(router, registry.run_dir))
        self._process: subprocess.Popen[bytes] | None = None
        self._follower: threading.Thread | None = None

    def configure(self, text: str) -> None:
        """Take this configuration, TOML, from the next start on; it is to say no `run_dir`."""
        self._configuration.write_text(carpd_config.at_home(self.name, self._run_dir, text))

    @property
    def pid(self) -> int:
        """The process id; 0 while none runs."""
        return self._process.pid if self._process else 0

    def start(self) -> float:
        """Start carpd and follow its events; return when, on the monotonic clock.

        CarplabError with its last words when it does not open its control socket.
        """
        carpd = [sys.executable, "-m", "carplab.daemon.main", "run", str(self._configuration)]
        command = [*AHEAD_OF_TRAFFIC, *carpd]
        with self._log.open("wb") as log:
            self._process = self._network.popen(
                self.name, command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        started_s = time.monotonic()
        self._registry.add_process(f"carpd on {self.name}", self._process.pid)
        self._follow(self._connect())
        return started_s

    def kill(self) -> float:
        """SIGKILL it, as a crash does; return when: it does nothing more from then on."""
        assert self._process
        os.kill(self._process.pid, signal.SIGKILL)
        killed_s = time.monotonic()
        self._process.wait()
        self._ended()
        return killed_s

    def freeze(self) -> float:
        """Stop it in its tracks (SIGSTOP); return when."""
        os.kill(self.pid, signal.SIGSTOP)
        return time.monotonic()

    def thaw(self) -> float:
        """Let it go on (SIGCONT); return when."""
        os.kill(self.pid, signal.SIGCONT)
        return time.monotonic()

    def shut_down(self) -> float:
        """SIGTERM it, so that it bows out, and wait until it is gone; return when it was told."""
        assert self._process
        told_s = time.monotonic()
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise CarplabError(f"carpd on {self.name} does not end after SIGTERM") from None
        self._ended()
        return told_s

    def check(self) -> None:
        """Raise CarplabError when carpd has ended without having been told."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            self._ended()
            raise CarplabError(
                f"carpd on {self.name} ended in the middle of the run (exit code {code}): "
                f"{last_words(self._log)}"
            )

    def stop(self) -> None:
        """End it whatever state it is in. Never raises."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.thaw()
            self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ended()

    def _ended(self) -> None:
        self._process = None
        if self._follower:
            # The stream ends with the daemon; what it said last is read before the record goes on.
            self._follower.join(STOP_DEADLINE_S)
            self._follower = None

    def _connect(self) -> EventStream:
        deadline_s = time.monotonic() + START_DEADLINE_S
        while True:
            assert self._process
            if self._process.poll() is not None:
                self._process = None
                raise CarplabError(f"carpd on {self.name} does not start: {last_words(self._log)}")
            with contextlib.suppress(CarplabError):
                return EventStream(self._socket)
            if time.monotonic() > deadline_s:
                raise CarplabError(
                    f"carpd on {self.name} opens no control socket: {last_words(self._log)}"
                )
            time.sleep(POLL_S)

    def _follow(self, stream: EventStream) -> None:
        def report() -> None:
            with stream:
                for event in stream:
                    self._on_event(self.name, event)

        self._follower = threading.Thread(target=report, name=f"events-{self.name}", daemon=True)
        self._follower.start()

"""conntrackd on the firewalls that share their connections: it goes and comes with the machine.

What it is told, and why: :mod:`carplab.emulation.conntrackd_config`.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from carplab.emulation.conntrackd_config import configuration_file, render
from carplab.emulation.mininet_network import EmulatedNetwork
from carplab.emulation.registry import Registry
from carplab.emulation.words import last_words
from carplab.errors import CarplabError
from carplab.network import SHARED_NATS, Network, Router

START_DEADLINE_S = 5.0
STOP_DEADLINE_S = 3.0
POLL_S = 0.01


class Conntrackds:
    """Those of a network. A firewall without one is passed over.

    `sync_sections` are the sections Sync of those that somebody has written by hand: such a one may
    fail to start. `failed` says why one does not run, by firewall.
    """

    def __init__(
        self,
        network: Network,
        emulated: EmulatedNetwork,
        registry: Registry,
        sync_sections: Mapping[str, str] | None = None,
    ) -> None:
        self.failed: dict[str, str] = {}
        self._by_hand = sync_sections or {}
        self._daemons = {
            router.name: Conntrackd(
                network, emulated, registry, router, self._by_hand.get(router.name, "")
            )
            for router in network.routers
            if router.nat in SHARED_NATS
        }

    def start_all(self) -> None:
        """Start each of them."""
        for host in self._daemons:
            self.start(host)

    def start(self, host: str) -> None:
        """The machine has booted."""
        if host in self._daemons:
            self.failed.pop(host, None)
            try:
                self._daemons[host].start()
            except CarplabError as error:
                if host not in self._by_hand:
                    raise
                self.failed[host] = str(error)

    def kill(self, host: str) -> None:
        """The machine is gone."""
        if host in self._daemons:
            self._daemons[host].kill()

    def freeze(self, host: str) -> None:
        """The machine hangs."""
        if host in self._daemons:
            self._daemons[host].signal(signal.SIGSTOP)

    def thaw(self, host: str) -> None:
        """The machine goes on."""
        if host in self._daemons:
            self._daemons[host].signal(signal.SIGCONT)

    def check(self) -> None:
        """Raise CarplabError when one has ended by itself."""
        for daemon in self._daemons.values():
            daemon.check()

    def look_after(self) -> None:
        """Note those that have ended by themselves, where `check` raises."""
        for host, daemon in self._daemons.items():
            try:
                daemon.check()
            except CarplabError as error:
                self.failed[host] = str(error)

    def stop(self) -> None:
        """End each of them. Never raises."""
        for daemon in self._daemons.values():
            daemon.stop()


class Conntrackd:
    """One firewall's conntrackd."""

    def __init__(
        self,
        network: Network,
        emulated: EmulatedNetwork,
        registry: Registry,
        router: Router,
        sync_section: str = "",
    ) -> None:
        self.name = router.name
        self._emulated = emulated
        self._registry = registry
        self._configuration = configuration_file(router, registry.run_dir)
        text = render(network, router, registry.run_dir, sync_section)
        self._configuration.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it takes commands. CarplabError with its last words if not.

        One that was killed has left its lock and its socket.
        """
        for suffix in (".lock", ".sock"):
            self._file(suffix).unlink(missing_ok=True)
        command = ["conntrackd", "-C", str(self._configuration)]
        with self._file(".out").open("wb") as output:
            self._process = self._emulated.popen(
                self.name, command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._registry.add_process(f"conntrackd on {self.name}", self._process.pid)
        deadline_s = time.monotonic() + START_DEADLINE_S
        while not self._file(".sock").exists():
            self.check()
            if time.monotonic() > deadline_s:
                raise CarplabError(f"conntrackd on {self.name} takes no commands: {self._words()}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """SIGKILL it, unless it has ended by itself."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Stop it in its tracks (SIGSTOP), or let it go on (SIGCONT)."""
        if self._process is not None:
            self._process.send_signal(number)

    def check(self) -> None:
        """Raise CarplabError when it has ended without having been told."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            self._process = None
            raise CarplabError(
                f"conntrackd on {self.name} ended by itself (exit code {code}): {self._words()}"
            )

    def stop(self) -> None:
        """End it. Never raises."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _file(self, suffix: str) -> Path:
        return self._configuration.with_suffix(suffix)

    def _words(self) -> str:
        return last_words(self._file(".out"))

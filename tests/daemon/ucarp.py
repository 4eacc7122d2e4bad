"""Debian's ucarp on a host of the test segment.

ucarp reads its capture in blocks that libpcap hands over up to a second late, CAPTURE_TIMEOUT, so
it may hear an advertisement that much after it was sent. A MASTER that hears a faster one sends one
more advertisement before it steps down. It sends no bow-out.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.daemon.lab import PASSWORD, VIRTUAL_ADDRESS, Host, Lab, wait_for

HEARS_LATE_S = 1.0


class Ucarp:
    """One ucarp for virtual host 1, which preempts slower MASTERs."""

    def __init__(self, lab: Lab, host: Host, source: str, advskew: int, password: str = PASSWORD):
        self.source = source
        self._log = lab.folder / f"{host.name}-ucarp-{advskew}.log"
        up = self._script(lab, "up", "add")
        down = self._script(lab, "down", "delete")
        with self._log.open("ab") as output:
            self.process: subprocess.Popen[bytes] = lab.start(
                host,
                str(shutil.which("ucarp") or "/usr/sbin/ucarp"),
                "--preempt",
                "--shutdown",
                "--neutral",
                f"--interface={host.interface}",
                f"--srcip={source}",
                "--vhid=1",
                f"--pass={password}",
                f"--addr={VIRTUAL_ADDRESS}",
                f"--advskew={advskew}",
                f"--upscript={up}",
                f"--downscript={down}",
                stdout=output,
                stderr=output,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for_log(self, text: str, count: int = 1, deadline_s: float = 10.0) -> None:
        wait_for(f"ucarp logs {text!r}", lambda: self.log.count(text) >= count, deadline_s)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(5)

    @staticmethod
    def _script(lab: Lab, name: str, action: str) -> Path:
        path = lab.folder / f"ucarp-{name}.sh"
        path.write_text(f'#!/bin/sh\nexec ip addr {action} {VIRTUAL_ADDRESS}/32 dev "$1"\n')
        path.chmod(0o755)
        return path

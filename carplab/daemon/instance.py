"""One carpd a name: its files in run_dir, and the lock that keeps a second one out."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from carplab.errors import CarplabError

DEFAULT_RUN_DIR = Path("/run/carpd")
SOCKET_VARIABLE = "CARPD_SOCKET"  #: where the control socket is, for those who talk to carpd


class Instance:
    """The files of a running carpd: NAME.pid (locked while it runs), NAME.sock and NAME.state.

    Raises CarplabError, naming its pid, when a carpd of this name runs already.
    """

    def __init__(self, run_dir: Path, name: str) -> None:
        self.name = name
        self.socket_path = socket_path(run_dir, name)
        self.state_path = run_dir / f"{name}.state"
        self._pid_path = run_dir / f"{name}.pid"
        try:
            run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._lock = self._take_lock()
        except OSError as error:
            raise CarplabError(f"run_dir {run_dir}: {error.strerror} ({error.filename})") from None

    def release(self) -> None:
        """Let the name go. The files of others than the pid are theirs to remove."""
        with contextlib.suppress(FileNotFoundError):
            self._pid_path.unlink()
        os.close(self._lock)

    def _take_lock(self) -> int:
        while True:
            lock = os.open(self._pid_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.read(lock, 32).decode().strip()
                os.close(lock)
                raise CarplabError(
                    f"a carpd named {self.name} runs already, its pid is {pid or 'unknown'}"
                ) from None
            if self._is_current(lock):
                os.ftruncate(lock, 0)
                os.write(lock, f"{os.getpid()}\n".encode())
                return lock
            os.close(lock)

    def _is_current(self, lock: int) -> bool:
        """Whether the file was not removed by its last holder between our open and our lock."""
        try:
            return os.path.samestat(os.fstat(lock), self._pid_path.stat())
        except FileNotFoundError:
            return False


def socket_path(run_dir: Path, name: str) -> Path:
    """Where the control socket of the carpd of this name is."""
    return run_dir / f"{name}.sock"

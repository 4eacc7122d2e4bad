"""The user's commands at each change of state: on_master, on_backup and on_init.

They run one after another, in the order of the changes, with standard error as their output, in a
process group of their own: neither Ctrl-C nor carpd's end reaches them. The loop never waits for
one; each that ends wakes it through a pidfd (pidfd_open(2)). A command that hangs keeps those
behind it waiting, and nothing else. At carpd's end those that still wait are started together.
What a command gets to know is in its environment:

    CARPD_NAME        which carpd
    CARPD_INTERFACE   the virtual host's interface, or its failover set
    CARPD_VHID
    CARPD_OLD         the state before: INIT, BACKUP or MASTER
    CARPD_NEW         the state now
    CARPD_REASON      why, in the BSD kernels' words
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from carplab.carp.actions import Transition, VirtualHostKey

# what a shell says of a command it cannot start
CANNOT_START = 127

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HookResult:
    """How a command ended, after signal N with `exit_code` -N.

    One that could not start has the exit code 127, and `reason` tells why.
    """

    key: VirtualHostKey
    command: Command
    exit_code: int
    length_s: float
    reason: str = ""


class Hooks:
    """Runs `commands`, by the name of the new state; `ended` is told of each that is over.

    `name` is carpd's. A command that cannot start is told like one that ended.
    """

    def __init__(
        self,
        name: str,
        commands: Mapping[str, Command],
        selector: selectors.BaseSelector,
        ended: Callable[[HookResult], None],
    ) -> None:
        self._name = name
        self._commands = commands
        self._selector = selector
        self._ended = ended
        self._waiting: deque[Transition] = deque()
        self._running: _Running | None = None

    def note(self, transition: Transition) -> None:
        """Something to run for; start_waiting() starts it, when nothing more urgent is to be done.
        """
        if transition.new in self._commands:
            self._waiting.append(transition)

    def start_waiting(self) -> None:
        """Start what waits, unless another is running."""
        while self._waiting and self._running is None:
            started = self._start(self._waiting.popleft())
            if started is not None:
                self._running = started
                self._selector.register(started.pidfd, selectors.EVENT_READ, self._reap)

    def close(self) -> None:
        """Wait for nobody: what still waits for its turn is started now."""
        if self._running is not None:
            self._forget(self._running)
        while self._waiting:
            started = self._start(self._waiting.popleft())
            if started is not None:
                os.close(started.pidfd)

    def _start(self, transition: Transition) -> _Running | None:
        command = self._commands[transition.new]
        started_s = time.monotonic()
        try:
            pid = _spawn(command, self._environment(transition))
        except OSError as error:
            reason = error.strerror or str(error)
            self._ended(HookResult(transition.key, command, CANNOT_START, 0.0, reason))
            return None
        return _Running(transition.key, command, pid, os.pidfd_open(pid), started_s)

    def _environment(self, transition: Transition) -> dict[str, str]:
        return {
            **os.environ,
            "CARPD_NAME": self._name,
            "CARPD_INTERFACE": transition.key.interface,
            "CARPD_VHID": str(transition.key.vhid),
            "CARPD_OLD": transition.old,
            "CARPD_NEW": transition.new,
            "CARPD_REASON": transition.reason,
        }

    def _reap(self, _: int) -> None:
        running = self._running
        assert running is not None
        _, status = os.waitpid(running.pid, 0)
        length_s = time.monotonic() - running.started_s
        self._forget(running)
        exit_code = os.waitstatus_to_exitcode(status)
        self._ended(HookResult(running.key, running.command, exit_code, length_s))
        self.start_waiting()

    def _forget(self, running: _Running) -> None:
        self._running = None
        self._selector.unregister(running.pidfd)
        os.close(running.pidfd)


@dataclass(frozen=True, slots=True)
class _Running:
    key: VirtualHostKey
    command: Command
    pid: int
    pidfd: int
    started_s: float


def _spawn(command: Command, environment: dict[str, str]) -> int:
    """Start a command found on PATH. Returns its pid. Raises OSError."""
    # posix_spawn(3) shares carpd's memory until the command runs: it takes a millisecond, and tells
    # at once where there is no such command
    return os.posix_spawnp(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ],
        setpgroup=0,
        # Python ignores it, and what is ignored stays so across exec
        setsigdef=[signal.SIGPIPE],
    )

"""Ctrl-C and SIGTERM, taken between two steps instead of in the middle of one.

The handler only notes the signal; whoever waits, asks. So a step that makes or removes something is
never cut in two, and the clean-up that follows cannot be interrupted again.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from carplab.errors import CarplabError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_SLEEP_S = 0.05


class InterruptedRunError(CarplabError):
    """The user, or the system that shuts down, has ended the run."""


class Interruption:
    """Notes the first of the signals while it is active; use it as a context manager."""

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interruption:
        for number in SIGNALS:
            # nohup(1) has a run outlive its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def noted(self) -> bool:
        """Whether a signal has come."""
        return self._signal is not None

    @property
    def reason(self) -> str:
        """What came, in words."""
        return f"interrupted by {self._signal.name}" if self._signal else "not interrupted"

    def check(self) -> None:
        """Raise InterruptedRunError if a signal has come."""
        if self._signal is not None:
            raise InterruptedRunError(self.reason)

    def sleep_until(self, monotonic_s: float) -> None:
        """Sleep until that time of the monotonic clock, or raise as soon as a signal has come."""
        while (remaining_s := monotonic_s - time.monotonic()) > 0:
            self.check()
            time.sleep(min(remaining_s, LONGEST_SLEEP_S))
        self.check()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._signal is None:
            self._signal = signal.Signals(number)

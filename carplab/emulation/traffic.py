"""What all traffic through the firewalls has in common: two processes, their output, their rows.

A tool (probe, ping, iperf) starts a process on the server's host and one on the client's, keeps
what they print in raw files as it comes, and turns those files into the rows of one table of the
run. It knows no Mininet: an :class:`Endpoint` brings the function that starts a process on its
host.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, NamedTuple, Protocol

from carplab.errors import CarplabError
from carplab.recording import Event, Row, Table, writing

READY_DEADLINE_S = 5.0  #: for a server to listen; here it takes 0.1 s
STOP_DEADLINE_S = 3.0  #: for a process to end after SIGTERM, before it is killed
_POLL_S = 0.01
_LAST_WORDS_LENGTH = 300  # characters of a dead process's last line that an error repeats


class PopenLike(Protocol):
    """Starts a command on some host, like ``subprocess.Popen`` and Mininet's ``host.popen``."""

    def __call__(
        self,
        argv: list[str],
        /,
        *,
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
    ) -> subprocess.Popen[bytes]: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host that traffic starts or ends on, and the address at which others reach it."""

    name: str
    address: str
    popen: PopenLike


class Line(NamedTuple):
    """A line that a process printed, with the moment of its arrival.

    ``wall_offset_s`` is wall clock minus monotonic clock at that moment: it turns a wall-clock
    stamp in the line into a monotonic one, also when the wall clock is set in the middle of a run.
    """

    arrived_s: float
    wall_offset_s: float
    text: str


class Process:
    """One process of a tool, with its output in a file.

    ``stamped`` sends the output through a thread that puts the moment of arrival in front of each
    line; else the process writes the file by itself. Standard error goes where standard output
    goes.
    """

    def __init__(self, label: str, host: Endpoint, argv: list[str], output: Path, *, stamped: bool):
        self.label = f"{label} on {host.name}"
        self.output = output
        self._reader: threading.Thread | None = None
        self._failed: CarplabError | None = None
        with writing(output):
            file = open(output, "wb")  # noqa: SIM115 - lives as long as the process
        try:
            self.popen = host.popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if stamped else file,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            file.close()
            raise CarplabError(f"cannot start {self.label}: {argv[0]}: {error.strerror}") from error
        if not stamped:
            file.close()
            return
        self._reader = threading.Thread(
            target=self._copy_lines, args=(file,), name=self.label, daemon=True
        )
        self._reader.start()

    def check(self) -> None:
        """Raise CarplabError when the process has ended or its output cannot be kept."""
        if self._failed is not None:
            raise self._failed
        status = self.popen.poll()
        if status is None:
            return
        self._join_reader()
        how = f"status {status}" if status >= 0 else signal.Signals(-status).name
        words = self.last_words() or "it said nothing"
        raise CarplabError(f"{self.label} ended by itself ({how}): {words}")

    def stop(self) -> None:
        """End the process and wait for it: SIGTERM, and SIGKILL when that does not help."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self._join_reader()

    def last_words(self) -> str:
        """The last line that the process printed, for an error message."""
        with contextlib.suppress(OSError):
            lines = [line.strip() for line in self.text().splitlines()]
            return next((line for line in reversed(lines) if line), "")[:_LAST_WORDS_LENGTH]
        return ""

    def text(self) -> str:
        """What the process printed so far, without the stamps."""
        if self._reader is not None:
            return "\n".join(line.text for line in read_lines(self.output))
        return self.output.read_text(errors="replace")

    def _join_reader(self) -> None:
        if self._reader is not None:
            self._reader.join(STOP_DEADLINE_S)

    def _copy_lines(self, file: IO[bytes]) -> None:
        assert self.popen.stdout is not None
        try:
            with file, self.popen.stdout as lines:
                for line in lines:
                    arrived_s = time.monotonic()
                    offset_s = time.time() - arrived_s
                    file.write(b"%.6f %.6f " % (arrived_s, offset_s) + line)
                    file.flush()
        except OSError as error:
            try:
                with writing(self.output):
                    raise error
            except CarplabError as sentence:
                self._failed = sentence


class Traffic(ABC):
    """One tool that sends from a client to a server during a run."""

    name: ClassVar[str]
    table: Table
    compressed: ClassVar[bool] = False  # whether the table is long enough to be worth it

    def __init__(self) -> None:
        self._client: Process | None = None
        self._server: Process | None = None
        self._raw_dir: Path | None = None
        self._stopped = False

    @abstractmethod
    def start(self, client: Endpoint, server: Endpoint, raw_dir: Path) -> None:
        """Start the server's side, wait until it listens, then start the client's side.

        Raises CarplabError when one of them does not come up within 5 s.
        """

    @abstractmethod
    def read(self, raw_dir: Path, origin_s: float) -> list[Row]:
        """Make the rows of the table from the raw files of a run, as far as they go.

        Times become seconds minus ``origin_s`` (monotonic).
        """

    def read_events(self, raw_dir: Path) -> list[Event]:
        """What happened to the traffic itself, from the raw files of a run."""
        return []

    @abstractmethod
    def _has_flowed(self, raw_dir: Path) -> bool:
        """Whether the raw files show that anything came through."""

    def collect(self, origin_s: float) -> list[Row]:
        """:meth:`read` what this tool left; for after :meth:`stop`. Nothing if it never started."""
        return [] if self._raw_dir is None else self.read(self._raw_dir, origin_s)

    def collect_events(self) -> list[Event]:
        """:meth:`read_events` of this run; for after :meth:`stop`."""
        return [] if self._raw_dir is None else self.read_events(self._raw_dir)

    def wait_flowing(self, timeout_s: float) -> None:
        """Return when something came through.

        Raises CarplabError when nothing did within ``timeout_s``, or a process died.
        """
        missing = f"no {self.name} traffic came through within {timeout_s:g} s"
        self._wait(
            lambda: self._raw_dir is not None and self._has_flowed(self._raw_dir),
            timeout_s,
            missing,
        )

    def check(self) -> None:
        """Raise CarplabError when a process died; naming it, how it ended and its last words."""
        if self._stopped:
            return
        for process in (self._server, self._client):  # a client often dies of its server's death
            if process is not None:
                process.check()

    def stop(self) -> None:
        """End the processes, the sending one first. Never raises; calling it again does nothing."""
        self._stopped = True
        for process in (self._client, self._server):
            if process is not None:
                process.stop()

    @property
    def processes(self) -> tuple[tuple[str, int], ...]:
        """What runs: a label and the process id of each, for a record of what to clean up."""
        present = (process for process in (self._server, self._client) if process is not None)
        return tuple((process.label, process.popen.pid) for process in present)

    def _wait(self, reached: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not reached():
            self.check()
            if time.monotonic() > deadline_s:
                raise CarplabError(otherwise)
            time.sleep(_POLL_S)


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the stamped lines of a raw file; a last one that was cut off is left out."""
    if not path.exists():
        return
    with open(path, encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            yield parse_line(line)


def parse_line(line: str) -> Line:
    """Read a stamped line of a raw file."""
    arrived, offset, text = line.rstrip("\n").split(" ", 2)
    return Line(float(arrived), float(offset), text)

"""Talks to a carpd over its control socket: a Unix stream socket for root only, with JSON lines.

The requests:

    {"command": "status"}
    {"command": "demote", "delta": 1, "group": "outside"}
    {"command": "down", "vhid": 1}, and "up"
    {"command": "force", "vhid": 1, "state": "MASTER"}, or "BACKUP"
    {"command": "events", "follow": true}

"vhid" takes an "interface" beside it where it alone is ambiguous; "group" may be left out, the
group is "carp" then. The answer is {"ok": true, ...}
or {"ok": false, "error": one sentence}; after that of "events" come lines of carplab.daemon.events.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carplab.errors import CarplabError

_RECEIVE_BYTES = 1 << 16


def request(path: Path, message: dict[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
    """Ask the carpd whose control socket is at `path`. Raises CarplabError, also for a refusal."""
    with _connect(path, timeout_s) as connection, connection.makefile("rb") as answers:
        return _ask(connection, answers, message)


class EventStream:
    """The events of the carpd at `path`, the past ones first. Iterate it, or poll it with read().

    With `follow` it goes on until carpd ends or the stream is closed, else it ends with the past.
    Raises CarplabError.
    """

    def __init__(self, path: Path, follow: bool = True, timeout_s: float = 5.0) -> None:
        self._connection = _connect(path, timeout_s)
        self._received = b""
        self.ended = False
        try:
            self._connection.sendall(encode({"command": "events", "follow": follow}))
            self._answer()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each event when it comes, waiting for it."""
        self._connection.setblocking(True)
        while True:
            yield from self._complete()
            if self.ended:
                return
            self._receive()

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    def read(self) -> list[dict[str, Any]]:
        """The events that are here now, without waiting; `ended` tells that no more can come."""
        self._connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while not self.ended:
                self._receive()
        return self._complete()

    def _answer(self) -> None:
        while b"\n" not in self._received and not self.ended:
            try:
                self._receive()
            except TimeoutError:
                raise CarplabError("carpd does not answer on its control socket") from None
        line, _, self._received = self._received.partition(b"\n")
        _decode_answer(line)

    def _receive(self) -> None:
        try:
            data = self._connection.recv(_RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        self._received += data
        self.ended = not data

    def _complete(self) -> list[dict[str, Any]]:
        *lines, self._received = self._received.split(b"\n")
        return [json.loads(line) for line in lines]


def _connect(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(path))
    except PermissionError:
        connection.close()
        raise CarplabError(f"{path}: carpd takes orders from root only") from None
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        raise CarplabError(f"no carpd is running at {path}") from None
    except BlockingIOError:
        connection.close()
        raise CarplabError("carpd does not answer on its control socket") from None
    except OSError as error:
        connection.close()
        raise CarplabError(f"{path}: {error.strerror or error}") from None
    return connection


def _ask(connection: socket.socket, answers: Any, message: dict[str, Any]) -> dict[str, Any]:
    try:
        connection.sendall(encode(message))
        return _decode_answer(answers.readline())
    except TimeoutError:
        raise CarplabError("carpd does not answer on its control socket") from None
    except ConnectionError:
        raise CarplabError("carpd ended before it answered") from None


def _decode_answer(line: bytes) -> dict[str, Any]:
    if not line:
        raise CarplabError("carpd ended before it answered")
    answer = json.loads(line)
    if not answer.pop("ok"):
        raise CarplabError(str(answer["error"]))
    return dict(answer)


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"

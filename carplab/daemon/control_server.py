"""The control socket inside carpd; carplab.daemon.control describes the protocol.

Nothing here ever waits for a client: one that does not read what it asked for is cut off.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carplab.daemon.control import encode
from carplab.daemon.events import EventLog
from carplab.errors import CarplabError

_MAX_REQUEST_BYTES = 1 << 16
_MAX_UNSENT_BYTES = 1 << 22
_MAX_CLIENTS = 64
_RECEIVE_BYTES = 1 << 16

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ControlServer:
    """Listens at `path`, and answers each request with what `handle` returns for it.

    The sentence of a CarplabError or ValueError that `handle` raises becomes the answer's "error".
    """

    def __init__(
        self, path: Path, selector: selectors.BaseSelector, handle: Handler, events: EventLog
    ) -> None:
        self.path = path
        self.handle = handle
        self.events = events
        self.selector = selector
        self.clients: set[_Client] = set()
        self._listener = _listen(path)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Send what can be sent at once, close everything and remove the socket's file."""
        for client in tuple(self.clients):
            client.flush()
            client.close()
        self.selector.unregister(self._listener)
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError:
            return
        if len(self.clients) >= _MAX_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        self.clients.add(_Client(self, connection))


class _Client:
    """One connection: bytes that wait to be a request, bytes that wait to be sent."""

    def __init__(self, server: ControlServer, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._received = b""
        self._unsent = bytearray()
        self._following = False
        self._last_answer = False
        server.selector.register(connection, selectors.EVENT_READ, self._ready)

    def send(self, line: bytes) -> None:
        self._unsent += line
        self.flush()
        if len(self._unsent) > _MAX_UNSENT_BYTES:
            self.close()

    def flush(self) -> None:
        """Send as much as the socket takes now, and ask to be called again for the rest."""
        if self not in self._server.clients:
            return
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._last_answer and not self._unsent:
            self.close()
            return
        writing = selectors.EVENT_WRITE if self._unsent else 0
        self._server.selector.modify(self._connection, selectors.EVENT_READ | writing, self._ready)

    def close(self) -> None:
        if self not in self._server.clients:
            return
        self._server.clients.remove(self)
        if self._following:
            self._server.events.listeners.remove(self.send)
        self._server.selector.unregister(self._connection)
        self._connection.close()

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self.flush()
        if mask & selectors.EVENT_READ and self in self._server.clients:
            self._read()

    def _read(self) -> None:
        try:
            data = self._connection.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._answer(line)
        if len(self._received) > _MAX_REQUEST_BYTES:
            self.close()

    def _answer(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError("a request is a JSON object")
            if request.get("command") == "events":
                self._send_events(bool(request.get("follow")))
                return
            answer = {"ok": True, **self._server.handle(request)}
        except (CarplabError, ValueError, RecursionError) as error:
            answer = {"ok": False, "error": str(error)}
        self.send(encode(answer))

    def _send_events(self, follow: bool) -> None:
        self._last_answer = not follow
        if follow and not self._following:
            self._following = True
            self._server.events.listeners.append(self.send)
        self.send(encode({"ok": True}) + b"".join(self._server.events.past()))


def _listen(path: Path) -> socket.socket:
    # whoever holds the instance's lock owns the path: what is there is a dead carpd's
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise CarplabError(f"control socket {path}: {error.strerror or error}") from None
    finally:
        os.umask(previous)
    listener.listen(_MAX_CLIENTS)
    listener.setblocking(False)
    return listener

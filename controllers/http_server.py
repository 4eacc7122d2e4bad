"""Serves the HTTP API on a listening socket, one thread of `spawn` per connection.

http.server parses; its own accept loop is not used, because its selector may have been bound to the
real poll() before eventlet replaced it, and would then stop the whole controller while it waits.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from controllers import api
from controllers.faults import RefusedError

_IDLE_TIMEOUT_S = 30.0
_LINGER_TIMEOUT_S = 1.0
_LINGER_MAXIMUM_BYTES = 64 << 20
_LOG = logging.getLogger(__name__)


def serve(listener: socket.socket, injector: api.Injector, spawn: Callable[..., Any]) -> None:
    """Answer requests until the listener is closed."""
    while True:
        try:
            connection, _address = listener.accept()
        except OSError:
            return
        spawn(_serve_connection, connection, injector)


def _serve_connection(connection: socket.socket, injector: api.Injector) -> None:
    try:
        _RequestHandler(connection, injector)
        _linger(connection)
    except OSError as problem:
        _LOG.info("HTTP client went away: %s", problem)
    finally:
        connection.close()


def _linger(connection: socket.socket) -> None:
    """Let a client finish a body that was refused: a reset would take the answer from it."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(_LINGER_TIMEOUT_S)
    discarded = 0
    while discarded < _LINGER_MAXIMUM_BYTES:
        data = connection.recv(1 << 16)
        if not data:
            return
        discarded += len(data)


class _RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_TIMEOUT_S
    disable_nagle_algorithm = True
    wbufsize = -1

    def __init__(self, connection: socket.socket, injector: api.Injector) -> None:
        self._injector = injector
        super().__init__(connection, connection.getpeername(), None)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        """Every method is ours to answer: http.server gives 501 for those without a do_ method."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = self.rfile.read(api.read_body_length(headers))
        except RefusedError as refused:
            self.close_connection = True
            self._send(api.error(refused.status, refused.sentence))
            return
        self._send(api.answer(self._injector, api.Request(self.command, self.path, headers, body)))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses (a malformed request): always a 4xx, in JSON."""
        self.close_connection = True
        self.request_version = self.protocol_version
        status = code if code < 500 else 400
        self._send(api.error(status, f"This is not a request HTTP/1.1 allows: {message or code}."))

    def _send(self, response: api.Response) -> None:
        content = json.dumps(response.content).encode() + b"\n"
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def version_string(self) -> str:
        return "carplab"

    def log_message(self, format: str, *args: Any) -> None:
        _LOG.info(format, *args)

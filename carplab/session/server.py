"""The session's socket: a thread for each connection."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carplab.errors import CarplabError, UsageError
from carplab.session.followers import Follower, Followers
from carplab.session.held import HeldNetwork
from carplab.session.protocol import encode


class Server:
    """Serves a session at `path` while it is open; use it as a context manager."""

    def __init__(self, held: HeldNetwork, path: Path) -> None:
        self.path = path
        self._held = held
        self._server: _ThreadingServer | None = None

    def __enter__(self) -> Server:
        held = self._held

        class Handler(_Handler):
            network = held

        # Under another name until it listens: whoever finds it can connect.
        draft = self.path.with_suffix(".new")
        self._server = _ThreadingServer(str(draft), Handler)
        os.chmod(draft, 0o600)
        draft.rename(self.path)
        threading.Thread(target=self._server.serve_forever, name="session", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)


class _ThreadingServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


class _Handler(socketserver.StreamRequestHandler):
    network: HeldNetwork

    def handle(self) -> None:
        for line in self.rfile:
            follower = self._answer(line)
            if follower:
                follower.serve()
                return

    def _answer(self, line: bytes) -> Follower | None:
        """Carry out one request; the follower that this connection has become, if it has."""
        follower: Follower | None = None

        def add(followers: Followers, first: dict[str, Any]) -> dict[str, Any]:
            nonlocal follower
            follower = followers.add(self.connection, first)
            return {}

        try:
            reply = {"ok": True, "result": _carry_out(self.network, line, add)}
        except CarplabError as error:
            usage = isinstance(error, UsageError)
            reply = {"ok": False, "error": str(error), "usage": usage}
        try:
            self.wfile.write(encode(reply))
        except OSError:
            follower = None
        return follower


def _carry_out(network: HeldNetwork, line: bytes, add: Callable[..., Any]) -> Any:
    commands: dict[str, Callable[..., Any]] = {
        "describe": network.describe,
        "status": network.status,
        "inject": network.inject,
        "lift": network.lift,
        "lift_all": network.lift_all,
        "configure": network.configure,
        "spawn": network.spawn,
        "end": network.end,
        "follow": lambda: network.follow(add),
        "stop": network.tell_to_stop,
    }
    try:
        asked = json.loads(line)
        command = commands[asked.pop("command")]
    except (ValueError, AttributeError, KeyError, TypeError):
        raise UsageError(
            f"this is no request to a session: {line[:80]!r}; known are {', '.join(commands)}"
        ) from None
    try:
        return command(**asked)
    except TypeError as error:
        raise UsageError(f"the request does not fit the command: {error}") from None

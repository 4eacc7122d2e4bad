"""Who follows a session. A follower that does not read loses messages and holds nobody up."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from typing import Any

from carplab.session.protocol import encode

LONGEST_QUEUE = 512  # messages; some 30 come in a second
SEND_DEADLINE_S = 10.0


class Followers:
    """Passes messages on to every follower."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followers: list[Follower] = []

    def add(self, connection: socket.socket, first: Any) -> Follower:
        """Send `first` and then every message over this connection."""
        follower = Follower(connection, first)
        with self._lock:
            self._followers.append(follower)
        return follower

    def send(self, message: Any) -> None:
        """Pass a message on; to those who have gone no more."""
        with self._lock:
            self._followers = [each for each in self._followers if not each.gone.is_set()]
            line = encode(message) if self._followers else b""
            for each in self._followers:
                each.put(line)

    def stop(self) -> None:
        """Tell all that nothing more comes."""
        with self._lock:
            for each in self._followers:
                each.put(None)


class Follower:
    """One connection, its queue, and the thread of whoever calls `serve`."""

    def __init__(self, connection: socket.socket, first: Any) -> None:
        self._connection = connection
        self._queue: queue.Queue[bytes | None] = queue.Queue(LONGEST_QUEUE)
        self._dropped = 0
        self.gone = threading.Event()
        self.put(encode(first))

    def put(self, line: bytes | None) -> None:
        """Queue a line, or None for the end; when the queue is full it is dropped, and counted."""
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._dropped += 1
            if line is None:
                self.gone.set()

    def serve(self) -> None:
        """Send until the end, or until the follower has gone."""
        self._connection.settimeout(SEND_DEADLINE_S)
        with contextlib.suppress(OSError):
            while not self.gone.is_set() and (line := self._queue.get()) is not None:
                if self._dropped:
                    number, self._dropped = self._dropped, 0
                    self._connection.sendall(encode({"kind": "dropped", "number": number}))
                self._connection.sendall(line)
        self.gone.set()

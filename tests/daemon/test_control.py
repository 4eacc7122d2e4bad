from __future__ import annotations

import json
import selectors
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carplab.daemon import control
from carplab.daemon.control_server import ControlServer
from carplab.daemon.events import EventLog
from carplab.errors import CarplabError
from tests.daemon.lab import wait_for


class Server:
    """A control server with a loop of its own, as carpd's loop would drive it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = EventLog()
        self.selector = selectors.SelectSelector()
        self.server = ControlServer(path, self.selector, self.handle, self.events)
        self.turns = 0
        self._orders: list[Any] = []
        self._ended = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("command") == "refuse":
            raise ValueError("vhid 9 is not here")
        return {"echo": request}

    def call(self, function: Any) -> None:
        """Have the loop's own thread do something."""
        self._orders.append(function)

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self.server.close()
        self.selector.close()

    def _serve(self) -> None:
        while not self._ended:
            for key, mask in self.selector.select(0.01):
                key.data(mask)
            while self._orders:
                self._orders.pop(0)()
            self.turns += 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    created = Server(tmp_path / "fw1.sock")
    yield created
    created.close()


def connect(server: Server) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(server.path))
    return connection


def test_only_root_may_connect(server: Server) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


def test_an_answer(server: Server) -> None:
    assert control.request(server.path, {"command": "x"}) == {"echo": {"command": "x"}}


def test_a_refusal_is_the_servers_sentence(server: Server) -> None:
    with pytest.raises(CarplabError, match=r"^vhid 9 is not here$"):
        control.request(server.path, {"command": "refuse"})


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"\xff", b"[" * 60_000, b'{"command": 1e999}'])
def test_what_is_no_request_gets_an_answer_and_harms_nobody(server: Server, line: bytes) -> None:
    with connect(server) as connection, connection.makefile("rb") as answers:
        connection.sendall(line + b"\n")
        assert b'"ok"' in answers.readline()
        connection.sendall(b'{"command": "x"}\n')
        assert json.loads(answers.readline())["ok"]


def test_an_endless_line_is_cut_off(server: Server) -> None:
    with connect(server) as connection, pytest.raises(ConnectionError):
        for _ in range(100):
            connection.sendall(b"x" * 65536)
    assert control.request(server.path, {"command": "x"})


def test_requests_in_pieces_and_in_one_piece(server: Server) -> None:
    with connect(server) as connection, connection.makefile("rb") as answers:
        for byte in b'{"command": "x"}\n':
            connection.sendall(bytes((byte,)))
        assert json.loads(answers.readline())["ok"]
        connection.sendall(b'{"command": "x"}\n' * 3)
        assert [json.loads(answers.readline())["ok"] for _ in range(3)] == [True] * 3


def test_events_past_and_present(server: Server) -> None:
    server.events.add("start", 1.0)
    with control.EventStream(server.path, follow=False) as stream:
        assert [event["kind"] for event in stream] == ["start"]
    with control.EventStream(server.path) as stream:
        present = iter(stream)
        assert next(present)["kind"] == "start"
        server.call(lambda: server.events.add("stop", 2.0))
        assert next(present)["kind"] == "stop"


def test_polling_a_stream_never_waits(server: Server) -> None:
    with control.EventStream(server.path) as stream:
        assert stream.read() == []
        server.call(lambda: server.events.add("start", 1.0))
        assert wait_for("the event", stream.read)[0]["kind"] == "start"
        assert not stream.ended
        server.call(lambda: [client.close() for client in tuple(server.server.clients)])
        wait_for("the end", lambda: stream.read() == [] and stream.ended)


def test_a_follower_that_never_reads_is_cut_off_and_nobody_waits_for_it(server: Server) -> None:
    stuck = control.EventStream(server.path)
    slowest_s = 0.0

    def flood() -> None:
        nonlocal slowest_s
        for _ in range(50_000):
            started_s = time.monotonic()
            server.events.add("transition", 1.0, reason="x" * 100)
            slowest_s = max(slowest_s, time.monotonic() - started_s)

    server.call(flood)
    wait_for("the follower is cut off", lambda: slowest_s and not server.events.listeners, 20)
    assert slowest_s < 0.5
    assert control.request(server.path, {"command": "x"})
    stuck.close()


def test_a_follower_that_died_is_forgotten(server: Server) -> None:
    control.EventStream(server.path).close()
    wait_for("it is forgotten", lambda: not server.server.clients)
    server.call(lambda: server.events.add("start", 1.0))
    assert control.request(server.path, {"command": "x"})


def test_too_many_clients_are_turned_away(server: Server) -> None:
    held = [connect(server) for _ in range(64)]
    wait_for("all are accepted", lambda: len(server.server.clients) == 64)
    with pytest.raises(CarplabError, match="carpd ended before it answered"):
        control.request(server.path, {"command": "x"})
    for connection in held:
        connection.close()
    wait_for("they are gone", lambda: not server.server.clients)
    assert control.request(server.path, {"command": "x"})


def test_nobody_there(tmp_path: Path) -> None:
    path = tmp_path / "fw9.sock"
    with pytest.raises(CarplabError, match=r"no carpd is running at .*/fw9\.sock"):
        control.request(path, {"command": "status"})
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(CarplabError, match="no carpd is running"):
        control.EventStream(path)


def test_one_that_hangs(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "fw1.sock"))
        silent.listen()
        with pytest.raises(CarplabError, match="does not answer"):
            control.request(tmp_path / "fw1.sock", {"command": "status"}, timeout_s=0.1)
        with pytest.raises(CarplabError, match="does not answer"):
            control.EventStream(tmp_path / "fw1.sock", timeout_s=0.1)


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(CarplabError, match="too long"):
        control.request(path, {"command": "status"})
    with pytest.raises(CarplabError, match=r"control socket .* too long"):
        ControlServer(path, selectors.SelectSelector(), lambda request: request, EventLog())


def test_a_closed_server_leaves_no_file(server: Server) -> None:
    server.call(server.server.close)
    wait_for("the file is gone", lambda: not server.path.exists())
    server.server = ControlServer(server.path, server.selector, server.handle, server.events)

"""Requests and responses of the HTTP API, without sockets and without a switch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controllers import api
from controllers.api import Request, Response
from controllers.faults import RefusedError

LOOPBACK = {"host": "127.0.0.1:8081"}


class FakeInjector:
    """Remembers what it was asked; has fault 1 only."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def list_switches(self) -> list[dict[str, Any]]:
        return [{"dpid": 1}]

    def list_faults(self) -> list[dict[str, Any]]:
        return [{"id": 1}]

    def inject(self, request: object) -> dict[str, Any]:
        self.calls.append(("inject", request))
        return {"id": 2}

    def lift(self, number: int) -> dict[str, Any]:
        self.calls.append(("lift", number))
        if number != 1:
            raise RefusedError(404, f"There is no fault {number}.")
        return {"id": number}

    def lift_all(self) -> list[dict[str, Any]]:
        self.calls.append("lift_all")
        return [{"id": 1}]


def ask(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[Response, list[Any]]:
    injector = FakeInjector()
    request = Request(method, path, LOOPBACK if headers is None else headers, body)
    return api.answer(injector, request), injector.calls


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "content", "calls"),
    [
        ("GET", "/v1/switches", b"", 200, {"switches": [{"dpid": 1}]}, []),
        ("GET", "/v1/faults", b"", 200, {"faults": [{"id": 1}]}, []),
        ("POST", "/v1/faults", b'{"kind": "x"}', 201, {"id": 2}, [("inject", {"kind": "x"})]),
        ("DELETE", "/v1/faults/1", b"", 200, {"id": 1}, [("lift", 1)]),
        ("DELETE", "/v1/faults", b"", 200, {"lifted": [{"id": 1}]}, ["lift_all"]),
    ],
)
def test_request_is_carried_out(
    method: str, path: str, body: bytes, status: int, content: Any, calls: list[Any]
) -> None:
    response, done = ask(method, path, body)
    assert (response.status, response.content, done) == (status, content, calls)


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/faults", "/v1/faults/", "/v1/faults/x", "/v1/faults/-1", "/v1/faults?a=1",
     "/v1/faults/1/2", "*", "/v1/../v1/faults", "/v1/faults/" + "9" * 40, "/v1/faults/\u0661"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unknown_path_is_refused(method: str, path: str) -> None:
    response, done = ask(method, path)
    assert (response.status, done) == (404, [])


def test_unknown_fault_is_refused() -> None:
    response, _done = ask("DELETE", "/v1/faults/4")
    assert (response.status, response.content) == (404, {"error": "There is no fault 4."})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/switches", "GET"),
        ("PUT", "/v1/faults", "DELETE, GET, POST"),
        ("HEAD", "/v1/faults", "DELETE, GET, POST"),
        ("GET", "/v1/faults/1", "DELETE"),
        ("BREW", "/v1/faults/1", "DELETE"),
    ],
)
def test_wrong_method_is_refused(method: str, path: str, allowed: str) -> None:
    response, done = ask(method, path)
    assert (response.status, response.headers, done) == (405, {"Allow": allowed}, [])
    assert method in response.content["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"kind=link_down", b'{"percent": NaN}', b'{"percent": -Infinity}', b"\xff\xfe",
     b'{"a": 1} x', b"[" * 60_000],
)  # fmt: skip
def test_body_that_is_no_json_is_refused(body: bytes) -> None:
    response, done = ask("POST", "/v1/faults", body)
    assert (response.status, done) == (400, [])
    assert response.content == {"error": "The body is not JSON in UTF-8."}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": ""},
        {"host": "example.net"},
        {"host": "127.0.0.1.example.net:8081"},
        {"host": "example.net@127.0.0.1.example.net"},
        {"host": "[::1"},
        {**LOOPBACK, "origin": "http://example.net"},
        {**LOOPBACK, "origin": "null"},
        {**LOOPBACK, "origin": "http://localhost.example.net"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_foreign_host_or_origin_is_refused(method: str, headers: dict[str, str]) -> None:
    response, done = ask(method, "/v1/faults", b"{}", headers)
    assert (response.status, done) == (403, [])


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost"},
        {"host": "LOCALHOST:8081"},
        {**LOOPBACK, "origin": "http://127.0.0.1:8081"},
    ],
)
def test_loopback_is_let_in(headers: dict[str, str]) -> None:
    assert ask("GET", "/v1/faults", b"", headers)[0].status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": "65537"}, 413),
        ({"content-length": "-1"}, 400),
        ({"content-length": "+1"}, 400),
        ({"content-length": "many"}, 400),
        ({"content-length": "9" * 30}, 400),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
def test_body_of_wrong_length_is_refused(headers: dict[str, str], status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        api.read_body_length(headers)
    assert refused.value.status == status


def test_length_of_the_body_is_read() -> None:
    assert api.read_body_length({"content-length": "65536"}) == api.MAXIMUM_BODY_BYTES
    assert api.read_body_length({}) == 0


def test_every_refusal_is_one_sentence_in_json() -> None:
    for request in (("GET", "/nowhere"), ("PUT", "/v1/faults"), ("POST", "/v1/faults")):
        response, _done = ask(*request)
        sentence = json.loads(json.dumps(response.content))["error"]
        assert sentence.endswith(".") and "\n" not in sentence

"""The HTTP API as a function from request to response: routes, checks, JSON; no sockets.

    GET    /v1/switches      switches, ports, host names
    GET    /v1/faults        the faults that are there
    POST   /v1/faults        inject one
    DELETE /v1/faults/ID     lift one
    DELETE /v1/faults        lift all

What is refused is answered with a 4xx and {"error": "one sentence"}. Host and Origin headers must
name the loopback, so that a web page which a browser on this machine shows cannot reach the API
(DNS rebinding).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from controllers.faults import RefusedError

MAXIMUM_BODY_BYTES = 65_536
_LOOPBACK_NAMES = ("127.0.0.1", "localhost")


class Injector(Protocol):
    """What the API needs; every method may raise RefusedError."""

    def list_switches(self) -> list[dict[str, Any]]: ...
    def list_faults(self) -> list[dict[str, Any]]: ...
    def inject(self, request: object) -> dict[str, Any]: ...
    def lift(self, number: int) -> dict[str, Any]: ...
    def lift_all(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response; `content` is sent as JSON."""

    status: int
    content: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def answer(injector: Injector, request: Request) -> Response:
    """Carry a request out."""
    try:
        check_origin(request.headers)
        handlers = _handlers_of_path(injector, request)
        if request.method not in handlers:
            return _method_not_allowed(request, sorted(handlers))
        return handlers[request.method]()
    except RefusedError as refused:
        return error(refused.status, refused.sentence)


def error(status: int, sentence: str) -> Response:
    """A refusal."""
    return Response(status, {"error": sentence})


def check_origin(headers: Mapping[str, str]) -> None:
    """Raises RefusedError (403) unless Host, and Origin if there is one, name the loopback."""
    host = headers.get("host", "")
    if _host_name(f"//{host}") not in _LOOPBACK_NAMES:
        raise RefusedError(403, f"Host must be 127.0.0.1 or localhost, not {host[:60]!r}.")
    origin = headers.get("origin")
    if origin is not None and _host_name(origin) not in _LOOPBACK_NAMES:
        raise RefusedError(403, f"Requests of web pages from {origin[:60]!r} are refused.")


def read_body_length(headers: Mapping[str, str]) -> int:
    """The length of the body in bytes.

    Raises RefusedError: 411 if it is not told, 400 if it is no number, 413 if it is too large.
    """
    if "transfer-encoding" in headers:
        raise RefusedError(
            411, "Send the body with a Content-Length, not with a Transfer-Encoding."
        )
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise RefusedError(400, f"Content-Length must be a number of bytes, not {length[:60]!r}.")
    if int(length) > MAXIMUM_BODY_BYTES:
        raise RefusedError(
            413, f"The body has {length} bytes; at most {MAXIMUM_BODY_BYTES} are read."
        )
    return int(length)


def _host_name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _handlers_of_path(injector: Injector, request: Request) -> dict[str, Callable[[], Response]]:
    if request.path == "/v1/switches":
        return {"GET": lambda: Response(200, {"switches": injector.list_switches()})}
    if request.path == "/v1/faults":
        return {
            "GET": lambda: Response(200, {"faults": injector.list_faults()}),
            "POST": lambda: Response(201, injector.inject(_decode(request.body))),
            "DELETE": lambda: Response(200, {"lifted": injector.lift_all()}),
        }
    one_fault = re.fullmatch(r"/v1/faults/([0-9]{1,18})", request.path)
    if one_fault:
        return {"DELETE": lambda: Response(200, injector.lift(int(one_fault[1])))}
    raise RefusedError(
        404, f"There is nothing at {request.path[:60]!r}; there are /v1/switches and /v1/faults."
    )


def _method_not_allowed(request: Request, allowed: list[str]) -> Response:
    methods = ", ".join(allowed)
    refusal = f"{request.path} takes {methods}, not {request.method[:20]}."
    return Response(405, {"error": refusal}, {"Allow": methods})


def _decode(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RefusedError(400, "The body is not JSON in UTF-8.") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer

from carplab.errors import CarplabError, UsageError
from carplab.live.guard import Guard
from carplab.live.hub import Hub
from carplab.live.server import colours_css, make_app
from carplab.live.sources import Message
from tests.live.scenes import event, status
from tests.live.test_hub import Clock

TOKEN = "a-token-for-tests"
DEADLINE_S = 20.0


async def _echo(order: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"got": dict(order)}


async def _refuse(_order: Mapping[str, Any]) -> Mapping[str, Any]:
    raise UsageError("this is not possible")


async def _fail(_order: Mapping[str, Any]) -> Mapping[str, Any]:
    raise CarplabError("the session has ended")


ORDERS = {"echo": _echo, "refuse": _refuse, "fail": _fail}


@contextlib.asynccontextmanager
async def page(token: str = "") -> AsyncIterator[tuple[TestClient[Any, Any], Hub]]:
    hub, source = Hub(), Clock()
    hub.begin(source, source.scene())
    app = make_app(hub, ORDERS, Guard("127.0.0.1", token))
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        yield client, hub


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_deadline() -> None:
        await asyncio.wait_for(test(), DEADLINE_S)

    asyncio.run(within_deadline())


def test_the_page_and_all_it_loads_come_from_here() -> None:
    async def test() -> None:
        async with page() as (client, _):
            answer = await client.get("/")
            text = await answer.text()
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "script-src 'self';" in policy
            assert "http" not in policy
            files = "/colours.css", "/bokeh/bokeh.min.js", "/static/main.js", "/static/live.css"
            for path in files:
                assert path in text
                answer = await client.get(path)
                assert answer.status == 200, path
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "//" not in text.replace("<!doctype", "")

    run(test)


def test_other_files_are_not_served() -> None:
    async def test() -> None:
        async with page() as (client, _):
            for path in ("/bokeh/bokeh.js", "/static/%2e%2e/server.py", "/static/none", "/x"):
                assert (await client.get(path)).status == 404, path

    run(test)


def test_the_colours_are_the_figures() -> None:
    assert "--blue: #0072B2;" in colours_css()
    assert "--master-face: #0072B2;" in colours_css()
    assert "--not-running-edge: #767676;" in colours_css()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1"])
def test_a_foreign_origin_is_refused(origin: str) -> None:
    async def test() -> None:
        async with page() as (client, hub):
            for path in ("/", "/static/main.js"):
                answer = await client.get(path, headers={"Origin": origin})
                assert answer.status == 403
            answer = await client.post("/api/echo", json={}, headers={"Origin": origin})
            assert answer.status == 403
            assert "only this page's own are taken" in (await answer.json())["error"]
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect("/stream", origin=origin)
            assert refused.value.status == 403
            assert not hub.viewers

    run(test)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8078", "10.0.0.1", ""])
def test_a_foreign_host_is_refused(host: str) -> None:
    async def test() -> None:
        async with page() as (client, _):
            answer = await client.get("/", headers={"Host": host})
            assert answer.status == 403
            assert "use the address that carplab live prints" in await answer.text()

    run(test)


def test_its_own_origin_is_welcome() -> None:
    async def test() -> None:
        async with page() as (client, _):
            own = f"http://127.0.0.1:{client.port}"
            answer = await client.post("/api/echo", json={"a": 1}, headers={"Origin": own})
            assert await answer.json() == {"got": {"a": 1}}
            async with client.ws_connect("/stream", origin=own) as socket:
                assert "hello" in await socket.receive_json()

    run(test)


def test_a_token_opens_the_page_and_stays_in_a_cookie() -> None:
    async def test() -> None:
        async with page(TOKEN) as (client, _):
            for path in ("/", "/?token=wrong", "/static/main.js"):
                answer = await client.get(path)
                assert answer.status == 403
                assert "needs its token" in await answer.text()
            with pytest.raises(WSServerHandshakeError):
                await client.ws_connect("/stream")
            assert (await client.post("/api/echo", json={})).status == 403
            answer = await client.get(f"/?token={TOKEN}")
            assert (answer.status, answer.url.query_string) == (200, "")
            assert answer.history[0].cookies[f"carplab-{client.port}"]["httponly"]
            async with client.ws_connect("/stream") as socket:
                assert "hello" in await socket.receive_json()

    run(test)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::"])
def test_others_reach_it_only_with_a_token(address: str) -> None:
    with pytest.raises(UsageError, match="give a token"):
        Guard(address)
    Guard(address, TOKEN)


def test_a_short_token_or_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="4 characters is guessed soon"):
        Guard("127.0.0.1", "1234")
    with pytest.raises(UsageError, match="is no address of this machine"):
        Guard("example.org", TOKEN)


@pytest.mark.parametrize(
    ("order", "body", "code", "sentence"),
    [
        ("nonsense", "{}", 400, "unknown order 'nonsense': known are echo, refuse, fail"),
        ("echo", "{", 400, "the order is no JSON: an object is expected, as in {}"),
        ("echo", "[1]", 400, "the order is no JSON object: one is expected, as in {}"),
        ("refuse", "{}", 400, "this is not possible"),
        ("fail", "{}", 409, "the session has ended"),
    ],
)
def test_a_bad_order_gets_one_sentence(order: str, body: str, code: int, sentence: str) -> None:
    async def test() -> None:
        async with page() as (client, _):
            headers = {"Content-Type": "application/json"}
            answer = await client.post(f"/api/{order}", data=body, headers=headers)
            assert (answer.status, await answer.json()) == (code, {"error": sentence})

    run(test)


def test_a_form_is_no_order() -> None:
    async def test() -> None:
        async with page() as (client, _):
            answer = await client.post("/api/echo", data={"a": "1"})
            assert answer.status == 400
            assert "an order is JSON" in (await answer.json())["error"]

    run(test)


def test_news_reach_every_viewer() -> None:
    async def test() -> None:
        async with page() as (client, hub):
            async with client.ws_connect("/stream") as one, client.ws_connect("/stream") as two:
                for socket in (one, two):
                    assert "hello" in await socket.receive_json()
                hub.take([status()])
                for socket in (one, two):
                    assert (await socket.receive_json())["messages"][0]["kind"] == "status"
                assert len(hub.viewers) == 2
            while hub.viewers:
                await asyncio.sleep(0.01)

    run(test)


def test_a_viewer_that_does_not_read_costs_the_others_nothing() -> None:
    async def test() -> None:
        async with page() as (client, hub), ClientSession() as session:
            # asyncio's own streams stop reading when the buffer is full, as a slow page does
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=2**10)
            writer.write(
                b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert b"101" in await reader.readline()
            (slow,) = hub.viewers
            url = client.make_url("/stream")
            async with session.ws_connect(url) as quick:
                assert "hello" in await quick.receive_json()
                for number in range(4000):
                    hub.take([large_event(float(number)), status()])
                    text = await quick.receive_json()
                    assert text["messages"][0]["t_s"] == number
                    if slow.missed:
                        break
                assert slow.missed
                present = hub.next_text(slow)
                assert present is not None and json.loads(present)["missed"] > 0
            writer.close()

    run(test)


def large_event(t_s: float) -> Message:
    return event(t_s, "fw1", "carp", detail="x" * 20_000)

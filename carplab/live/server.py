"""The web server: the page's files, its stream of messages, and the orders that it gives.

Everything is served from this machine's disk: the page from `static/`, BokehJS from the installed
bokeh. `/stream` is a WebSocket for one viewer; orders are POSTs to `/api/ORDER` with a JSON object,
answered by one, or by `{"error": sentence}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from carplab.analysis import style
from carplab.analysis.bands import STATES
from carplab.errors import CarplabError, UsageError, listed
from carplab.live.guard import Guard
from carplab.live.hub import Hub, Viewer

STATIC = Path(__file__).resolve().parent / "static"
BOKEH_FILES = ("bokeh.min.js", "bokeh-api.min.js")
MOST_VIEWERS = 200
_HEARTBEAT_S = 20.0
_GOODBYE_S = 0.5
_LARGEST_ORDER = 64 * 1024

Order = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


def make_app(hub: Hub, orders: Mapping[str, Order], guard: Guard) -> web.Application:
    """Return the application; it flushes the hub while it runs."""
    pages = _Pages(hub, orders)
    app = web.Application(middlewares=[guard.check], client_max_size=_LARGEST_ORDER)
    app.router.add_get("/", pages.index)
    app.router.add_get("/colours.css", pages.colours)
    app.router.add_get("/bokeh/{name}", pages.bokeh)
    app.router.add_get("/stream", pages.stream)
    app.router.add_post("/api/{order}", pages.order)
    app.router.add_static("/static/", STATIC)
    app.cleanup_ctx.append(pages.flushing)
    app.on_shutdown.append(pages.say_goodbye)
    return app


class _Pages:
    def __init__(self, hub: Hub, orders: Mapping[str, Order]) -> None:
        self._hub = hub
        self._orders = orders
        self._bokeh = _find_bokeh()
        self._sockets: set[web.WebSocketResponse] = set()

    async def flushing(self, _app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._hub.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def say_goodbye(self, _app: web.Application) -> None:
        """Close the streams, or the server would wait for its viewers to go; not for a slow one."""
        goodbyes = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._sockets]
        if goodbyes:
            await asyncio.wait(map(asyncio.ensure_future, goodbyes), timeout=_GOODBYE_S)

    async def index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def colours(self, _request: web.Request) -> web.Response:
        return web.Response(text=colours_css(), content_type="text/css")

    async def bokeh(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in BOKEH_FILES:
            raise web.HTTPNotFound
        return web.FileResponse(self._bokeh / name)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._hub.viewers) >= MOST_VIEWERS:
            text = f"there are {MOST_VIEWERS} viewers already: close one of them"
            return web.json_response({"error": text}, status=503)
        # compressing for each viewer anew would cost more than the loopback does
        socket = web.WebSocketResponse(compress=False, heartbeat=_HEARTBEAT_S)
        await socket.prepare(request)
        viewer = Viewer()
        self._hub.add(viewer)
        sender = asyncio.create_task(self._send(socket, viewer))
        self._sockets.add(socket)
        try:
            async for message in socket:  # a page says nothing; this sees it go away
                if message.type == WSMsgType.ERROR:
                    break
        finally:
            sender.cancel()
            self._sockets.discard(socket)
            self._hub.remove(viewer)
        return socket

    async def _send(self, socket: web.WebSocketResponse, viewer: Viewer) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await viewer.wait()
                while (text := self._hub.next_text(viewer)) is not None:
                    await socket.send_str(text)

    async def order(self, request: web.Request) -> web.Response:
        try:
            name = request.match_info["order"]
            if name not in self._orders:
                raise UsageError(f"unknown order {name!r}: known are {listed(self._orders)}")
            answer = await self._orders[name](await _read_object(request))
        except UsageError as error:
            return web.json_response({"error": str(error)}, status=400)
        except CarplabError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response(answer)


async def _read_object(request: web.Request) -> Mapping[str, Any]:
    if request.content_type != "application/json":
        raise UsageError(f"an order is JSON, not {request.content_type}")
    try:
        value = json.loads(await request.read())
    except ValueError:
        raise UsageError("the order is no JSON: an object is expected, as in {}") from None
    if not isinstance(value, dict):
        raise UsageError("the order is no JSON object: one is expected, as in {}")
    return value


def colours_css() -> str:
    """Return the figures' colours as variables: --blue, and --master-face for a state's face."""
    names = (
        "BLACK", "ORANGE", "SKY_BLUE", "GREEN", "DARK_GREEN", "YELLOW", "BLUE", "VERMILLION",
        "PURPLE", "DARK_PURPLE", "PALE_BLUE", "GREY", "PALE_GREY",
    )  # fmt: skip
    variables = {_css_name(name): getattr(style, name) for name in names}
    for state, look in STATES.items():
        for part in ("face", "edge", "text"):
            variables[f"{_css_name(state)}-{part}"] = getattr(look, part)
    return "".join([":root {\n", *(f"  --{k}: {v};\n" for k, v in variables.items()), "}\n"])


def _css_name(name: str) -> str:
    return name.lower().replace("_", "-").replace(" ", "-")


def _find_bokeh() -> Path:
    """Return the folder of BokehJS, without importing all of bokeh."""
    spec = importlib.util.find_spec("bokeh")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        found = Path(folder) / "server" / "static" / "js"
        if all((found / name).is_file() for name in BOKEH_FILES):
            return found
    raise CarplabError("bokeh with its BokehJS is not installed: run 'make setup'")

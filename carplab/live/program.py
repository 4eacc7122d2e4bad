"""The program behind `carplab live`: serves what is to be shown until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from carplab.emulation.experiment import Options
from carplab.errors import CarplabError
from carplab.live.guard import Guard
from carplab.live.hub import Hub
from carplab.live.replay import ReplaySource
from carplab.live.server import make_app
from carplab.live.stage import Stage, make_spec, run_at_lowest_priority
from carplab.session.client import Session, find_session, start_session
from carplab.session.protocol import find_socket

_SHUTDOWN_S = 1.0


@dataclass(frozen=True)
class Page:
    """Where the page is served; `token` is empty where none is needed."""

    address: str
    port: int
    token: str
    opens_browser: bool


def show_network(page: Page, options: Options) -> None:
    """Show the session that runs, or start one and end it with the page."""
    guard = Guard(page.address, page.token)
    with contextlib.ExitStack() as stack:
        session, is_ours = _join_or_start(options)
        stage = Stage(Hub(), options)
        stack.callback(stage.close)
        _serve(page, guard, stage, lambda: stage.show_session(session, is_ours))


def show_recorded(page: Page, options: Options, folder: Path, speed: float) -> None:
    """Show a recorded run."""
    guard = Guard(page.address, page.token)
    source = ReplaySource(folder, speed)
    stage = Stage(Hub(), options)
    _serve(page, guard, stage, lambda: stage.show_replay(source))


def _join_or_start(options: Options) -> tuple[Session, bool]:
    """Return a session, and whether it was started here."""
    if os.geteuid() == 0 and find_socket() is not None:
        session = find_session()
        print(f"joining the network that runs: {session.describe()['title']}")
        return session, False
    return start_session(make_spec(options), lambda text: print(text, flush=True)), True


def _serve(page: Page, guard: Guard, stage: Stage, begin: Callable[[], None]) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_until_told(page, guard, stage, begin))


async def _serve_until_told(
    page: Page, guard: Guard, stage: Stage, begin: Callable[[], None]
) -> None:
    run_at_lowest_priority()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    runner = web.AppRunner(
        make_app(stage.hub, stage.orders, guard), access_log=None, shutdown_timeout=_SHUTDOWN_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, page.address, page.port)
        try:
            await site.start()
        except OSError as error:
            raise CarplabError(_cannot_listen(page, error)) from None
        begin()
        url = _url(page, runner)
        print(f"live view: {url} (end it with Ctrl-C)", flush=True)
        if page.opens_browser:
            _open_browser(url)
        await told.wait()
    finally:
        await runner.cleanup()


def _cannot_listen(page: Page, error: OSError) -> str:
    where = f"port {page.port} of {page.address}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken: choose another one with --port, or 0 for a free one"
    return f"cannot listen on {where}: {os.strerror(error.errno or 0)}"


def _url(page: Page, runner: web.AppRunner) -> str:
    port = runner.addresses[0][1]
    host = f"[{page.address}]" if ":" in page.address else page.address
    return f"http://{host}:{port}/" + (f"?token={page.token}" if page.token else "")


def _open_browser(url: str) -> None:
    """Open the page on the desktop, if there is one; as the user who called sudo, never as root."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    command = ["xdg-open", url]
    if os.geteuid() == 0:
        user = os.environ.get("SUDO_USER", "root")
        if user == "root":
            return
        command = ["runuser", "--user", user, "--", *command]
    with contextlib.suppress(OSError), open(os.devnull, "r+b") as null:
        subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)

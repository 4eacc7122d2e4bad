"""What is on the stage: the source that is shown, the thread that reads it, the orders it takes.

Orders come from the page and are checked here; whatever waits for the network (a fault, a start)
does so in a thread, so that the viewers go on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from carplab.emulation.experiment import Options
from carplab.errors import CarplabError, UsageError, listed
from carplab.live.hub import Hub
from carplab.live.replay import ReplaySource
from carplab.live.server import Order
from carplab.live.session_source import SessionSource
from carplab.live.sources import Message, Source
from carplab.scenario import REBOOT
from carplab.session.client import Session, find_session, start_session
from carplab.session.spec import SessionSpec

AWAY_S = 8.0  # how long a reboot takes
_USUAL_PRIORITY, _LOWEST_PRIORITY = 0, 19

_Value = TypeVar("_Value")


class Stage:
    """Shows one source after the other to the hub's viewers."""

    def __init__(self, hub: Hub, options: Options) -> None:
        self.hub = hub
        self._options = options
        self._source: Source | None = None
        self._session: Session | None = None
        self._is_ours = False
        self._is_busy = False
        self._lock = threading.Lock()  # one question at a time on a session's connection
        self._later: set[asyncio.Task[None]] = set()

    @property
    def orders(self) -> dict[str, Order]:
        """What a page may ask for."""
        return {
            "inject": self._inject, "lift": self._lift, "lift-all": self._lift_all,
            "export": self._export, "start": self._start, "replay": self._replay,
        }  # fmt: skip

    def show_session(self, session: Session, is_ours: bool) -> None:
        """Show a session; one that is ours is ended by `close`, or when another one is wanted."""
        source = SessionSource(session, is_ours)
        self._session, self._is_ours = session, is_ours
        self._show(source)

    def show_replay(self, source: ReplaySource) -> None:
        """Show a recorded run."""
        self._show(source)

    def close(self) -> None:
        """End what was started here."""
        if self._source:
            self._source.close()
        if self._session:
            with self._session, contextlib.suppress(CarplabError):
                if self._is_ours:
                    self._session.stop()
            self._session = None

    def _show(self, source: Source) -> None:
        self._source = source
        self.hub.begin(source, source.scene())
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(source, loop), daemon=True).start()

    def _read(self, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        """Read a source to its end; what it says after another has taken its place is dropped."""

        def call(function: Callable[..., None], *arguments: Any) -> None:
            def unless_replaced() -> None:
                if self._source is source:
                    function(*arguments)

            with contextlib.suppress(RuntimeError):  # the program is ending
                loop.call_soon_threadsafe(unless_replaced)

        def take(message: Message) -> None:
            self.hub.take([message])

        try:
            for message in source.messages():
                call(take, message)
        except (CarplabError, OSError, ValueError) as error:
            call(self.hub.notify, "ended", f"the network is not there any more: {error}")
        else:
            call(self.hub.notify, "ended", "the session has ended")

    # --- orders -------------------------------------------------------------------------------

    async def _inject(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = checked(
            order, kind=str, host=str, segment=str, cable=int, direction=str, percent=float
        )
        if "kind" not in fields or "host" not in fields:
            raise UsageError("an order to break something needs its kind and host")
        made = await self._ask(lambda session: session.inject(**fields))
        if fields["kind"] == REBOOT:
            self._later.add(task := asyncio.create_task(self._boot(made["id"])))
            task.add_done_callback(self._later.discard)
        return made

    async def _boot(self, fault: int) -> None:
        await asyncio.sleep(AWAY_S)
        with contextlib.suppress(CarplabError):  # healed by hand before, or the network is gone
            await self._ask(lambda session: session.lift(fault))

    async def _lift(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = checked(order, id=int)
        if "id" not in fields:
            raise UsageError("an order to heal something needs the id of its fault")
        return await self._ask(lambda session: session.lift(fields["id"]))

    async def _lift_all(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        checked(order)
        return await self._ask(lambda session: session.lift_all())

    async def _export(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = checked(order, seconds=float)
        self._running()
        folder = await in_thread(self._export_run, fields.get("seconds"))
        return {"folder": str(folder)}

    def _export_run(self, seconds: float | None) -> Path:
        # On a connection of its own, and at the lowest priority: the analysis takes seconds.
        with find_session() as session:
            return session.export(self._options.out, seconds)

    async def _start(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = checked(order, design=str, dialect=str, switch=str, firewalls=int)
        self._refuse_in_replay()
        if not self._is_ours:
            raise CarplabError(
                "this network was not started by the live view: end it where it was started"
            )
        if self._is_busy:
            raise CarplabError("a network is being started already: wait until it is up")
        options = changed(self._options, **fields)
        spec = make_spec(options)
        self._is_busy = True
        try:
            await self._restart(spec)
        finally:
            self._is_busy = False
        self._options = options
        return {}

    async def _restart(self, spec: SessionSpec) -> None:
        loop = asyncio.get_running_loop()

        def say(text: str) -> None:
            loop.call_soon_threadsafe(self.hub.notify, "progress", text)

        def restart() -> Session:
            os.setpriority(os.PRIO_PROCESS, 0, _USUAL_PRIORITY)  # the network inherits it
            with self._lock:
                if self._session:
                    session, self._session = self._session, None
                    say("taking the network down")
                    with session, contextlib.suppress(CarplabError):
                        session.stop()
                return start_session(spec, say)

        self._source = None  # its end is no news
        try:
            session = await in_thread(restart)
        except CarplabError as error:
            self.hub.notify("trouble", str(error))
            raise
        self.show_session(session, is_ours=True)

    async def _replay(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = checked(order, speed=float, paused=bool, at_s=float)
        source = self._source
        if not isinstance(source, ReplaySource):
            raise CarplabError("this network is live: only a recorded run has a speed")
        if "speed" in fields:
            source.set_speed(fields["speed"])
        if "paused" in fields:
            source.pause(fields["paused"])
        if "at_s" in fields:
            source.seek(fields["at_s"])
        now_s, speed = source.now()
        return {"now_s": now_s, "speed": speed}

    def _refuse_in_replay(self) -> None:
        if isinstance(self._source, ReplaySource):
            raise CarplabError("this is a recorded run: it can be looked at, not changed")

    def _running(self) -> Session:
        self._refuse_in_replay()
        if self._session is None:
            raise CarplabError("no network is running")
        return self._session

    async def _ask(self, question: Callable[[Session], _Value]) -> _Value:
        self._running()

        def ask() -> _Value:
            with self._lock:
                return question(self._running())

        return await in_thread(ask)


async def in_thread(function: Callable[..., _Value], *arguments: Any) -> _Value:
    """Return what the function returns, called in a thread of its own.

    On Linux a priority is a thread's: what the function changes of it stays in there.
    """
    outcome: Future[_Value] = Future()
    outcome.set_running_or_notify_cancel()  # from here on nobody can cancel it

    def call() -> None:
        try:
            outcome.set_result(function(*arguments))
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return await asyncio.wrap_future(outcome)


def run_at_lowest_priority() -> None:
    """Let this thread, and those it starts, run after all others.

    SCHED_IDLE was tried, too: on a busy machine the page was late by 0.3 s with it, while viewers
    cost the network nothing measurable either way.
    """
    os.setpriority(os.PRIO_PROCESS, 0, _LOWEST_PRIORITY)


def checked(order: Mapping[str, Any], **types: type) -> dict[str, Any]:
    """Return an order's fields, converted; UsageError for others, or values of another type."""
    fields: dict[str, Any] = {}
    for name, value in order.items():
        if name not in types:
            known = listed(types) or "none"
            raise UsageError(f"unknown field {name!r} in the order: known are {known}")
        wanted = types[name]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number if wanted is float else type(value) is wanted):
            raise UsageError(f"{value!r} is no value for {name}: a {wanted.__name__} is expected")
        fields[name] = wanted(value)
    return fields


def changed(
    options: Options,
    design: str | None = None,
    dialect: str | None = None,
    switch: str | None = None,
    firewalls: int | None = None,
) -> Options:
    """Return the options with what was chosen on the page; `switch` is the kind of all segments."""
    options = replace(
        options,
        design=options.design if design is None else design,
        dialect=options.dialect if dialect is None else dialect,
        firewalls=options.firewalls if firewalls is None else firewalls,
    )
    if switch is None:
        return options
    kept = [each for each in options.settings if not each.startswith("segment.")]
    segments = [segment.name for segment in replace(options, settings=()).build_network().segments]
    return replace(options, settings=(*kept, *(f"segment.{name}={switch}" for name in segments)))


def make_spec(options: Options) -> SessionSpec:
    """Return the session of a network that was asked for."""
    settings = options.record()
    return SessionSpec(
        title="live", network=options.build_network(), settings=settings, out=options.out,
        framework=options.framework, owner_pid=os.getpid(),
    )  # fmt: skip

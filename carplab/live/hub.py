"""Hands messages to the viewers, and holds nobody up for one of them.

Messages are gathered for `FLUSH_S`, or until a state has changed, and go out as one text, made once
for all. A viewer has a queue of so many texts; one that reads too slowly loses all that waits in
it, and gets the present instead. The hub keeps the last minutes, so that somebody who comes later
can step back, too.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from carplab.live.feed import Feed
from carplab.live.sources import Message, Scene, Source

FLUSH_S = 0.12
IDLE_FLUSHES = 4  # without news, the time goes out
KEPT_S = 300.0
QUEUE_TEXTS = 40  # some 5 s


class Viewer:
    """One page's queue."""

    def __init__(self) -> None:
        self._hello: str | None = None
        self._texts: deque[str] = deque()
        self._wake = asyncio.Event()
        self.missed = 0

    def offer(self, text: str) -> None:
        """Queue a text; a queue that is full is emptied, and `missed` says of how many."""
        self._texts.append(text)
        if len(self._texts) > QUEUE_TEXTS:
            self.missed += len(self._texts)
            self._texts.clear()
        self._wake.set()

    def begin(self, hello: str) -> None:
        """Forget what waits: this text says all. It is never missed."""
        self._hello = hello
        self._texts.clear()
        self.missed = 0
        self._wake.set()

    def pop_hello(self) -> str | None:
        """Return what comes before everything else, once."""
        hello, self._hello = self._hello, None
        return hello

    async def wait(self) -> None:
        """Wait until there is something, or something was missed."""
        await self._wake.wait()
        self._wake.clear()

    def pop(self) -> str | None:
        """Return the next text."""
        return self._texts.popleft() if self._texts else None


class Hub:
    """The viewers, and what they are shown."""

    def __init__(self) -> None:
        self.viewers: set[Viewer] = set()
        self._source: Source | None = None
        self._scene: Scene | None = None
        self._feed: Feed | None = None
        self._notice: dict[str, str] | None = None
        self._pending: list[str] = []
        self._waited = 0
        self._kept: deque[tuple[float, str, str]] = deque()  # t_s, kind, text
        self._before: dict[str, str] = {}  # the last of each kind before what is kept

    def begin(self, source: Source, scene: Scene) -> None:
        """Show another source: everything begins anew."""
        self._source, self._scene = source, scene
        self._notice = None
        self.restart()

    def restart(self) -> None:
        """Begin anew with the same source."""
        assert self._scene
        self._feed = Feed(self._scene)
        self._pending.clear()
        self._kept.clear()
        self._before.clear()
        self._say_hello(self.viewers)

    def take(self, messages: Iterable[Message]) -> None:
        """Take messages of the source."""
        for message in messages:
            if message["kind"] == "restart":
                self.restart()
            else:
                self._take(message)

    def notify(self, kind: str, text: str) -> None:
        """Tell the viewers in a sentence how it goes: "progress", "ended" or "trouble"."""
        self._notice = {"kind": kind, "text": text}
        for viewer in self.viewers:
            viewer.offer(json.dumps({"notice": self._notice}))

    def flush(self) -> None:
        """Hand out what has come since the last time; now and then the time alone."""
        self._waited += 1
        if self._source is not None and (self._pending or self._waited >= IDLE_FLUSHES):
            self._hand_out()

    def _take(self, message: Message) -> None:
        assert self._feed
        for made in self._feed.take(message):
            text = json.dumps(made, separators=(",", ":"))
            self._pending.append(text)
            self._keep(made["t_s"], made["kind"], text)
        if message["kind"] == "status":
            self._hand_out()

    def _hand_out(self) -> None:
        self._waited = 0
        text = self._text(self._pending)
        self._pending.clear()
        for viewer in self.viewers:
            viewer.offer(text)

    def add(self, viewer: Viewer) -> None:
        """Let a page take part, from the present on and with the last minutes."""
        if self._pending:
            self._hand_out()  # or it would get what waits twice
        self.viewers.add(viewer)
        self._say_hello([viewer])

    def remove(self, viewer: Viewer) -> None:
        """Forget a page that has gone."""
        self.viewers.discard(viewer)

    def next_text(self, viewer: Viewer) -> str | None:
        """Return what to send to a viewer next; the present where it has missed something."""
        hello = viewer.pop_hello()
        if hello is not None or not viewer.missed or self._feed is None:
            return hello or viewer.pop()
        missed, viewer.missed = viewer.missed, 0
        present = [json.dumps(each) for each in self._feed.present()]
        return self._text(present, missed=missed, notice=self._notice)

    async def run(self) -> None:
        """Flush for ever."""
        while True:
            await asyncio.sleep(FLUSH_S)
            self.flush()

    def _say_hello(self, viewers: Iterable[Viewer]) -> None:
        if self._feed is not None:
            past = [*self._before.values(), *(text for _, _, text in self._kept)]
            hello = self._text(past, hello=self._feed.hello())
            for viewer in viewers:
                viewer.begin(hello)
        if self._notice:
            for viewer in viewers:
                viewer.offer(json.dumps({"notice": self._notice}))

    def _text(self, messages: list[str], **extra: Any) -> str:
        assert self._source
        now_s, speed = self._source.now()
        head = json.dumps({**extra, "now_s": round(now_s, 4), "speed": speed})
        return f'{head[:-1]}, "messages": [{",".join(messages)}]}}'

    def _keep(self, t_s: float, kind: str, text: str) -> None:
        self._kept.append((t_s, kind, text))
        while self._kept and self._kept[0][0] < t_s - KEPT_S:
            _, old, said = self._kept.popleft()
            if old in ("status", "path", "probe"):
                self._before[old] = said

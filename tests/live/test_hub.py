from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from carplab.live.hub import IDLE_FLUSHES, KEPT_S, QUEUE_TEXTS, Hub, Viewer
from carplab.live.sources import Message, Scene
from tests.live.scenes import event, plain, scene, status


class Clock:
    """A source whose time is set by hand; its messages are put into the hub by the tests."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def scene(self) -> Scene:
        return scene(plain())

    def messages(self) -> Iterator[Message]:
        return iter(())

    def now(self) -> tuple[float, float]:
        return self.now_s, 1.0

    def close(self) -> None:
        pass


@pytest.fixture
def source() -> Clock:
    return Clock()


@pytest.fixture
def hub(source: Clock) -> Hub:
    hub = Hub()
    hub.begin(source, source.scene())
    return hub


def read(hub: Hub, viewer: Viewer) -> list[dict[str, Any]]:
    """Return everything that waits for a viewer."""
    texts = []
    while (text := hub.next_text(viewer)) is not None:
        texts.append(json.loads(text))
    return texts


def join(hub: Hub) -> Viewer:
    viewer = Viewer()
    hub.add(viewer)
    return viewer


def kinds(text: dict[str, Any]) -> list[str]:
    return [message["kind"] for message in text["messages"]]


def test_a_viewer_is_greeted_with_the_network_and_the_past(hub: Hub, source: Clock) -> None:
    hub.take([status(), event(1.0, "fw1", "carp")])
    source.now_s = 1.5
    (hello,) = read(hub, join(hub))
    assert hello["hello"]["plan"]["routers"][0]["name"] == "fw1"
    assert kinds(hello) == ["status", "path", "event"]
    assert (hello["now_s"], hello["speed"]) == (1.5, 1.0)


def test_everybody_gets_each_message_once(hub: Hub) -> None:
    early = join(hub)
    hub.take([status()])
    late = join(hub)
    hub.take([event(1.0, "fw1", "carp")])
    hub.flush()
    assert [kinds(text) for text in read(hub, early)] == [[], ["status", "path"], ["event"]]
    assert [kinds(text) for text in read(hub, late)] == [["status", "path"], ["event"]]


def test_a_change_of_state_goes_out_at_once_and_all_else_soon(hub: Hub) -> None:
    viewer = join(hub)
    read(hub, viewer)
    hub.take([event(1.0, "fw1", "sent")])
    assert read(hub, viewer) == []
    hub.take([status()])
    assert [kinds(text) for text in read(hub, viewer)] == [["event", "status", "path"]]
    hub.take([event(1.0, "fw2", "heard")])
    hub.flush()
    assert [kinds(text) for text in read(hub, viewer)] == [["event"]]


def test_without_news_the_time_is_told_now_and_then(hub: Hub, source: Clock) -> None:
    viewer = join(hub)
    read(hub, viewer)
    source.now_s = 7.0
    for _ in range(IDLE_FLUSHES):
        hub.flush()
    (text,) = read(hub, viewer)
    assert (text["now_s"], text["messages"]) == (7.0, [])


def test_a_slow_viewer_loses_messages_and_gets_the_present(hub: Hub) -> None:
    slow, quick = join(hub), join(hub)
    seen = []
    hub.take([status()])
    for number in range(QUEUE_TEXTS + 5):
        hub.take([event(float(number), "fw1", "carp")])
        hub.flush()
        seen += read(hub, quick)
    _hello, present, *newer = read(hub, slow)
    assert present["missed"] == QUEUE_TEXTS + 1
    assert kinds(present) == ["status", "path"]
    assert 0 < len(newer) < 6
    assert sum(kinds(text).count("event") for text in seen) == QUEUE_TEXTS + 5


def test_a_slow_viewer_never_misses_the_greeting_and_what_ends_it(hub: Hub) -> None:
    slow = join(hub)
    for number in range(QUEUE_TEXTS + 1):
        hub.take([event(float(number), "fw1", "carp")])
        hub.flush()
    hub.notify("ended", "the session has ended")
    hello, present, *_ = read(hub, slow)
    assert "hello" in hello
    assert present["missed"] and present["notice"]["text"] == "the session has ended"


def test_only_the_last_minutes_are_kept_with_what_held_before(hub: Hub) -> None:
    hub.take([status(), event(1.0, "fw1", "carp"), event(KEPT_S + 2, "fw2", "carp")])
    (hello,) = read(hub, join(hub))
    assert [(each["kind"], each["t_s"]) for each in hello["messages"]] == [
        ("status", 0.0), ("path", 0.0), ("event", KEPT_S + 2),
    ]  # fmt: skip


def test_another_source_begins_anew(hub: Hub, source: Clock) -> None:
    viewer = join(hub)
    hub.take([status()])
    hub.notify("ended", "the session has ended")
    read(hub, viewer)
    hub.begin(source, source.scene())
    (hello,) = read(hub, viewer)
    assert "hello" in hello and hello["messages"] == []


def test_a_restart_forgets_the_past(hub: Hub) -> None:
    viewer = join(hub)
    hub.take([status(), {"kind": "restart"}, event(0.5, "fw1", "carp")])
    hub.flush()
    hello, text = read(hub, viewer)
    assert "hello" in hello and hello["messages"] == []
    assert kinds(text) == ["event"]


def test_a_notice_reaches_also_who_comes_later(hub: Hub) -> None:
    hub.notify("ended", "the session has ended")
    assert read(hub, join(hub))[-1] == {
        "notice": {"kind": "ended", "text": "the session has ended"}
    }


def test_who_has_gone_gets_nothing_more(hub: Hub) -> None:
    viewer = join(hub)
    read(hub, viewer)
    hub.remove(viewer)
    hub.take([status()])
    hub.flush()
    assert read(hub, viewer) == []

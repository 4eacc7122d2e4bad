from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from carplab.cli import build_parser
from carplab.emulation.experiment import Options
from carplab.errors import CarplabError, UsageError
from carplab.live.hub import Hub
from carplab.live.program import Page, show_network
from carplab.live.replay import ReplaySource
from carplab.live.stage import Stage, changed, checked, in_thread, make_spec
from tests.live.test_replay import CABLE_PULL


def ask_replay(order: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give an order to a stage that shows a recorded run."""

    async def ask() -> Mapping[str, Any]:
        stage = Stage(Hub(), Options())
        stage.show_replay(ReplaySource(CABLE_PULL))
        try:
            return await stage.orders[order](fields)
        finally:
            stage.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("order", "fields"),
    [("inject", {"kind": "crash", "host": "fw1"}), ("lift-all", {}), ("export", {}), ("start", {})],
)
def test_a_recorded_run_cannot_be_changed(order: str, fields: dict[str, Any]) -> None:
    with pytest.raises(CarplabError, match="can be looked at, not changed"):
        ask_replay(order, fields)


def test_a_recorded_run_goes_at_the_speed_that_is_asked_for() -> None:
    answer = ask_replay("replay", {"speed": 0.5, "at_s": 3.0})
    assert answer["speed"] == 0.5
    assert answer["now_s"] == pytest.approx(3.0, abs=0.5)
    assert ask_replay("replay", {"paused": True, "at_s": 4.0}) == {"now_s": 4.0, "speed": 0.0}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"hots": "fw1"}, "unknown field 'hots' in the order: known are host, cable, percent"),
        ({"host": 1}, "1 is no value for host: a str is expected"),
        ({"cable": 1.5}, "1.5 is no value for cable: a int is expected"),
        ({"cable": True}, "True is no value for cable: a int is expected"),
        ({"percent": "30"}, "'30' is no value for percent: a float is expected"),
        ({"percent": True}, "True is no value for percent: a float is expected"),
    ],
)
def test_wrong_fields_of_an_order_get_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked(fields, host=str, cable=int, percent=float)
    assert str(refused.value) == sentence


def test_an_order_without_what_it_needs_is_refused() -> None:
    with pytest.raises(UsageError, match="needs its kind and host"):
        ask_replay("inject", {"kind": "crash"})
    with pytest.raises(UsageError, match="needs the id"):
        ask_replay("lift", {})


def test_whole_numbers_are_numbers() -> None:
    assert checked({"percent": 30}, percent=float) == {"percent": 30.0}


def test_what_is_chosen_on_the_page_changes_the_options() -> None:
    options = Options(settings=("fw2.advskew=50", "segment.inside=bridge"), firewalls=2)
    new = changed(options, design="balanced", dialect="openbsd-3.8", switch="stp", firewalls=3)
    assert (new.design, new.dialect, new.firewalls) == ("balanced", "openbsd-3.8", 3)
    assert new.settings == ("fw2.advskew=50", "segment.outside=stp", "segment.inside=stp")
    assert {segment.kind for segment in make_spec(new).network.segments} == {"stp"}
    assert changed(options) == options


def test_a_design_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown design 'round'"):
        make_spec(changed(Options(), design="round"))


def test_the_session_ends_with_the_program() -> None:
    assert make_spec(Options(out=Path("elsewhere"))).owner_pid == os.getpid()


def test_what_fails_in_a_thread_fails_here() -> None:
    def fail() -> None:
        raise CarplabError("no network is running")

    with pytest.raises(CarplabError, match="no network is running"):
        asyncio.run(in_thread(fail))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--port", "70000"], "--port 70000 is out of range"),
        (["--speed", "2"], "--speed is for a recorded run"),
        (["--address", "0.0.0.0"], "others can reach 0.0.0.0: give a token"),
        (["--replay", "/nonexistent"], "/nonexistent is no folder of a run"),
    ],
)
def test_a_wrong_command_line_gets_one_sentence(words: list[str], sentence: str) -> None:
    arguments = build_parser().parse_args(["live", *words])
    with pytest.raises(CarplabError, match=sentence):
        arguments.handler(arguments)


def test_who_may_look_is_decided_before_anything_is_started() -> None:
    with pytest.raises(UsageError, match="give a token"):
        show_network(Page("0.0.0.0", 0, "", False), Options())

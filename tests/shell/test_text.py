"""What is shown: as words, and with colours only where somebody looks and wants them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from carplab.shell.text import (
    Losses,
    conditions,
    event_line,
    fault_words,
    faults_table,
    states_table,
)
from tests.shell.made_up import event, fault, status, virtual_host


def shown(content: RenderableType | None, **console: Any) -> str:
    assert content is not None
    file = io.StringIO()
    Console(file=file, width=100, **console).print(content)
    return file.getvalue()


def rows(content: RenderableType) -> list[list[str]]:
    """Return the words of each line of a table that has some."""
    return [line.split() for line in shown(content).splitlines() if line.strip(" ─")]


def test_states_are_a_row_for_each_virtual_host() -> None:
    head, outside, inside = rows(states_table(status()))
    assert head == ["segment", "vhid", "address", "fw1", "fw2"]
    assert outside[:3] == ["outside", "1", "10.0.1.1"]
    assert outside[3:] == ["MASTER", "advskew", "0", "BACKUP", "advskew", "100"]
    assert inside[:4] == ["inside", "2", "10.0.2.1", "MASTER"]


def test_second_cable_firewall_without_it_and_slow_timers_show() -> None:
    hosts = [
        virtual_host("fw1", "outside", 1, "MASTER", advbase=3),
        virtual_host("fw2", "outside", 1, "INIT", cable=2, addresses=["10.0.1.1", "fd00:1::1"]),
    ]
    _, first, second, more = rows(states_table(status(virtual_hosts=hosts)))
    assert first == ["outside", "1", "10.0.1.1", "MASTER", "advbase", "3", "advskew", "0", "-"]
    assert second == ["outside/2", "1", "10.0.1.1", "-", "INIT", "advskew", "100"]
    assert more == ["fd00:1::1"]


def test_a_segments_virtual_hosts_are_beside_each_other() -> None:
    hosts = [
        virtual_host("fw1", "outside", 1, "MASTER"),
        virtual_host("fw1", "inside", 2, "MASTER"),
        virtual_host("fw2", "outside", 7, "MASTER"),
    ]
    _, *found = rows(states_table(status(virtual_hosts=hosts)))
    assert [row[:2] for row in found] == [["outside", "1"], ["outside", "7"], ["inside", "2"]]


def test_master_stands_out_where_there_are_colours() -> None:
    table = states_table(status())
    coloured = shown(table, force_terminal=True, color_system="standard")
    assert "\x1b[1;37;44mMASTER\x1b[0m" in coloured
    assert "\x1b" not in shown(table)


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(states_table(status()), force_terminal=True, color_system="standard")
    assert "\x1b[1mMASTER\x1b[0m" in plain  # bold is no colour


def test_conditions_name_what_is_not_as_usual() -> None:
    assert conditions(status()) == []
    unusual = status(
        carpd={"fw1": "running", "fw2": "failed: it ended"},
        demotions={"fw1": {"carp": 1, "outside": 0}, "fw2": {}},
    )
    assert conditions(unusual) == ["fw1: demotion carp 1", "fw2: carpd failed: it ended"]


def test_faults() -> None:
    there = [fault(3, "link_down", "fw1", "outside", cable=2), fault(4, "crash", "fw2")]
    _, first, second = rows(faults_table(there, now_s=12.6))
    assert first == ["3", "link_down", "fw1", "outside/2", "10", "s"]
    assert second == ["4", "crash", "fw2", "10", "s"]
    assert [fault_words(each) for each in there] == [
        "3 link_down of fw1 on outside/2",
        "4 crash of fw2",
    ]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            event("carp", "fw2", "BACKUP -> MASTER (master timed out)", "outside"),
            "8.200 s fw2 outside BACKUP -> MASTER (master timed out)",
        ),
        (event("fault", "fw1", "link_down", "outside"), "8.200 s fw1 outside fault link_down"),
        (
            event("demotion", "fw1", "carp 0 -> 1 (interface down)"),
            "8.200 s fw1 demotion carp 0 -> 1 (interface down)",
        ),
    ],
)
def test_events(message: dict[str, Any], words: str) -> None:
    assert shown(event_line(message)).split() == words.split()


@pytest.mark.parametrize("kind", ["sent", "heard", "arp", "phase"])
def test_what_comes_all_the_time_is_not_shown(kind: str) -> None:
    assert event_line(event(kind, "fw1", "advbase 1")) is None


def probes(start_s: float, end_s: float, lost: bool) -> list[list[Any]]:
    """Return a probe each 100 ms."""
    times_s = [round(start_s + number / 10, 3) for number in range(round(10 * (end_s - start_s)))]
    return [[0, at_s, None if lost else at_s, None if lost else at_s] for at_s in times_s]


def test_losses_are_told_when_their_second_is_over_and_when_they_end() -> None:
    losses = Losses()
    losses.add(probes(3.0, 4.0, lost=False))
    losses.add(probes(4.6, 6.0, lost=True))
    losses.add(probes(4.0, 4.6, lost=False))  # those that come back come sooner
    losses.add(probes(6.0, 8.0, lost=False))
    assert losses.lines(now_s=5.0 + Losses.SETTLED_S - 0.01) == []
    (first,) = losses.lines(now_s=5.0 + Losses.SETTLED_S)
    assert first.plain.split() == ["4", "s", "lost", "4", "of", "10", "probes"]
    second, end = losses.lines(now_s=20.0)
    assert second.plain.split() == ["5", "s", "lost", "10", "of", "10", "probes"]
    assert end.plain.split() == ["6", "s", "no", "loss", "any", "more"]
    assert losses.lines(now_s=30.0) == []

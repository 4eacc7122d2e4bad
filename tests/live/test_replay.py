from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from carplab.analysis.load import load_run
from carplab.emulation.experiment import PROJECT
from carplab.errors import CarplabError, UsageError
from carplab.live.feed import Feed
from carplab.live.replay import ReplaySource
from carplab.live.sources import Message

CABLE_PULL = PROJECT / "results" / "reference" / "cable-pull"
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def recorded() -> list[tuple[float, Message]]:
    """The reference run: a cable of fw1 is pulled at 5.27 s and plugged in again."""
    return ReplaySource(CABLE_PULL).recorded


def of_kind(recorded: list[tuple[float, Message]], kind: str) -> list[Message]:
    return [message for _, message in recorded if message["kind"] == kind]


def state(status: Message, router: str, segment: str) -> str:
    (found,) = (
        each["state"]
        for each in status["virtual_hosts"]
        if (each["router"], each["segment"]) == (router, segment)
    )
    return str(found)


def test_messages_come_in_the_order_of_time(recorded: list[tuple[float, Message]]) -> None:
    times_s = [t_s for t_s, _ in recorded]
    assert times_s == sorted(times_s)
    assert recorded[0][1]["kind"] == "status"


def test_all_that_was_recorded_is_told(recorded: list[tuple[float, Message]]) -> None:
    run = load_run(CABLE_PULL)
    assert len(of_kind(recorded, "event")) == len(run.events)
    probes, pings = (
        [row for message in of_kind(recorded, kind) for row in message["rows"]]
        for kind in ("probe", "ping")
    )
    assert (len(probes), len(pings)) == (len(run.probe), len(run.ping))
    assert sum(row[3] is None for row in probes) == run.probe["returned_t_s"].isna().sum()


def test_a_packet_is_told_of_when_it_is_back_or_given_up(
    recorded: list[tuple[float, Message]],
) -> None:
    for t_s, message in recorded:
        for _, sent_s, _, back_s in message["rows"] if message["kind"] == "probe" else ():
            known_s = sent_s + 1.0 if back_s is None else back_s
            assert t_s - 0.1001 <= known_s <= t_s


def test_the_states_are_those_of_the_record(recorded: list[tuple[float, Message]]) -> None:
    statuses = of_kind(recorded, "status")
    first, last = statuses[0], statuses[-1]
    assert state(first, "fw1", "outside") == "not running"
    assert first["carpd"] == {"fw1": "down", "fw2": "down"}
    assert [state(last, "fw1", where) for where in ("inside", "outside")] == ["MASTER"] * 2
    taken_over = next(each for each in statuses if state(each, "fw2", "outside") == "MASTER")
    assert state(taken_over, "fw1", "outside") == "INIT"
    assert taken_over["demotions"] == {"fw1": {"carp": 1}}
    assert last["demotions"] == {"fw1": {"carp": 0}}


def test_a_fault_lasts_until_its_repair(recorded: list[tuple[float, Message]]) -> None:
    broken = [each for each in of_kind(recorded, "status") if each["faults"]]
    (fault,) = broken[0]["faults"]
    assert {key: fault[key] for key in ("kind", "host", "segment", "cable")} == {
        "kind": "link_down", "host": "fw1", "segment": "outside", "cable": 1,
    }  # fmt: skip
    assert broken[0]["t_s"] == fault["since_t_s"]
    assert not of_kind(recorded, "status")[-1]["faults"]


def test_a_page_is_shown_the_recorded_outage(recorded: list[tuple[float, Message]]) -> None:
    feed = Feed(ReplaySource(CABLE_PULL).scene())
    said = [made for _, message in recorded for made in feed.take(message)]
    lengths_s = [each["t_s"] - each["start_s"] for each in said if each["kind"] == "outage"]
    with open(CABLE_PULL / "windows.csv") as file:
        longest_s = max(
            float(line.split(",")[5]) for line in file if line.startswith("outage,") and line
        )
    assert lengths_s == [pytest.approx(longest_s, abs=0.003)]


def test_a_replay_takes_as_long_as_its_speed_says() -> None:
    source = ReplaySource(CABLE_PULL, speed=1000)
    reader, told = read_in_thread(source)
    wait_for(lambda: len(told) == len(source.recorded))
    assert source.now() == (source.scene().end_s, 0.0)
    source.close()
    reader.join(DEADLINE_S)
    assert not reader.is_alive()


def test_paused_it_stands_still_and_goes_on_from_there() -> None:
    source = ReplaySource(CABLE_PULL, speed=1000)
    source.pause(True)
    source.seek(4.0)
    reader, told = read_in_thread(source)
    assert source.now() == (4.0, 0.0)
    expected = sum(t_s <= 4.0 for t_s, _ in source.recorded)
    wait_for(lambda: len(told) == expected)
    source.pause(False)
    wait_for(lambda: len(told) == len(source.recorded))
    source.close()
    reader.join(DEADLINE_S)


def test_sent_back_it_tells_everything_anew() -> None:
    source = ReplaySource(CABLE_PULL, speed=1000)
    reader, told = read_in_thread(source)
    wait_for(lambda: len(told) == len(source.recorded))
    source.seek(0.0)
    wait_for(lambda: len(told) == 2 * len(source.recorded) + 1)
    assert told[len(source.recorded)] == {"kind": "restart"}
    source.close()
    reader.join(DEADLINE_S)


@pytest.mark.parametrize("speed", [0.0, -1.0, 1e9, float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(UsageError, match="out of range"):
        ReplaySource(CABLE_PULL, speed)


def test_a_run_without_a_network_is_refused(tmp_path: Path) -> None:
    shutil.copy(CABLE_PULL / "events.csv", tmp_path)
    about: dict[str, Any] = json.loads((CABLE_PULL / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**about, "scenario": {}}))
    with pytest.raises(CarplabError, match="holds no network to draw"):
        ReplaySource(tmp_path)


def test_a_run_that_ended_before_anything_happened_is_refused(tmp_path: Path) -> None:
    shutil.copy(CABLE_PULL / "run.json", tmp_path)
    with pytest.raises(CarplabError, match="nothing to replay"):
        ReplaySource(tmp_path)


def read_in_thread(source: ReplaySource) -> tuple[threading.Thread, list[Message]]:
    told: list[Message] = []

    def read() -> None:
        for message in source.messages():
            told.append(message)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader, told


def wait_for(condition: Any) -> None:
    done = threading.Event()
    for _ in range(int(DEADLINE_S / 0.01)):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it did not come to that")

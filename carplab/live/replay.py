"""A recorded run as the messages that a session would have given, at any speed."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from carplab.analysis.causes import find_causes
from carplab.analysis.load import Event, Run, load_run, mapping, sequence
from carplab.analysis.states import HUNG, INIT, NOT_RUNNING, Track, find_tracks
from carplab.errors import CarplabError, UsageError
from carplab.live.sources import REPLAY, Message, Scene, probed_hosts
from carplab.network import OPENFLOW, interface_name

BATCH_S = 0.1
LOST_AFTER_S = 1.0  # as in a session: a packet counts as lost when it has been away for so long
SLOWEST, FASTEST = 0.01, 1000.0
_LEAD_S = 0.3  # shown before the first event

_DEMOTION = re.compile(r"(?:(\w+) )?-?\d+ -> (-?\d+)")

Timed = tuple[float, Message]


class ReplaySource:
    """Replays a run folder; `set_speed`, `pause` and `seek` may come from any thread.

    `recorded` is all that there is to tell, with its times.
    """

    def __init__(self, folder: Path, speed: float = 1.0) -> None:
        run = load_run(folder)
        if not run.events:
            raise CarplabError(f"{folder} has no events: there is nothing to replay")
        self._scene = _scene(run)
        self.recorded = recorded_messages(run, self._scene.network)
        self._start_s = self.recorded[0][0]
        self._end_s = self.recorded[-1][0]
        self._scene = replace(self._scene, end_s=self._end_s)
        self._changed = threading.Condition()
        self._closed = False
        self._speed = check_speed(speed)
        self._began_s, self._began_clock_s = self._start_s, time.monotonic()
        self._is_paused = False
        self._seeks = 0

    def scene(self) -> Scene:
        """Return what was recorded."""
        return self._scene

    def now(self) -> tuple[float, float]:
        """Return the time in the record and how fast it goes; 0 when paused or at the end."""
        with self._changed:
            now_s = self._now_s()
            return now_s, 0.0 if self._is_paused or now_s >= self._end_s else self._speed

    def messages(self) -> Iterator[Message]:
        """Yield the messages when their time has come; after `seek` those before it at once."""
        while True:
            seeks = self._seeks
            for at_s, message in self.recorded:
                if not self._wait(at_s, seeks):
                    break
                yield message
            else:
                self._wait(float("inf"), seeks)
            if self._closed:
                return
            yield {"kind": "restart"}

    def set_speed(self, speed: float) -> None:
        """Go on at this speed; 1 is as fast as it happened."""
        check_speed(speed)
        with self._changed:
            self._move(self._now_s())
            self._speed = speed

    def pause(self, is_paused: bool) -> None:
        """Stand still, or go on."""
        with self._changed:
            self._move(self._now_s())
            self._is_paused = is_paused

    def seek(self, to_s: float) -> None:
        """Go on from there, within what was recorded."""
        with self._changed:
            self._move(min(max(to_s, self._start_s), self._end_s))
            self._seeks += 1

    def close(self) -> None:
        """End `messages`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _move(self, now_s: float) -> None:
        self._began_s, self._began_clock_s = now_s, time.monotonic()
        self._changed.notify_all()

    def _now_s(self) -> float:
        if self._is_paused:
            return self._began_s
        passed_s = (time.monotonic() - self._began_clock_s) * self._speed
        return min(self._began_s + passed_s, self._end_s)

    def _wait(self, at_s: float, seeks: int) -> bool:
        """Wait until the record's time is `at_s`; False when closed or sent elsewhere."""
        with self._changed:
            while not self._closed and self._seeks == seeks:
                left_s = at_s - self._now_s()
                if left_s <= 0:
                    return True
                is_still = self._is_paused or at_s > self._end_s
                self._changed.wait(None if is_still else left_s / self._speed)
        return False


def check_speed(speed: float) -> float:
    """Return the speed if it is possible, else raise UsageError."""
    if not SLOWEST <= speed <= FASTEST:
        raise UsageError(f"a speed of {speed:g} is out of range: {SLOWEST:g} to {FASTEST:g}")
    return speed


def recorded_messages(run: Run, network: Mapping[str, Any]) -> list[Timed]:
    """Return what a session's follower would have got, with the times, in their order."""
    found = [*_statuses(run, network), *map(_event, run.events)]
    found += [*_probes(run.probe), *_pings(run.ping)]
    found += _batches("iperf", run.iperf, run.iperf["end_t_s"])
    return sorted(found, key=lambda timed: timed[0])


def _scene(run: Run) -> Scene:
    network = mapping(mapping(run.about.get("scenario")).get("network"))
    if not (network.get("segments") and network.get("hosts")):
        raise CarplabError(
            f"{run.folder / 'run.json'} holds no network to draw: the run failed before it was "
            "built, or is no run of carplab's"
        )
    network = _completed(network)
    client, server = probed_hosts(network, *run.flow)
    title = str(run.about.get("experiment", ""))
    settings = dict(mapping(run.about.get("settings")))
    return Scene(REPLAY, title, network, client, server, str(run.folder), settings)


def _completed(network: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network with what older runs did not say yet: cables, the switches' kinds."""
    routers = [
        {**router, "interfaces": [{"cable": 1, **each} for each in router["interfaces"]]}
        for router in network["routers"]
    ]
    segments = [{"kind": OPENFLOW, **segment} for segment in network["segments"]]
    return {"links": [], **network, "routers": routers, "segments": segments}


def _event(event: Event) -> Timed:
    return event.t_s, {
        "kind": "event", "t_s": event.t_s, "source": event.source, "event": event.kind,
        "segment": event.place, "vhid": event.vhid, "detail": event.detail,
    }  # fmt: skip


# --- states -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fault:
    start_s: float
    end_s: float
    plain: dict[str, Any]


def _statuses(run: Run, network: Mapping[str, Any]) -> Iterator[Timed]:
    """Yield the status at the start and whenever something in it changes."""
    tracks = find_tracks(run.events, run.virtual_hosts)
    faults = list(_faults(run.events))
    moments = {t_s for track in tracks for t_s in track.times_s[1:]}
    moments |= {event.t_s for event in run.events if event.kind == "demotion"}
    moments |= {t_s for fault in faults for t_s in (fault.start_s, fault.end_s)}
    first_s = min((event.t_s for event in run.events), default=0.0) - _LEAD_S
    known = _known_virtual_hosts(network)
    demotions: dict[str, dict[str, int]] = {}
    changes = [event for event in run.events if event.kind == "demotion"]
    for t_s in (first_s, *sorted(moments - {float("inf")})):
        while changes and changes[0].t_s <= t_s:
            _demote(demotions, changes.pop(0))
        yield t_s, {
            "kind": "status",
            "t_s": t_s,
            "virtual_hosts": [_virtual_host(known, track, t_s) for track in tracks],
            "demotions": {router: dict(groups) for router, groups in demotions.items()},
            "carpd": _carpds(network, tracks, t_s),
            "faults": [each.plain for each in faults if each.start_s <= t_s < each.end_s],
        }


def _faults(events: Iterable[Event]) -> Iterator[_Fault]:
    causes = find_causes(events)
    ends = {cause.name.split()[1]: cause.t_s for cause in causes if not cause.is_fault}
    for cause in causes:
        if cause.is_fault:
            number = cause.name.split()[1]
            kind, _, detail = cause.what.partition(" ")
            plain = {
                "id": int(number), "kind": kind, "host": cause.host, "segment": cause.segment,
                "cable": cause.cable, "detail": detail, "since_t_s": cause.t_s,
            }  # fmt: skip
            yield _Fault(cause.t_s, ends.get(number, float("inf")), plain)


def _demote(demotions: dict[str, dict[str, int]], event: Event) -> None:
    """Note what `carp 0 -> 1 (interface down)` says; older runs did not name the group."""
    match = _DEMOTION.match(event.detail)
    if match:
        demotions.setdefault(event.source, {})[match[1] or "carp"] = int(match[2])


Known = dict[tuple[str, str, int, int], dict[str, Any]]


def _known_virtual_hosts(network: Mapping[str, Any]) -> Known:
    return {
        (router["name"], interface["segment"], interface["cable"], each["vhid"]): {
            "advbase": each["advbase"], "advskew": each["advskew"], "addresses": each["addresses"],
        }
        for router in map(mapping, sequence(network.get("routers")))
        for interface in router["interfaces"]
        for each in interface["virtual_hosts"]
    }  # fmt: skip


def _virtual_host(known: Known, track: Track, t_s: float) -> dict[str, Any]:
    key = track.key
    return {
        "router": key.host, "segment": key.segment, "cable": key.cable,
        "interface": interface_name(key.host, key.segment, key.cable), "vhid": key.vhid,
        "state": track.state_at(t_s),
        **known.get((key.host, key.segment, key.cable, key.vhid), {}),
    }  # fmt: skip


def _carpds(network: Mapping[str, Any], tracks: list[Track], t_s: float) -> dict[str, str]:
    words = {NOT_RUNNING: "down", HUNG: "frozen"}
    states = {router["name"]: INIT for router in network["routers"]}
    states |= {track.key.host: track.state_at(t_s) for track in tracks}
    return {router: words.get(state, "running") for router, state in states.items()}


# --- traffic ----------------------------------------------------------------------------------


def _probes(probe: pd.DataFrame) -> Iterator[Timed]:
    """Yield the packets when they are back, those that are not in time as lost."""
    lost_s = probe["sent_t_s"] + LOST_AFTER_S
    in_time = probe["returned_t_s"].where(probe["returned_t_s"] < lost_s)
    yield from _batches("probe", probe.assign(returned_t_s=in_time), in_time.fillna(lost_s))


def _pings(ping: pd.DataFrame) -> Iterator[Timed]:
    away_s = (ping["rtt_ms"] / 1000).fillna(LOST_AFTER_S)
    yield from _batches("ping", ping, ping["sent_t_s"] + away_s)


def _batches(kind: str, table: pd.DataFrame, known_s: pd.Series[float]) -> Iterator[Timed]:
    """Yield the rows in batches, each at its end, by when a row was known; None where empty."""
    if table.empty:
        return
    ordered = known_s.sort_values(kind="stable")
    columns = [table.loc[ordered.index, column].tolist() for column in table.columns]
    rows = [[None if cell != cell else cell for cell in row] for row in zip(*columns, strict=True)]
    batches = (ordered // BATCH_S).tolist()
    for batch, group in itertools.groupby(zip(batches, rows, strict=True), lambda pair: pair[0]):
        yield (batch + 1) * BATCH_S, {"kind": kind, "rows": [row for _, row in group]}

"""The CARP state of each virtual host over time, from the events, and the splits in it.

- A virtual host is in the state its last transition gave it; before its first one, in the state
  that one left, and where carpd's start was recorded, in none before the start.
- Where carpd is not running (killed, crashed with its machine, ended) the virtual host has the
  state `NOT_RUNNING`: it is MASTER of nothing, although a killed carpd's address may go on
  answering.
- While its machine hangs, a virtual host has the state `HUNG` and is MASTER of nothing; afterwards
  it is what it was before.
- A host is MASTER of a place (a segment and a vhid on it) if any of its interfaces there is.
- The segments are whole while every virtual host has exactly one MASTER and these are all on one
  host. Any other time is a split: a virtual host without MASTER, with two or more, or MASTERs on
  several hosts.
- Where a segment has several vhids (balancing), the first vhid of each segment belong together, the
  second ones, and so on: each of these sets needs its MASTERs on one host.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from carplab.analysis.load import Event, Place, VirtualHostKey

INIT, BACKUP, MASTER = "INIT", "BACKUP", "MASTER"
NOT_RUNNING = "not running"
HUNG = "hung"
UNKNOWN = "unknown"

_TRANSITION = re.compile(r"(\w+) -> (\w+)(?: \((.*)\))?")
_STARTED, _WOKEN = "started", "woken"
_PROCESS_ENDS = ("killed", "ended", "exited", "died", "crashed", "stopped")
_FAULTS_THAT_KILL = ("crash", "reboot", "daemon_kill")


@dataclass(frozen=True)
class Transition:
    """One virtual host's change of state, with the kernel's words for the reason."""

    t_s: float
    key: VirtualHostKey
    old: str
    new: str
    reason: str


@dataclass(frozen=True)
class History:
    """The states of something: `states[i]` from `times_s[i]` on, the first since ever."""

    times_s: tuple[float, ...]
    states: tuple[str, ...]

    def state_at(self, t_s: float) -> str:
        """Return the state at a time; at the moment of a change, the new one."""
        return self.states[bisect.bisect_right(self.times_s, t_s) - 1]

    def spans(self, start_s: float, end_s: float) -> list[tuple[float, float, str]]:
        """Return (start, end, state) without gaps; equal neighbours are joined."""
        inner = [start_s, *(t_s for t_s in self.times_s if start_s < t_s < end_s), end_s]
        spans: list[tuple[float, float, str]] = []
        for low, high in itertools.pairwise(inner):
            state = self.state_at(low)
            if spans and spans[-1][2] == state:
                spans[-1] = (spans[-1][0], high, state)
            elif high > low:
                spans.append((low, high, state))
        return spans


@dataclass(frozen=True)
class Track(History):
    """The states of one virtual host."""

    key: VirtualHostKey


@dataclass(frozen=True)
class SplitPart:
    """A time in a split in which the same hosts were MASTER of the same places."""

    start_s: float
    end_s: float
    masters: Mapping[Place, frozenset[str]]

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.end_s - self.start_s

    @property
    def who(self) -> str:
        """Who was MASTER where."""
        return describe(self.masters)


@dataclass(frozen=True)
class Split:
    """A time in which the segments were not whole, in parts without gaps between them."""

    parts: tuple[SplitPart, ...]
    open_end: bool = False

    @property
    def start_s(self) -> float:
        """When the segments ceased to be whole."""
        return self.parts[0].start_s

    @property
    def end_s(self) -> float:
        """When they were whole again, or the end of the record."""
        return self.parts[-1].end_s

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.end_s - self.start_s

    @property
    def detail(self) -> str:
        """Who was MASTER of what, one part after the other."""
        return "; then ".join(part.who for part in self.parts)

    @property
    def mostly(self) -> str:
        """Who was MASTER of what for the longest time."""
        return max(self.parts, key=lambda part: part.length_s).who


@dataclass(frozen=True)
class Masters:
    """The hosts that are MASTER of each place; each entry holds from its time to the next one's."""

    times_s: tuple[float, ...]
    hosts: tuple[Mapping[Place, frozenset[str]], ...]

    def at(self, t_s: float) -> Mapping[Place, frozenset[str]]:
        """Return the MASTERs at a time; at the moment of a change, the new ones."""
        return self.hosts[bisect.bisect_right(self.times_s, t_s) - 1]


def track_names(tracks: Sequence[Track]) -> list[str]:
    """Return a name for each track; with vhid and cable where there are several to tell apart."""
    keys = [track.key for track in tracks]
    names = []
    for key in keys:
        beside = [other for other in keys if other.segment == key.segment]
        several_vhids = len({other.vhid for other in beside}) > 1
        several_cables = len({other.cable for other in beside if other.host == key.host}) > 1
        parts = [key.segment, f"vhid {key.vhid}" if several_vhids else "", key.host]
        parts.append(f"cable {key.cable}" if several_cables else "")
        names.append(" ".join(part for part in parts if part))
    return names


def transitions(events: Iterable[Event]) -> list[Transition]:
    """Return the transitions recorded, in the order of time."""
    found = []
    for event in events:
        match = (
            _TRANSITION.match(event.detail)
            if event.kind == "carp" and event.vhid is not None
            else None
        )
        if match and event.vhid is not None:
            key = VirtualHostKey(event.source, event.segment, event.vhid, event.cable)
            found.append(Transition(event.t_s, key, match[1], match[2], match[3] or ""))
    return found


def find_tracks(events: Sequence[Event], configured: Iterable[VirtualHostKey] = ()) -> list[Track]:
    """Return one track for each virtual host configured or heard of; none without a transition.

    In the order of the segments as they come, the vhid, the hosts as they come, the cable.
    """
    changes = transitions(events)
    if not changes:
        return []
    keys = list(dict.fromkeys((*configured, *(change.key for change in changes))))
    segments = list(dict.fromkeys(key.segment for key in keys))
    hosts = list(dict.fromkeys(key.host for key in keys))
    ordered = sorted(
        keys,
        key=lambda key: (
            segments.index(key.segment),
            key.vhid,
            hosts.index(key.host),
            key.cable,
        ),
    )
    lives = [life for life in map(_life, events) if life is not None]
    return [_track(key, changes, lives) for key in ordered]


def find_masters(tracks: Sequence[Track]) -> Masters:
    """Return who was MASTER of each place over time."""
    places = list(dict.fromkeys(track.key.place for track in tracks))
    times_s = sorted({t_s for track in tracks for t_s in track.times_s}) or [float("-inf")]
    hosts: list[Mapping[Place, frozenset[str]]] = []
    for t_s in times_s:
        standing = {place: set[str]() for place in places}
        for track in tracks:
            if track.state_at(t_s) == MASTER:
                standing[track.key.place].add(track.key.host)
        hosts.append({place: frozenset(names) for place, names in standing.items()})
    return Masters(tuple(times_s), tuple(hosts))


def is_whole(masters: Mapping[Place, frozenset[str]]) -> bool:
    """Tell whether every place has one MASTER, those that belong together on one host."""
    if not masters or any(len(hosts) != 1 for hosts in masters.values()):
        return False
    return all(len(frozenset().union(*group)) == 1 for group in _together(masters))


def is_home(masters: Mapping[Place, frozenset[str]], homes: Mapping[Place, str]) -> bool:
    """Tell whether each place has one MASTER, the host it is at home on."""
    return bool(masters) and all(hosts == {homes[place]} for place, hosts in masters.items())


def describe(masters: Mapping[Place, frozenset[str]]) -> str:
    """Return who is MASTER where, as in `inside fw2, outside fw1+fw2`; `none` where nobody is."""
    several = len({segment for segment, _ in masters}) < len(masters)
    return ", ".join(
        f"{segment} vhid {vhid} {'+'.join(sorted(hosts)) or 'none'}"
        if several
        else f"{segment} {'+'.join(sorted(hosts)) or 'none'}"
        for (segment, vhid), hosts in masters.items()
    )


def find_splits(masters: Masters, start_s: float, end_s: float) -> list[Split]:
    """Return the splits between two times, neighbours joined."""
    moments = [start_s, *(t_s for t_s in masters.times_s if start_s < t_s < end_s), end_s]
    found: list[list[SplitPart]] = []
    for low, high in itertools.pairwise(moments):
        now = masters.at(low)
        if is_whole(now) or not now or high <= low:
            continue
        part = SplitPart(low, high, now)
        if not (found and found[-1][-1].end_s == low):
            found.append([part])
        elif found[-1][-1].masters == now:
            found[-1][-1] = replace(found[-1][-1], end_s=high)
        else:
            found[-1].append(part)
    return [Split(tuple(parts), open_end=parts[-1].end_s == end_s) for parts in found]


def _together(masters: Mapping[Place, frozenset[str]]) -> list[list[frozenset[str]]]:
    """Group the places' MASTERs: the first vhid of each segment, the second of each, ..."""
    ranks: dict[int, list[frozenset[str]]] = {}
    seen: dict[str, int] = {}
    for segment, vhid in sorted(masters):
        rank = seen[segment] = seen.get(segment, -1) + 1
        ranks.setdefault(rank, []).append(masters[segment, vhid])
    return list(ranks.values())


def _life(event: Event) -> tuple[float, str, str] | None:
    """Return (time, host, what) where a host's carpd starts or ends, or its machine hangs."""
    words = [*event.detail.split(), "", ""]
    known: dict[str, str] = {}
    if event.kind == "process" and words[0] == "carpd":
        known = {"started": _STARTED, **dict.fromkeys(_PROCESS_ENDS, NOT_RUNNING)}
        words = words[1:]
    elif event.kind == "fault":
        known = {"hang": HUNG, **dict.fromkeys(_FAULTS_THAT_KILL, NOT_RUNNING)}
    elif event.kind == "repair":
        known = {"hang": _WOKEN}
    return (event.t_s, event.source, known[words[0]]) if words[0] in known else None


def _track(
    key: VirtualHostKey, changes: Sequence[Transition], lives: Sequence[tuple[float, str, str]]
) -> Track:
    own = [(change.t_s, change.new) for change in changes if change.key == key]
    own += [(t_s, what) for t_s, host, what in lives if host == key.host]
    own.sort(key=lambda change: change[0])
    states = [next((change.old for change in changes if change.key == key), UNKNOWN)]
    if own and own[0][1] == _STARTED:
        states = [NOT_RUNNING]
    for _, what in own:
        states.append(_next_state(states, what))
    return Track((float("-inf"), *(t_s for t_s, _ in own)), tuple(states), key)


def _next_state(states: Sequence[str], what: str) -> str:
    """Return the state after a transition to `what`, or after carpd or its machine did that."""
    if what == _STARTED:
        return INIT
    if what == _WOKEN:
        return next((state for state in reversed(states) if state != HUNG), UNKNOWN)
    # A carpd that was told to end leaves MASTER for INIT on its way out.
    if what == INIT and states[-1] == NOT_RUNNING:
        return NOT_RUNNING
    return what

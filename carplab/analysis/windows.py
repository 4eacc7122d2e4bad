"""The windows of a run: outage, detection, takeover, failover, recovery, split.

Pure functions: tables in, windows out.

All times are seconds on the run's clock. Module `causes` says what belongs to which fault or
repair. What each word means here, at its edges too:

outage (round trip), outage_to_server (one way: as the server received)
    From the last packet delivered to the next one delivered; module `outages` has the rules. Each
    cause has a row even when it has no outage: length 0, at the time of the cause. Of several
    outages after one cause the longest is the one that counts and comes first, the others follow in
    the order of time. An outage that began at a fault and went on past the repair is the fault's;
    the repair's row says so. An outage that was not over at the end of the record has the length
    seen, and "at least" in its detail.

detection
    From a fault until a virtual host that was not MASTER becomes MASTER, before the next cause; one
    for each segment (and vhid) where that happened. The latest one decides, and comes first. When
    the machine at fault was MASTER and nobody followed it, the row has no end; when its virtual
    host moved to another cable with it, there is none.

lateness
    For a detection by a master-down timer: from the moment theory sets for it (the last
    advertisement that the new MASTER had heard, plus 3 x advbase + advskew/256 s) to the moment it
    happened; negative if it was early. This is the only window that says how exact the
    implementation is: the others hold the phase.

takeover
    From the latest detection that was over when the fault's outage ended, to the end of that
    outage.

failover
    From a fault to the end of the outage it caused: detection + takeover. None if there was no
    outage.

recovery
    From a repair until every virtual host has its only MASTER where it is at home (on the host that
    advertises it most often), to stay so until the next cause or the end, and traffic flows: an
    outage that is under way then, or begins within `NEAR_S` of it, has to be over. Without an end
    if that never comes. The outages inside it are rows of their own.

stream_gap
    The longest time between two messages received of a stream that begins between a cause and the
    next one, down to the stream's own spacing; its detail says what became of the stream. A stream
    that broke has no end of its last gap. Causes after that have no row.

split
    Module `states` has the rules. Counted from the moment the network had settled. Two MASTERs of
    one segment are a split whether packets are lost or not. Like an outage, each cause has a row.

Theory: a fault falls anywhere between two advertisements, so a silent one is detected
after T minus the old MASTER's interval at the earliest and after T at the latest, where T = 3 x
advbase + advskew/256 s is the new MASTER's own master-down time. Where only one interface of a host
goes down, demotion moves its other segments at once, without a timer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from carplab.analysis.causes import NEAR_S, NO_CAUSE, Cause, cause_of, find_causes
from carplab.analysis.flows import FlowRow, find_flows
from carplab.analysis.load import Event, Place, Run, VirtualHostKey
from carplab.analysis.outages import Outage, Quality, find_outages, find_quality
from carplab.analysis.states import (
    MASTER,
    Masters,
    Split,
    Track,
    Transition,
    describe,
    find_masters,
    find_splits,
    find_tracks,
    is_home,
    is_whole,
    track_names,
    transitions,
)
from carplab.analysis.stream import Stream, read_stream

MASTER_TIMED_OUT = "timed out"  # in the kernels' words: "master timed out"
SURVIVED = ("crash", "hang", "link_down", "reboot")  # a pair gets over these without repair
WINDOWS = (
    "outage",
    "outage_to_server",
    "detection",
    "lateness",
    "takeover",
    "failover",
    "recovery",
    "split",
    "stream_gap",
)

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Window:
    """One row of windows.csv. `end_t_s` and `length_s` are None for a window that never closed.

    `at_least`: the record ended first (or began too late), so the true length is longer.
    `theory_s`: the shortest and longest length that the protocol allows, where it says something.
    """

    window: str
    cause: str
    segment: str
    start_t_s: float
    end_t_s: float | None
    length_s: float | None
    detail: str = ""
    at_least: bool = False
    theory_s: Bounds | None = None


@dataclass(frozen=True)
class Findings:
    """All that was found in a run; `end_s` is the end of its measured time, `settled_s` the end of
    its start.

    `quality` is None where the probe recorded nothing.
    """

    causes: tuple[Cause, ...]
    windows: tuple[Window, ...]
    tracks: tuple[Track, ...]
    splits: tuple[Split, ...]
    outages: tuple[Outage, ...]
    quality: Quality | None
    settled_s: float
    end_s: float
    flows: tuple[FlowRow, ...] = ()
    stream: Stream | None = None

    def first(self, window: str, cause: str) -> Window | None:
        """Return the window that counts of those with this name and cause."""
        return next(
            (row for row in self.windows if (row.window, row.cause) == (window, cause)), None
        )


def find_windows(run: Run) -> Findings:
    """Return the windows of a run, and what they were derived from."""
    causes = find_causes(run.events)
    end_s = _end(run)
    tracks = find_tracks(run.events, run.virtual_hosts)
    masters = find_masters(tracks)
    settled_s = _settled(run.events, masters, end_s)
    probe = run.probe[run.probe["sent_t_s"].between(_begin(run.events), end_s)]
    sent_s, returned_s = probe["sent_t_s"].to_numpy(), probe["returned_t_s"].to_numpy()
    outages = find_outages(sent_s, returned_s)
    splits = find_splits(masters, settled_s, end_s) if settled_s < end_s else []
    story = _Story(run, causes, tracks, masters, outages, splits, end_s)
    rows: list[Window] = []
    if sent_s.size:
        rows += story.outage_rows("outage", outages)
        rows += story.outage_rows(
            "outage_to_server", find_outages(sent_s, probe["server_t_s"].to_numpy())
        )
    for cause in causes:
        rows += story.fault_rows(cause) if cause.is_fault else story.recovery_rows(cause)
    if tracks:
        rows += story.split_rows()
    stream = read_stream(run, end_s)
    rows += story.stream_rows(stream)
    return Findings(
        causes=tuple(causes),
        windows=tuple(_in_order(_with_theory(rows), causes)),
        tracks=tuple(tracks),
        splits=tuple(splits),
        outages=tuple(outages),
        quality=find_quality(sent_s, returned_s, outages) if sent_s.size else None,
        settled_s=settled_s,
        end_s=end_s,
        flows=tuple(find_flows(run, causes, _begin(run.events), end_s)),
        stream=stream,
    )


def _in_order(rows: Sequence[Window], causes: Sequence[Cause]) -> list[Window]:
    """Return the rows cause by cause, in each by window, otherwise as they are."""
    names = [NO_CAUSE, *(cause.name for cause in causes)]
    return sorted(rows, key=lambda row: (names.index(row.cause), WINDOWS.index(row.window)))


def _with_theory(rows: Sequence[Window]) -> list[Window]:
    """Give a fault's main outage the bounds of its failover: they differ by milliseconds only."""
    bounds = {row.cause: row.theory_s for row in rows if row.window == "failover"}
    return [
        replace(row, theory_s=bounds.pop(row.cause, None)) if row.window == "outage" else row
        for row in rows
    ]


def _phase(events: Iterable[Event], *names: str) -> float | None:
    """Return when the runner entered the first of these phases."""
    times_s = (
        event.t_s for event in events if event.kind == "phase" and event.detail.split()[0] in names
    )
    return next(times_s, None)


def _begin(events: Iterable[Event]) -> float:
    """Return the begin of the measured time: what came before is the traffic being started."""
    settled_s = _phase(events, "settled")
    return float("-inf") if settled_s is None else settled_s


def _end(run: Run) -> float:
    """Return the end of the measured time: what comes after is the network being taken down.

    A run that was broken off says so only when all is down: the last packet sent tells.
    """
    end_s = _phase(run.events, "end")
    if end_s is not None:
        return end_s
    sent_s = [float(table["sent_t_s"].iloc[-1]) for table in (run.probe, run.ping) if len(table)]
    return max(sent_s or [event.t_s for event in run.events[-1:]], default=0.0)


def _settled(events: Iterable[Event], masters: Masters, end_s: float) -> float:
    """Return when the network had settled: as the runner says, or when it first was whole."""
    settled_s = _phase(events, "settled")
    if settled_s is not None:
        return settled_s
    times_s = (
        t_s for t_s, hosts in zip(masters.times_s, masters.hosts, strict=True) if is_whole(hosts)
    )
    return next(times_s, end_s)


@dataclass(frozen=True, eq=False)
class _Story:
    """What happened in one run, and the questions about it."""

    run: Run
    causes: Sequence[Cause]
    tracks: Sequence[Track]
    masters: Masters
    outages: Sequence[Outage]
    splits: Sequence[Split]
    end_s: float

    def _of(self, cause: Cause | None, lasting: Iterable[_Lasting]) -> list[_Lasting]:
        """Return what belongs to a cause, or to none."""
        return [
            each for each in lasting if cause_of(each.start_s, each.end_s, self.causes) == cause
        ]

    # --- outages and splits: a row for each cause at least ---------------------------------------

    def outage_rows(self, name: str, outages: Sequence[Outage]) -> list[Window]:
        """Return the rows of one way of the probe."""
        rows = []
        for cause in (None, *self.causes):
            own = self._of(cause, outages)
            for rank, outage in enumerate(_main_first(own)):
                rows.append(self._outage_row(name, cause, outage, _rank(rank, own)))
            if not own and cause is not None:
                rows.append(self._no_outage_row(name, cause, outages))
        return rows

    def _outage_row(self, name: str, cause: Cause | None, outage: Outage, rank: str) -> Window:
        at_least = outage.open_start or outage.open_end
        parts = [
            "at least: it went on at the end of the record" if outage.open_end else "",
            "at least: nothing was delivered before it" if outage.open_start else "",
            rank,
            f"{outage.lost} probes lost",
            f"interrupted for {outage.interruption_s:.4f} s, "
            f"give or take {outage.uncertainty_s * 1000:.1f} ms",
            self._past(cause, outage),
        ]
        return Window(
            window=name,
            cause=cause.name if cause else NO_CAUSE,
            segment="",
            start_t_s=outage.start_s,
            end_t_s=outage.end_s,
            length_s=outage.length_s,
            detail=_joined(parts),
            at_least=at_least,
        )

    def _past(self, cause: Cause | None, outage: Outage) -> str:
        """Say which later causes the outage went on past."""
        later = [
            f"{outage.end_s - other.t_s:.4f} s past {other.name}"
            for other in self.causes
            if other != cause and outage.start_s + NEAR_S < other.t_s < outage.end_s
        ]
        return "went on until " + " and ".join(later) if later else ""

    def _no_outage_row(self, name: str, cause: Cause, outages: Sequence[Outage]) -> Window:
        going_on = next((each for each in outages if each.start_s < cause.t_s < each.end_s), None)
        detail = "no outage"
        if going_on:
            origin = cause_of(going_on.start_s, going_on.end_s, self.causes)
            whose = f"of {origin.name}" if origin else "from before all faults"
            detail = (
                f"no new outage: the one {whose} ended {going_on.end_s - cause.t_s:.4f} s later"
            )
            if going_on.open_end:
                detail = f"no new outage: the one {whose} went on to the end of the record"
        return Window(name, cause.name, "", cause.t_s, cause.t_s, 0.0, detail)

    def split_rows(self) -> list[Window]:
        """Return the splits, those of each cause with the longest first."""
        rows = []
        for cause in (None, *self.causes):
            own = self._of(cause, self.splits)
            for rank, split in enumerate(_main_first(own)):
                parts = [
                    "at least: it went on at the end" if split.open_end else "",
                    _rank(rank, own),
                    split.detail,
                ]
                rows.append(
                    Window(
                        window="split",
                        cause=cause.name if cause else NO_CAUSE,
                        segment="",
                        start_t_s=split.start_s,
                        end_t_s=split.end_s,
                        length_s=split.length_s,
                        detail=_joined(parts),
                        at_least=split.open_end,
                    )
                )
            if not own and cause is not None:
                rows.append(
                    Window(
                        "split", cause.name, "", cause.t_s, cause.t_s, 0.0, "no split began here"
                    )
                )
        return rows

    # --- after a fault ---------------------------------------------------------------------------

    def fault_rows(self, fault: Cause) -> list[Window]:
        """Return detection, lateness, takeover and failover of one fault."""
        successions = self._successions(fault)
        if not successions:
            detections = self._nobody_followed(fault)
        else:
            detections = [self._detection(fault, transition) for transition in successions]
        outage = self._main_outage(fault)
        late = [self._lateness(fault, transition) for transition in successions]
        rows = [*detections, *(row for row in late if row is not None)]
        if outage is not None:
            rows += self._takeover(fault, detections, outage)
            rows.append(self._failover(fault, detections, outage))
        return rows

    def _successions(self, fault: Cause) -> list[Transition]:
        """Return the first new MASTER of each place after the fault, the latest first."""
        before = self._masters_before(fault)
        found: dict[Place, Transition] = {}
        for transition in transitions(self.run.events):
            place = transition.key.place
            if transition.new != MASTER or transition.t_s > self.end_s:
                continue
            if (
                place not in found
                and transition.key not in before
                and cause_of(transition.t_s, transition.t_s, self.causes) == fault
            ):
                found[place] = transition
        return sorted(found.values(), key=lambda transition: -transition.t_s)

    def _masters_before(self, fault: Cause) -> set[VirtualHostKey]:
        """Return the virtual hosts that were MASTER when the fault came."""
        before_s = fault.t_s - NEAR_S
        return {track.key for track in self.tracks if track.state_at(before_s) == MASTER}

    def _detection(self, fault: Cause, transition: Transition) -> Window:
        end_s = max(transition.t_s, fault.t_s)
        bounds = self._bounds(fault, transition)
        parts = [
            f"{self._name(transition.key)}: {transition.reason or 'no reason recorded'}",
            f"{fault.t_s - transition.t_s:.4f} s before the fault's stamp"
            if transition.t_s < fault.t_s
            else "",
        ]
        return Window(
            window="detection",
            cause=fault.name,
            segment=transition.key.segment,
            start_t_s=fault.t_s,
            end_t_s=end_s,
            length_s=end_s - fault.t_s,
            detail=_joined(parts),
            theory_s=bounds,
        )

    def _name(self, key: VirtualHostKey) -> str:
        """Return a virtual host's machine, and what tells it from others of the same segment."""
        names = dict(zip((t.key for t in self.tracks), track_names(self.tracks), strict=True))
        return names[key].removeprefix(f"{key.segment} ")

    def _nobody_followed(self, fault: Cause) -> list[Window]:
        """Return a row without an end if the machine at fault was MASTER of what the fault hit."""
        detail = f"nobody became MASTER before {self._next(fault)}"
        struck = [
            track
            for track in self.tracks
            if track.key in self._masters_before(fault)
            and track.key.host == fault.host
            and (fault.segment, fault.cable) in (("", 1), (track.key.segment, track.key.cable))
        ]
        if fault.what.split()[:1] == ["link_down"]:  # without carrier only a moved one stays MASTER
            until_s = self._until(fault)
            struck = [track for track in struck if track.state_at(until_s) != MASTER]
        return [
            Window("detection", fault.name, track.key.segment, fault.t_s, None, None, detail)
            for track in struck
        ]

    def _bounds(self, fault: Cause, transition: Transition) -> Bounds | None:
        """Return theory's shortest and longest detection, if the master-down timer detected."""
        new = self.run.virtual_hosts.get(transition.key)
        if new is None or MASTER_TIMED_OUT not in transition.reason:
            return None
        intervals_s = [
            self.run.virtual_hosts[key].interval_s
            for key in self._masters_before(fault)
            if key.place == transition.key.place and key in self.run.virtual_hosts
        ]
        if not intervals_s:
            return None
        return max(0.0, new.master_down_s - max(intervals_s)), new.master_down_s

    def _lateness(self, fault: Cause, transition: Transition) -> Window | None:
        settings = self.run.virtual_hosts.get(transition.key)
        if settings is None or MASTER_TIMED_OUT not in transition.reason:
            return None
        heard_s = self._timer_started(transition)
        if heard_s is None:
            return None
        due_s = heard_s + settings.master_down_s
        return Window(
            window="lateness",
            cause=fault.name,
            segment=transition.key.segment,
            start_t_s=due_s,
            end_t_s=transition.t_s,
            length_s=transition.t_s - due_s,
            detail=f"{self._name(transition.key)} heard the last advertisement at {heard_s:.6f} s; "
            f"master-down time {settings.master_down_s:.6f} s",
        )

    def _timer_started(self, transition: Transition) -> float | None:
        """Return when the new MASTER's master-down timer was last started."""
        key = transition.key
        heard_s = [
            event.t_s
            for event in self.run.events
            if event.kind == "heard"
            and (event.source, event.segment, event.vhid, event.cable)
            == (key.host, key.segment, key.vhid, key.cable)
            and event.t_s < transition.t_s
        ]
        return heard_s[-1] if heard_s else None

    def _main_outage(self, cause: Cause) -> Outage | None:
        return _longest(self._of(cause, self.outages))

    def _takeover(self, fault: Cause, detections: Sequence[Window], outage: Outage) -> list[Window]:
        for detection in detections:
            if detection.end_t_s is not None and detection.end_t_s <= outage.end_s:
                return [
                    Window(
                        window="takeover",
                        cause=fault.name,
                        segment=detection.segment,
                        start_t_s=detection.end_t_s,
                        end_t_s=outage.end_s,
                        length_s=outage.end_s - detection.end_t_s,
                        detail="at least" if outage.open_end else "",
                        at_least=outage.open_end,
                    )
                ]
        return []

    def _failover(self, fault: Cause, detections: Sequence[Window], outage: Outage) -> Window:
        over = [
            row for row in detections if row.end_t_s is not None and row.end_t_s <= outage.end_s
        ]
        repaired = any(
            not other.is_fault and fault.t_s < other.t_s < outage.end_s for other in self.causes
        )
        parts = [
            "at least: traffic did not flow again before the end of the record"
            if outage.open_end
            else "",
            "" if over else "traffic flowed again without a new MASTER",
            "ended only after a repair" if repaired else "",
        ]
        survived = fault.what.split()[:1] and fault.what.split()[0] in SURVIVED
        bounds = over[0].theory_s if over and survived and not repaired else None
        return Window(
            window="failover",
            cause=fault.name,
            segment="",
            start_t_s=fault.t_s,
            end_t_s=outage.end_s,
            length_s=outage.end_s - fault.t_s,
            detail=_joined(parts),
            at_least=outage.open_end,
            theory_s=bounds,
        )

    # --- after a repair --------------------------------------------------------------------------

    def recovery_rows(self, repair: Cause) -> list[Window]:
        """Return the recovery of one repair; none without known homes or any CARP."""
        homes = self._homes()
        if not homes:
            return []
        home_s = self._home_since(repair, homes)
        if home_s is None:
            return [self._no_recovery(repair, homes)]
        end_s, at_least = self._traffic_flows(home_s)
        inside = [each for each in self.outages if each.end_s > repair.t_s and each.start_s < end_s]
        out_s = sum(each.end_s - max(each.start_s, repair.t_s) for each in inside)
        host = _only(homes)
        who = f"{host} MASTER everywhere" if host else "every MASTER at home"
        parts = [
            "at least: traffic did not flow again before the end of the record" if at_least else "",
            f"{who} after {home_s - repair.t_s:.4f} s",
            f"outage inside it {out_s:.4f} s" if inside else "no outage inside it",
        ]
        return [
            Window(
                "recovery",
                repair.name,
                "",
                repair.t_s,
                end_s,
                end_s - repair.t_s,
                _joined(parts),
                at_least,
            )
        ]

    def _homes(self) -> dict[Place, str]:
        """Return the home of each place that has a state; empty where one is not known."""
        known = self.run.homes
        homes = {place: known.get(place, self.run.preferred) for place in self.masters.hosts[0]}
        return {place: host for place, host in homes.items() if host} if all(homes.values()) else {}

    def _home_since(self, repair: Cause, homes: Mapping[Place, str]) -> float | None:
        """Return since when every place had its MASTER at home for good, or None."""
        until_s = self._until(repair)
        home_s = None
        for t_s, hosts in zip(self.masters.times_s, self.masters.hosts, strict=True):
            if t_s > until_s:
                break
            home_s = (home_s if home_s is not None else t_s) if is_home(hosts, homes) else None
        return None if home_s is None else max(home_s, repair.t_s)

    def _traffic_flows(self, home_s: float) -> tuple[float, bool]:
        """Return when both MASTER and traffic were back, and whether the record ended first."""
        for outage in self.outages:
            if outage.start_s <= home_s + NEAR_S and outage.end_s > home_s:
                return outage.end_s, outage.open_end
        return home_s, False

    def _no_recovery(self, repair: Cause, homes: Mapping[Place, str]) -> Window:
        until_s = self._until(repair)
        standing = describe(self.masters.at(until_s))
        host = _only(homes)
        missed = f"{host} was not MASTER everywhere" if host else "not every MASTER was at home"
        detail = f"{missed} again before {self._next(repair)}: {standing}"
        return Window("recovery", repair.name, "", repair.t_s, None, None, detail)

    # --- the stream --------------------------------------------------------------------------

    def stream_rows(self, stream: Stream | None) -> list[Window]:
        """Return the longest gap after each cause, as far as the stream lived."""
        if stream is None:
            return []
        rows = []
        for cause in self.causes:
            following = self._following(cause)
            until_s = following.t_s - NEAR_S if following else float("inf")
            gap = stream.longest_gap(cause.t_s - NEAR_S, until_s)
            if gap is not None:
                rows.append(
                    Window(
                        window="stream_gap",
                        cause=cause.name,
                        segment="",
                        start_t_s=gap.start_s,
                        end_t_s=None if gap.broken else gap.end_s,
                        length_s=None if gap.broken else gap.length_s,
                        detail=_joined(["at least" if gap.open_end else "", stream.story]),
                        at_least=gap.open_end,
                    )
                )
        return rows

    # --- what lies around a cause ----------------------------------------------------------------

    def _following(self, cause: Cause) -> Cause | None:
        return next((other for other in self.causes if other.t_s > cause.t_s), None)

    def _until(self, cause: Cause) -> float:
        """Return the last moment that shows what a cause did: shortly before the next one."""
        following = self._following(cause)
        return self.end_s if following is None else max(cause.t_s, following.t_s - NEAR_S)

    def _next(self, cause: Cause) -> str:
        following = self._following(cause)
        return "the end of the run" if following is None else following.name


def _only(homes: Mapping[Place, str]) -> str | None:
    """Return the host that is the home of every place, or None."""
    hosts = set(homes.values())
    return hosts.pop() if len(hosts) == 1 else None


_Lasting = TypeVar("_Lasting", Outage, Split)


def _longest(lasting: Iterable[_Lasting]) -> _Lasting | None:
    """Return the longest, of equals the first."""
    return max(lasting, key=lambda each: each.length_s, default=None)


def _main_first(lasting: Sequence[_Lasting]) -> list[_Lasting]:
    """Return the longest one, then the others in their order."""
    main = _longest(lasting)
    return sorted(lasting, key=lambda each: each is not main)


def _rank(rank: int, lasting: Sequence[_Lasting]) -> str:
    """Return what to say about one of several after the same cause."""
    if len(lasting) == 1:
        return ""
    if rank:
        return "a further one"
    return f"the longest of {len(lasting)}, {sum(each.length_s for each in lasting):.4f} s in all"


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(part for part in parts if part)

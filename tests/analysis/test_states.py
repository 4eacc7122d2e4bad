from __future__ import annotations

import pytest

from carplab.analysis.load import Event, VirtualHostKey
from carplab.analysis.states import (
    BACKUP,
    HUNG,
    INIT,
    MASTER,
    NOT_RUNNING,
    UNKNOWN,
    find_masters,
    find_splits,
    find_tracks,
    is_home,
    is_whole,
    track_names,
    transitions,
)

OUTSIDE, INSIDE = ("outside", 1), ("inside", 2)


def carp(t_s: float, host: str, place: tuple[str, int], detail: str) -> Event:
    return Event(t_s, host, "carp", place[0], place[1], detail)


def event(t_s: float, host: str, kind: str, detail: str) -> Event:
    return Event(t_s, host, kind, "", None, detail)


def pair() -> list[Event]:
    """fw1 is MASTER of both segments from t = 1 s."""
    return [
        carp(0.0, "fw1", OUTSIDE, "INIT -> BACKUP (link up)"),
        carp(0.0, "fw1", INSIDE, "INIT -> BACKUP (link up)"),
        carp(0.1, "fw2", OUTSIDE, "INIT -> BACKUP (link up)"),
        carp(0.1, "fw2", INSIDE, "INIT -> BACKUP (link up)"),
        carp(1.0, "fw1", OUTSIDE, "BACKUP -> MASTER (master timed out)"),
        carp(1.0, "fw1", INSIDE, "BACKUP -> MASTER (master timed out)"),
    ]


def test_a_transition_has_the_kernels_reason() -> None:
    (found,) = transitions([carp(2.5, "fw1", OUTSIDE, "BACKUP -> MASTER (master timed out)")])
    assert found.t_s == 2.5
    assert found.key == VirtualHostKey("fw1", "outside", 1)
    assert (found.old, found.new, found.reason) == (BACKUP, MASTER, "master timed out")


def test_what_is_no_transition_is_passed_over() -> None:
    events = [carp(1.0, "fw1", OUTSIDE, "nonsense"), event(1.0, "fw1", "carp", "INIT -> BACKUP")]
    assert transitions(events) == []


def test_the_state_over_time() -> None:
    track = find_tracks(pair())[0]
    assert track.key == VirtualHostKey("fw1", "outside", 1)
    assert [track.state_at(t_s) for t_s in (-1.0, 0.0, 0.999, 1.0, 9.0)] == [
        INIT,
        BACKUP,
        BACKUP,
        MASTER,
        MASTER,
    ]
    assert track.spans(0.5, 2.0) == [(0.5, 1.0, BACKUP), (1.0, 2.0, MASTER)]


def test_tracks_come_segment_by_segment_as_configured() -> None:
    keys = [VirtualHostKey(host, *place) for host in ("fw1", "fw2") for place in (OUTSIDE, INSIDE)]
    tracks = find_tracks([carp(0.0, "fw2", INSIDE, "INIT -> BACKUP (link up)")], keys)
    found = [(track.key.segment, track.key.host) for track in tracks]
    assert found == [("outside", "fw1"), ("outside", "fw2"), ("inside", "fw1"), ("inside", "fw2")]
    assert [track.state_at(0.0) for track in tracks] == [UNKNOWN, UNKNOWN, UNKNOWN, BACKUP]


def test_without_a_transition_nothing_is_known() -> None:
    assert find_tracks([], [VirtualHostKey("fw1", *OUTSIDE)]) == []


def test_before_carpd_starts_there_is_none() -> None:
    events = [event(-0.5, "fw1", "process", "carpd started (pid 7)"), *pair()]
    assert find_tracks(events)[0].spans(-1.0, 0.5) == [
        (-1.0, -0.5, NOT_RUNNING),
        (-0.5, 0.0, INIT),
        (0.0, 0.5, BACKUP),
    ]


@pytest.mark.parametrize(
    "end",
    [
        event(5.0, "fw1", "process", "carpd killed"),
        event(5.0, "fw1", "process", "carpd exited with code 0"),
        event(5.0, "fw1", "fault", "crash"),
        event(5.0, "fw1", "fault", "reboot"),
        event(5.0, "fw1", "fault", "daemon_kill"),
    ],
)
def test_a_host_without_carpd_is_master_of_nothing(end: Event) -> None:
    masters = find_masters(find_tracks([*pair(), end]))
    assert masters.at(4.9) == {OUTSIDE: {"fw1"}, INSIDE: {"fw1"}}
    assert masters.at(5.0) == {OUTSIDE: frozenset(), INSIDE: frozenset()}


def test_a_carpd_told_to_end_leaves_for_init_and_is_gone() -> None:
    events = [
        *pair(),
        event(5.0, "fw1", "process", "carpd ended (pid 7)"),
        event(5.0, "fw1", "fault", "reboot"),
        carp(5.001, "fw1", OUTSIDE, "MASTER -> INIT (going down)"),
        event(9.0, "fw1", "process", "carpd started (pid 8)"),
        carp(9.1, "fw1", OUTSIDE, "INIT -> BACKUP (link up)"),
    ]
    assert find_tracks(events)[0].spans(4.0, 10.0) == [
        (4.0, 5.0, MASTER),
        (5.0, 9.0, NOT_RUNNING),
        (9.0, 9.1, INIT),
        (9.1, 10.0, BACKUP),
    ]


def test_a_hung_host_is_master_of_nothing_until_it_wakes() -> None:
    events = [*pair(), event(5.0, "fw1", "fault", "hang"), event(9.0, "fw1", "repair", "hang")]
    track = find_tracks(events)[0]
    assert track.spans(4.0, 10.0) == [(4.0, 5.0, MASTER), (5.0, 9.0, HUNG), (9.0, 10.0, MASTER)]


def test_other_processes_change_no_state() -> None:
    events = [*pair(), event(5.0, "fw1", "process", "iperf3 exited")]
    assert find_tracks(events)[0].state_at(6.0) == MASTER


@pytest.mark.parametrize(
    ("masters", "whole", "home"),
    [
        ({OUTSIDE: {"fw1"}, INSIDE: {"fw1"}}, True, True),
        ({OUTSIDE: {"fw2"}, INSIDE: {"fw2"}}, True, False),
        ({OUTSIDE: {"fw1"}, INSIDE: {"fw2"}}, False, False),
        ({OUTSIDE: {"fw1"}, INSIDE: set()}, False, False),
        ({OUTSIDE: {"fw1", "fw2"}, INSIDE: {"fw1"}}, False, False),
        ({OUTSIDE: {"fw1", "fw2"}, INSIDE: {"fw1", "fw2"}}, False, False),
        ({}, False, False),
    ],
)
def test_whole_and_home(masters: dict[tuple[str, int], set[str]], whole: bool, home: bool) -> None:
    frozen = {place: frozenset(hosts) for place, hosts in masters.items()}
    assert is_whole(frozen) == whole
    assert is_home(frozen, dict.fromkeys(frozen, "fw1")) == home


def test_of_several_vhids_each_rank_needs_one_host() -> None:
    balanced = {
        ("outside", 1): "fw1",
        ("outside", 3): "fw2",
        ("inside", 2): "fw1",
        ("inside", 4): "fw2",
    }
    assert is_whole({place: frozenset({host}) for place, host in balanced.items()})
    balanced["inside", 4] = "fw1"
    assert not is_whole({place: frozenset({host}) for place, host in balanced.items()})


@pytest.mark.parametrize("firewalls", [2, 3])
def test_balanced_places_are_whole_rank_by_rank(firewalls: int) -> None:
    homes = {
        (segment, first + 2 * rank): f"fw{rank + 1}"
        for segment, first in (("inside", 2), ("outside", 1))
        for rank in range(firewalls)
    }
    masters = {place: frozenset({host}) for place, host in homes.items()}
    assert is_whole(masters)
    assert is_home(masters, homes)
    for rank in range(firewalls):
        moved = dict(masters)
        moved["outside", 1 + 2 * rank] = frozenset({f"fw{(rank + 1) % firewalls + 1}"})
        assert not is_whole(moved)
        moved["inside", 2 + 2 * rank] = moved["outside", 1 + 2 * rank]
        assert is_whole(moved)
        assert not is_home(moved, homes)


def test_a_host_is_master_if_any_of_its_interfaces_is() -> None:
    events = [
        *pair(),
        Event(2.0, "fw1", "carp", "outside", 1, "INIT -> BACKUP (link up)", cable=2),
        Event(3.0, "fw1", "carp", "outside", 1, "MASTER -> INIT (hardware interface down)"),
        Event(3.5, "fw1", "carp", "outside", 1, "BACKUP -> MASTER (master timed out)", cable=2),
    ]
    tracks = find_tracks(events)
    masters = find_masters(tracks)
    assert [masters.at(t_s)[OUTSIDE] for t_s in (2.5, 3.2, 4.0)] == [{"fw1"}, set(), {"fw1"}]
    assert track_names(tracks) == [
        "outside fw1 cable 1",
        "outside fw1 cable 2",
        "outside fw2",
        "inside fw1",
        "inside fw2",
    ]


def test_names_tell_vhids_apart() -> None:
    events = [
        carp(0.0, "fw1", ("outside", vhid), "INIT -> BACKUP (link up)") for vhid in (1, 3)
    ]
    assert track_names(find_tracks(events)) == ["outside vhid 1 fw1", "outside vhid 3 fw1"]


def test_a_split_is_one_from_its_begin_to_its_end() -> None:
    events = [
        *pair(),
        carp(3.0, "fw1", OUTSIDE, "MASTER -> INIT (hardware interface down)"),
        carp(3.1, "fw2", INSIDE, "BACKUP -> MASTER (preempting a slower master)"),
        carp(3.2, "fw1", INSIDE, "MASTER -> BACKUP (more frequent advertisement received)"),
        carp(6.0, "fw2", OUTSIDE, "BACKUP -> MASTER (master timed out)"),
    ]
    (split,) = find_splits(find_masters(find_tracks(events)), 1.0, 10.0)
    assert (split.start_s, split.end_s, split.open_end) == (3.0, 6.0, False)
    assert [part.start_s for part in split.parts] == [3.0, 3.1, 3.2]
    assert split.mostly == "outside none, inside fw2"
    assert split.detail == (
        "outside none, inside fw1; then outside none, inside fw1+fw2; then outside none, inside fw2"
    )


def test_a_split_at_the_end_is_open() -> None:
    events = [*pair(), carp(3.0, "fw1", OUTSIDE, "MASTER -> INIT (hardware interface down)")]
    (split,) = find_splits(find_masters(find_tracks(events)), 1.0, 10.0)
    assert (split.start_s, split.end_s, split.open_end) == (3.0, 10.0, True)


def test_two_splits_stay_two() -> None:
    events = [
        *pair(),
        carp(3.0, "fw2", OUTSIDE, "BACKUP -> MASTER (master timed out)"),
        carp(4.0, "fw2", OUTSIDE, "MASTER -> BACKUP (more frequent advertisement received)"),
        carp(5.0, "fw2", INSIDE, "BACKUP -> MASTER (master timed out)"),
        carp(6.0, "fw2", INSIDE, "MASTER -> BACKUP (more frequent advertisement received)"),
    ]
    splits = find_splits(find_masters(find_tracks(events)), 1.0, 10.0)
    assert [(split.start_s, split.end_s) for split in splits] == [(3.0, 4.0), (5.0, 6.0)]


def test_without_states_there_is_no_split() -> None:
    assert find_splits(find_masters([]), 0.0, 10.0) == []

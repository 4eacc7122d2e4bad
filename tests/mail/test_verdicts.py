"""Verdicts over repetitions, and on whole claims."""

from __future__ import annotations

import pytest

from carplab.errors import CarplabError
from carplab.mail.claims import claim
from carplab.mail.verdicts import (
    OVERALL,
    Count,
    connection,
    find_row,
    find_verdicts,
    overall,
    read_verdicts,
    restored_shows,
    verdict,
    write_verdicts,
)
from tests.mail.made_up import BLOCKED, PLAIN, STREAM, repeated


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (Count(10, 10), "reproduced"),
        (Count(0, 10), "not reproduced"),
        (Count(7, 10), "7 of 10"),
        (Count(9, 10, failed=1), "9 of 10, 1 failed"),
        (Count(0, 10, failed=1), "not reproduced (1 failed)"),
        (Count(0, 10, failed=10), "0 of 10, 10 failed"),
    ],
)
def test_verdict_on_one_condition(counted: Count, said: str) -> None:
    assert verdict(claim("C3"), counted) == said


def test_cures_have_words_of_their_own() -> None:
    assert verdict(claim("cure"), Count(10, 10)) == "avoids it"
    assert verdict(claim("cure"), Count(0, 10)) == "does not avoid it"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({("plain", "a"): (10, 10), ("stp", "a"): (10, 10)}, "reproduced"),
        ({("plain", "a"): (0, 10), ("stp", "a"): (0, 10)}, "not reproduced"),
        ({("plain", "a"): (0, 10), ("stp", "a"): (10, 10)}, "only under: stp"),
        (
            {("plain", "a"): (0, 10), ("stp", "a"): (10, 10), ("stp", "b"): (0, 10)},
            "only under: stp (a)",
        ),
        (
            {("plain", "a"): (3, 10), ("stp", "a"): (10, 10), ("stp", "b"): (9, 10)},
            "only under: plain (a 3 of 10); stp (a, b 9 of 10)",
        ),
    ],
)
def test_verdict_on_the_claim(counts: dict[tuple[str, str], tuple[int, int]], said: str) -> None:
    assert overall(claim("C3"), {key: Count(*counted) for key, counted in counts.items()}) == said


def test_one_run_is_judged_by_every_claim_that_looks_at_it() -> None:
    rows = find_verdicts([*repeated(PLAIN), *repeated(BLOCKED)])
    said = {(row["claim"], row["condition"]): row["verdict"] for row in rows}
    assert said["C2", "outside"] == "reproduced"
    assert said["C3", "plain"] == said["C4", "plain"] == "not reproduced"
    assert said["C3", "stp"] == said["C4", "stp"] == "reproduced"
    assert said["C4", OVERALL] == "only under: stp"
    assert said["cure", "none"] == "does not avoid it"
    assert ("C1", "crash") not in said and ("C1", OVERALL) not in said


def test_numbers_of_a_row() -> None:
    runs = [
        run
        for number, length_s in enumerate((0.2, 0.5, 0.3), start=1)
        for run in repeated(PLAIN, 1, repetition=number, split_repair_s=length_s)
    ]
    runs[0] = repeated(runs[0], 1, recovery_s=None)[0]
    row = find_row(find_verdicts(runs), "C3", "plain", "openbsd")
    assert row is not None
    assert (row["split_s_median"], row["split_s_min"], row["split_s_max"]) == (
        "0.3000",
        "0.2000",
        "0.5000",
    )
    assert (row["n"], row["packets_sent"], row["packets_lost"]) == ("3", "9000", "1740")
    assert row["recovery_s_median"] == "1.0400"
    assert row["restored_shows"] == "BACKUP 1.03 s, then MASTER"


def test_failed_runs_count_against_the_verdict() -> None:
    runs = repeated(BLOCKED)
    runs[3] = repeated(BLOCKED, 1, repetition=4, outcome="failed")[0]
    row = find_row(find_verdicts(runs), "C3", "stp", "openbsd")
    assert row is not None and (row["n"], row["verdict"]) == ("9", "9 of 10, 1 failed")


def test_what_the_restored_interface_shows() -> None:
    often = repeated(BLOCKED, 7)
    seldom = repeated(BLOCKED, 3, restored_shows="BACKUP 30.0")
    assert restored_shows(often + seldom) == "BACKUP 3.00 s, then MASTER (7 of 10)"
    assert restored_shows(seldom) == "BACKUP"
    assert restored_shows(repeated(PLAIN, 2, restored_shows="")) == ""


def test_what_became_of_the_connections() -> None:
    alive = repeated(STREAM, 2, stream_ended="alive", stream_broke="", stream_gap_fault_s=3.1)
    later = repeated(STREAM, 1, stream_broke="repair", stream_gap_fault_s=3.2)
    assert connection(repeated(STREAM, 3)) == "reset at the fault"
    assert connection(alive) == "alive; gap 3.10 s (3.10 to 3.10)"
    assert connection([*alive, *later]) == (
        "alive (2); reset at the repair (1); gap 3.10 s (3.10 to 3.20)"
    )
    assert connection(repeated(PLAIN, 2)) == ""


def test_the_file_is_read_again() -> None:
    rows = find_verdicts(repeated(PLAIN))
    assert read_verdicts(write_verdicts(rows)) == rows
    with pytest.raises(CarplabError, match="other columns"):
        read_verdicts("a,b\n")

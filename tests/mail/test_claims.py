"""The rules by which one run bears a claim out: what satisfies each, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from carplab.errors import UsageError
from carplab.mail.claims import CLAIMS, claim, claims_of
from carplab.mail.facts import Facts
from carplab.mail.series import BY_NAME, SERIES
from tests.mail.made_up import BLOCKED, PLAIN, STREAM

ALIVE = {"stream_ended": "alive", "stream_broke": "", "stream_gap_fault_s": 3.2}


@pytest.mark.parametrize(
    ("identity", "facts", "changes", "borne", "said"),
    [
        ("C0", STREAM, {}, True, "the connection broke at the fault (reset)"),
        ("C0", STREAM, ALIVE, False, "the connection went on after 3.20 s"),
        ("C0", STREAM, {**ALIVE, "stream_gap_fault_s": 11.4}, True, "nothing was received for"),
        (
            "C0",
            STREAM,
            {"stream_broke": "repair", "stream_gap_fault_s": 3.2},
            False,
            "went on after 3.20 s, and broke at the repair (reset)",
        ),
        ("C0", PLAIN, {}, False, "was not looked at"),
        ("C1", PLAIN, {}, True, "MASTER after 2.900 s, the preferred one again 1.040 s after"),
        ("C1", PLAIN, {"detection_s": 3.6}, False, "at most 3.391 s are due"),
        ("C1", PLAIN, {"detection_s": None}, False, "did not become MASTER everywhere"),
        ("C1", PLAIN, {"failed_over": False}, False, "did not become MASTER everywhere"),
        ("C1", PLAIN, {"flowed": False}, False, "traffic did not flow until the repair"),
        ("C1", PLAIN, {"recovery_s": None}, False, "did not become MASTER everywhere again"),
        ("C2", PLAIN, {}, True, "traffic flowed again after 2.900 s"),
        ("C2", PLAIN, {"pulled_state": "BACKUP"}, False, "pulled interface BACKUP"),
        ("C2", PLAIN, {"others_state": "MASTER"}, False, "the other MASTER"),
        ("C2", PLAIN, {"failed_over": False}, False, "did not become MASTER everywhere"),
        ("C2", PLAIN, {"flowed": False}, False, "traffic did not flow"),
        ("C3", BLOCKED, {}, True, "after 0.60 s; split 29.60 s, outage 29.50 s"),
        ("C3", PLAIN, {}, False, "split 0.44 s"),
        ("C3", BLOCKED, {"outage_repair_s": 0.5}, False, "outage 0.50 s"),
        ("C3", BLOCKED, {"others_back_s": 2.6}, False, "after 2.60 s"),
        ("C3", BLOCKED, {"others_back_s": None}, False, "again never"),
        ("C4", BLOCKED, {}, True, "over 30.20 s after the repair"),
        ("C4", PLAIN, {}, False, "nothing to heal"),
        ("C4", BLOCKED, {"split_end_s": 19.0}, False, "over 19.00 s"),
        ("C4", BLOCKED, {"split_end_s": 41.0}, False, "over 41.00 s"),
        ("C4", BLOCKED, {"split_open": True}, False, "until the end of the record"),
        ("C5", PLAIN, {"packets_lost": 0}, True, "0 of 3000 packets lost"),
        ("C5", PLAIN, {"packets_lost": 1}, False, "1 of 3000 packets lost (client>server 580)"),
        ("C5", PLAIN, {"packets_lost": None}, False, "recorded nothing"),
        ("C6", PLAIN, {"kept": True}, True, "stayed MASTER, with an outage of 2.900 s"),
        ("C6", PLAIN, {}, False, "did not stay MASTER"),
        ("cure", PLAIN, {}, True, "a split of 0.44 s"),
        ("cure", BLOCKED, {"outage_repair_s": 0.1}, True, "an outage of 0.10 s"),
        ("cure", BLOCKED, {}, False, "an outage of 29.50 s"),
        ("cure", PLAIN, {"flowed": False}, False, "did not flow until the repair"),
    ],
)
def test_rule(
    identity: str, facts: Facts, changes: dict[str, Any], borne: bool, said: str
) -> None:
    judged, sentence = claim(identity).rule(replace(facts, **changes))
    assert judged is borne
    assert said in sentence and not sentence.endswith(".")


def test_every_condition_has_its_series_and_every_series_its_claim() -> None:
    for each in CLAIMS:
        for condition in each.conditions:
            assert each.series(condition) is BY_NAME[each.conditions[condition]]
    for series in SERIES:
        assert list(claims_of(series.name)), series.name


def test_unknown_condition_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="no condition 'fire': there are crash, reboot"):
        claim("C1").series("fire")

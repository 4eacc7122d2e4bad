"""Facts of runs that never were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from carplab.mail.facts import Facts

PLAIN = Facts(
    series="c3-plain",
    dialect="openbsd",
    repetition=1,
    seed=2005001,
    outcome="finished",
    fault="link_down fw1 outside",
    outage_fault_s=2.9,
    outage_repair_s=0.005,
    split_fault_s=2.9,
    split_repair_s=0.44,
    split_begin_s=0.6,
    split_end_s=1.04,
    split_open=False,
    split_who="outside fw2, inside fw1",
    broken_s=6.4,
    detection_s=2.9,
    lateness_s=0.0002,
    takeover_s=0.001,
    theory_s=3.390625,
    recovery_s=1.04,
    failed_over=True,
    flowed=True,
    kept=False,
    pulled_state="INIT",
    others_state="BACKUP",
    others_back_s=0.6,
    restored_back_s=1.03,
    restored_shows="BACKUP 1.0300; MASTER 5.1000",
    packets_sent=3000,
    packets_lost=580,
    flows_lost="client>server 580",
    commit="0123abc",
)
BLOCKED = replace(
    PLAIN,
    series="c3-stp",
    outage_repair_s=29.5,
    split_repair_s=29.6,
    split_end_s=30.2,
    recovery_s=30.2,
    restored_back_s=3.0,
    restored_shows="BACKUP 3.0000; MASTER 34.0000",
)
STREAM = replace(
    PLAIN,
    series="c0-static-crash",
    fault="crash fw1",
    broken_s=11.3,
    stream_ended="reset",
    stream_broke="fault",
)


def repeated(facts: Facts, times: int = 10, **changes: Any) -> list[Facts]:
    """Return as many repetitions, all with the same numbers."""
    return [
        replace(facts, **{"repetition": number, "seed": 2005000 + number, **changes})
        for number in range(1, times + 1)
    ]

"""One lane beside several: the same runs, number by number."""

from __future__ import annotations

import csv
import io

from carplab.mail.compare_lanes import NUMBERS, table
from tests.mail.made_up import PLAIN, repeated


def test_differences_are_taken_run_by_run() -> None:
    one = [*repeated(PLAIN, 1, outage_fault_s=2.4), *repeated(PLAIN, 1, seed=2, outage_fault_s=3.3)]
    several = [*repeated(PLAIN, 1, seed=2, outage_fault_s=3.31), *repeated(one[0], 1)]
    several += repeated(PLAIN, 1, seed=3, outage_fault_s=99.0)
    rows = {row["number"]: row for row in csv.DictReader(io.StringIO(table(one, several, 4)))}
    assert tuple(rows) == NUMBERS
    outage = rows["outage_fault_s"]
    assert (outage["n"], outage["lanes"]) == ("2", "4")
    assert (outage["one_median"], outage["several_max"]) == ("2.850000", "3.310000")
    assert (outage["difference_least"], outage["difference_most"]) == ("0.000000", "0.010000")


def test_a_number_that_is_missing_leaves_its_pair_out() -> None:
    rows = list(
        csv.DictReader(
            io.StringIO(table(repeated(PLAIN, 3), repeated(PLAIN, 3, recovery_s=None), 2))
        )
    )
    assert {row["number"] for row in rows} == set(NUMBERS) - {"recovery_s"}

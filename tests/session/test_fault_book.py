"""The faults of a session: which may be added, and what is remembered."""

from __future__ import annotations

import pytest

from carplab.errors import UsageError
from carplab.scenario import Fault
from carplab.session.fault_book import FaultBook


def fault(kind: str = "link_down", host: str = "fw1", segment: str = "outside") -> Fault:
    return Fault(kind, host, 5.0, 0.0, segment)


def test_a_fault_is_there_until_it_ends() -> None:
    book = FaultBook()
    assert book.add(fault(), 5.25) == 1
    assert book.add(fault(host="fw2"), 6.0) == 2
    assert book.numbers == [2, 1]
    assert [(row["id"], row["since_t_s"]) for row in book.rows()] == [(1, 5.25), (2, 6.0)]
    assert book.find(1).asked == fault()
    book.end(1, 8.25)
    assert book.numbers == [2]
    assert [(each.at_s, each.length_s) for each in book.history(10.0)] == [(5.25, 3.0), (6.0, 4.0)]
    assert book.add(fault(), 11.0) == 3
    with pytest.raises(UsageError, match="there is no fault 1: there are 2, 3"):
        book.find(1)


@pytest.mark.parametrize(
    ("there", "asked", "overlap"),
    [
        (fault(), fault("loss"), True),
        (fault(), fault(segment="inside"), False),
        (fault(), fault(host="fw2"), False),
        (fault(), fault("crash", segment=""), True),
        (fault("crash", segment=""), fault(), True),
        (fault("hang", segment=""), fault("crash", segment=""), True),
        (fault("crash", segment=""), fault("crash", "fw2", ""), False),
    ],
)
def test_two_faults_in_one_place_are_refused(there: Fault, asked: Fault, overlap: bool) -> None:
    book = FaultBook()
    book.add(there, 1.0)
    if overlap:
        with pytest.raises(UsageError, match=r"fw1 has a fault already .*: lift 1 first"):
            book.refuse_overlap(asked)
    else:
        book.refuse_overlap(asked)


def test_a_machine_that_is_not_up_is_told_apart_from_a_cable_that_is_out() -> None:
    book = FaultBook()
    book.add(fault(), 1.0)
    book.add(fault("hang", "fw2", ""), 1.0)
    book.refuse_broken("fw1")
    with pytest.raises(UsageError, match=r"fw2 is not up \(hang\): lift 2 first"):
        book.refuse_broken("fw2")
    assert (book.is_hung("fw1"), book.is_hung("fw2")) == (False, True)

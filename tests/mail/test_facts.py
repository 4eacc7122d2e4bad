"""runs.csv: what is written is read again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carplab.errors import CarplabError
from carplab.mail.facts import COLUMNS, Facts, read_facts, write_facts
from tests.mail.made_up import BLOCKED, PLAIN, STREAM


def test_what_is_written_is_read_again() -> None:
    failed = Facts("c3-plain", "freebsd", 3, 2005003, "failed", 'it said "no", twice')
    runs = [PLAIN, BLOCKED, STREAM, failed]
    assert read_facts(write_facts(runs)) == [replace(run) for run in runs]


def test_states_with_their_lengths() -> None:
    assert PLAIN.spans() == [("BACKUP", 1.03), ("MASTER", 5.1)]
    assert replace(PLAIN, restored_shows="not running 2.5; INIT 0.1").spans()[0] == (
        "not running",
        2.5,
    )
    assert replace(PLAIN, restored_shows="").spans() == []


def test_another_file_is_refused() -> None:
    with pytest.raises(CarplabError, match="other columns"):
        read_facts("a,b\n1,2\n")
    with pytest.raises(CarplabError, match="other columns"):
        read_facts("")
    row = ",".join(["x"] * len(COLUMNS))
    with pytest.raises(CarplabError, match="damaged"):
        read_facts(",".join(COLUMNS) + "\n" + row + "\n")

"""Building docs/the-mail.md: what its template may ask, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.errors import CarplabError
from carplab.mail import publish
from carplab.mail.compare_lanes import table
from carplab.mail.document import FIGURES, render
from carplab.mail.facts import write_facts
from carplab.mail.verdicts import find_verdicts, write_verdicts
from tests.mail.made_up import BLOCKED, PLAIN, repeated


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    runs = [
        *repeated(BLOCKED, 3, split_repair_s=29.0),
        *repeated(BLOCKED, 1, repetition=4, split_repair_s=29.44),
        *repeated(PLAIN, 2),
        *repeated(PLAIN, 1, repetition=3, outcome="failed"),
    ]
    (tmp_path / publish.RUNS_FILE).write_text(write_facts(runs))
    (tmp_path / publish.VERDICTS_FILE).write_text(write_verdicts(find_verdicts(runs)))
    text = table(repeated(PLAIN), repeated(PLAIN, outage_fault_s=2.912), 4)
    (tmp_path / publish.LANES_FILE).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ('seconds("c3-stp", "openbsd", "split_s")', "29.0 s (29.0 to 29.4)"),
        ('seconds("c3-plain", "openbsd", "outage_repair_s")', "5.0 ms (5.0 to 5.0)"),
        ('seconds("c3-plain", "openbsd", "recovery_s")', "1.04 s (1.04 to 1.04)"),
        ('median("c3-stp", "openbsd", "restored_back_s")', "3.00 s"),
        ('shows("c3-stp", "openbsd")', "BACKUP 3.00 s, then MASTER"),
        ('runs("c3-stp", "openbsd", "split_who")', "outside fw2, inside fw1"),
        ('counted("C3", "stp", "openbsd")', "4 of 4"),
        ('counted("C2", "outside", "openbsd")', "2 of 3, 1 failed"),
        ('verdict("C3", "plain", "openbsd")', "not reproduced (1 failed)"),
        ('overall("C4")', "only under: stp"),
        ('figure("C4")', f"]({FIGURES}/mail-c4.png)"),
        ('conditions("C2")', "- `inside`: link_down of fw1, inside"),
        ('conditions("C2")', "- `ipv6`: IPv6, link_down of fw1, outside"),
        ('conditions("C2")', "- `three-firewalls`: 3 firewalls, link_down of fw1, outside"),
        ('seconds("c3-plain", "openbsd", "split_fault_s")', "2.90 s"),
        ('conditions("C5")', "- `stp`: design balanced, `--set segment.outside=stp`, link_down of"),
        ('conditions("C0")', "- `echo-strict`: `--set nat=static`, `--set tcp_loose=no`, "),
        ('sides("c3-stp")', f"]({FIGURES}/sides-c3-stp.png)"),
        ('sides("c3-stp")', f"]({FIGURES}/events-c3-stp.csv)"),
        ('flows("c3-plain", "openbsd")', "| lost packets | to server |"),
        ('flows("c3-plain", "openbsd")', "| client | 580 (580 to 580) |"),
        ('claim("C4").rule_text', "between 20 and 40 s"),
        ('table("C3")', "| stp | openbsd | 4 | 2.90 s (2.90 to 2.90) | 29.5 s (29.5 to 29.5) |"),
        ('table("C3")', "| BACKUP 3.00 s, then MASTER | reproduced |"),
        ('table("C3", "stp").count("openbsd")', "1"),
        ("lanes()", "| outage, fault | 10 | 2900.0 (2900.0 to 2900.0) | 2912.0 (2912.0 to "),
        ("lanes()", "| 12.0 (12.0 to 12.0) |"),
    ],
)
def test_what_the_template_may_ask(tables: Path, asked: str, answer: str) -> None:
    assert answer in render("{{ " + asked + " }}", tables)


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ('{{ seconds("c3-stop", "openbsd", "split_s") }}', "no runs of c3-stop with openbsd"),
        ('{{ seconds("c3-stp", "openbsd", "splitt") }}', "no column 'splitt'"),
        ('{{ seconds("c3-stp", "openbsd", "stream_gap_fault_s") }}', "has a number stream_gap"),
        ('{{ verdict("C3", "loop", "openbsd") }}', "no verdict on C3, loop openbsd"),
        ('{{ table("C5") }}', "nothing was measured of C5"),
        ('{{ sides("nowhere") }}', "no series 'nowhere': there are c0-static-crash"),
        ("{{ nonsense() }}", "'nonsense' is undefined"),
        ("{{ unfinished", "the template is wrong in line 1"),
    ],
)
def test_what_is_not_there_is_an_error(tables: Path, template: str, sentence: str) -> None:
    with pytest.raises(CarplabError, match=sentence):
        render(template, tables)


def test_publishing_copies_tables_and_figures(tables: Path, tmp_path: Path) -> None:
    target = tmp_path / "published"
    with pytest.raises(CarplabError, match=r"no verdicts\.csv in .*: run 'carplab mail verdicts'"):
        publish.publish(tmp_path / "nowhere", target)
    (tables / "mail-c3.svg").write_text("<svg/>")
    copied = publish.publish(tables, target)
    names = {publish.RUNS_FILE, publish.VERDICTS_FILE, publish.LANES_FILE, "mail-c3.svg"}
    assert {path.name for path in copied} == {path.name for path in target.iterdir()} == names

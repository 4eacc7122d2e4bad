from __future__ import annotations

from pathlib import Path

import pytest

from carplab.analysis.analysed import read_run
from carplab.analysis.course import find_sections, read_checks
from carplab.analysis.run import Order, report
from carplab.errors import CarplabError
from tests.analysis.recorded import cable_pull
from tests.analysis.test_report import page_of

HEADER = "student,lab,check,passed,seen,at,answer,folder\n"
FIRST, AGAIN = "2026-11-22T10:00:00+00:00", "2026-11-22T11:00:00+00:00"


def write_checks(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join(f"{row},no,/x\n" for row in rows))
    return path


def test_the_latest_check_of_a_lab_counts(tmp_path: Path) -> None:
    write_checks(
        tmp_path / "monday.csv",
        f"alice,01-who,fw1 is MASTER,no,BACKUP,{FIRST}",
        f"alice,01-who,the check comes to its end,no,broke off,{FIRST}",
        f"bob,01-who,fw1 is MASTER,yes,MASTER,{AGAIN}",
    )
    write_checks(tmp_path / "b" / "tuesday.csv", f"alice,01-who,fw1 is MASTER,yes,MASTER,{AGAIN}")
    (tmp_path / "windows.csv").write_text("window,cause\noutage,fault 1\n")
    checks = read_checks([tmp_path])
    assert [(each.student, each.check, each.passed) for each in checks] == [
        ("alice", "fw1 is MASTER", True),
        ("bob", "fw1 is MASTER", True),
    ]


def test_a_run_belongs_to_the_student_it_names_else_to_its_folder(tmp_path: Path) -> None:
    lab = cable_pull()
    lab.settings = {"dialect": "openbsd", "lab": "01-who", "student": "alice"}
    named = read_run(lab.write(tmp_path / "01-who" / "run"))
    deep = read_run(cable_pull().write(tmp_path / "bob" / "cable-pull" / "run"))
    flat = read_run(cable_pull().write(tmp_path / "run"))
    sections = find_sections([tmp_path], [named, deep, flat], [])
    assert [section.name for section in sections] == sorted(["alice", "bob", tmp_path.name])
    several = find_sections([tmp_path / "bob", tmp_path / "run"], [deep, flat], [])
    assert [section.name for section in several] == ["bob", "run"]


def test_the_page_of_a_course(tmp_path: Path) -> None:
    cable_pull().write(tmp_path / "alice" / "cable-pull" / "run")
    cable_pull().write(tmp_path / "bob" / "cable-pull" / "run")
    write_checks(
        tmp_path / "class.csv",
        f"alice,01-who,fw1 is MASTER,yes,MASTER,{FIRST}",
        f"alice,02-timers,your prediction,no,<none>,{FIRST}",
        f"alice,02-timers,fw2 takes over,yes,after 3 s,{FIRST}",
        f"carol,01-who,fw1 is MASTER,no,BACKUP,{FIRST}",
    )
    page = page_of(tmp_path, out=tmp_path / "course.html")
    words = " ".join(page.text.split())
    assert "student 01-who 02-timers" in page.text.replace("\n", " ") or "02-timers" in words
    for said in ("1 of 1", "1 of 2", "0 of 1", "<none>", "carol"):
        assert said in page.text
    assert {"alice", "bob", "carol"} <= page.ids
    assert len(page.sources) == 2
    assert all(link.startswith("#") for link in page.links)  # there are no pages of the runs
    assert page.text.count("traffic was out for 2.898 s") == 2


def test_checks_alone_are_a_report_too(tmp_path: Path) -> None:
    write_checks(tmp_path / "class.csv", f"alice,01-who,fw1 is MASTER,yes,MASTER,{FIRST}")
    assert "1 of 1" in page_of(tmp_path).text


def test_several_folders_make_one_report_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [cable_pull().write(tmp_path / name / "run") for name in ("alice", "bob")]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert report([folder.parent for folder in folders], Order()) == [Path("report.html")]
    assert "Runs in alice, bob" in Path("report.html").read_text()


def test_a_table_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "class.csv").write_bytes(b"\xff\xfe\x00student")
    with pytest.raises(CarplabError, match=r"class\.csv is no table of comma-separated values"):
        read_checks([tmp_path])

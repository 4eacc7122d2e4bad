"""`carplab mail`: what is refused, and what each part says."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.cli import main
from carplab.mail import commands, document, measure
from carplab.mail.measure import Progress
from carplab.mail.series import BY_NAME
from tests.mail.test_jobs import JOB, leave


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["measure", "--lanes", "0"], 2, "--lanes 0 is out of range: 1 to 32"),
        (["measure", "--repetitions", "11"], 2, "--repetitions 11 is out of range: 1 to 10"),
        (["measure", "--only", "c9"], 2, "no series is called 'c9'"),
        (["lanes", "--lanes", "33"], 2, "--lanes 33 is out of range"),
        (["lanes", "--lanes", "1"], 1, "one lane is compared with several"),
        (["lanes", "--out", "nowhere"], 1, "no runs of c3-plain with openbsd in nowhere"),
        (["verdicts", "--out", "nowhere"], 1, "there are no runs in nowhere"),
        (["publish", "--out", "nowhere"], 1, "there is no verdicts.csv in nowhere"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    assert main(["mail", *words]) == code
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_series_are_listed_with_what_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path, JOB)
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["mail", "series", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.split()[:1] == [JOB.series.name])
    assert "C2 C3 C4 cure" in line and "segment.outside=stp" in line
    assert line.split()[-1] == "1/30"
    assert all(any(name in line for line in lines) for name in BY_NAME)


def test_runs_that_failed_twice_are_told_and_have_an_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    progress = Progress(total=3, lanes=1, done=3, failed=["c3-stp openbsd 01"])
    monkeypatch.setattr(measure, "measure", lambda *_: progress)
    monkeypatch.setattr(commands.signal, "signal", lambda *_: None)
    assert main(["mail", "measure", "--out", str(tmp_path)]) == commands.SOME_FAILED
    assert "1 of 3 runs failed twice: c3-stp openbsd 01" in capsys.readouterr().out


def test_document_is_built(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(document, "TEMPLATE", tmp_path / "page.md.j2")
    monkeypatch.setattr(document, "DOCUMENT", tmp_path / "page.md")
    (tmp_path / "page.md.j2").write_text("{{ claim('C4').title }}\n")
    monkeypatch.setattr(document, "render", lambda template: template.upper())
    assert main(["mail", "document"]) == 0
    assert (tmp_path / "page.md").read_text() == "{{ CLAIM('C4').TITLE }}\n"
    assert capsys.readouterr().out == f"built {tmp_path / 'page.md'}\n"

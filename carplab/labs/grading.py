"""Checks a lab: on the session that runs, or on handed-in folders, each on a network of its own."""

from __future__ import annotations

import csv
import inspect
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from carplab.emulation.experiment import import_script
from carplab.errors import CarplabError, UsageError
from carplab.labs.building import session_spec
from carplab.labs.checking import Line, RunningLab
from carplab.labs.course import CHECK_FILE, CourseLab
from carplab.labs.recorder import Recorder
from carplab.labs.workspace import Workspace
from carplab.recording import give_to_user, writing
from carplab.session.client import Session, start_session

if TYPE_CHECKING:
    from rich.table import Table

CSV_COLUMNS = ("student", "lab", "check", "passed", "seen", "at", "answer", "folder")
STARTS, GOES_ON = "the files make a network", "the check comes to its end"
LOOK_AT_FILES = "the file and the key that the sentence names"

YES, NO = "yes", "no"

OnLine = Callable[[Line], None]


@dataclass(frozen=True)
class Grade:
    """What a check has found for one student's folder."""

    student: str
    lab: str
    folder: Path
    lines: tuple[Line, ...]

    @property
    def passed(self) -> bool:
        """Whether every line passed, and there was one."""
        return bool(self.lines) and all(line.passed for line in self.lines)


def check_session(session: Session, workspace: Workspace, on_line: OnLine) -> Grade:
    """Check the lab that runs; `on_line` is told of each line as it is found."""
    handout = workspace.handout
    lines: list[Line] = []
    for line in _guarded(_check(session, workspace)):
        lines.append(line)
        on_line(line)
    return Grade(handout.student, handout.lab.name, workspace.folder, tuple(lines))


def grade_folder(lab: CourseLab, folder: Path, out: Path, on_line: OnLine) -> Grade:
    """Start a network on the files in a folder, check it, take it down again.

    Files that make no network are a line that failed. UsageError for a folder of another lab.
    """
    workspace = Workspace.open(folder)
    handout = workspace.handout
    if handout.lab != lab:
        raise UsageError(f"{folder} is of lab {handout.lab.name}, not of {lab.name}")
    try:
        session = start_session(session_spec(workspace, out, os.getpid()), lambda _text: None)
    except UsageError as error:
        line = Line(False, STARTS, str(error), LOOK_AT_FILES)
        on_line(line)
        return Grade(handout.student, lab.name, folder, (line,))
    with session:
        try:
            return check_session(session, workspace, on_line)
        finally:
            session.stop()


def _check(session: Session, workspace: Workspace) -> Iterator[Line]:
    check = load_check(workspace.handout.lab)
    with Recorder(session) as recorder:
        lab = RunningLab(session, recorder, workspace.handout, workspace.answers())
        lab.wait_until(lab.has_masters)
        yield from check(lab)


def _guarded(lines: Iterator[Line]) -> Iterator[Line]:
    """Pass the lines on; what stops the check is one more line."""
    try:
        yield from lines
    except CarplabError as error:
        yield Line(False, GOES_ON, str(error), "the sentence beside, then check again")


def load_check(lab: CourseLab) -> Callable[[RunningLab], Iterator[Line]]:
    """Return the function `check` of a lab's check.py; UsageError if it has none."""
    path = lab.folder / CHECK_FILE
    check = getattr(import_script(path), "check", None)
    if not inspect.isgeneratorfunction(check):
        raise UsageError(f"{path} has no function check(lab) that yields lines")
    return check


# --- what is shown and written ---


def new_table(title: str) -> Table:
    """Return the table of a check, still empty."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "what should be", "what was seen", "where to look"):
        table.add_column(column, overflow="fold")
    return table


def add_line(table: Table, line: Line) -> None:
    """Add a line to the table of a check."""
    from rich.text import Text

    mark = Text("pass", "green") if line.passed else Text("FAIL", "bold red")
    look = "" if line.passed else line.look
    table.add_row(mark, Text(line.what), Text(line.seen), Text(look))


def append_csv(path: Path, grades: Iterable[Grade]) -> None:
    """Append a row for each line of the grades; with the header if the file is new.

    UsageError for a file that has other columns.
    """
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if _is_new(path):
        writer.writerow(CSV_COLUMNS)
    for grade in grades:
        for line in grade.lines:
            words = (_yes(line.passed), line.seen, at, _yes(line.is_answer))
            writer.writerow((grade.student, grade.lab, line.what, *words, grade.folder))
    with writing(path), path.open("a", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
    give_to_user(path)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of such a file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _is_new(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return True
    with path.open(encoding="utf-8", newline="") as file:
        header = tuple(next(csv.reader(file), ()))
    if header != CSV_COLUMNS:
        raise UsageError(f"{path} has other columns than {','.join(CSV_COLUMNS)}: name another")
    return False


def _yes(value: bool) -> str:
    return YES if value else NO

"""Verifies the labs themselves: what a student starts with must fail, the solution must pass."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from carplab.labs.batch import Graded, Job, grade_in_lanes
from carplab.labs.course import SOLUTION, START, CourseLab
from carplab.labs.grading import GOES_ON, NO, STARTS, YES
from carplab.labs.workspace import Workspace
from carplab.recording import give_to_user, writing

if TYPE_CHECKING:
    from rich.table import Table

PARTS = (SOLUTION, START)  # in this order: the solutions take longer
CSV_COLUMNS = ("lab", "part", "as_it_should", "failed", "seconds")


@dataclass(frozen=True)
class Verified:
    """What became of one part of a lab: its start or its solution."""

    lab: str
    part: str
    graded: Graded

    @property
    def failed(self) -> list[str]:
        """The checks that failed, apart from the answers of a student who has just begun."""
        lines = self.graded.grade.lines
        is_start = self.part == START
        return [line.what for line in lines if not (line.passed or (is_start and line.is_answer))]

    @property
    def is_right(self) -> bool:
        """Whether the solution passed, or something on the network of the start failed."""
        if self.part == SOLUTION:
            return self.graded.grade.passed
        return any(what not in (STARTS, GOES_ON) for what in self.failed)

    @property
    def seen(self) -> list[str]:
        """What was seen where a check failed, for who has to mend the lab."""
        return [f"{line.what}: {line.seen}" for line in self.graded.grade.lines if not line.passed]

    def row(self) -> list[str]:
        """Return the row of the table, in the order of CSV_COLUMNS."""
        right, seconds = _yes(self.is_right), f"{self.graded.seconds:.1f}"
        return [self.lab, self.part, right, "; ".join(self.failed), seconds]


def verify(
    labs: Sequence[CourseLab], lanes: int, student: str | None = None
) -> Iterator[Verified]:
    """Check both parts of each lab, so many at once; yield each as it is done.

    The values are those of `student`, or of whom the lab names.
    """
    with tempfile.TemporaryDirectory(prefix="carplab-verify-") as folder:
        jobs: list[Job] = []
        for part in PARTS:
            for lab in labs:
                path = Path(folder, part, lab.name)
                workspace = Workspace.prepare(path, lab.name, student or lab.verify_as)
                if part == SOLUTION:
                    workspace.write_solution()
                jobs.append(Job(lab, path))
        for graded in grade_in_lanes(jobs, lanes, Path(folder, "results")):
            path = graded.job.folder
            yield Verified(path.name, path.parent.name, graded)


def by_lab(found: Sequence[Verified]) -> Mapping[str, Mapping[str, Verified]]:
    """Return what was verified by lab and part, in the labs' order."""
    return {
        name: {each.part: each for each in found if each.lab == name}
        for name in sorted({each.lab for each in found})
    }


def table(found: Mapping[str, Mapping[str, Verified]]) -> Table:
    """Return the table of the labs: which checks the start fails, whether the solution passes."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("lab", "start\nfails", "solution\npasses", "seconds", "what fails at the start"):
        shown.add_column(column, no_wrap=column in ("lab", "seconds"))
    for name, parts in found.items():
        start, solution = parts[START], parts[SOLUTION]
        seconds = f"{start.graded.seconds:.0f} + {solution.graded.seconds:.0f}"
        which = "\n".join(start.failed)
        shown.add_row(name, _yes(start.is_right), _yes(solution.is_right), seconds, which)
    return shown


def write_csv(path: Path, found: Mapping[str, Mapping[str, Verified]]) -> None:
    """Write a row for each part of each lab."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(each.row() for parts in found.values() for each in parts.values())
    with writing(path):
        path.write_text(text.getvalue(), encoding="utf-8")
    give_to_user(path)


def _yes(value: bool) -> str:
    return YES if value else NO

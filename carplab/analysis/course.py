"""A folder of results in sections: a student's each, or an experiment's, or a folder's.

What a lab's check found lies beside the runs, as `carplab lab check --csv` writes it: any CSV file
with these columns is taken for such a table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from carplab.analysis.analysed import Analysed
from carplab.analysis.load import mapping
from carplab.errors import CarplabError

CHECK_COLUMNS = ("student", "lab", "check", "passed", "seen", "at")
PASSED = "yes"


@dataclass(frozen=True)
class Check:
    """One line of a lab's check, about one student, made `at` that time."""

    student: str
    lab: str
    check: str
    passed: bool
    seen: str
    at: str


@dataclass
class Section:
    """The runs and series that belong together, and what was checked of them."""

    name: str
    entries: list[Analysed] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def score(self, lab: str) -> str:
        """Return how much of a lab passed; empty where it was not checked."""
        passed = [check.passed for check in self.checks if check.lab == lab]
        return f"{sum(passed)} of {len(passed)}" if passed else ""


def find_sections(
    folders: Sequence[Path], entries: Iterable[Analysed], checks: Iterable[Check]
) -> list[Section]:
    """Return the sections by their names.

    A run belongs to the student that it names; else to the folder that holds it: of several
    `folders` the one it is in, of a single one that folder's own folder.
    """
    sections: dict[str, Section] = {}
    for entry in entries:
        name = _student(entry) or _folder(folders, entry.folder)
        sections.setdefault(name, Section(name)).entries.append(entry)
    for check in checks:
        sections.setdefault(check.student, Section(check.student)).checks.append(check)
    return sorted(sections.values(), key=lambda section: section.name)


def read_checks(folders: Iterable[Path]) -> list[Check]:
    """Return the checks below the folders; of a lab that was checked again the latest counts."""
    latest: dict[tuple[str, str], list[Check]] = {}
    for path in sorted({path for folder in folders for path in folder.rglob("*.csv")}):
        for check in _checks(path):
            kept = latest.setdefault((check.student, check.lab), [])
            if kept and kept[0].at < check.at:
                kept.clear()
            if not kept or kept[0].at == check.at:
                kept.append(check)
    return [check for kept in latest.values() for check in kept]


def _checks(path: Path) -> list[Check]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if not set(CHECK_COLUMNS) <= set(rows.fieldnames or ()):
                return []
            return [_check(row) for row in rows]
    except OSError as error:
        raise CarplabError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CarplabError(f"{path} is no table of comma-separated values: {error}") from None


def _check(row: dict[str, str]) -> Check:
    words = {name: row[name] or "" for name in CHECK_COLUMNS}
    passed = words.pop("passed").strip().lower() == PASSED
    return Check(passed=passed, **words)


def _student(entry: Analysed) -> str:
    student = mapping(entry.about.get("settings")).get("student")
    return str(student) if student else ""


def _folder(folders: Sequence[Path], inside: Path) -> str:
    for folder in folders:
        if inside.is_relative_to(folder):
            names = inside.relative_to(folder).parts
            if len(folders) > 1 or len(names) < 2:
                return folder.resolve().name
            return names[0]
    return inside.name

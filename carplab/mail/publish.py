"""The files that the measurements end in, and where the repository keeps them."""

from __future__ import annotations

import shutil
from pathlib import Path

from carplab import recording
from carplab.errors import CarplabError

PROJECT = Path(__file__).resolve().parent.parent.parent
PUBLISHED = PROJECT / "results" / "reference" / "mail"
RUNS_FILE = "runs.csv"
VERDICTS_FILE = "verdicts.csv"
LANES_FILE = "lanes.csv"
FIGURES = ("mail-*.svg", "*.png")  # the others are large as SVG
EVENTS = "events-*.csv"


def figure_name(identity: str) -> str:
    """Return the name of a claim's figure, without its ending."""
    return f"mail-{identity.lower()}"


def sides_name(series: str) -> str:
    """Return the name of the figure with both hosts' states in a series, without its ending."""
    return f"sides-{series}"


def events_name(series: str) -> str:
    """Return the name of the file with the events of the run in that figure."""
    return f"events-{series}.csv"


def published(name: str) -> str:
    """Return the text of a published file; CarplabError where it is not there."""
    return read_text(PUBLISHED / name)


def read_text(path: Path) -> str:
    """Return the text of a file; CarplabError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CarplabError(f"cannot read {path}: {error.strerror}") from None


def write(path: Path, content: bytes) -> None:
    """Write a file whole, and give it to the user who called sudo."""
    draft = path.with_name(f".{path.name}")
    with recording.writing(path):
        draft.write_bytes(content)
        recording.give_to_user(draft)
        draft.replace(path)


def publish(results: Path, target: Path = PUBLISHED) -> list[Path]:
    """Copy tables and figures to where the repository keeps them; return what was copied."""
    names = (RUNS_FILE, VERDICTS_FILE, LANES_FILE)
    found = [results / name for name in names if (results / name).exists()]
    found += sorted(path for pattern in (*FIGURES, EVENTS) for path in results.glob(pattern))
    if not any(path.name == VERDICTS_FILE for path in found):
        raise CarplabError(f"there is no {VERDICTS_FILE} in {results}: run 'carplab mail verdicts'")
    with recording.writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for path in found:
            shutil.copyfile(path, target / path.name)
            recording.give_to_user(target / path.name)
    return found

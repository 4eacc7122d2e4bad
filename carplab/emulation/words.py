"""The last words of a process that failed, for the sentence that reports it."""

from __future__ import annotations

from pathlib import Path

MOST_CHARACTERS = 200


def last_words(log: Path) -> str:
    """Return the last line with text in the file, shortened, or "it said nothing"."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        lines = []
    spoken = [line for line in lines if line]
    return spoken[-1][:MOST_CHARACTERS] if spoken else "it said nothing"

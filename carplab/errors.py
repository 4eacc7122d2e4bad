"""Errors that a user can do something about.

The commands print such an error as one sentence on standard error and end with its exit code;
anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class CarplabError(Exception):
    """Something went wrong outside the program: the sentence says what, and what would be right."""

    exit_code = 1


class UsageError(CarplabError):
    """What was asked for is not possible: a wrong value, name or combination of options."""

    exit_code = 2


def listed(items: Iterable[object]) -> str:
    """Return items with commas between, for a sentence that says what there is."""
    return ", ".join(str(item) for item in items)

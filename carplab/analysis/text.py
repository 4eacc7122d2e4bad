"""Numbers and tables as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def length_text(length_s: float | None, at_least: bool = False) -> str:
    """Return a length for people: in milliseconds if it is below a tenth of a second."""
    if length_s is None:
        return "never"
    length_ms = length_s * 1000
    if length_s == 0:
        text = "0"
    elif abs(length_ms) < 1:
        text = f"{length_ms:.2f} ms"
    else:
        text = f"{length_s:.3f} s" if abs(length_ms) >= 100 else f"{length_ms:.1f} ms"
    return f"at least {text}" if at_least else text


def theory_text(bounds_s: tuple[float, float] | None) -> str:
    """Return theory's bounds, or nothing where theory says nothing."""
    return f"{bounds_s[0]:.3f} to {bounds_s[1]:.3f}" if bounds_s else ""


def csv_text(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table as the text of its file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()

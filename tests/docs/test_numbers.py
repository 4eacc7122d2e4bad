"""The numbers in the pages are those of the committed results."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from docs.building import picture

PROJECT = Path(__file__).resolve().parents[2]
REFERENCE = PROJECT / "results" / "reference"
DIALECTS = ("openbsd-3.8", "openbsd", "freebsd")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "windows.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("run", ["split", "cure"])
def test_tutorial_tells_of_its_runs(run: str) -> None:
    page = (PROJECT / "docs/tutorial.md").read_text(encoding="utf-8")
    for row in rows(REFERENCE / "tutorial" / run):
        if row["cause"] == "repair 1" and row["window"] in ("outage", "recovery", "split"):
            length_s = float(row["length_s"])
            told = f"{length_s:.3f} s" if length_s > 0.1 else f"{1000 * length_s:.1f} ms"
            assert f" {told} │" in page, row["window"]


def test_picture_shows_the_recorded_runs() -> None:
    """Other versions of the libraries may draw a line elsewhere, but not another picture."""
    committed = Image.open(picture.PICTURE).convert("L")
    drawn = Image.open(io.BytesIO(picture.draw())).convert("L")
    assert drawn.size == committed.size
    differs = ImageStat.Stat(ImageChops.difference(drawn, committed))
    assert differs.mean[0] < 1.0  # of 255


def seconds(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.2f} s ({low:.2f} to {high:.2f})"


def milliseconds(values: list[float]) -> str:
    low, high = 1000 * min(values), 1000 * max(values)
    return f"{1000 * statistics.median(values):.1f} ms ({low:.1f} to {high:.1f})"


@pytest.mark.parametrize("experiment", ["cable-pull", "crash"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_expectations_are_the_recorded_series(dialect: str, experiment: str) -> None:
    found = rows(REFERENCE / "dialects" / dialect / experiment)

    def told(window: str, cause: str, text: Callable[[list[float]], str]) -> str:
        """The longest of a repetition's windows of that name is the first one."""
        first: dict[str, float] = {}
        for row in found:
            if (row["window"], row["cause"]) == (window, cause):
                first.setdefault(row["repetition"], float(row["length_s"]))
        assert len(first) == 10
        return text(list(first.values()))

    cells = [
        f"{experiment}, {dialect}",
        told("outage", "fault 1", seconds),
        told("lateness", "fault 1", milliseconds),
        told("outage", "repair 1", milliseconds),
        told("recovery", "repair 1", seconds),
        told("split", "repair 1", seconds),
    ]
    page = (PROJECT / "docs/explanation/expect.md").read_text(encoding="utf-8")
    assert f"| {' | '.join(cells)} |" in page

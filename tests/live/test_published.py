"""The guide's numbers are those of the committed measurement."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import pytest

from tests.live.bench import REFERENCE

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "live.md"


def read(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("column", ["jitter_p50", "jitter_p99", "jitter_max", "lateness_p99"])
def test_jitter(column: str) -> None:
    said = []
    for viewers in ("0", "20"):
        rows = [row for row in read("jitter.csv") if row["viewers"] == viewers]
        values = [float(row[f"{column}_ms"]) for row in rows]
        median = statistics.median(values)
        said.append(f"{median:.3f} ms ({min(values):.3f} to {max(values):.3f})")
    assert f"| {said[0]} | {said[1]} |" in GUIDE.read_text(encoding="utf-8")


def test_latency() -> None:
    values = [float(row["latency_ms"]) for row in read("latency.csv")]
    guide = " ".join(GUIDE.read_text(encoding="utf-8").split())
    assert f"{statistics.median(values):.1f} ms after carpd said so" in guide
    assert f"the longest of {len(values)} after {max(values):.1f} ms" in guide

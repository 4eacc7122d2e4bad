from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from carplab.analysis.distribution import draw_distribution
from carplab.analysis.load import load_run
from carplab.analysis.series import Statistic, find_statistics
from carplab.analysis.style import as_png, as_svg
from carplab.analysis.windows import find_windows
from tests.analysis.recorded import Recording, cable_pull


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def phases(seed: int) -> list[float]:
    generator = random.Random(seed)
    return [generator.random() for _ in range(5)]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sequence[Statistic]]:
    folder = tmp_path_factory.mktemp("series")
    return {
        dialect: find_statistics(
            {
                str(index): find_windows(
                    load_run(cable_pull(phase_s).write(folder / dialect / str(index)))
                )
                for index, phase_s in enumerate(phases(seed))
            }
        )
        for seed, dialect in enumerate(("openbsd", "freebsd"))
    }


def panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(title))


def points(axes: Axes, row: int) -> list[float]:
    found: list[float] = []
    for line in axes.lines:
        x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        if line.get_marker() in ("o", ">"):
            found += [float(value) for value, at in zip(x, y, strict=True) if abs(at - row) < 0.5]
    return found


def test_every_repetition_is_a_point(series: dict[str, Sequence[Statistic]]) -> None:
    axes = panel(draw_distribution(series, "title"), "detection, fault 1 (s)")
    for row in (0, 1):
        expected = [3 + 100 / 256 + 0.002 - phase_s for phase_s in phases(row)]
        assert sorted(points(axes, row)) == pytest.approx(sorted(expected), abs=2e-6)


def test_each_series_has_a_row(series: dict[str, Sequence[Statistic]]) -> None:
    axes = panel(draw_distribution(series, "title"), "outage, fault 1")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["openbsd", "freebsd"]


def test_theory_is_drawn_in(series: dict[str, Sequence[Statistic]]) -> None:
    axes = panel(draw_distribution(series, "title"), "outage, fault 1")
    bands = [path.get_extents() for each in axes.collections for path in each.get_paths()]
    assert [(box.x0, box.x1) for box in bands] == [pytest.approx((2.390625, 3.390625))] * 2


def test_short_windows_are_in_milliseconds(series: dict[str, Sequence[Statistic]]) -> None:
    axes = panel(draw_distribution(series, "title"), "lateness, fault 1 (ms)")
    assert points(axes, 0) == pytest.approx([2.0] * 5, abs=0.003)


def test_a_limit_has_another_mark(tmp_path: Path) -> None:
    recording = Recording(end_s=8.0, dead=[(5.0, 99.0)])
    recording.fault(5.0)
    statistics = find_statistics({"01": find_windows(load_run(recording.write(tmp_path)))})
    axes = panel(draw_distribution({"openbsd": statistics}, "title"), "outage, fault 1")
    marks = {
        line.get_marker()
        for line in axes.lines
        if len(line.get_xdata()) and line.get_marker() in ("o", ">")
    }
    assert marks == {">"}


def test_one_repetition_and_none_can_be_drawn(tmp_path: Path) -> None:
    one = find_statistics({"01": find_windows(load_run(cable_pull().write(tmp_path)))})
    for series in ({"openbsd": one}, {"openbsd": []}, {}):
        figure = draw_distribution(series, "title")
        assert as_png(figure)
        assert len(as_svg(figure)) < 300_000

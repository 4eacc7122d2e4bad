"""The figures: a point for each repetition, filled where it bears the claim out."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.axes import Axes

from carplab.mail.claims import CLAIMS, claim
from carplab.mail.figures import PANELS, draw_claim, draw_figures
from carplab.mail.jobs import Job
from carplab.mail.series import BY_NAME
from carplab.mail.sides import draw_all_sides, median_run
from tests.analysis.recorded import blocked_port
from tests.mail.made_up import BLOCKED, PLAIN, STREAM, repeated


def points(axes: Axes) -> list[tuple[float, str, bool]]:
    """Return x, marker and whether it is filled, of every point."""
    return [
        (float(x), line.get_marker(), line.get_markerfacecolor() != "white")
        for line in axes.lines
        if line.get_marker() in ("o", "D")
        for x in line.get_xdata()
    ]


def test_every_claim_has_panels() -> None:
    assert list(PANELS) == [each.id for each in CLAIMS]


def test_points_are_filled_where_the_claim_is_borne_out() -> None:
    rows = [("plain", "openbsd", repeated(PLAIN, 4)), ("stp", "openbsd", repeated(BLOCKED, 3))]
    figure = draw_claim(claim("C4"), rows)
    drawn = points(figure.axes[0])
    assert drawn == [(1.04, "o", False)] * 4 + [(30.2, "o", True)] * 3
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "plain   openbsd",
        "stp   openbsd",
    ]


def test_what_never_came_stands_beyond_the_numbers() -> None:
    rows = [("crash", "openbsd", [*repeated(PLAIN, 2), *repeated(PLAIN, 1, recovery_s=None)])]
    recovery = draw_claim(claim("C1"), rows).axes[1]
    (*_, (never, marker, filled)) = points(recovery)
    assert marker == "D" and not filled and never > 1.04
    assert recovery.get_xticklabels()[-1].get_text() == "never"
    assert recovery.get_xlim()[1] > never


@pytest.mark.parametrize("identity", [each.id for each in CLAIMS])
def test_every_claim_can_be_drawn(identity: str) -> None:
    runs = repeated(STREAM if identity == "C0" else BLOCKED, 2)
    figure = draw_claim(claim(identity), [("a", "openbsd", runs), ("b", "freebsd", runs)])
    assert len(figure.axes) == len(PANELS[identity])


def test_figures_of_what_was_measured(tmp_path: Path) -> None:
    names = list(draw_figures([*repeated(PLAIN, 2), *repeated(BLOCKED, 1)], tmp_path))
    assert names == [
        f"mail-{name}.{ending}" for name in ("c2", "c3", "c4", "cure") for ending in ("svg", "png")
    ]
    assert all((tmp_path / name).stat().st_size > 1000 for name in names)
    before = (tmp_path / "mail-c3.svg").read_bytes()
    list(draw_figures([*repeated(PLAIN, 2), *repeated(BLOCKED, 1)], tmp_path))
    assert (tmp_path / "mail-c3.svg").read_bytes() == before


def test_the_median_run_is_one_of_the_runs() -> None:
    lengths_s = (0.9, 0.2, 0.4, 0.3)
    runs = [
        run
        for number, length_s in enumerate(lengths_s, start=1)
        for run in repeated(PLAIN, 1, repetition=number, split_repair_s=length_s)
    ]
    assert median_run(runs).repetition == 4


def test_sides_of_the_conditions_that_were_measured(tmp_path: Path) -> None:
    dialect = BY_NAME["c3-stp"].dialects[0]
    runs = repeated(BLOCKED, 1, dialect=dialect)
    blocked_port().write(Job(BY_NAME["c3-stp"], dialect, 1).folder(tmp_path))
    assert list(draw_all_sides(runs, tmp_path)) == [
        "events-c3-stp.csv",
        "sides-c3-stp.svg",
        "sides-c3-stp.png",
    ]
    assert (tmp_path / "sides-c3-stp.svg").stat().st_size > 1000
    assert "listening -> learning" in (tmp_path / "events-c3-stp.csv").read_text()

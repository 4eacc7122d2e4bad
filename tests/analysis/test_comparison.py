from __future__ import annotations

from pathlib import Path

import pytest

from carplab.analysis.analysed import read_run, read_series
from carplab.analysis.comparison import MOST_ABREAST, Comparison, Row, compare
from carplab.analysis.run import Order, report
from carplab.errors import CarplabError, UsageError
from tests.analysis.recorded import cable_pull, crash, network
from tests.analysis.test_report import Page, write_series


def rows(comparison: Comparison) -> dict[str, Row]:
    return {row.name: row for row in comparison.settings}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """A cable pull, one with another advskew and dialect, and a series."""
    other = cable_pull()
    other.settings = {"dialect": "freebsd", "nat": "synced"}
    other.network = network((("fw1", 0), ("fw2", 50)))
    return [
        cable_pull().write(tmp_path / "one"),
        other.write(tmp_path / "other"),
        write_series(tmp_path / "series"),
    ]


def test_what_differs_is_told_from_what_is_the_same(folders: list[Path]) -> None:
    found = rows(compare([read_run(folders[0]), read_run(folders[1])]))
    differing = {name for name, row in found.items() if row.differs}
    assert differing == {"dialect", "nat", "fw2 outside vhid 1", "fw2 inside vhid 2"}
    assert found["fw2 outside vhid 1"].cells == ["advbase 1, advskew 100", "advbase 1, advskew 50"]
    assert found["nat"].cells == ["", "synced"]
    assert found["nat"].marked == [False, True]
    assert found["preferred MASTER"].cells == ["fw1", "fw1"]


def test_windows_stand_side_by_side_with_their_theory(folders: list[Path]) -> None:
    comparison = compare(
        [read_run(folders[0]), read_run(folders[1]), read_series(folders[2])]
    )
    windows = comparison.windows
    outage = [(row.name, row.note) for row in windows].index(("outage", "fault 1"))
    assert windows[outage].cells == ["2.898 s", "2.898 s", "2.998 s (2.798 s to 3.198 s)"]
    theory = windows[outage + 1]
    assert theory.is_theory
    assert theory.cells == ["2.391 to 3.391", "2.195 to 3.195", "2.391 to 3.391"]
    causes = [row.note for row in windows if not row.is_theory]
    assert causes == sorted(causes)


def test_many_are_shown_a_few_abreast(folders: list[Path]) -> None:
    comparison = compare([read_run(folders[0])] * 9)
    parts = comparison.parts()
    assert [low for low, _ in parts] == [0, *(high for _, high in parts[:-1])]
    assert parts[-1][1] == 9
    assert max(high - low for low, high in parts) <= MOST_ABREAST


@pytest.mark.parametrize("count", [0, 1, 27])
def test_one_cannot_be_compared_and_neither_can_too_many(folders: list[Path], count: int) -> None:
    with pytest.raises(UsageError, match=f"^{count} cannot be compared: give .* 2 to 26"):
        compare([read_run(folders[0])] * count)


def test_a_series_without_repetitions_cannot_be_compared(
    folders: list[Path], tmp_path: Path
) -> None:
    empty = read_series(write_series(tmp_path / "empty", repetitions=0))
    with pytest.raises(CarplabError, match="empty has no repetitions"):
        compare([read_run(folders[0]), empty])


def test_the_page(folders: list[Path], tmp_path: Path) -> None:
    folders.append(crash().write(tmp_path / "crash"))
    out = tmp_path / "out.html"
    assert report(folders, Order(out, compare=True)) == [out]
    page = Page(out)
    for words in (
        "Comparison: cable-pull",
        "Ccable-pull, openbsd, 3 repetitions, series, finished",
        "What was set differently",
        "A  carplab run cable-pull --dialect openbsd --seed 7",
        "The same in all",
    ):
        assert words in page.text
    # Drawings: fw2 with its two settings, and the crash; then the timelines, the distribution.
    assert len(page.sources) == 3 + 2
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert 'class="marked"' in out.read_text()


def test_a_folder_of_runs_can_be_compared_where_one_is(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quiet = cable_pull()
    quiet.events = [row for row in quiet.events if row[2] not in ("fault", "repair")]
    quiet.write(tmp_path / "quiet")
    written = report([tmp_path], Order(compare=True, figures=("svg",)))
    assert [path.as_posix() for path in written] == [
        "comparison.html",
        "figures/timelines-1.svg",
        "figures/distribution.svg",
    ]
    assert "When nothing is broken" in Page(Path("comparison.html")).text

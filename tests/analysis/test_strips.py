from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from carplab.analysis.notebook import open_run
from carplab.analysis.strips import FAULT, REPAIR, START, common_start, draw_strips
from carplab.errors import CarplabError
from tests.analysis.recorded import Recording, blocked_port, cable_pull


@pytest.fixture
def figure(tmp_path: Path) -> Figure:
    runs = {"pulled": cable_pull(), "blocked": blocked_port()}
    return draw_strips(
        {title: open_run(made.write(tmp_path / title)) for title, made in runs.items()}, REPAIR
    )


def bars(figure: Figure, strip: int) -> dict[tuple[int, float], float]:
    """Return the ends of the bars of a strip by row and start."""
    found = {}
    for collection in figure.axes[strip].collections:
        for path in collection.get_paths():
            box = path.get_extents()
            found[round((box.y0 + box.y1) / 2), round(float(box.x0), 3)] = round(float(box.x1), 3)
    return found


def test_each_run_has_a_strip_with_its_virtual_hosts_and_its_traffic(figure: Figure) -> None:
    rows = ["outside fw1", "outside fw2", "inside fw1", "inside fw2", "traffic"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["pulled", "blocked"]
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_yticklabels()] == rows


def test_the_strips_line_up_at_the_repair(figure: Figure) -> None:
    pulled, blocked = bars(figure, 0), bars(figure, 1)
    assert pulled[0, 0.001] == 0.35  # outside fw1 BACKUP, then MASTER to the end of its record
    assert pulled[0, 0.35] == 8.0
    assert blocked[0, 0.001] == 3.001
    assert blocked[4, 0.549] == 30.1  # nothing delivered
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == (-1.0, 38.0)


def test_the_legend_names_what_is_shown(figure: Figure) -> None:
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "MASTER", "BACKUP", "INIT", "delivered", "nothing delivered", "repair",
    ]  # fmt: skip


def test_of_several_flows_the_main_one_is_named(tmp_path: Path) -> None:
    made = cable_pull()
    made.flows["client2", "server"] = []
    figure = draw_strips({"pulled": open_run(made.write(tmp_path))})
    assert figure.axes[0].get_yticklabels()[-1].get_text() == "client to server"
    assert "fault" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_run_without_a_fault_is_named(tmp_path: Path) -> None:
    run = open_run(Recording().write(tmp_path))
    with pytest.raises(CarplabError, match=f"{tmp_path} recorded no fault"):
        draw_strips({"quiet": run})


def test_where_no_probe_was_recorded_nothing_counts_as_delivered(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    (folder / "probe.csv").unlink()
    figure = draw_strips({"pulled": open_run(folder)})
    assert not any(row == 4 for row, _ in bars(figure, 0))
    assert "no probe recorded" in [text.get_text() for text in figure.axes[0].texts]


def test_runs_of_which_one_had_no_fault_line_up_at_their_start(tmp_path: Path) -> None:
    quiet = cable_pull()
    quiet.events = [row for row in quiet.events if row[2] not in ("fault", "repair")]
    pulled = open_run(cable_pull().write(tmp_path / "pulled"))
    calm = open_run(quiet.write(tmp_path / "calm"))
    assert common_start([pulled]) == FAULT
    assert common_start([pulled, calm]) == START
    figure = draw_strips({"pulled": pulled, "calm": calm}, START)
    assert figure.axes[1].get_xlim() == (-1.0, 20.5)  # settled at -0.5 s, measured to 20 s

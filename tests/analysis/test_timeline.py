from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from carplab.analysis.bands import STATES
from carplab.analysis.load import load_run
from carplab.analysis.style import as_png, as_svg
from carplab.analysis.timeline import draw_timeline
from carplab.analysis.windows import find_windows
from tests.analysis.recorded import Recording, blocked_port, cable_pull, crash, table


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def draw(recording: Recording, folder: Path) -> Figure:
    run = load_run(recording.write(folder))
    return draw_timeline(run, find_windows(run))


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def bars(axes: Axes, row: int) -> list[tuple[float, float]]:
    """The bars of a row, as (start, end)."""
    found = []
    for collection in axes.collections:
        if isinstance(collection, PolyCollection):
            for path in collection.get_paths():
                (low_s, low), (high_s, high) = path.get_extents().get_points()
                if low < row < high:
                    found.append((low_s, high_s))
    return found


def row_named(axes: Axes, name: str) -> int:
    return [label.get_text() for label in axes.get_yticklabels()].index(name)


def test_the_panels_share_one_time_axis(tmp_path: Path) -> None:
    axes = draw(cable_pull(), tmp_path).axes
    assert len(axes) == 4
    assert len({panel.get_xlim() for panel in axes}) == 1
    low_s, high_s = axes[0].get_xlim()
    assert low_s <= 0.0
    assert high_s >= 20.0
    assert "seconds" in axes[-1].get_xlabel()


def test_fault_and_repair_are_marked_in_every_panel_and_named(tmp_path: Path) -> None:
    axes = draw(cable_pull(), tmp_path).axes
    for panel in axes:
        marks = {
            line.get_xdata()[0]: line.get_linestyle()
            for line in panel.lines
            if len(line.get_xdata()) == 2
        }
        assert {5.0, 12.0} <= set(marks)
        assert marks[5.0] != marks[12.0]
    assert "fault 1: link_down fw1 outside" in texts(axes[0])
    assert "repair 1: link_down fw1 outside" in texts(axes[0])


@pytest.mark.parametrize(
    ("name", "start_s", "end_s", "label"),
    [
        ("outage", 4.9994, 7.8974, "2.898 s"),
        ("failover", 5.0, 7.8974, "2.897 s"),
        ("recovery", 12.0, 12.5504, "0.550 s"),
        ("split", 5.0006, 7.892625, "2.892 s"),
    ],
)
def test_windows_are_bars_with_their_lengths(
    tmp_path: Path, name: str, start_s: float, end_s: float, label: str
) -> None:
    axes = draw(cable_pull(), tmp_path).axes[0]
    assert (pytest.approx(start_s), pytest.approx(end_s)) in bars(axes, row_named(axes, name))
    assert label in texts(axes)


def test_failover_and_recovery_are_shaded_below(tmp_path: Path) -> None:
    for panel in draw(cable_pull(), tmp_path).axes[1:]:
        shaded = [
            patch.get_extents().transformed(panel.transData.inverted()) for patch in panel.patches
        ]
        spans = [
            (pytest.approx(box.x0, abs=1e-3), pytest.approx(box.x1, abs=1e-3)) for box in shaded
        ]
        assert (5.0, 7.8974) in spans
        assert (12.0, 12.5504) in spans


def test_each_state_of_each_virtual_host_is_a_band(tmp_path: Path) -> None:
    axes = draw(cable_pull(), tmp_path).axes[1]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["outside fw1", "outside fw2", "inside fw1", "inside fw2", "split"]
    low_s, high_s = axes.get_xlim()
    assert bars(axes, 1) == [
        (pytest.approx(low_s), pytest.approx(7.892625)),
        (pytest.approx(7.892625), pytest.approx(12.3503)),
        (pytest.approx(12.3503), pytest.approx(high_s)),
    ]
    assert {"MASTER", "BACKUP", "INIT"} <= set(texts(axes))


def test_splits_lie_behind_the_states_and_say_who_is_master(tmp_path: Path) -> None:
    axes = draw(blocked_port(), tmp_path).axes[1]
    parts = [pytest.approx(span) for span in ((12.5504, 15.001), (15.001, 42.1))]
    assert bars(axes, row_named(axes, "split"))[-2:] == parts
    assert "outside fw1+fw2\ninside fw1" in texts(axes)
    assert "outside none\ninside fw2" in texts(axes)
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    spans = [patch.get_extents().transformed(axes.transData.inverted()) for patch in hatched]
    assert [(box.x0, box.x1) for box in spans] == [
        (pytest.approx(5.0006), pytest.approx(8.0)),
        (pytest.approx(12.55), pytest.approx(42.1)),
    ]


def test_who_is_master_in_a_short_split_stands_beside_it(tmp_path: Path) -> None:
    axes = draw(cable_pull(), tmp_path).axes[1]
    (beside,) = (text for text in axes.texts if text.get_text() == "outside fw1\ninside fw2")
    assert beside.get_position()[0] > 12.5504


def test_a_run_that_was_never_split_has_no_row_for_it(tmp_path: Path) -> None:
    axes = draw(Recording(), tmp_path).axes[1]
    assert "split" not in [label.get_text() for label in axes.get_yticklabels()]


def test_the_stream_has_a_panel_where_there_is_one(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.silent = [(5.0, 8.5)]
    panels = draw(recording, tmp_path / "alive").axes
    assert len(panels) == 5
    assert texts(panels[4]) == ["alive, longest gap 3.510 s"]
    assert panels[4].get_ylim() == (0.0, pytest.approx(180.0))
    recording.silent = [(5.0, 99.0)]
    recording.event(8.4, "server", "stream", "", "", "reset")
    panels = draw(recording, tmp_path / "reset").axes
    assert texts(panels[4]) == ["server: reset at 8.400 s"]


def test_a_killed_carpd_is_not_running(tmp_path: Path) -> None:
    assert "not running" in texts(draw(crash(), tmp_path).axes[1])


def test_states_differ_in_black_and_white_too() -> None:
    seen = set()
    for look in STATES.values():
        red, green, blue = to_rgb(look.face)
        lightness = round((0.299 * red + 0.587 * green + 0.114 * blue) * 5)
        seen.add((lightness, look.hatch))
    assert len(seen) == len(STATES)


def test_lost_pings_are_marked_and_counted(tmp_path: Path) -> None:
    axes = draw(cable_pull(), tmp_path).axes[2]
    (lost,) = bars(axes, 0.91)  # type: ignore[arg-type]
    assert lost == (pytest.approx(5.0, abs=0.016), pytest.approx(7.8966, abs=0.016))
    assert "lost: 181 of 1250" in texts(axes)
    drawn = axes.lines[0].get_ydata()
    assert np.isnan(np.asarray(drawn, dtype=float)).sum() == 181


def test_a_wide_range_of_round_trips_is_logarithmic(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    rows = [(seq, seq * 0.01, 0.5 if seq != 50 else 300.0) for seq in range(1000)]
    table(folder / "ping.csv", ("seq", "sent_t_s", "rtt_ms"), rows)
    run = load_run(folder)
    axes = draw_timeline(run, find_windows(run)).axes[2]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[1] > 300


def test_dense_series_keep_their_extremes(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    rows = [(seq, seq * 0.0005, 0.5 if seq != 20_001 else 4.75) for seq in range(40_000)]
    table(folder / "ping.csv", ("seq", "sent_t_s", "rtt_ms"), rows)
    run = load_run(folder)
    axes = draw_timeline(run, find_windows(run)).axes[2]
    tops = [path.get_extents().y1 for each in axes.collections for path in each.get_paths()]
    assert 4.75 in tops


def test_throughput_is_drawn_interval_by_interval(tmp_path: Path) -> None:
    axes = draw(cable_pull(), tmp_path).axes[3]
    line = axes.lines[0]
    values = dict(zip(np.round(line.get_xdata(), 3), line.get_ydata(), strict=True))
    assert values[4.9] == 20.0
    assert values[6.0] == 0.0
    assert "Mbit/s" in axes.get_ylabel()


def test_files_are_small_and_the_same_each_time(tmp_path: Path) -> None:
    figure = draw(crash(), tmp_path)
    png, svg = as_png(figure), as_svg(figure)
    assert len(png) < 150_000
    assert len(svg) < 300_000
    assert svg == as_svg(figure)
    with Image.open(io.BytesIO(png)) as image:
        assert image.size[0] > 1400


def test_ten_minutes_stay_small(tmp_path: Path) -> None:
    recording = Recording(end_s=20.0)
    recording.fault(5.0)
    folder = recording.write(tmp_path)
    noise = np.random.default_rng(1)
    rtts_ms = np.where(noise.random(37_500) < 0.1, np.nan, noise.gamma(2, 0.3, 37_500))
    rows = [
        (seq, round(seq * 0.016 / 30, 6), "" if np.isnan(rtt) else round(rtt, 3))
        for seq, rtt in enumerate(rtts_ms)
    ]
    table(folder / "ping.csv", ("seq", "sent_t_s", "rtt_ms"), rows)
    mbps = noise.normal(20, 1, 6000)
    rows = [(round(k / 300, 6), round((k + 1) / 300, 6), round(v, 3)) for k, v in enumerate(mbps)]
    table(folder / "iperf.csv", ("start_t_s", "end_t_s", "throughput_mbps"), rows)
    run = load_run(folder)
    figure = draw_timeline(run, find_windows(run))
    assert len(as_png(figure)) < 150_000
    assert len(as_svg(figure)) < 300_000


def test_what_is_missing_is_said_in_its_panel(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    for path in folder.glob("*.csv"):
        path.unlink()
    run = load_run(folder)
    figure = draw_timeline(run, find_windows(run))
    assert as_svg(figure)
    said = [" ".join(texts(panel)) for panel in figure.axes]
    for words, where in zip(("no probe", "no CARP", "no ping", "no iperf"), said, strict=True):
        assert words in where


def test_tools_that_were_left_out_have_no_panel(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.traffic, recording.silent = {"ping_interval_s": None, "iperf": None}, []
    folder = recording.write(tmp_path)
    (folder / "ping.csv").unlink()
    (folder / "iperf.csv").unlink()
    run = load_run(folder)
    assert run.missing == ()
    panels = draw_timeline(run, find_windows(run)).axes
    assert len(panels) == 3
    assert "stream" in panels[-1].get_ylabel()


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    recording = Recording(outcome="interrupted")
    title = draw(recording, tmp_path).get_suptitle()
    assert "NOT FINISHED (interrupted)" in title


def test_an_endless_recovery_reaches_to_the_end(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.events = [row for row in recording.events if float(str(row[0])) < 12.4]
    axes = draw(recording, tmp_path).axes[0]
    assert "never" in texts(axes)
    ((low_s, high_s),) = bars(axes, row_named(axes, "recovery"))
    assert low_s == pytest.approx(12.0)
    assert high_s >= 20.0


def test_many_faults_do_not_write_over_each_other(tmp_path: Path) -> None:
    recording = Recording()
    for number in range(15):
        recording.fault(2.0 + number, host="fw2")
        recording.repair(2.5 + number, host="fw2")
    figure = draw(recording, tmp_path)
    renderer = FigureCanvasAgg(figure).get_renderer()
    named = [text for text in figure.axes[0].texts if re.match("fault|repair", text.get_text())]
    boxes = [text.get_window_extent(renderer) for text in named]
    assert len(boxes) >= 3
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from carplab import recording
from carplab.analysis.load import load_run
from carplab.analysis.sides import draw_sides, restored, sides_csv
from carplab.analysis.windows import find_windows
from tests.analysis.recorded import Recording, blocked_port, cable_pull, cabled_network, crash


def draw(made: Recording, folder: Path) -> Axes:
    run = load_run(made.write(folder))
    findings = find_windows(run)
    repair = restored(findings)
    assert repair is not None
    (axes,) = draw_sides(run, findings, repair).axes
    return axes


def said(axes: Axes) -> dict[str, str]:
    """What stands beside each row."""
    rows = [label.get_text() for label in axes.get_yticklabels()]
    beside = [text.get_text() for text in axes.texts if text.get_position()[0] == 1.01]
    return dict(zip(rows, beside, strict=True))


def test_the_table_counts_from_the_repair(tmp_path: Path) -> None:
    findings = find_windows(load_run(blocked_port().write(tmp_path)))
    repair = restored(findings)
    assert repair is not None
    header, *rows = csv.reader(sides_csv(findings, repair).splitlines())
    assert tuple(header) == recording.SIDES.columns
    assert rows[:5] == [
        ["fw1", "outside", "1", "INIT", "-2.000000", "0.001000"],
        ["fw1", "outside", "1", "BACKUP", "0.001000", "3.001000"],
        ["fw1", "outside", "1", "MASTER", "3.001000", "38.000000"],
        ["fw2", "outside", "1", "MASTER", "-2.000000", "30.100000"],
        ["fw2", "outside", "1", "BACKUP", "30.100000", "38.000000"],
    ]


def test_the_figure_tells_a_blocked_port_at_a_glance(tmp_path: Path) -> None:
    axes = draw(blocked_port(), tmp_path)
    assert said(axes) == {
        "outside fw1": "BACKUP 3.000 s, MASTER",
        "its switch port": "listening 15.000 s, learning 15.000 s, forwarding",
        "outside fw2": "MASTER 30.100 s, BACKUP",
        "inside fw1": "BACKUP 0.550 s, MASTER",
        "inside fw2": "MASTER 0.550 s, BACKUP",
        "split": "29.550 s",
        "traffic": "nothing delivered 29.551 s",
    }
    names = {text.get_text() for text in axes.texts}
    assert {"listening", "learning", "nothing delivered", "outside fw1+fw2, inside fw1"} <= names
    assert axes.get_xlim() == (-2.0, 38.0)
    bold = [each.get_text() for each in axes.get_yticklabels() if each.get_fontweight() == "bold"]
    assert bold == ["outside fw1"]


def test_what_was_restored_comes_first(tmp_path: Path) -> None:
    made = Recording()
    made.fault(5.0, host="fw2", segment="inside")
    made.repair(12.0, host="fw2", segment="inside")
    assert list(said(draw(made, tmp_path))) == [
        "inside fw2",
        "inside fw1",
        "outside fw1",
        "outside fw2",
        "split",
        "traffic",
    ]


def test_a_machine_that_was_restored_comes_first_everywhere(tmp_path: Path) -> None:
    beside = said(draw(crash(), tmp_path))
    assert list(beside)[:4] == ["outside fw1", "outside fw2", "inside fw1", "inside fw2"]
    assert beside["inside fw1"] == "not running 0.200 s, INIT 0.100 s, BACKUP 1.700 s, MASTER"
    assert beside["traffic"] == "nothing delivered 0.101 s"


def test_many_states_are_told_short(tmp_path: Path) -> None:
    made = cable_pull()
    for step in range(4):
        made.carp(14.0 + step, "fw1", "inside", "MASTER -> BACKUP (x)")
        made.carp(14.5 + step, "fw1", "inside", "BACKUP -> MASTER (x)")
    beside = said(draw(made, tmp_path))
    assert beside["inside fw1"] == "BACKUP 0.550 s, MASTER 1.450 s, BACKUP 0.500 s, ... MASTER"


def test_each_flow_has_a_strip_of_its_own(tmp_path: Path) -> None:
    made = cable_pull()
    made.flows = {("client2", "server"): [(13.0, 13.5)], ("client3", "server"): [(15.0, 99.0)]}
    rows = said(draw(made, tmp_path))
    assert rows["client to server"] == "nothing delivered 0"
    assert rows["client2 to server"] == "nothing delivered 0.501 s"
    assert rows["client3 to server"] == "nothing delivered at least 5.000 s"


def test_what_goes_on_at_the_end_lasted_at_least_so_long(tmp_path: Path) -> None:
    made = blocked_port()
    made.end_s = 30.0
    made.events = [row for row in made.events if float(str(row[0])) < 30.0]
    rows = said(draw(made, tmp_path))
    assert rows["split"] == "at least 17.450 s"
    assert rows["traffic"] == "nothing delivered at least 17.450 s"


def test_a_port_of_a_cable_has_its_own_row(tmp_path: Path) -> None:
    made = blocked_port()
    made.event(20.0, "fw1", "port-state", "outside/2", "", "forwarding -> disabled")
    made.event(20.0, "client", "port-state", "inside", "", "forwarding -> disabled")
    rows = said(draw(made, tmp_path / "one"))
    assert rows["port of fw1 outside/2"] == "forwarding 8.000 s, disabled"
    assert len(rows) == 8
    made.network = cabled_network()
    rows = said(draw(made, tmp_path / "several"))
    assert rows["outside fw1 cable 2"] == "INIT"
    assert "port of fw1 outside/2" not in rows


def test_without_a_probe_nothing_is_said_about_traffic(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    (folder / "probe.csv").unlink()
    run = load_run(folder)
    findings = find_windows(run)
    repair = restored(findings)
    assert repair is not None
    assert "traffic" not in said(draw_sides(run, findings, repair).axes[0])


@pytest.mark.parametrize("name", [None, "events.csv"])
def test_without_a_repair_or_states_there_are_no_sides(tmp_path: Path, name: str | None) -> None:
    folder = (Recording() if name is None else cable_pull()).write(tmp_path)
    if name is not None:
        (folder / name).unlink()
    assert restored(find_windows(load_run(folder))) is None

"""The examples of the how-to guides: checked without a network, and run on one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from carplab.analysis.analysed import read_run
from carplab.emulation.experiment import Options, find_experiment
from carplab.network import preferred_masters
from tests.emulation.lab import FAST_TIMERS, left_behind, running, write_experiment

# The example in a quarter of its time; with fast timers that is enough.
SHORT = '''
"""A quarter of an example."""

from dataclasses import replace

from carplab.emulation.experiment import find_experiment


def build(options):
    whole = find_experiment({path!r}).build(options)
    faults = tuple(
        replace(each, at_s=each.at_s / 4, length_s=each.length_s / 4) for each in whole.faults
    )
    return replace(whole, faults=faults, duration_s=whole.duration_s / 4)
'''
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("quick", [False, True])
def test_example_is_an_experiment(path: Path, quick: bool) -> None:
    experiment = find_experiment(str(path))
    assert experiment.summary
    scenario = experiment.build(Options(quick=quick, settings=("fw2.advskew=50",)))
    assert scenario.preferred == "fw1"
    assert scenario.network.router("fw2").interfaces[0].virtual_hosts[0].advskew == 50


def test_dmz_has_three_segments_whose_preferred_firewall_is_one() -> None:
    scenario = find_experiment(str(EXAMPLES / "dmz.py")).build(Options())
    assert preferred_masters(scenario.network) == {
        ("outside", 1): "fw1",
        ("inside", 2): "fw1",
        ("dmz", 3): "fw1",
    }


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[str], Path]:
    """Run an example; the folder of its run."""

    def run(name: str) -> Path:
        path = write_experiment(tmp_path, SHORT.format(path=str(EXAMPLES / name)))
        words = ("--quick", "--no-plots", "--out", tmp_path / "results", *FAST_TIMERS)
        with running("run", path, *words) as cli:
            assert cli.wait() == 0, cli.output
        assert left_behind() == []
        (folder,) = tmp_path.glob("results/*/*")
        return folder

    return run


@pytest.mark.root
@pytest.mark.mininet
def test_dmz_fails_over_by_its_timer_and_the_others_by_demotion(
    run_of: Callable[[str], Path],
) -> None:
    findings = read_run(run_of("dmz.py")).findings
    why = {
        window.segment: window.detail
        for window in findings.windows
        if (window.window, window.cause) == ("detection", "fault 1")
    }
    assert set(why) == {"outside", "inside", "dmz"}
    assert "master timed out" in why["dmz"]
    assert "more demoted" in why["outside"] and "more demoted" in why["inside"]
    recovery = findings.first("recovery", "repair 1")
    assert recovery is not None and recovery.end_t_s is not None


@pytest.mark.root
@pytest.mark.mininet
def test_deaf_backup_is_a_second_master(run_of: Callable[[str], Path]) -> None:
    folder = run_of("deaf_backup.py")
    judge = find_experiment(str(EXAMPLES / "deaf_backup.py")).judge
    assert judge is not None
    assert "outside fw1+fw2, inside fw1" in judge(folder)
    findings = read_run(folder).findings
    takeover = findings.first("detection", "fault 2")
    assert takeover is not None and "fw2" in takeover.detail

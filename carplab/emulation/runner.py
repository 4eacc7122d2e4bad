"""Runs a scenario: once, or a series with the phases of the faults drawn anew each time."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from carplab import __version__
from carplab.emulation import machine, openvswitch
from carplab.emulation.display import Display
from carplab.emulation.experiment import PROJECT, Options
from carplab.emulation.interruption import Interruption
from carplab.emulation.machine import Machine
from carplab.emulation.registry import Registry
from carplab.emulation.repetition import Plan, Repetition
from carplab.errors import CarplabError
from carplab.network import OPEN_VSWITCH_KINDS, as_plain
from carplab.recording import Origin, RunFolder, SeriesFolder
from carplab.scenario import Phases, Scenario, draw_phases

SEED_BITS = 31
GIT_DEADLINE_S = 5


def run(scenario: Scenario, options: Options, question: Sequence[str] = ()) -> Path:
    """Run the scenario and return the folder with its files.

    `question` is what the run is to find out, a paragraph each, for its record.

    CarplabError when it cannot run, fails or is interrupted; a run that began keeps its files and
    says in run.json what happened. Nothing of it is left on the machine.
    """
    with Interruption() as interruption, Display(options.quiet) as display:
        wants_openvswitch = any(
            segment.kind in OPEN_VSWITCH_KINDS for segment in scenario.network.segments
        )
        if wants_openvswitch and openvswitch.ensure_running():
            display.show("started Open vSwitch, which did not run; it is left running")
        registry = Registry.acquire(scenario.experiment)
        try:
            for text in registry.left_over:
                display.show(f"removed what a killed run had left: {text}")
            examined = machine.examine()
            if wants_openvswitch:
                display.show(f"{examined.datapath} datapath: {examined.datapath_reason}")
            plan = Plan(scenario, options, examined.datapath, registry, interruption, display)
            return _Runner(plan, examined, question).run()
        finally:
            registry.release()


class _Runner:
    def __init__(self, plan: Plan, examined: Machine, question: Sequence[str]) -> None:
        self._plan = plan
        self._machine = examined
        self._question = question
        options = plan.options
        self._seed = random.getrandbits(SEED_BITS) if options.seed is None else options.seed

    def run(self) -> Path:
        scenario, options = self._plan.scenario, self._plan.options
        phases = draw_phases(self._seed, options.repeat, len(scenario.faults))
        if options.repeat == 1:
            folder = RunFolder.create(options.out, scenario.experiment, Origin.now())
            self._run_once(folder, 1, next(phases))
            self._analyse(folder.path, folder.write_run, series=False)
            return folder.path
        return self._run_series(list(phases))

    def _run_series(self, phases: list[tuple[Phases, ...]]) -> Path:
        scenario, options = self._plan.scenario, self._plan.options
        series = SeriesFolder.create(options.out, scenario.experiment, Origin.now(), len(phases))
        series.write_series(**self._description())
        try:
            for number, drawn in enumerate(phases, start=1):
                self._run_once(series.repetition(number, Origin.now()), number, drawn)
        except BaseException as error:
            noted = self._plan.interruption.noted
            outcome = "interrupted" if noted else "failed"
            series.write_series(outcome=outcome, reason=str(error))
            raise
        series.write_series(outcome="finished")
        self._analyse(series.path, series.write_series, series=True)
        return series.path

    def _run_once(self, folder: RunFolder, number: int, phases: tuple[Phases, ...]) -> None:
        plan = self._plan
        plan.registry.set_folder(folder.path)
        folder.write_run(
            **self._description(),
            repetition=number,
            phases=[{"fault": each.fault, "repair": each.repair} for each in phases],
        )
        title = plan.scenario.experiment
        if plan.options.repeat > 1:
            title += f" {number}/{plan.options.repeat}"
        plan.display.begin(title, plan.scenario.duration_s)
        try:
            Repetition(plan, folder, phases).execute()
        except CarplabError as error:
            raise CarplabError(_with_folder(str(error), folder.path)) from None

    def _description(self) -> dict[str, Any]:
        scenario, options = self._plan.scenario, self._plan.options
        return {
            "started_wall": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "question": list(self._question),
            "duration_s": scenario.duration_s,
            "seed": self._seed,
            "settings": {**options.record(), "dialect": _dialects(scenario)},
            "command": options.command(scenario.experiment, self._seed),
            "scenario": _plain_scenario(scenario),
            "machine": self._machine.as_dict(),
            "versions": {"carplab": __version__, **self._machine.versions},
            "git_commit": _git_commit(),
        }

    def _analyse(self, folder: Path, write: Callable[..., None], series: bool) -> None:
        plan = self._plan
        if plan.options.no_analysis:
            plan.display.show(f"data: {folder}")
            return
        from carplab.analysis.run import analyse_run, analyse_series, windows_table

        write(phase="analyse")
        figures = not plan.options.no_plots
        plan.display.step("drawing the plots" if figures else "finding the windows")
        analysed = (analyse_series if series else analyse_run)(folder, figures)
        if plan.interruption.noted:
            write(outcome="interrupted", reason=plan.interruption.reason)
            raise CarplabError(_with_folder(plan.interruption.reason, folder))
        plan.display.show(windows_table(analysed))
        plan.display.show(f"{'plots, report and data' if figures else 'data'}: {folder}")


def _with_folder(sentence: str, folder: Path) -> str:
    return f"{sentence} (what was recorded is in {folder})"


def _dialects(scenario: Scenario) -> str:
    """Return the dialect; several, with commas between, where --set gives firewalls their own."""
    return ", ".join(dict.fromkeys(router.dialect for router in scenario.network.routers))


def _plain_scenario(scenario: Scenario) -> dict[str, Any]:
    plain: dict[str, Any] = as_plain(scenario)
    return {key: plain[key] for key in ("network", "faults", "traffic", "preferred")}


def _git_commit() -> str | None:
    """Return the commit of this code, "-dirty" behind it if it was changed; None outside git."""
    command = ["git", "-C", str(PROJECT), "describe", "--always"]
    # As the checkout's owner: as root it would leave an index of root's.
    owner = PROJECT.stat()
    try:
        completed = subprocess.run(
            [*command, "--abbrev=40", "--exclude=*", "--dirty"],
            capture_output=True,
            text=True,
            timeout=GIT_DEADLINE_S,
            user=owner.st_uid,
            group=owner.st_gid,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout.strip() or None

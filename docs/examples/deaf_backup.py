"""Make the BACKUP deaf, so that a second MASTER speaks up; then crash the first one.

One direction of fw2's cable to the outside fails: what fw2 sends goes out, what the others send
never arrives, and the carrier stays. fw2 hears no MASTER and becomes one, of a segment whose MASTER
is alive. When that is mended, fw1 crashes.

    sudo .venv/bin/carplab run docs/examples/deaf_backup.py --quick
"""

from __future__ import annotations

from pathlib import Path

from carplab.analysis.analysed import read_run
from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.recording import RUN_FILE
from carplab.scenario import BLACKHOLE, CRASH, Fault, Scenario, scenario

REST_S = 3.0  # between the two faults, for the network to settle


def build(options: Options) -> Scenario:
    network = options.build_network()
    times = options.times(network)
    deaf = Fault(
        BLACKHOLE,
        host="fw2",
        segment="outside",
        direction="to_host",
        at_s=times.fault_s,
        length_s=times.broken_s,
    )
    crash = Fault(
        CRASH,
        host="fw1",
        at_s=times.fault_s + times.broken_s + REST_S,
        length_s=times.broken_s,
    )
    duration_s = times.duration_s + REST_S + times.broken_s
    return scenario("deaf-backup", network, [deaf, crash], duration_s, options.traffic())


def judge(folder: Path) -> str:
    """Say for how long the outside had two MASTERs while fw2 was deaf."""
    if not (folder / RUN_FILE).exists():
        return "a series: look at each of its runs"
    window = read_run(folder).findings.first("split", "fault 1")
    assert window is not None  # each cause has one
    return f"split while fw2 was deaf: {window.length_s:.1f} s ({window.detail})"


if __name__ == "__main__":
    run_experiment(build)

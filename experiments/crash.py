"""Crash the preferred firewall, and boot it again.

Its carpd is killed and all its links go down, without a word to the others: they find out when its
advertisements stay away for their master-down time.

    sudo .venv/bin/python experiments/crash.py --set fw2.advskew=50
"""

from __future__ import annotations

from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.network import preferred_router
from carplab.scenario import CRASH, Fault, Scenario, scenario


def build(options: Options) -> Scenario:
    network = options.build_network()
    times = options.times(network)
    crash = Fault(
        CRASH,
        host=options.host or preferred_router(network),
        segment=options.segment or "",
        cable=options.cable,
        at_s=times.fault_s,
        length_s=times.broken_s,
    )
    return scenario("crash", network, [crash], times.duration_s, options.traffic())


if __name__ == "__main__":
    run_experiment(build)

"""Reboot the preferred firewall: it bows out, goes away and comes back.

On its way down carpd says goodbye (advbase 255, advskew 255), so that a BACKUP takes over at once
instead of waiting for its master-down time.

    sudo .venv/bin/python experiments/reboot.py
"""

from __future__ import annotations

from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.network import preferred_router
from carplab.scenario import REBOOT, Fault, Scenario, scenario


def build(options: Options) -> Scenario:
    network = options.build_network()
    times = options.times(network)
    reboot = Fault(
        REBOOT,
        host=options.host or preferred_router(network),
        segment=options.segment or "",
        cable=options.cable,
        at_s=times.fault_s,
        length_s=times.broken_s,
    )
    return scenario("reboot", network, [reboot], times.duration_s, options.traffic())


if __name__ == "__main__":
    run_experiment(build)

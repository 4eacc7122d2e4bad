"""Pull a cable of the preferred firewall, and put it back.

One interface of the MASTER loses its carrier. What becomes of its virtual hosts, and of those on
its other interface, is what the dialects of CARP differ in: at the failover, and again when the
cable is back and the firewall wants its place again.

    sudo .venv/bin/python experiments/cable_pull.py --dialect openbsd-3.8 --repeat 10
"""

from __future__ import annotations

from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.network import preferred_router
from carplab.scenario import LINK_DOWN, Fault, Scenario, scenario


def build(options: Options) -> Scenario:
    network = options.build_network()
    times = options.times(network)
    cut = Fault(
        LINK_DOWN,
        host=options.host or preferred_router(network),
        segment=options.segment or "outside",
        cable=options.cable,
        at_s=times.fault_s,
        length_s=times.broken_s,
    )
    return scenario("cable-pull", network, [cut], times.duration_s, options.traffic())


if __name__ == "__main__":
    run_experiment(build)

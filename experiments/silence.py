"""Take one way of the preferred firewall's outside cable, or both: with and without its carrier.

The conditions: link-down, where the carrier tells; blackhole, where frames vanish and the carrier
stays; deaf and mute, the same in one direction; hang, where the whole machine stands still.

    sudo .venv/bin/carplab run silence --condition blackhole
"""

from __future__ import annotations

from dataclasses import replace

from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.network import OUTSIDE, preferred_router
from carplab.scenario import BLACKHOLE, HANG, LINK_DOWN, Fault, Scenario, Traffic, scenario

_CUT = Fault(LINK_DOWN, host="", at_s=0, length_s=0, segment=OUTSIDE)
FAULTS = {
    "link-down": _CUT,
    "blackhole": replace(_CUT, kind=BLACKHOLE),
    "deaf": replace(_CUT, kind=BLACKHOLE, direction="to_host"),
    "mute": replace(_CUT, kind=BLACKHOLE, direction="from_host"),
    "hang": replace(_CUT, kind=HANG, segment=""),
}
CONDITIONS = tuple(FAULTS)
TRAFFIC = Traffic(probe_interval_s=0.005, ping_interval_s=0.1, iperf=None)


def build(options: Options) -> Scenario:
    network = options.build_network()
    times = replace(options, quick=True).times(network)
    fault = replace(
        FAULTS[options.condition or CONDITIONS[0]],
        host=preferred_router(network),
        at_s=times.fault_s,
        length_s=times.broken_s,
    )
    return scenario("silence", network, [fault], times.duration_s, TRAFFIC)


if __name__ == "__main__":
    run_experiment(build)

"""Which tools a scenario's traffic is made of."""

from __future__ import annotations

from collections.abc import Callable

from carplab.emulation import probe
from carplab.emulation.iperf import Iperf2Traffic, Iperf3Traffic
from carplab.emulation.ping import PingTraffic
from carplab.emulation.probe import ProbeTraffic
from carplab.emulation.stream import StreamTraffic
from carplab.emulation.traffic import Traffic
from carplab.scenario import Scenario


def chosen_tools(scenario: Scenario) -> list[tuple[Traffic, str, str]]:
    """Return each tool that the scenario asks for, with its client and its server."""
    wanted = scenario.traffic
    interval_s = wanted.probe_interval_s
    tools: list[Traffic] = [ProbeTraffic(interval_s)]
    if wanted.stream is not None:
        tools.append(StreamTraffic(wanted.stream))
    if wanted.ping_interval_s is not None:
        tools.append(PingTraffic(interval_s=wanted.ping_interval_s))
    iperfs: dict[str, Callable[..., Traffic]] = {"iperf3": Iperf3Traffic, "iperf": Iperf2Traffic}
    if wanted.iperf is not None:
        tools.append(iperfs[wanted.iperf](rate_mbps=wanted.iperf_mbps))
    main = [(tool, wanted.client, wanted.server) for tool in tools]
    further = [
        (ProbeTraffic(interval_s, probe.PORT + number, flow), *flow)
        for number, flow in enumerate(wanted.flows, start=1)
    ]
    return [*main, *further]

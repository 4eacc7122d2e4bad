"""Pull the cable between the preferred firewall and a third segment, a DMZ.

    client --- inside === fw1, fw2 === outside --- away
                              ===
                              dmz --- server

    sudo .venv/bin/carplab run docs/examples/dmz.py
"""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.network import Host, Interface, Network, Route, Router, Segment, VirtualHost
from carplab.scenario import LINK_DOWN, Fault, Scenario, scenario

# The third number of each segment's addresses is its vhid, too.
SEGMENTS = {"outside": 1, "inside": 2, "dmz": 3}


def network() -> Network:
    """Return two firewalls between three segments, fw1 preferred, with a host on each segment."""
    return Network(
        name="dmz",
        segments=tuple(
            Segment(name, (ip_network(f"10.0.{net}.0/24"),)) for name, net in SEGMENTS.items()
        ),
        routers=(firewall("fw1", 11, advskew=0), firewall("fw2", 12, advskew=100)),
        hosts=(host("client", "inside"), host("server", "dmz"), host("away", "outside")),
    )


def firewall(name: str, number: int, advskew: int) -> Router:
    """Return a firewall whose own addresses end in `number`, with a virtual host a segment."""
    interfaces = [
        Interface(
            segment,
            addresses=(ip_interface(f"10.0.{net}.{number}/24"),),
            virtual_hosts=(
                VirtualHost(
                    vhid=net,
                    addresses=(ip_address(f"10.0.{net}.1"),),
                    advskew=advskew,
                    password="carplab",
                ),
            ),
        )
        for segment, net in SEGMENTS.items()
    ]
    return Router(name, tuple(interfaces))


def host(name: str, segment: str) -> Host:
    """Return a host whose default route is the segment's virtual address."""
    net = SEGMENTS[segment]
    route = Route(ip_network("0.0.0.0/0"), ip_address(f"10.0.{net}.1"))
    return Host(name, segment, (ip_interface(f"10.0.{net}.100/24"),), (route,))


def build(options: Options) -> Scenario:
    built = options.network(network())
    times = options.times(built)
    cut = Fault(
        LINK_DOWN,
        host=options.host or "fw1",
        segment=options.segment or "dmz",
        at_s=times.fault_s,
        length_s=times.broken_s,
    )
    return scenario("dmz", built, [cut], times.duration_s, options.traffic())


if __name__ == "__main__":
    run_experiment(build)

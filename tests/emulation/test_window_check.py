"""The windows against outages of known length.

A rule in the firewall drops what it forwards during certain seconds of the wall clock: nft(8),
`meta time`, which the kernel compares with its own clock for every packet. So each outage begins
and ends at a known nanosecond, and no part of what is tested knows it.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from carplab.analysis.load import load_run
from carplab.analysis.windows import find_windows
from carplab.emulation import machine
from carplab.emulation.controller import ControllerClient, ControllerProcess
from carplab.emulation.probe import ProbeTraffic
from carplab.emulation.registry import Registry
from carplab.emulation.traffic import Endpoint
from carplab.network import OPENFLOW, Network, as_plain, interface_name
from carplab.recording import Origin, RunFolder
from topo.firewall_pair import firewall_pair

if TYPE_CHECKING:
    from carplab.emulation.mininet_network import EmulatedNetwork

pytestmark = [pytest.mark.root, pytest.mark.mininet]

OUTAGES = 15
# Not quite a millisecond: so each second begins in another part of the probe's spacing.
SPACING_S = 0.0010003
LENGTH_S = 1
FEWEST_STEADY = 10
MOST_ROUNDS = 4  # on a busy machine it takes more outages until so many are steady
TOLERANCE_S = 0.002
LONGEST_GAP_S = 0.0013
LONGEST_WAY_S = 0.0006


@contextlib.contextmanager
def forwarding_network(network: Network) -> Iterator[EmulatedNetwork]:
    """The network without carpd: fw1 simply has the virtual addresses."""
    # Not above: only the distribution's own Python, of those that read this file, has Mininet.
    from carplab.emulation.mininet_network import EmulatedNetwork

    registry = Registry.acquire("window check")
    controller = ControllerProcess(registry.run_dir / "controller.log")
    try:
        controller.start()
        controller.wait_ready()
        datapath = machine.examine().datapath
        emulated = EmulatedNetwork(network, registry, datapath, {OPENFLOW: controller.ofp_port})
        emulated.build()
        ControllerClient(controller.api_port).wait_connected(network)
        for interface in network.router("fw1").interfaces:
            name = interface_name("fw1", interface.segment)
            address = f"{interface.virtual_hosts[0].addresses[0]}/24"
            emulated.run("fw1", "ip", "address", "add", address, "dev", name)
        yield emulated
        emulated.tear_down()
    finally:
        controller.stop()
        registry.release()


def drop_in_seconds(emulated: EmulatedNetwork, starts: list[int]) -> None:
    """Drop what fw1 forwards for LENGTH_S from each of these times of the wall clock."""
    rules = "\n".join(f"meta time {start}-{start + LENGTH_S} drop" for start in starts)
    hook = "type filter hook forward priority 0; policy accept;"
    ruleset = f"table inet known {{\nchain forward {{\n{hook}\n{rules}\n}}\n}}\n"
    process = emulated.popen("fw1", ["nft", "-f", "-"], stdin=subprocess.PIPE)
    _, errors = process.communicate(ruleset.encode())
    assert process.returncode == 0, errors


def measure(folder: RunFolder) -> None:
    """Record OUTAGES outages, with the truth about them as faults and repairs."""
    network = firewall_pair()
    probe = ProbeTraffic(interval_s=SPACING_S)
    with forwarding_network(network) as emulated:
        client, server = (
            Endpoint(host.name, str(host.addresses[0].ip), partial(emulated.popen, host.name))
            for host in network.hosts
        )
        try:
            probe.start(client, server, folder.raw_dir)
            probe.wait_flowing(5)
            first = int(time.time()) + 2
            starts = [first + 2 * LENGTH_S * number for number in range(OUTAGES)]
            drop_in_seconds(emulated, starts)
            while time.time() < starts[-1] + 2 * LENGTH_S:
                probe.check()
                time.sleep(0.1)
        finally:
            probe.stop()
    offset_s = time.time() - time.monotonic()
    for start in starts:
        began_s = start - offset_s
        folder.event(began_s, "fw1", "fault", segment="inside", detail="blackhole")
        folder.event(began_s + LENGTH_S, "fw1", "repair", segment="inside", detail="blackhole")
    folder.write_rows(probe.table, probe.collect(folder.origin.monotonic_s))
    folder.finish("finished")


def probe_is_steady(probe: pd.DataFrame, at_s: float) -> bool:
    """Whether the probe itself kept its pace around a moment: a stall there hides the truth.

    Of the two sendings around it, one was delivered: the last before, or the first after.
    """
    after = int(np.searchsorted(probe["sent_t_s"], at_s))
    around = probe.iloc[after - 1 : after + 1]
    gap_s = float(around["sent_t_s"].diff().iloc[-1])
    way_s = float((around["returned_t_s"] - around["sent_t_s"]).max())
    return gap_s < LONGEST_GAP_S and way_s < LONGEST_WAY_S


def test_windows_are_right_within_2_ms(tmp_path: Path) -> None:
    steady = rounds = 0
    while steady < FEWEST_STEADY and rounds < MOST_ROUNDS:
        rounds += 1
        steady += check_round(tmp_path)
    assert steady >= FEWEST_STEADY, f"steady at {steady} of {rounds * OUTAGES} outages"


def check_round(results: Path) -> int:
    """Record a round of outages, check those where the probe was steady; how many these were."""
    folder = RunFolder.create(results, "window-check", Origin.now())
    folder.write_run(scenario={"network": as_plain(firewall_pair()), "preferred": "fw1"})
    measure(folder)
    run = load_run(folder.path)
    found = find_windows(run)
    steady = 0
    for number in range(1, OUTAGES + 1):
        fault, repair = (
            next(cause.t_s for cause in found.causes if cause.name == f"{what} {number}")
            for what in ("fault", "repair")
        )
        if not (probe_is_steady(run.probe, fault) and probe_is_steady(run.probe, repair)):
            continue
        steady += 1
        outage = next(each for each in found.outages if abs(each.start_s - fault) < LENGTH_S / 2)
        failover = found.first("failover", f"fault {number}")
        assert failover is not None
        assert failover.length_s == pytest.approx(LENGTH_S, abs=TOLERANCE_S)
        assert outage.interruption_s == pytest.approx(LENGTH_S, abs=TOLERANCE_S)
        # From delivery to delivery: up to a spacing more at either end, and the way there and back.
        assert 0 <= outage.length_s - LENGTH_S <= TOLERANCE_S + LONGEST_WAY_S
    return steady

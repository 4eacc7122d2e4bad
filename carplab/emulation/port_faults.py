"""Faults on cables, made at the switch's end of the cable, as root, without a controller's help.

The same requests as the fault injector takes, for Linux bridges and for Ryu's spanning tree, which
sets the bits of an OpenFlow port itself. A cable that is pulled is the switch's end set down: the
machine loses its carrier and keeps its addresses and routes; the switch forgets what was behind the
port and disables it. What vanishes on a whole cable is taken out at the switch's end, where the
machine cannot see it: by nftables on egress what goes to the machine, on ingress what comes from
it. Open vSwitch may read before ingress: there a flow drops it.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from carplab.emulation.controller import Effect
from carplab.emulation.registry import Registry
from carplab.errors import CarplabError
from carplab.network import RYU_STP, SNOOPING_STRICT, Network, Segment, port_name
from carplab.scenario import BLACKHOLE, FLAP, LINK_DOWN, LOSS

_COMMAND_DEADLINE_S = 5.0
_COOKIE = "0xCA03"
# To a device that does not exist: `drop` on egress tells the sender, and Open vSwitch's userspace
# datapath then gives up the rest of the burst.
_VANISH = f"fwd to {2**31 - 1}"


@dataclass
class _Fault:
    switch: Segment
    port: str
    kind: str
    table: str
    lifted: threading.Event = field(default_factory=threading.Event)
    flapping: threading.Thread | None = None


class PortFaults:
    """Makes and lifts the faults of cables to the switches that the fault injector has not."""

    def __init__(self, network: Network, registry: Registry) -> None:
        self._network = network
        self._faults: dict[int, _Fault] = {}
        self._numbers = itertools.count(1)
        self._table_prefix = f"carplab_port_{os.getpid()}_"
        registry.add_tables(self._table_prefix)

    def inject(self, kind: str, segment: str, host: str, **options: Any) -> Effect:
        """Put a fault on the cable between `segment` and `host`."""
        number = next(self._numbers)
        switch = self._network.segment(segment)
        table = f"{self._table_prefix}{number}"
        fault = _Fault(switch, port_name(segment, host), kind, table)
        self._faults[number] = fault
        if kind in (LINK_DOWN, FLAP):
            if switch.kind == SNOOPING_STRICT:
                _run(f"ip link set dev {fault.port} type bridge_slave mcast_flood off")
            _set_link(fault.port, "down")
        if kind == FLAP:
            fault.flapping = threading.Thread(
                target=_flap, args=(fault, time.monotonic()), kwargs=options, daemon=True
            )
            fault.flapping.start()
        if kind == BLACKHOLE:
            _swallow(fault, **options)
        if kind == LOSS:
            _lose(fault, **options)
        return Effect(time.monotonic(), {"id": number})

    def lift(self, identifier: int) -> Effect:
        """Take a fault away again."""
        fault = self._faults.pop(identifier)
        _end_flapping(fault)
        if fault.kind in (LINK_DOWN, FLAP):
            _set_link(fault.port, "up")
        else:
            _nft(f"add table netdev {fault.table}\ndelete table netdev {fault.table}")
            if fault.switch.kind == RYU_STP:
                flow = f"cookie={_COOKIE}/-1,in_port={fault.port}"
                _run(f"ovs-ofctl -O OpenFlow13 del-flows {fault.switch.name} {flow}")
        return Effect(time.monotonic(), {"id": identifier})

    def stop(self) -> None:
        """End what goes on by itself; the network is about to go, and its faults with it."""
        for fault in self._faults.values():
            _end_flapping(fault)


def _end_flapping(fault: _Fault) -> None:
    if fault.flapping:
        fault.lifted.set()
        fault.flapping.join()


def _flap(fault: _Fault, start_s: float, period_s: float, count: int) -> None:
    """The edges after the first one, half a period apart; the last one brings the link up."""
    for edge in range(1, 2 * count):
        due_s = start_s + edge * period_s / 2
        if fault.lifted.wait(max(0.0, due_s - time.monotonic())):
            return
        _set_link(fault.port, "up" if edge % 2 else "down")


def _set_link(port: str, state: str) -> None:
    _run(f"ip link set dev {port} {state}")


def _swallow(fault: _Fault, direction: str) -> None:
    if direction != "from_host":
        _nft(_ruleset(fault, "egress", _VANISH))
    if direction == "to_host":
        return
    if fault.switch.kind == RYU_STP:
        flow = f"cookie={_COOKIE},priority=65535,in_port={fault.port},actions=drop"
        _run(f"ovs-ofctl -O OpenFlow13 add-flow {fault.switch.name} {flow}")
    else:
        _nft(_ruleset(fault, "ingress", "drop"))


def _lose(fault: _Fault, percent: float) -> None:
    # numgen draws for each packet, in hundredths of a percent (nft(8)).
    drawn = f"numgen random mod 10000 < {round(percent * 100)}"
    _nft(_ruleset(fault, "egress", f"{drawn} {_VANISH}"))


def _ruleset(fault: _Fault, hook: str, rule: str) -> str:
    return f"""
        table netdev {fault.table} {{
            chain {hook} {{
                type filter hook {hook} device "{fault.port}" priority 0; policy accept;
                {rule}
            }}
        }}
    """


def _nft(script: str) -> None:
    _run("nft -f -", script)


def _run(command: str, text: str = "") -> None:
    try:
        subprocess.run(
            command.split(),
            input=text,
            capture_output=True,
            text=True,
            timeout=_COMMAND_DEADLINE_S,
            check=True,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise CarplabError(f"a fault needs {command.split()[0]}, which is not installed") from None
    except (OSError, subprocess.SubprocessError) as error:
        words = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[0]
        raise CarplabError(f"the fault cannot be made: {command!r} says {words}") from None

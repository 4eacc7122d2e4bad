"""Faults on the cables of Linux bridges, made at the switch's end of the cable, as root.

The same requests as the controller takes for OpenFlow switches. A cable that is pulled is the
switch's end set down: the machine loses its carrier and keeps its addresses and routes, and the
bridge forgets what was behind the port and disables it. What vanishes on a whole cable is dropped
by nftables at the switch's end, where the machine cannot see it: on ingress what comes from the
machine, on egress what goes there.
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
from carplab.network import SNOOPING_STRICT, Network, port_name
from carplab.scenario import BLACKHOLE, FLAP, LINK_DOWN, LOSS

_COMMAND_DEADLINE_S = 5.0


@dataclass
class _Fault:
    port: str
    kind: str
    table: str
    lifted: threading.Event = field(default_factory=threading.Event)
    flapping: threading.Thread | None = None


class BridgeFaults:
    """Makes and lifts the faults of cables to Linux bridges."""

    def __init__(self, network: Network, registry: Registry) -> None:
        self._network = network
        self._faults: dict[int, _Fault] = {}
        self._numbers = itertools.count(1)
        self._table_prefix = f"carplab_bridge_{os.getpid()}_"
        registry.add_tables(self._table_prefix)

    def inject(self, kind: str, segment: str, host: str, **options: Any) -> Effect:
        """Put a fault on the cable between `segment` and `host`."""
        number = next(self._numbers)
        fault = _Fault(port_name(segment, host), kind, f"{self._table_prefix}{number}")
        self._faults[number] = fault
        if kind in (LINK_DOWN, FLAP):
            if self._network.segment(segment).kind == SNOOPING_STRICT:
                _run(f"ip link set dev {fault.port} type bridge_slave mcast_flood off")
            _set_link(fault.port, "down")
        if kind == FLAP:
            fault.flapping = threading.Thread(
                target=_flap, args=(fault, time.monotonic()), kwargs=options, daemon=True
            )
            fault.flapping.start()
        if kind == BLACKHOLE:
            _nft(_blackhole(fault, **options))
        if kind == LOSS:
            _nft(_loss(fault, **options))
        return Effect(time.monotonic(), {"id": number})

    def lift(self, identifier: int) -> Effect:
        """Take a fault away again."""
        fault = self._faults.pop(identifier)
        if fault.flapping:
            fault.lifted.set()
            fault.flapping.join()
        if fault.kind in (LINK_DOWN, FLAP):
            _set_link(fault.port, "up")
        else:
            _nft(f"delete table netdev {fault.table}")
        return Effect(time.monotonic(), {"id": identifier})


def _flap(fault: _Fault, start_s: float, period_s: float, count: int) -> None:
    """The edges after the first one, half a period apart; the last one brings the link up."""
    for edge in range(1, 2 * count):
        due_s = start_s + edge * period_s / 2
        if fault.lifted.wait(max(0.0, due_s - time.monotonic())):
            return
        _set_link(fault.port, "up" if edge % 2 else "down")


def _set_link(port: str, state: str) -> None:
    _run(f"ip link set dev {port} {state}")


def _blackhole(fault: _Fault, direction: str) -> str:
    hooks = {"from_host": ("ingress",), "to_host": ("egress",), "both": ("ingress", "egress")}
    return _ruleset(fault, hooks[direction], "drop")


def _loss(fault: _Fault, percent: float) -> str:
    # numgen draws for each packet, in hundredths of a percent (nft(8)).
    return _ruleset(fault, ("egress",), f"numgen random mod 10000 < {round(percent * 100)} drop")


def _ruleset(fault: _Fault, hooks: tuple[str, ...], rule: str) -> str:
    chains = (
        f"""
            chain {hook} {{
                type filter hook {hook} device "{fault.port}" priority 0; policy accept;
                {rule}
            }}
        """
        for hook in hooks
    )
    return f"table netdev {fault.table} {{ {''.join(chains)} }}"


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

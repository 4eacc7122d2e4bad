"""Which way packets take through a network, as far as its states say it.

A host sends to the virtual address on its segment: to the MASTER of the virtual host whose MAC
address it has (balancing shares them out). Where several are MASTER, the switch sends the frame to
the one that advertised last: from there it has seen the virtual MAC address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from carplab.live.plan import Plain, cable_id, segment_layers
from carplab.scenario import BLACKHOLE, CRASH, HANG, LINK_DOWN, REBOOT

_CUTS = (LINK_DOWN, BLACKHOLE, CRASH, HANG, REBOOT)


@dataclass(frozen=True)
class Way:
    """The cables of a way, in order, and at which segment or cable it ends before its goal."""

    cables: tuple[str, ...]
    ends_at: str = ""
    reason: str = ""

    def plain(self) -> dict[str, Any]:
        """Return it as the page has it."""
        return {"cables": list(self.cables), "ends_at": self.ends_at, "reason": self.reason}


@dataclass
class Clues:
    """What helps to choose: the vhid a host uses, by host; when a virtual host advertised last, by
    cable and vhid; the cable a failover set works through, by router and segment."""

    vhids: dict[str, int] = field(default_factory=dict)
    advertised_s: dict[tuple[str, int], float] = field(default_factory=dict)
    ports: dict[tuple[str, str], int] = field(default_factory=dict)


def find_way(network: Plain, status: Plain, clues: Clues, source: str, goal: str) -> Way:
    """Return the way from one host to another."""
    return _Walk(network, status, clues).walk(source, goal)


class _Walk:
    def __init__(self, network: Plain, status: Plain, clues: Clues) -> None:
        self._network = network
        self._virtual_hosts = status["virtual_hosts"]
        self._clues = clues
        self._hosts = {host["name"]: host for host in network["hosts"]}
        self._cut = set(_cut_cables(network, status["faults"]))
        deaf = [each for each in status["faults"] if each.get("detail") == "to_host"]
        self._mute = self._cut.difference(_cut_cables(network, deaf))

    def walk(self, source: str, goal: str) -> Way:
        here, there = self._hosts[source]["segment"], self._hosts[goal]["segment"]
        cables = [cable_id(source, here)]
        layers = segment_layers(self._network, goal)
        while here != there:
            nearer = {name for name, layer in layers.items() if layer < layers[here]}
            master = self._master(here, nearer, source)
            if master is None:
                return self._ended(cables, here, f"nobody is MASTER on {here}")
            router = master["router"]
            onward = min(self._segments(router), key=lambda name: layers[name])
            in_by = self._port(router, here, master["cable"])
            cables += [cable_id(router, here, in_by), self._out_by(router, onward)]
            here = onward
        return self._ended([*cables, cable_id(goal, there)], "", "")

    def _ended(self, cables: list[str], ends_at: str, reason: str) -> Way:
        """Return the way, cut short where a cable on it is."""
        for count, cable in enumerate(cables, start=1):
            if cable in self._cut:
                return Way(tuple(cables[:count]), cable, f"{cable} passes nothing")
        return Way(tuple(cables), ends_at, reason)

    def _master(self, segment: str, nearer: set[str], source: str) -> Plain | None:
        """Return the virtual host on a segment that takes packets on to a nearer one."""
        here = [
            each
            for each in self._virtual_hosts
            if each["segment"] == segment and nearer.intersection(self._segments(each["router"]))
        ]
        vhid = min((each["vhid"] for each in here), default=0)
        if self._hosts[source]["segment"] == segment:
            vhid = self._clues.vhids.get(source, vhid)
        masters = [each for each in here if each["vhid"] == vhid and each["state"] == "MASTER"]
        advertised_s = self._clues.advertised_s

        def was_seen(master: Plain) -> tuple[bool, float]:
            """Whether the switch can see its frames, and when the last one came."""
            cable = cable_id(master["router"], segment, master["cable"])
            return cable not in self._mute, advertised_s.get((cable, vhid), float("-inf"))

        return max(masters, key=was_seen, default=None)

    def _segments(self, router: str) -> list[str]:
        found = next(each for each in self._network["routers"] if each["name"] == router)
        return [interface["segment"] for interface in found["interfaces"]]

    def _port(self, router: str, segment: str, cable: int) -> int:
        return self._clues.ports.get((router, segment), cable)

    def _out_by(self, router: str, segment: str) -> str:
        """Return the cable by which a firewall sends: the MASTER's, or the first that works."""
        cables = self._segments(router).count(segment)
        masters = [
            each["cable"]
            for each in self._virtual_hosts
            if (each["router"], each["segment"], each["state"]) == (router, segment, "MASTER")
        ]
        choice = [*masters, *range(1, cables + 1)]
        whole = [each for each in choice if cable_id(router, segment, each) not in self._cut]
        return cable_id(router, segment, self._port(router, segment, (whole or choice)[0]))


def _cut_cables(network: Plain, faults: list[Mapping[str, Any]]) -> list[str]:
    """Return the cables that pass nothing."""
    cut = []
    for fault in faults:
        if fault["kind"] not in _CUTS:
            continue
        if fault["segment"]:
            cut.append(cable_id(fault["host"], fault["segment"], fault["cable"]))
            continue
        for router in network["routers"]:
            if router["name"] == fault["host"]:
                cut += [
                    cable_id(router["name"], each["segment"], each["cable"])
                    for each in router["interfaces"]
                ]
    return cut

"""Run folders made up from a known truth, in the format that the engines write."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPACING_S = 0.001
TRAVEL_S = 0.0004
PLACES = (("outside", 1), ("inside", 2))
Row = tuple[object, ...]


def network(hosts: Iterable[tuple[str, int]] = (("fw1", 0), ("fw2", 100))) -> dict[str, Any]:
    """Return a network as run.json holds it: hosts with their advskew, advbase 1."""
    return _network(
        (name, segment, 1, vhid, advskew) for name, advskew in hosts for segment, vhid in PLACES
    )


def balanced_network(firewalls: int) -> dict[str, Any]:
    """Return one with as many virtual hosts a segment as firewalls, each preferred for one."""
    return _network(
        (f"fw{number + 1}", segment, 1, first + 2 * rank, 100 * ((rank - number) % firewalls))
        for number in range(firewalls)
        for segment, first in PLACES
        for rank in range(firewalls)
    )


def cabled_network() -> dict[str, Any]:
    """Return one with two cables of each firewall to each segment, one virtual host on each."""
    return _network(
        (f"fw{number + 1}", segment, cable, vhid, 100 * number + 50 * (cable - 1))
        for number in range(2)
        for segment, vhid in PLACES
        for cable in (1, 2)
    )


def _network(virtual_hosts: Iterable[tuple[str, str, int, int, int]]) -> dict[str, Any]:
    """Return a network of virtual hosts as (host, segment, cable, vhid, advskew)."""
    routers: dict[str, dict[tuple[str, int], list[dict[str, int]]]] = {}
    for host, segment, cable, vhid, advskew in virtual_hosts:
        interface = routers.setdefault(host, {}).setdefault((segment, cable), [])
        interface.append({"vhid": vhid, "advbase": 1, "advskew": advskew})
    return {
        "name": "firewall_pair",
        "routers": [
            {
                "name": host,
                "dialect": "openbsd",
                "interfaces": [
                    {"segment": segment, "cable": cable, "virtual_hosts": configured}
                    for (segment, cable), configured in interfaces.items()
                ],
            }
            for host, interfaces in routers.items()
        ],
    }


@dataclass
class Recording:
    """A run from -3 s, when carpd starts, to `end_s`; settled at -0.5 s, fw1 MASTER of both.

    `dead` are the times in which no packet sent passes, `lost` single sequence numbers that do not.
    `flows` are further probes, each with its own dead times. `silent` are the times in which
    nothing of the stream is received; None leaves the stream out. `traffic` adds to run.json's.
    """

    end_s: float = 20.0
    outcome: str = "finished"
    dead: list[tuple[float, float]] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    flows: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    silent: list[tuple[float, float]] | None = None
    traffic: dict[str, Any] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    network: dict[str, Any] = field(default_factory=network)
    settings: dict[str, Any] = field(default_factory=lambda: {"dialect": "openbsd"})
    repetition: int = 1
    ends: bool = True

    def __post_init__(self) -> None:
        for host in ("fw1", "fw2"):
            self.event(-3.0, host, "process", "", "", "carpd started (pid 4711)")
            for segment, _ in PLACES:
                self.carp(-2.9, host, segment, "INIT -> BACKUP (link up)")
                if host == "fw1":
                    self.carp(-1.0, host, segment, "BACKUP -> MASTER (master timed out)")
        self.event(-0.5, "runner", "phase", "", "", "settled")

    def event(
        self,
        t_s: float,
        source: str,
        kind: str,
        segment: str = "",
        vhid: object = "",
        detail: str = "",
    ) -> None:
        self.events.append((f"{t_s:.6f}", source, kind, segment, vhid, detail))

    def carp(self, t_s: float, host: str, segment: str, detail: str) -> None:
        self.event(t_s, host, "carp", segment, dict(PLACES)[segment], detail)

    def heard(self, t_s: float, host: str, segment: str) -> None:
        detail = "advbase 1 advskew 0 demote 0"
        self.event(t_s, host, "heard", segment, dict(PLACES)[segment], detail)

    def fault(
        self, t_s: float, host: str = "fw1", segment: str = "outside", what: str = "link_down"
    ) -> None:
        self.event(t_s, host, "fault", segment, "", what)

    def repair(
        self, t_s: float, host: str = "fw1", segment: str = "outside", what: str = "link_down"
    ) -> None:
        self.event(t_s, host, "repair", segment, "", what)

    def probe_rows(self, dead: list[tuple[float, float]]) -> list[Row]:
        rows: list[Row] = []
        for seq in range(round(self.end_s / SPACING_S)):
            sent_s = seq * SPACING_S
            gone = seq in self.lost or any(low <= sent_s < high for low, high in dead)
            to_server, back = ("", "") if gone else (sent_s + TRAVEL_S / 2, sent_s + TRAVEL_S)
            rows.append((seq, _six(sent_s), _six(to_server), _six(back)))
        return rows

    def ping_rows(self) -> list[Row]:
        rows: list[Row] = []
        for seq in range(round(self.end_s / 0.016)):
            sent_s = seq * 0.016
            gone = any(low <= sent_s < high for low, high in self.dead)
            rows.append(
                (seq, _six(sent_s), "" if gone else f"{0.5 + 0.3 * (seq * 7 % 11) / 11:.3f}")
            )
        return rows

    def iperf_rows(self) -> list[Row]:
        rows: list[Row] = []
        for index in range(round(self.end_s / 0.1)):
            low_s, high_s = index * 0.1, index * 0.1 + 0.1
            out_s = sum(max(0.0, min(high_s, high) - max(low_s, low)) for low, high in self.dead)
            rows.append((_six(low_s), _six(high_s), f"{20 * (1 - out_s / 0.1):.3f}"))
        return rows

    def stream_rows(self, silent: list[tuple[float, float]]) -> list[Row]:
        """Return messages each 10 ms; what was sent in a silence is received 1 ms after it."""
        rows: list[Row] = []
        for seq in range(round(self.end_s / 0.01)):
            sent_s = seq * 0.01
            until_s = max((high for low, high in silent if low <= sent_s < high), default=sent_s)
            heard_s = until_s + 0.001
            rows.append((seq, _six(sent_s), _six(heard_s) if heard_s < self.end_s else ""))
        return rows

    def about(self) -> dict[str, Any]:
        return {
            "format": 1,
            "experiment": "cable-pull",
            "run": "2026-11-22T11-30-00",
            "outcome": self.outcome,
            "reason": None if self.outcome == "finished" else "Ctrl-C",
            "phase": "end",
            "started_wall": "2026-11-22T11:30:00.123456+00:00",
            "origin": {"monotonic_s": 1000.0, "wall_s": 1795347000.123456},
            "duration_s": self.end_s,
            "seed": 7,
            "repetition": self.repetition,
            "settings": self.settings,
            "scenario": {
                "network": self.network,
                "faults": [],
                "traffic": {
                    "stream": None if self.silent is None else "server",
                    **self.traffic,
                },
                "preferred": "fw1",
            },
            "machine": {"kernel": "6.1.0", "datapath": "netdev", "cpus": 2},
            "versions": {"carplab": "0.1.0", "mininet": "2.3.0"},
            "git_commit": "0123abc",
        }

    def write(self, folder: Path, zipped: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(json.dumps(self.about()))
        events = sorted(self.events, key=lambda row: float(str(row[0])))
        if self.ends:
            events.append((f"{self.end_s:.6f}", "runner", "phase", "", "", "end"))
        table(folder / "events.csv", ("t_s", "source", "kind", "segment", "vhid", "detail"), events)
        probe = folder / "probe.csv"
        columns = ("seq", "sent_t_s", "server_t_s", "returned_t_s")
        table(probe, columns, self.probe_rows(self.dead))
        for (client, server), dead in self.flows.items():
            further = folder / f"probe-{client}-{server}.csv"
            table(further, columns, self.probe_rows(dead))
        if self.silent is not None:
            heard = self.stream_rows(self.silent)
            table(folder / "stream.csv", ("seq", "sent_t_s", "received_t_s"), heard)
        if zipped:
            (folder / "probe.csv.gz").write_bytes(gzip.compress(probe.read_bytes()))
            probe.unlink()
        table(folder / "ping.csv", ("seq", "sent_t_s", "rtt_ms"), self.ping_rows())
        table(folder / "iperf.csv", ("start_t_s", "end_t_s", "throughput_mbps"), self.iperf_rows())
        return folder


def cable_pull(phase_s: float = 0.5) -> Recording:
    """Return a cable pull at 5.0 s, `phase_s` after an advertisement, and its repair at 12.0 s.

    Detection: outside after 3 + 100/256 s - phase + 2 ms, inside after 1 ms. Takeover: 4 ms.
    Recovery: outside after 0.35 s, inside after 0.55 s, without loss.
    """
    run = Recording()
    heard_s = 5.0 - phase_s
    for step in range(5):
        run.heard(heard_s - step, "fw2", "outside")
        run.heard(heard_s - step + 0.0001, "fw2", "inside")
    detected_s = heard_s + 3 + 100 / 256 + 0.002
    run.fault(5.0)
    run.event(5.0005, "fw1", "carrier", "outside", "", "down")
    run.carp(5.0006, "fw1", "outside", "MASTER -> INIT (hardware interface down)")
    run.event(5.0006, "fw1", "demotion", "", "", "0 -> 1 (interface down)")
    run.carp(5.001, "fw2", "inside", "BACKUP -> MASTER (preempting a slower master)")
    run.carp(5.0012, "fw1", "inside", "MASTER -> BACKUP (more frequent advertisement received)")
    run.carp(detected_s, "fw2", "outside", "BACKUP -> MASTER (master timed out)")
    run.repair(12.0)
    run.carp(12.001, "fw1", "outside", "INIT -> BACKUP (link up)")
    run.carp(12.35, "fw1", "outside", "BACKUP -> MASTER (preempting a slower master)")
    run.carp(12.3503, "fw2", "outside", "MASTER -> BACKUP (more frequent advertisement received)")
    run.carp(12.55, "fw1", "inside", "BACKUP -> MASTER (preempting a slower master)")
    run.carp(12.5504, "fw2", "inside", "MASTER -> BACKUP (more frequent advertisement received)")
    run.dead.append((5.0, detected_s + 0.004))
    return run


def crash() -> Recording:
    """Return a crash of fw1 at 5.0 s.

    Detected inside at 7.6 s and outside at 7.9 s, traffic at 7.905 s;
    booted at 12.0 s, MASTER again everywhere at 14.0 s with an outage from 14.0 to 14.1 s.
    """
    run = Recording()
    run.event(4.999, "fw1", "process", "", "", "carpd killed")
    run.fault(5.0, segment="", what="crash")
    run.heard(4.210, "fw2", "inside")
    run.heard(4.509, "fw2", "outside")
    run.carp(7.6, "fw2", "inside", "BACKUP -> MASTER (master timed out)")
    run.carp(7.9, "fw2", "outside", "BACKUP -> MASTER (master timed out)")
    run.repair(12.0, segment="", what="crash")
    run.event(12.2, "fw1", "process", "", "", "carpd started (pid 4712)")
    for segment, _ in PLACES:
        run.carp(12.3, "fw1", segment, "INIT -> BACKUP (link up)")
        run.carp(14.0, "fw1", segment, "BACKUP -> MASTER (preempting a slower master)")
        run.carp(14.0002, "fw2", segment, "MASTER -> BACKUP (more frequent advertisement received)")
    run.dead += [(5.0, 7.905), (14.0, 14.1)]
    return run


def blocked_port() -> Recording:
    """Return a cable pull at 5.0 s whose repair at 12.0 s meets a switch port closed until 42.0 s.

    Split and outage from 12.55 s, when fw1 is MASTER inside again, to 42.1 s; from 15.001 s on fw1
    is MASTER outside too, behind the closed port.
    """
    run = Recording(end_s=50.0)
    run.fault(5.0)
    run.carp(5.0006, "fw1", "outside", "MASTER -> INIT (hardware interface down)")
    run.carp(5.001, "fw2", "inside", "BACKUP -> MASTER (preempting a slower master)")
    run.carp(5.0012, "fw1", "inside", "MASTER -> BACKUP (more frequent advertisement received)")
    run.carp(8.0, "fw2", "outside", "BACKUP -> MASTER (master timed out)")
    run.repair(12.0)
    run.event(12.0, "fw1", "port-state", "outside", "", "disabled -> listening")
    run.carp(12.001, "fw1", "outside", "INIT -> BACKUP (link up)")
    run.carp(12.55, "fw1", "inside", "BACKUP -> MASTER (preempting a slower master)")
    run.carp(12.5504, "fw2", "inside", "MASTER -> BACKUP (more frequent advertisement received)")
    run.carp(15.001, "fw1", "outside", "BACKUP -> MASTER (master timed out)")
    run.event(27.0, "fw1", "port-state", "outside", "", "listening -> learning")
    run.event(42.0, "fw1", "port-state", "outside", "", "learning -> forwarding")
    run.carp(42.1, "fw2", "outside", "MASTER -> BACKUP (more frequent advertisement received)")
    run.dead += [(5.0, 8.004), (12.55, 42.1)]
    return run


def table(path: Path, header: Row, rows: Iterable[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _six(value: object) -> object:
    return f"{value:.6f}" if isinstance(value, float) else value

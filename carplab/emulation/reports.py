"""What happens during a run, as carpd, the kernel and the switches report it: events of the record.

They come from threads of their own. What cannot be recorded is kept in `error`, for the runner to
find.
"""

from __future__ import annotations

from typing import Any

from carplab.emulation.states import States
from carplab.errors import CarplabError
from carplab.network import Host, Network, Router, interface_name, place_text
from carplab.recording import RunFolder


class Reports:
    """Takes the reports: into the run's events, and of carpd's also into `states`."""

    def __init__(self, network: Network, folder: RunFolder, states: States) -> None:
        self._folder = folder
        self._states = states
        self._cables = {  # interface -> machine, and the cable as the record names it
            interface_name(machine, segment, cable): (machine, place_text(segment, cable))
            for machine, segment, cable in network.attachments()
        }
        self._ended = False
        self.error: CarplabError | None = None

    def cables_of(self, machine: Router | Host) -> list[str]:
        """Return the interfaces of a machine that are plugged into a switch."""
        return [name for name, (owner, _) in self._cables.items() if owner == machine.name]

    def end(self) -> None:
        """Record nothing more: what comes now is the network being taken down."""
        self._ended = True

    def on_carpd_event(self, host: str, event: dict[str, Any]) -> None:
        """A line of a carpd's events (carplab.daemon.events)."""
        at_s, kind = event["monotonic_s"], event["kind"]
        if kind == "demotion":
            self._states.set_demotion(host, event["group"], event["new"])
            detail = f"{event['group']} {event['old']} -> {event['new']} ({event['reason']})"
            self._record(at_s, host, kind, detail=detail)
        elif kind == "port":
            _, where = self._cables[event["new"]]
            self._record(at_s, host, kind, segment=where, detail=event["interface"])
        elif kind in ("transition", "sent", "heard", "arp", "hook"):
            self._on_virtual_host_event(host, event)

    def _on_virtual_host_event(self, host: str, event: dict[str, Any]) -> None:
        at_s, kind = event["monotonic_s"], event["kind"]
        place = self._states.place(event["interface"], event["vhid"])
        if kind == "transition":
            self._states.set_state(place, event["new"])
        if kind == "heard":
            self._states.set_heard(place)
        if kind == "sent":
            if not event["ok"]:
                return
            self._states.set_sent(place, at_s)
        self._record(
            at_s,
            host,
            "carp" if kind == "transition" else kind,
            segment=place.where,
            vhid=place.vhid,
            detail=_event_detail(event),
        )

    def on_carrier(self, at_s: float, host: str, interface: str, up: bool) -> None:
        """A machine's interface got or lost its carrier."""
        _, where = self._cables[interface]
        self._record(at_s, host, "carrier", segment=where, detail="up" if up else "down")

    def on_port_state(self, at_s: float, host: str, segment: str, old: str, new: str) -> None:
        """Spanning tree changed the state of the port that a machine is plugged into."""
        self._record(at_s, host, "port-state", segment=segment, detail=f"{old} -> {new}")

    def on_process(self, at_s: float, host: str, what: str) -> None:
        """A firewall's daemon was started, killed, frozen..."""
        self._record(at_s, host, "process", detail=what)

    def _record(self, at_s: float, source: str, kind: str, **fields: Any) -> None:
        if self._ended:
            return
        try:
            self._folder.event(at_s, source, kind, **fields)
        except CarplabError as error:
            self.error = self.error or error


def _event_detail(event: dict[str, Any]) -> str:
    """Return what a line of carpd's events about a virtual host says beside its place."""
    if event["kind"] == "transition":
        return f"{event['old']} -> {event['new']} ({event['reason']})"
    if event["kind"] == "arp":
        return f"{event['requester']} asks for {event['target']}"
    if event["kind"] == "hook":
        return f"{event['command']}: exit code {event['exit_code']}"
    return f"advbase {event['advbase']} advskew {event['advskew']} demote {event['demote']}"

"""Who is MASTER of what, as the firewalls' carpds report it, and when they last advertised."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from carplab.network import Network, interface_name

MASTER = "MASTER"
BACKUP = "BACKUP"
INIT = "INIT"


@dataclass(frozen=True)
class Place:
    """A virtual host on one firewall."""

    router: str
    segment: str
    vhid: int


class States:
    """The reported state of every virtual host; threads write it, the runner reads."""

    def __init__(self, network: Network) -> None:
        self._lock = threading.Lock()
        self._states = {
            Place(router.name, interface.segment, virtual_host.vhid): INIT
            for router, interface, virtual_host in network.virtual_hosts()
        }
        self._places = {
            (interface_name(place.router, place.segment), place.vhid): place
            for place in self._states
        }
        self._sent_s: dict[Place, float] = {}
        self._heard: set[Place] = set()

    def place(self, interface: str, vhid: int) -> Place:
        """Return the virtual host with this vhid on this interface."""
        return self._places[interface, vhid]

    def set_state(self, place: Place, state: str) -> None:
        """Note a transition."""
        with self._lock:
            self._states[place] = state

    def set_gone(self, router: str) -> None:
        """Note that a firewall's carpd has ended: none of its virtual hosts is MASTER any more."""
        with self._lock:
            for place in self._states:
                if place.router == router:
                    self._states[place] = INIT

    def set_sent(self, place: Place, monotonic_s: float) -> None:
        """Note an advertisement."""
        with self._lock:
            self._sent_s[place] = monotonic_s

    def set_heard(self, place: Place) -> None:
        """Note that it has heard an advertisement that it believes."""
        with self._lock:
            self._heard.add(place)

    def has_settled(self, preferred: str) -> bool:
        """Return whether `preferred` is MASTER everywhere, everybody else a BACKUP that hears it.

        A BACKUP that hears nobody would be MASTER a moment later.
        """
        with self._lock:
            return all(
                state == MASTER
                if place.router == preferred
                else state == BACKUP and place in self._heard
                for place, state in self._states.items()
            )

    def describe(self) -> str:
        """Return who is what, for an error message: `fw1 MASTER on outside, ...`."""
        with self._lock:
            return ", ".join(
                f"{place.router} {state} on {place.segment}"
                for place, state in self._states.items()
            )

    def last_advertisement(self, segment: str) -> tuple[Place, float] | None:
        """Return the MASTER on `segment` (any segment if empty) and when it last advertised."""
        with self._lock:
            for place, state in self._states.items():
                if state == MASTER and segment in ("", place.segment) and place in self._sent_s:
                    return place, self._sent_s[place]
        return None

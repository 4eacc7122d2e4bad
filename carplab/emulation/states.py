"""Who is MASTER of what, as the firewalls' carpds report it, and when they last advertised."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from carplab.errors import UsageError
from carplab.network import Network, place_text, preferred_interfaces

MASTER = "MASTER"
BACKUP = "BACKUP"
INIT = "INIT"


@dataclass(frozen=True)
class Place:
    """A virtual host on one firewall."""

    router: str
    segment: str
    vhid: int
    cable: int = 1

    @property
    def where(self) -> str:
        """The cable it is on, as a run's record names it."""
        return place_text(self.segment, self.cable)


class States:
    """The reported state of every virtual host; threads write it, the runner reads."""

    def __init__(self, network: Network) -> None:
        self._lock = threading.Lock()
        self._places: dict[tuple[str, int], Place] = {}
        self._states: dict[Place, str] = {}
        self._homes: set[Place] = set()
        self._demotions: dict[tuple[str, str], int] = {}
        self._sent_s: dict[Place, float] = {}
        self._heard: set[Place] = set()
        self.renew(network)

    def renew(self, network: Network) -> None:
        """Take the virtual hosts of `network`; those that were there already keep their states."""
        with self._lock:
            self._places = {
                (router.carp_interface(interface), virtual_host.vhid): Place(
                    router.name, interface.segment, virtual_host.vhid, interface.cable
                )
                for router, interface, virtual_host in network.virtual_hosts()
            }
            places = self._places.values()
            self._states = {place: self._states.get(place, INIT) for place in places}
            self._homes = _homes(network)

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
            self._demotions = {
                key: value for key, value in self._demotions.items() if key[0] != router
            }

    def set_demotion(self, router: str, group: str, value: int) -> None:
        """Note the demotion of one of a firewall's interface groups."""
        with self._lock:
            self._demotions[router, group] = value

    def set_sent(self, place: Place, monotonic_s: float) -> None:
        """Note an advertisement."""
        with self._lock:
            self._sent_s[place] = monotonic_s

    def set_heard(self, place: Place) -> None:
        """Note that it has heard an advertisement that it believes."""
        with self._lock:
            self._heard.add(place)

    def snapshot(self) -> tuple[dict[Place, str], dict[tuple[str, str], int]]:
        """Return the state of every virtual host, and the demotions by firewall and group."""
        with self._lock:
            return dict(self._states), dict(self._demotions)

    def has_settled(self) -> bool:
        """Return whether the preferred ones are MASTER, all others BACKUPs that hear them.

        A BACKUP that hears nobody would be MASTER a moment later; and where something is still
        demoted, that is yet to end.
        """
        with self._lock:
            return not any(self._demotions.values()) and all(
                state == MASTER
                if place in self._homes
                else state == BACKUP and place in self._heard
                for place, state in self._states.items()
            )

    def describe(self) -> str:
        """Return who is what, for an error message: `fw1 MASTER on outside, ...`."""
        several = len(self._homes) > len({place.segment for place in self._homes})
        with self._lock:
            return ", ".join(
                f"{place.router} {state} on {place.where}"
                + (f" (vhid {place.vhid})" if several else "")
                for place, state in self._states.items()
            )

    def last_advertisement(self, segment: str, router: str) -> tuple[Place, float] | None:
        """Return a MASTER on `segment` (any segment if empty) and when it last advertised.

        It is one of `router`'s, if that is MASTER of anything there.
        """
        with self._lock:
            masters = [
                place
                for place, state in self._states.items()
                if state == MASTER and segment in ("", place.segment) and place in self._sent_s
            ]
            for place in sorted(masters, key=lambda place: place.router != router):
                return place, self._sent_s[place]
        return None


def _homes(network: Network) -> set[Place]:
    try:
        preferred = preferred_interfaces(network)
    except UsageError:
        return set()  # two tie: a scenario is refused for that, what somebody configures is not
    return {
        Place(router, segment, vhid, cable)
        for (segment, vhid), (router, cable) in preferred.items()
    }

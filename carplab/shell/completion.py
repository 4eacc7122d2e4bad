"""What the Tab key offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from carplab.network import Network, interface_name, place_text
from carplab.scenario import BLACKHOLE, DIRECTIONS, MACHINE_FAULTS
from carplab.shell.orders import ALL, FAULT_OPTIONS, FAULTS


@dataclass(frozen=True)
class Names:
    """The names of a network, as far as they can be typed."""

    firewalls: tuple[str, ...]
    hosts: tuple[str, ...]
    places: Mapping[str, tuple[str, ...]]  # by machine
    interfaces: Mapping[str, tuple[str, ...]]

    @property
    def machines(self) -> tuple[str, ...]:
        """Everything that runs commands."""
        return self.firewalls + self.hosts


def names_of(network: Network) -> Names:
    """Return the names of this network."""
    places: dict[str, tuple[str, ...]] = {}
    interfaces: dict[str, tuple[str, ...]] = {}
    for machine, segment, cable in network.attachments():
        places[machine] = (*places.get(machine, ()), place_text(segment, cable))
        name = interface_name(machine, segment, cable)
        interfaces[machine] = (*interfaces.get(machine, ()), name)
    firewalls = tuple(router.name for router in network.routers)
    hosts = tuple(host.name for host in network.hosts)
    return Names(firewalls, hosts, places, interfaces)


def candidates(
    before: Sequence[str], text: str, names: Names, faults: Callable[[], Sequence[int]]
) -> list[str]:
    """Return the words that `text` may become, after the words `before` it on the line.

    `faults` is asked for the ids of those that are there, where one of them may follow.
    """
    return sorted(each for each in _possible(before, text, names, faults) if each.startswith(text))


def _possible(
    before: Sequence[str], text: str, names: Names, faults: Callable[[], Sequence[int]]
) -> Sequence[str]:
    word, *given = before
    if word == "fault":
        return _fault(given, text, names)
    if word == "lift":
        ids = [str(number) for number in faults()]
        return [each for each in (*ids, ALL) if each not in given] if ALL not in given else []
    if word == "demote":
        return ("+1", "-1") if given else names.firewalls
    if word in names.machines:
        return (*names.machines, *names.interfaces[word])
    return names.machines


def _fault(given: Sequence[str], text: str, names: Names) -> Sequence[str]:
    if not given:
        return FAULTS
    kind = given[0]
    if len(given) == 1:
        return names.firewalls if kind in MACHINE_FAULTS else names.machines
    if len(given) == 2 and kind not in MACHINE_FAULTS:
        return names.places.get(given[1], ())
    if kind == BLACKHOLE and text.startswith("direction="):
        return [f"direction={each}" for each in DIRECTIONS]
    return [f"{option}=" for option in FAULT_OPTIONS.get(kind, ())]

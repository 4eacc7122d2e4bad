"""What a fault request means, which faults there are, and what they ask of a port: pure, no switch.

Every fault claims a part of its port (its link, one direction, its loss); two faults that claim the
same part exclude each other. What all faults of a port ask of it together is its `PortDemand`.
Injecting and lifting are then one thing: the step from one demand to another.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

KINDS = ("link_down", "blackhole", "loss", "flap")
DIRECTIONS = ("from_host", "to_host", "both")
MAXIMUM_PERIOD_S = 3600.0
MINIMUM_PERIOD_S = 0.02
MAXIMUM_COUNT = 10_000
MINIMUM_PERCENT = 0.01

_OPTIONS = {
    "link_down": (),
    "blackhole": ("direction",),
    "loss": ("percent",),
    "flap": ("period_s", "count"),
}


Place = tuple[int, str]
"""A switch's dpid and the name of one of its ports."""


class RefusedError(Exception):
    """A request that is not carried out, as HTTP status (4xx) and sentence; nothing has changed."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a switch as the switch describes it.

    `admin_down` and `no_forward` are OFPPC_PORT_DOWN and OFPPC_NO_FWD; `link_up` is its carrier.
    """

    number: int
    name: str
    host: str | None
    mac: str
    link_up: bool
    admin_down: bool = False
    no_forward: bool = False

    def to_json(self) -> dict[str, Any]:
        """The port as the HTTP API shows it."""
        return {
            "port": self.number,
            "name": self.name,
            "host": self.host,
            "mac": self.mac,
            "link_up": self.link_up,
        }


@dataclass(frozen=True, slots=True)
class Switch:
    """A connected switch and its ports, without the switch's own (LOCAL) one."""

    dpid: int
    name: str
    ports: tuple[Port, ...]

    def to_json(self) -> dict[str, Any]:
        """The switch as the HTTP API shows it."""
        return {
            "dpid": self.dpid,
            "name": self.name,
            "ports": [port.to_json() for port in self.ports],
        }

    def find_port(self, name: str) -> Port | None:
        """The port of this name, None if there is none."""
        return next((port for port in self.ports if port.name == name), None)


def host_of_port(switch_name: str, port_name: str) -> str | None:
    """The host behind a port named SWITCH-HOST; None for other names, Mininet's SWITCH-ethN too."""
    host = port_name.removeprefix(f"{switch_name}-")
    if host == port_name or not host or re.fullmatch(r"eth\d+", host):
        return None
    return host


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A valid request: which kind of fault, on which port; options of other kinds are None."""

    kind: str
    dpid: int
    switch: str
    port: int
    port_name: str
    host: str | None
    direction: str | None = None
    percent: float | None = None
    period_s: float | None = None
    count: int | None = None

    @property
    def place(self) -> Place:
        """Where the fault is, by the port's name: its number may change when a switch returns."""
        return self.dpid, self.port_name

    @property
    def claims(self) -> frozenset[str]:
        """The parts of the port that only one fault may have."""
        if self.kind in ("link_down", "flap"):
            return frozenset({"link"})
        if self.kind == "loss":
            return frozenset({"loss"})
        if self.direction == "both":
            return frozenset({"from_host", "to_host"})
        return frozenset({str(self.direction)})

    def to_json(self) -> dict[str, Any]:
        """The fault as it was asked for, with the port's number, name and host."""
        described: dict[str, Any] = {
            "kind": self.kind,
            "switch": self.switch,
            "dpid": self.dpid,
            "port": self.port,
            "port_name": self.port_name,
            "host": self.host,
        }
        return described | {option: getattr(self, option) for option in _OPTIONS[self.kind]}


@dataclass(frozen=True, slots=True)
class Edge:
    """One change of a flapping link, at time.monotonic()."""

    monotonic_s: float
    up: bool


@dataclass(slots=True)
class Fault:
    """A fault that is there. Only a flap has `link_up` and `edges`, and is `finished` at last."""

    number: int
    spec: FaultSpec
    effective_monotonic_s: float | None = None
    link_up: bool = False
    finished: bool = False
    edges: list[Edge] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The fault as the HTTP API shows it."""
        described = {"id": self.number, **self.spec.to_json()}
        described["effective_monotonic_s"] = self.effective_monotonic_s
        if self.spec.kind == "flap":
            described["finished"] = self.finished
            described["edges"] = [
                {"monotonic_s": edge.monotonic_s, "up": edge.up} for edge in self.edges
            ]
        return described


@dataclass(frozen=True, slots=True)
class PortDemand:
    """What the faults of a port ask of it; the default is a port without faults."""

    down: bool = False
    drop_from_host: bool = False
    drop_to_host: bool = False
    loss_percent: float | None = None

    @property
    def of_switch(self) -> tuple[bool, bool, bool]:
        """What the switch does about it; the loss is the kernel's affair."""
        return self.down, self.drop_from_host, self.drop_to_host


class FaultBook:
    """The faults that are there, by their numbers."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._numbers = itertools.count(1)

    def list(self) -> tuple[Fault, ...]:
        """The faults, oldest first."""
        return tuple(self._faults.values())

    def has(self, fault: Fault) -> bool:
        """Whether this fault is still there."""
        return fault.number in self._faults

    def places(self) -> set[Place]:
        """The ports that have faults."""
        return {fault.spec.place for fault in self._faults.values()}

    def find(self, number: int) -> Fault:
        """The fault of this number. Raises RefusedError (404) if there is none."""
        try:
            return self._faults[number]
        except KeyError:
            raise RefusedError(404, f"There is no fault {number}.") from None

    def check(self, spec: FaultSpec) -> None:
        """Raises RefusedError (409) if the port already has a fault that excludes this one."""
        for fault in self._faults.values():
            if fault.spec.place == spec.place and not fault.finished:
                _refuse_conflict(spec, fault)

    def add(self, spec: FaultSpec) -> Fault:
        """A new fault. Raises RefusedError (409) as `check` does."""
        self.check(spec)
        fault = Fault(next(self._numbers), spec)
        self._faults[fault.number] = fault
        return fault

    def remove(self, fault: Fault) -> None:
        """Take a fault out; one that is out already is no error."""
        self._faults.pop(fault.number, None)

    def restore(self, fault: Fault) -> None:
        """Put back a fault that could not be lifted, in its former place of the list."""
        self._faults[fault.number] = fault
        self._faults = dict(sorted(self._faults.items()))

    def demand(self, place: Place) -> PortDemand:
        """What all faults of one port ask of it together."""
        faults = [fault for fault in self._faults.values() if fault.spec.place == place]
        claims = {
            claim: fault for fault in faults if not fault.finished for claim in fault.spec.claims
        }
        loss = claims.get("loss")
        return PortDemand(
            down="link" in claims and not claims["link"].link_up,
            drop_from_host="from_host" in claims,
            drop_to_host="to_host" in claims,
            loss_percent=loss.spec.percent if loss else None,
        )


def _refuse_conflict(spec: FaultSpec, existing: Fault) -> None:
    if not spec.claims & existing.spec.claims:
        return
    raise RefusedError(
        409,
        f"Port {spec.port_name} already has fault {existing.number} ({existing.spec.kind}), "
        f"which excludes this {spec.kind}; lift it first.",
    )


def read_request(request: object, switches: Sequence[Switch]) -> FaultSpec:
    """What a decoded JSON body asks for.

    Raises RefusedError: 400 for a body that is not understood, 404 for a switch, port or host that
    is not there.
    """
    if not isinstance(request, dict):
        raise RefusedError(
            400,
            "The body must be a JSON object such as "
            '{"kind": "link_down", "switch": "outside", "host": "fw1"}.',
        )
    kind = _read_choice(request, "kind", KINDS)
    _refuse_unknown_keys(request, kind)
    options = _read_options(request, kind)
    switch = _find_switch(request, switches)
    port = _find_port(request, switch)
    return FaultSpec(
        kind=kind,
        dpid=switch.dpid,
        switch=switch.name,
        port=port.number,
        port_name=port.name,
        host=port.host,
        **options,
    )


def _refuse_unknown_keys(request: dict[str, Any], kind: str) -> None:
    known = ("kind", "switch", "host", "port", *_OPTIONS[kind])
    for key in request:
        if key not in known:
            raise RefusedError(400, f"A {kind} has no {_show(key)}; it has {', '.join(known)}.")


def _read_options(request: dict[str, Any], kind: str) -> dict[str, Any]:
    if kind == "blackhole":
        return {"direction": _read_choice(request, "direction", DIRECTIONS)}
    if kind == "loss":
        return {"percent": _read_number(request, "percent", MINIMUM_PERCENT, 100.0)}
    if kind == "flap":
        count = request.get("count")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAXIMUM_COUNT:
            raise RefusedError(
                400, f"count must be a whole number from 1 to {MAXIMUM_COUNT}, not {_show(count)}."
            )
        return {
            "period_s": _read_number(request, "period_s", MINIMUM_PERIOD_S, MAXIMUM_PERIOD_S),
            "count": count,
        }
    return {}


def _read_choice(request: dict[str, Any], key: str, choices: Sequence[str]) -> str:
    value = request.get(key)
    if isinstance(value, str) and value in choices:
        return value
    raise RefusedError(400, f"{key} must be one of {', '.join(choices)}, not {_show(value)}.")


def _read_number(request: dict[str, Any], key: str, minimum: float, maximum: float) -> float:
    value = request.get(key)
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if number is None or not minimum <= number <= maximum:
        raise RefusedError(
            400, f"{key} must be a number from {minimum:g} to {maximum:g}, not {_show(value)}."
        )
    return float(number)


def _find_switch(request: dict[str, Any], switches: Sequence[Switch]) -> Switch:
    asked = request.get("switch")
    if not isinstance(asked, (str, int)) or isinstance(asked, bool):
        raise RefusedError(400, f"switch must be a switch's name or dpid, not {_show(asked)}.")
    for switch in switches:
        if asked in (switch.name, switch.dpid):
            return switch
    names = ", ".join(switch.name for switch in switches) or "none"
    raise RefusedError(404, f"No switch {_show(asked)} is connected; connected: {names}.")


def _find_port(request: dict[str, Any], switch: Switch) -> Port:
    if ("host" in request) == ("port" in request):
        raise RefusedError(400, "Give either host (its name) or port (its name or number).")
    if "host" in request:
        return _find_port_of_host(request["host"], switch)
    asked = request["port"]
    if not isinstance(asked, (str, int)) or isinstance(asked, bool):
        raise RefusedError(400, f"port must be a port's name or number, not {_show(asked)}.")
    for port in switch.ports:
        if asked in (port.name, port.number):
            return port
    names = ", ".join(port.name for port in switch.ports) or "none"
    raise RefusedError(404, f"Switch {switch.name} has no port {_show(asked)}; it has: {names}.")


def _find_port_of_host(asked: object, switch: Switch) -> Port:
    if not isinstance(asked, str):
        raise RefusedError(400, f"host must be a host's name, not {_show(asked)}.")
    for port in switch.ports:
        if port.host == asked:
            return port
    names = ", ".join(port.host for port in switch.ports if port.host) or "none"
    raise RefusedError(404, f"Switch {switch.name} has no host {_show(asked)}; it has: {names}.")


def _show(value: object) -> str:
    """A value from a request for an error sentence: quoted, on one line and short."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."

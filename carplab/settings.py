"""Settings: a network changed by words such as `fw2.advskew=50` or `segment.outside=stp`."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from carplab.carp.extensions import Extensions, Settled
from carplab.carp.packet import Address
from carplab.errors import UsageError, listed
from carplab.network import (
    NATS,
    SHARED_NATS,
    Interface,
    InterfaceAddress,
    Network,
    Router,
    with_sync_link,
)
from carplab.network_checks import check_network


def apply_settings(network: Network, settings: Iterable[str]) -> Network:
    """Return the network with each `KEY=VALUE` applied, in order, and validated.

    KEY is a setting's name, with the machine, the segment or both in front where it is meant for
    those only: `advbase=2`, `fw2.advskew=100`, `outside.password=x`, `fw1.outside.password=x`. A
    segment means all cables to it, `outside/2` the second ones. A segment's own settings are
    `segment.outside=stp` and `segment.outside.forward_delay=2`. With nat=synced or committed the
    firewalls get their sync link. UsageError names what there is when a part is unknown.
    """
    for setting in settings:
        network = _apply_setting(network, setting)
    if len(network.routers) == 2 and any(each.nat in SHARED_NATS for each in network.routers):
        network = with_sync_link(network)
    check_network(network)
    return network


def _apply_setting(network: Network, setting: str) -> Network:
    key, equals, text = setting.partition("=")
    *places, name = key.strip().split(".")
    if not equals or not name:
        raise UsageError(f"the setting {setting!r} has no form KEY=VALUE, as in fw2.advskew=100")
    if places and places[0] == "segment":
        return _set_segment(network, [*places[1:], name], text.strip(), setting)
    if name not in SETTINGS:
        raise UsageError(f"unknown setting {name!r} in {setting!r}: known are {listed(SETTINGS)}")
    router_name, place = _places(network, places, setting)
    value = _parsed(SETTINGS[name], name, text, setting)
    if name in _ROUTER_SETTINGS and place:
        raise UsageError(f"{name} belongs to a whole firewall: leave {place!r} out of {setting!r}")
    if name in _INTERFACE_SETTINGS and not (router_name and place):
        raise UsageError(
            f"{name} belongs to one interface: write it as in fw1.outside.{name}={text}"
        )
    routers = tuple(
        _change_router(router, place, name, value) if router_name in (None, router.name) else router
        for router in network.routers
    )
    return replace(network, routers=routers)


def _set_segment(network: Network, words: list[str], text: str, setting: str) -> Network:
    """`words` is what stands behind "segment.": a segment's name, then perhaps forward_delay."""
    changed = network.segment(words[0])
    if len(words) == 1:
        changed = replace(changed, kind=text)
    elif words[1:] == ["forward_delay"]:
        changed = replace(changed, forward_delay_s=_parsed(int, "forward_delay", text, setting))
    else:
        raise UsageError(
            f"unknown setting {'.'.join(words[1:])!r} of a segment in {setting!r}: known are "
            f"segment.{words[0]}=KIND and segment.{words[0]}.forward_delay=SECONDS"
        )
    segments = tuple(changed if each.name == words[0] else each for each in network.segments)
    return replace(network, segments=segments)


def _places(network: Network, places: list[str], setting: str) -> tuple[str | None, str | None]:
    """Return the firewall and the segment or cable (`outside`, `outside/2`) a setting is for."""
    routers = [router.name for router in network.routers]
    segments = [segment.name for segment in network.segments]
    cables = [f"{segment}/{cable}" for _, segment, cable in network.attachments()]
    router_name: str | None = None
    cable_name: str | None = None
    for place in places:
        if place in routers and router_name is None and cable_name is None:
            router_name = place
        elif place in segments + cables and cable_name is None:
            cable_name = place
        else:
            raise UsageError(
                f"{place!r} in {setting!r} is no firewall or interface of the network: "
                f"there are the firewalls {listed(routers)} on the segments {listed(segments)}, "
                f"as in {routers[0]}.{segments[0]}"
            )
    return router_name, cable_name


def _change_router(router: Router, place: str | None, name: str, value: Any) -> Router:
    if name in _EXTENSIONS:
        return replace(router, extensions=_extended(router, _EXTENSIONS[name], value))
    if name in _ROUTER_SETTINGS:
        return replace(router, **{name: value})
    interfaces = tuple(
        _change_interface(interface, name, value)
        if place in (None, interface.segment, f"{interface.segment}/{interface.cable}")
        else interface
        for interface in router.interfaces
    )
    return replace(router, interfaces=interfaces)


def _extended(router: Router, name: str, value: Any) -> Extensions:
    try:
        return replace(router.extensions, **{name: value})
    except ValueError as error:
        raise UsageError(f"{router.name}: {error}") from None


def _change_interface(interface: Interface, name: str, value: Any) -> Interface:
    if name in _INTERFACE_SETTINGS:
        return replace(interface, addresses=value)
    virtual_hosts = tuple(
        replace(each, **{_FIELDS.get(name, name): value}) for each in interface.virtual_hosts
    )
    return replace(interface, virtual_hosts=virtual_hosts)


def _parsed(parse: Callable[[str], Any], name: str, text: str, setting: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise UsageError(
            f"{text!r} in {setting!r} is no value for {name}: {_EXPECTED[name]}"
        ) from None


def _boolean(text: str) -> bool:
    words = {
        "yes": True,
        "on": True,
        "true": True,
        "1": True,
        "no": False,
        "off": False,
        "false": False,
        "0": False,
    }
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(text)
    return seconds


def _settled(text: str) -> Settled | None:
    return None if text == "off" else Settled(text)


def _nat(text: str) -> str:
    if text not in NATS:
        raise ValueError(text)
    return text


def _virtual_addresses(text: str) -> tuple[Address, ...]:
    return tuple(ipaddress.ip_address(part.strip()) for part in text.split(","))


def _interface_addresses(text: str) -> tuple[InterfaceAddress, ...]:
    return tuple(ipaddress.ip_interface(part.strip()) for part in text.split(","))


_VIRTUAL_HOST_SETTINGS: dict[str, Callable[[str], Any]] = {
    "advbase": int,
    "advskew": int,
    "vhid": int,
    "password": str,
    "virtual_address": _virtual_addresses,
}
_INTERFACE_SETTINGS: dict[str, Callable[[str], Any]] = {"address": _interface_addresses}
_ROUTER_SETTINGS: dict[str, Callable[[str], Any]] = {
    "preempt": _boolean,
    "dialect": str,
    "nat": _nat,
    "tcp_loose": _boolean,
    "arp_balance": _boolean,
    "link_up_delay": _seconds,
    "demote_until_settled": _settled,
    "bulk_hold": _seconds,
    "demotion_first": _boolean,
}
#: Every setting but those of a segment, and what reads its value.
SETTINGS = {**_VIRTUAL_HOST_SETTINGS, **_INTERFACE_SETTINGS, **_ROUTER_SETTINGS}
_EXTENSIONS = {  # setting -> its field of Extensions
    "link_up_delay": "link_up_delay_s",
    "demote_until_settled": "demote_until_settled",
    "bulk_hold": "bulk_hold_s",
    "demotion_first": "demotion_first",
}
_FIELDS = {"virtual_address": "addresses"}
_EXPECTED = {
    "advbase": "a whole number of seconds is expected",
    "advskew": "a whole number, 0 to 254, is expected",
    "vhid": "a whole number, 1 to 255, is expected",
    "virtual_address": "an IP address is expected, or several with commas between",
    "address": "an IP address with its prefix length is expected, as in 10.0.1.11/24",
    "preempt": "yes or no is expected",
    "forward_delay": "a whole number of seconds is expected",
    "nat": f"{', '.join(NATS)} are possible",
    "tcp_loose": "yes or no is expected",
    "arp_balance": "yes or no is expected",
    "link_up_delay": "a number of seconds is expected, 0 or more",
    "demote_until_settled": "off, heard or heard_or_master is expected",
    "bulk_hold": "a number of seconds is expected, 0 or more",
    "demotion_first": "yes or no is expected",
}

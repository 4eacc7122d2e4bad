"""What a client of the control socket may ask of the protocol core."""

from __future__ import annotations

from typing import Any

from carplab.carp.actions import VirtualHostKey
from carplab.carp.node import Node, TransitionError
from carplab.carp.virtual_host import DEFAULT_GROUP, State


def obey(node: Node, request: dict[str, Any], now: float) -> None:
    """Hand a request on to the node. Raises ValueError with a sentence if it does not fit."""
    command = request.get("command")
    try:
        if command == "demote":
            node.demote(_whole_number(request, "delta"), "carpd demote", now, _group(request))
        elif command == "down":
            node.disable(_key(node, request), now)
        elif command == "up":
            node.enable(_key(node, request), now)
        elif command == "force":
            node.force(_key(node, request), _forced_state(request), now)
        else:
            raise ValueError(f"unknown command {command!r}")
    except TransitionError as error:
        raise ValueError(str(error)) from None


def _key(node: Node, request: dict[str, Any]) -> VirtualHostKey:
    vhid = _whole_number(request, "vhid")
    interface = request.get("interface")
    all_keys = [host.key for host in node.config.virtual_hosts]
    keys = [key for key in all_keys if key.vhid == vhid and interface in (None, key.interface)]
    if not keys:
        where = "" if interface is None else f" on {interface}"
        there = ", ".join(map(str, all_keys))
        raise ValueError(f"there is no vhid {vhid}{where} here, only {there}")
    if len(keys) > 1:
        raise ValueError(f"vhid {vhid} is ambiguous: say {' or '.join(map(str, keys))}")
    return keys[0]


def _whole_number(request: dict[str, Any], key: str) -> int:
    value = request.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} {value!r} is not a whole number")
    return value


def _group(request: dict[str, Any]) -> str:
    group = request.get("group", DEFAULT_GROUP)
    if not isinstance(group, str):
        raise ValueError(f"group {group!r} is not a text")
    return group


def _forced_state(request: dict[str, Any]) -> State:
    name = request.get("state")
    if name not in (State.MASTER.value, State.BACKUP.value):
        raise ValueError(f"state {name!r} cannot be forced, only MASTER and BACKUP can")
    return State(name)

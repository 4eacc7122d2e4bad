"""carpd's configuration: one TOML file a host, checked as a whole before anything is touched.

    name = "fw1"                  # names the files in run_dir; default: the host name
    dialect = "openbsd"           # openbsd-3.8, openbsd (default) or freebsd
    preempt = true                # default false, as net.inet.carp.preempt is 0
    run_dir = "/run/carpd"        # default

    [[virtual_host]]
    interface = "fw1-outside"
    vhid = 1
    advbase = 1                   # seconds, default 1
    advskew = 0                   # 1/256 s, default 0
    password = "secret"           # at most 20 bytes, default empty
    addresses = ["10.0.1.1", "fd00:1::1"]
    peers = ["10.0.1.12"]         # unicast, at most one of each family; default none

What is wrong is a UsageError whose sentence names the file, the virtual host and the key.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from carplab.carp.dialect import DIALECTS, OPENBSD, Dialect
from carplab.carp.node import NodeConfig, VirtualHostConfig
from carplab.carp.packet import Address
from carplab.daemon.instance import DEFAULT_RUN_DIR
from carplab.daemon.netlink import Interface
from carplab.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_KEYS = ("name", "dialect", "preempt", "run_dir", "virtual_host")
_VIRTUAL_HOST_KEYS = (
    "interface",
    "vhid",
    "advbase",
    "advskew",
    "password",
    "addresses",
    "peers",
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """One carpd: its name, its files and what the core needs. `source` is the file it is from."""

    source: str
    name: str
    run_dir: Path
    node: NodeConfig

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of the interfaces that carry virtual hosts, each once, in the file's order."""
        return tuple(dict.fromkeys(host.interface for host in self.node.virtual_hosts))

    def virtual_hosts_on(self, interface: str) -> tuple[VirtualHostConfig, ...]:
        return tuple(host for host in self.node.virtual_hosts if host.interface == interface)


def load(path: Path) -> DaemonConfig:
    """Read and check a configuration file. Raises UsageError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({_why(error)})") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> DaemonConfig:
    """Check the text of a configuration file; `source` stands in front of what is wrong with it."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: not valid TOML: {error}") from None
    try:
        return _daemon_config(table, source)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None


def check_addresses(
    config: DaemonConfig, present: Mapping[str, Sequence[Interface] | None]
) -> None:
    """Check the virtual addresses against the interfaces' own, which `present` has by name.

    Raises UsageError for an interface that does not exist (None in `present`), an address outside
    its segment, or one that is the interface's own.
    """
    for host in config.node.virtual_hosts:
        own = present[host.interface]
        where = f"{config.source}: vhid {host.vhid}"
        if own is None:
            raise UsageError(f"{where}: interface {host.interface} does not exist on this machine")
        for address in host.addresses:
            problem = _segment_problem(address, own, host.interface)
            if problem:
                raise UsageError(f"{where}: address {address} {problem}")


def _segment_problem(address: Address, own: Sequence[Interface], interface: str) -> str | None:
    family = [entry for entry in own if entry.version == address.version]
    if any(entry.ip == address for entry in family):
        return f"is {interface}'s own, a virtual address belongs to no single host"
    if any(address in entry.network for entry in family):
        return None
    if not family:
        return f"has no segment: {interface} has no IPv{address.version} address"
    networks = ", ".join(str(entry.network) for entry in family)
    return f"is outside the segment of {interface} ({networks})"


def _daemon_config(table: Mapping[str, Any], source: str) -> DaemonConfig:
    _refuse_unknown_keys(table, _KEYS)
    hosts = table.get("virtual_host", [])
    if not isinstance(hosts, list) or not hosts:
        raise ValueError("virtual_host: at least one [[virtual_host]] is needed")
    node = NodeConfig(
        virtual_hosts=tuple(_numbered(number, entry) for number, entry in enumerate(hosts, 1)),
        dialect=_dialect(_text(table, "dialect", OPENBSD.name)),
        preempt=_flag(table, "preempt"),
    )
    name = _text(table, "name", socket.gethostname())
    if not _NAME.fullmatch(name):
        raise ValueError(f"name {name!r} is not made of letters, digits, '.', '_' and '-'")
    run_dir = Path(_text(table, "run_dir", str(DEFAULT_RUN_DIR)))
    if not run_dir.is_absolute():
        raise ValueError(f"run_dir {str(run_dir)!r} is not an absolute path")
    return DaemonConfig(source, name, run_dir, node)


def _numbered(number: int, entry: object) -> VirtualHostConfig:
    try:
        if not isinstance(entry, dict):
            raise ValueError("not a table")
        return _virtual_host(entry)
    except ValueError as error:
        raise ValueError(f"virtual_host {number}: {error}") from None


def _virtual_host(entry: Mapping[str, Any]) -> VirtualHostConfig:
    _refuse_unknown_keys(entry, _VIRTUAL_HOST_KEYS)
    return VirtualHostConfig(
        interface=_text(entry, "interface"),
        vhid=_integer(entry, "vhid"),
        advbase=_integer(entry, "advbase", 1),
        advskew=_integer(entry, "advskew", 0),
        password=_text(entry, "password", ""),
        addresses=_addresses(entry, "addresses"),
        peers=_addresses(entry, "peers", ()),
    )


def _refuse_unknown_keys(table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"unknown key {key!r}, the keys are {', '.join(known)}")


def _dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        raise ValueError(f"dialect {name!r} is unknown, there are {', '.join(DIALECTS)}")
    return DIALECTS[name]


def _integer(table: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value: object = _required(table, key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} {value!r} is not a whole number")
    return value


def _text(table: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = _required(table, key, default)
    if not isinstance(value, str) or (not value and default != ""):
        raise ValueError(f"{key} {value!r} is not a text in quotes")
    return value


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} {value!r} is neither true nor false")
    return value


def _addresses(
    table: Mapping[str, Any], key: str, default: tuple[Address, ...] | None = None
) -> tuple[Address, ...]:
    values = _required(table, key, default)
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"{key} {values!r} is not a list of addresses")
    return tuple(_address(key, value) for value in values)


def _address(key: str, value: object) -> Address:
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return ip_address(value)
    except ValueError:
        raise ValueError(f'{key}: {value!r} is not an IP address like "10.0.1.1"') from None


def _required(table: Mapping[str, Any], key: str, default: Any) -> Any:
    value = table.get(key, default)
    if value is None:
        raise ValueError(f"{key} is missing")
    return value


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not UTF-8"

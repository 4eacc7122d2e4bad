"""carpd's configuration: one TOML file a host, checked as a whole before anything is touched.

    name = "fw1"                  # names the files in run_dir; default: the host name
    dialect = "openbsd"           # openbsd-3.8, openbsd (default) or freebsd
    preempt = true                # default false, as net.inet.carp.preempt is 0
    arp_balance = true            # default false; not in freebsd
    run_dir = "/run/carpd"        # default
    on_master = ["conntrackd", "-c"]  # a command, run without a shell: carplab.daemon.hooks
    on_backup = ["/etc/carpd/backup"]
    on_init = ["/etc/carpd/init"]

    [[virtual_host]]
    interface = "fw1-outside"     # or the name of a failover set
    vhid = 1
    advbase = 1                   # seconds, default 1
    advskew = 0                   # 1/256 s, default 0
    password = "secret"           # at most 20 bytes, default empty
    addresses = ["10.0.1.1", "fd00:1::1"]
    peers = ["10.0.1.12"]         # unicast, at most one of each family; default none
    groups = ["carp"]             # demoted by its lost carrier; only openbsd has others than this

    [[failover]]                  # like trunk(4) or a bond in active-backup mode
    name = "outside"              # any name; virtual hosts use it as their interface
    interfaces = ["fw1-out-1", "fw1-out-2"]

ARP balancing lets several virtual hosts of one interface have the same IPv4 address: each firewall
is MASTER of one, and which of them answers an ARP request depends on who asks.

A failover set works through the first of its interfaces that has its carrier, and goes back to an
earlier one when that has it again. Each interface keeps its own addresses, and advertisements come
from those of the one in use. Where both are on one subnet the kernel must send through the one with
a carrier; carpd does not set that, set it for all interfaces beforehand:

    sysctl net.ipv4.conf.all.ignore_routes_with_linkdown=1
    sysctl net.ipv6.conf.all.ignore_routes_with_linkdown=1

So the routes follow the carrier, not the set: while link_up_delay keeps the set off an interface
whose carrier is back, the kernel may send through it again already.

Ways to avoid a split that no BSD has, off by default (carplab.carp.extensions says what they do):

    link_up_delay = 30.0              # seconds in INIT after a link came up; a failover set does
                                      # not go back to such a link before
    demote_until_settled = "heard"    # or "heard_or_master"
    bulk_hold = 30.0                  # seconds of demotion after a link came up, as pfsync has it
    demotion_first = true             # at a link-up lower the demotion before leaving INIT

What is wrong is a UsageError whose sentence names the file, the virtual host and the key.
"""

from __future__ import annotations

import math
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from carplab.carp.dialect import DIALECTS, OPENBSD, Dialect
from carplab.carp.extensions import Extensions, Settled
from carplab.carp.node import NodeConfig, VirtualHostConfig
from carplab.carp.packet import Address
from carplab.carp.virtual_host import State
from carplab.daemon.hooks import Command
from carplab.daemon.instance import DEFAULT_RUN_DIR
from carplab.daemon.netlink import Interface
from carplab.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_KEYS = (
    "name",
    "dialect",
    "preempt",
    "arp_balance",
    "run_dir",
    "on_master",
    "on_backup",
    "on_init",
    "link_up_delay",
    "demote_until_settled",
    "bulk_hold",
    "demotion_first",
    "virtual_host",
    "failover",
)
_VIRTUAL_HOST_KEYS = (
    "interface",
    "vhid",
    "advbase",
    "advskew",
    "password",
    "addresses",
    "peers",
    "groups",
)
_FAILOVER_KEYS = ("name", "interfaces")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """One carpd: its name, its files and what the core needs. `source` is the file it is from.

    `hooks` has the commands by the name of the new state, `failover` the interfaces of each set by
    its name.
    """

    source: str
    name: str
    run_dir: Path
    node: NodeConfig
    hooks: Mapping[str, Command]
    failover: Mapping[str, tuple[str, ...]]

    @property
    def interfaces(self) -> tuple[str, ...]:
        """What carries virtual hosts, interfaces and failover sets, in the file's order."""
        return tuple(dict.fromkeys(host.interface for host in self.node.virtual_hosts))

    def ports(self, interface: str) -> tuple[str, ...]:
        """The kernel's interfaces behind one of `interfaces`: a set's members, or just itself."""
        return self.failover.get(interface, (interface,))

    def virtual_hosts_on(self, interface: str) -> tuple[VirtualHostConfig, ...]:
        return tuple(host for host in self.node.virtual_hosts if host.interface == interface)

    def sharing_on(self, interface: str) -> frozenset[int]:
        """The vhids on an interface that share an address with another one there."""
        return frozenset(
            host.vhid
            for host in self.virtual_hosts_on(interface)
            if any(self.node.balances(interface, address) for address in host.addresses)
        )


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
        for port in config.ports(host.interface):
            _check_on(port, host, present[port], f"{config.source}: vhid {host.vhid}")


def _check_on(
    port: str, host: VirtualHostConfig, own: Sequence[Interface] | None, where: str
) -> None:
    if own is None:
        raise UsageError(f"{where}: interface {port} does not exist on this machine")
    for address in host.addresses:
        problem = _segment_problem(address, own, port)
        if problem:
            raise UsageError(f"{where}: address {address} {problem}")


def _segment_problem(address: Address, own: Sequence[Interface], interface: str) -> str | None:
    family = [entry for entry in own if entry.version == address.version]
    if any(entry.ip == address for entry in family):
        return f"is {interface}'s own, a virtual address belongs to no single host"
    # every segment has the link-local one, also before the interface has its address from it
    if address.is_link_local or any(address in entry.network for entry in family):
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
        arp_balance=_flag(table, "arp_balance"),
        extensions=_extensions(table),
    )
    name = _text(table, "name", socket.gethostname())
    if not _NAME.fullmatch(name):
        raise ValueError(f"name {name!r} is not made of letters, digits, '.', '_' and '-'")
    run_dir = Path(_text(table, "run_dir", str(DEFAULT_RUN_DIR)))
    if not run_dir.is_absolute():
        raise ValueError(f"run_dir {str(run_dir)!r} is not an absolute path")
    config = DaemonConfig(source, name, run_dir, node, _hooks(table), _failover(table))
    _check_ports(config)
    return config


def _extensions(table: Mapping[str, Any]) -> Extensions:
    settled = table.get("demote_until_settled")
    known = [choice.value for choice in Settled]
    if settled is not None and settled not in known:
        raise ValueError(f"demote_until_settled {settled!r} is not one of {', '.join(known)}")
    return Extensions(
        link_up_delay_s=_seconds(table, "link_up_delay"),
        demote_until_settled=None if settled is None else Settled(settled),
        bulk_hold_s=_seconds(table, "bulk_hold"),
        demotion_first=_flag(table, "demotion_first"),
    )


def _hooks(table: Mapping[str, Any]) -> dict[str, Command]:
    keys = {state.value: f"on_{state.value.lower()}" for state in State}
    return {state: _command(table, key) for state, key in keys.items() if key in table}


def _command(table: Mapping[str, Any], key: str) -> Command:
    command = _texts(table, key)
    if any("\0" in word for word in command):
        raise ValueError(f"{key} {list(command)!r} has a NUL in it")
    return command


def _failover(table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    sets = table.get("failover", [])
    if not isinstance(sets, list):
        raise ValueError("failover: not a list of tables, each starts with [[failover]]")
    found: dict[str, tuple[str, ...]] = {}
    for number, entry in enumerate(sets, 1):
        try:
            name, interfaces = _failover_set(entry)
            if name in found:
                raise ValueError(f"the name {name!r} is taken already")
        except ValueError as error:
            raise ValueError(f"failover {number}: {error}") from None
        found[name] = interfaces
    return found


def _failover_set(entry: object) -> tuple[str, tuple[str, ...]]:
    if not isinstance(entry, dict):
        raise ValueError("not a table")
    _refuse_unknown_keys(entry, _FAILOVER_KEYS)
    return _text(entry, "name"), _texts(entry, "interfaces")


def _check_ports(config: DaemonConfig) -> None:
    """Each set carries virtual hosts, and no interface works for two."""
    for name in config.failover:
        if name not in config.interfaces:
            raise ValueError(f"failover set {name} carries no virtual host")
    users: dict[str, str] = {}
    for interface in config.interfaces:
        for port in config.ports(interface):
            if port in users:
                raise ValueError(
                    f"interface {port} is used twice, in {users[port]} and in {interface}: "
                    "a virtual host over a failover set names the set as its interface"
                )
            users[port] = interface


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
        groups=_texts(entry, "groups", ("carp",)),
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


def _texts(
    table: Mapping[str, Any], key: str, default: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    values = _required(table, key, default)
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError(f"{key} {values!r} is not a list of texts in quotes")
    for value in values:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{key}: {value!r} is not a text in quotes")
    return tuple(values)


def _seconds(table: Mapping[str, Any], key: str) -> float:
    value = table.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{key} {value!r} is not a number of seconds from 0 on")
    return float(value)


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

"""carpd's configuration for a firewall of the emulated network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from carplab.emulation.conntrackd_config import hooks
from carplab.network import FailoverSet, Interface, Router, VirtualHost, interface_name

DEFAULT_GROUPS = VirtualHost(1, ()).groups


def render(router: Router, run_dir: Path) -> str:
    """Return the TOML text for `router`'s carpd, which keeps its socket and state in `run_dir`.

    What is at its default is left out.
    """
    head = [
        f"name = {_text(router.name)}",
        f"dialect = {_text(router.dialect)}",
        f"preempt = {_boolean(router.preempt)}",
        f"run_dir = {_text(str(run_dir))}",
        *_extras(router, run_dir),
    ]
    tables = [_failover_set(router, each) for each in router.failover_sets]
    tables += [
        _virtual_host(router, interface, virtual_host)
        for interface in router.interfaces
        for virtual_host in interface.virtual_hosts
    ]
    return "\n".join([*head, *tables]) + "\n"


def at_home(name: str, run_dir: Path, text: str) -> str:
    """Return a configuration written by hand with `name` and `run_dir` as the emulation needs."""
    head, *tables = re.split(r"^(?=\[)", text, maxsplit=1, flags=re.MULTILINE)
    kept = [line for line in head.splitlines() if not re.match(r"\s*(name|run_dir)\s*=", line)]
    ours = [f"name = {_text(name)}", f"run_dir = {_text(str(run_dir))}"]
    return "\n".join([*ours, *kept, *tables])


def _extras(router: Router, run_dir: Path) -> list[str]:
    extensions = router.extensions
    settled = extensions.demote_until_settled
    extras = [
        ("arp_balance = true", router.arp_balance),
        (f"link_up_delay = {extensions.link_up_delay_s}", extensions.link_up_delay_s),
        (f"demote_until_settled = {_text(settled.value if settled else '')}", settled),
        (f"bulk_hold = {extensions.bulk_hold_s}", extensions.bulk_hold_s),
        ("demotion_first = true", extensions.demotion_first),
    ]
    lines = [line for line, wanted in extras if wanted]
    return lines + [f"{hook} = {_list(words)}" for hook, words in hooks(router, run_dir).items()]


def _failover_set(router: Router, failover_set: FailoverSet) -> str:
    interfaces = (
        interface_name(router.name, failover_set.segment, cable) for cable in failover_set.cables
    )
    return "\n".join(
        [
            "",
            "[[failover]]",
            f"name = {_text(failover_set.name)}",
            f"interfaces = {_list(interfaces)}",
        ]
    )


def _virtual_host(router: Router, interface: Interface, virtual_host: VirtualHost) -> str:
    lines = [
        "",
        "[[virtual_host]]",
        f"interface = {_text(router.carp_interface(interface))}",
        f"vhid = {virtual_host.vhid}",
        f"advbase = {virtual_host.advbase}",
        f"advskew = {virtual_host.advskew}",
        f"password = {_text(virtual_host.password)}",
        f"addresses = {_list(map(str, virtual_host.addresses))}",
    ]
    if virtual_host.groups != DEFAULT_GROUPS:
        lines.append(f"groups = {_list(virtual_host.groups)}")
    return "\n".join(lines)


def _text(value: str) -> str:
    # A JSON string is a TOML basic string too.
    return json.dumps(value)


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _boolean(value: bool) -> str:
    return "true" if value else "false"

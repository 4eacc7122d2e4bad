"""carpd's configuration for a firewall of the emulated network."""

from __future__ import annotations

import json
from pathlib import Path

from carplab.network import Interface, Router, VirtualHost, interface_name


def render(router: Router, run_dir: Path) -> str:
    """Return the TOML text for `router`'s carpd, which keeps its socket and state in `run_dir`."""
    head = [
        f"name = {_text(router.name)}",
        f"dialect = {_text(router.dialect)}",
        f"preempt = {_boolean(router.preempt)}",
        f"run_dir = {_text(str(run_dir))}",
    ]
    tables = [
        _virtual_host(router, interface, virtual_host)
        for interface in router.interfaces
        for virtual_host in interface.virtual_hosts
    ]
    return "\n".join([*head, *tables]) + "\n"


def _virtual_host(router: Router, interface: Interface, virtual_host: VirtualHost) -> str:
    addresses = ", ".join(_text(str(address)) for address in virtual_host.addresses)
    return "\n".join(
        [
            "",
            "[[virtual_host]]",
            f"interface = {_text(interface_name(router.name, interface.segment))}",
            f"vhid = {virtual_host.vhid}",
            f"advbase = {virtual_host.advbase}",
            f"advskew = {virtual_host.advskew}",
            f"password = {_text(virtual_host.password)}",
            f"addresses = [{addresses}]",
        ]
    )


def _text(value: str) -> str:
    # A JSON string is a TOML basic string too.
    return json.dumps(value)


def _boolean(value: bool) -> str:
    return "true" if value else "false"

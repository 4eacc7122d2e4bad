"""conntrackd's configuration: what pfsync does on BSD, each firewall knows the other's connections.

Each firewall's conntrackd tells the other of every connection over the sync link (FTFW: with
acknowledgements and retransmissions). With nat=synced the other puts it into its kernel at once, as
pfsync does (DisableExternalCache). nat=committed is the common way, Debian's too (primary-backup.sh
in conntrackd's examples): the other keeps it in a cache outside of the kernel, and commits that
cache when it has become MASTER (-c).

That is late for a server that pushes. Until the commit, 10 to 20 ms and more, the kernel answers
what comes to the virtual address with a reset: 6 connections of 6 broke so within two promotions
with short timers. Neither nf_conntrack_tcp_be_liberal mends it (it has but out-of-window segments
of a known connection pass, and here none is known) nor a request for all connections before the
promotion (-n): they are in the cache by then. Dropping such packets does, and TCP sends them again:
:mod:`carplab.emulation.nat`. Even so 1 failback of 4 with one-second timers left a connection that
was neither reset nor heard of again within 5 s, its cause not found; with tcp_loose=no 0 of 2 did.

Of that script's other steps a firewall that becomes MASTER takes two: conntrackd has to be told to
look at the kernel's table (-R), since it passes over the connections that it put there itself, and
then to send them all (-B). Without that, a firewall that boots, and asks for all connections
(StartupResync), would not hear of those that the other one has taken over. Left out is the flush of
caches: with nat=synced there are none, and conntrackd refuses it while it commits. What a BACKUP
does there, to shorten its kernel's timeouts (-t) and to ask for all connections (-n), is for
nat=committed only: with nat=synced its kernel's connections are the other firewall's.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from carplab.errors import UsageError
from carplab.network import (
    COMMITTED_NAT,
    SYNC,
    SYNCED_NAT,
    InterfaceAddress,
    Network,
    Router,
    interface_name,
)

PORT = 3780
_STEPS = {
    SYNCED_NAT: {"on_master": "RB"},
    COMMITTED_NAT: {"on_master": "cRB", "on_backup": "tn"},
}


def configuration_file(router: Router, run_dir: Path) -> Path:
    """Return where this firewall's conntrackd is configured."""
    return run_dir / f"{router.name}-conntrackd.conf"


def hooks(router: Router, run_dir: Path) -> dict[str, list[str]]:
    """Return the commands that this firewall's carpd runs at a change of state, by their setting.

    What each letter asks conntrackd to do is in conntrackd(8).
    """
    client = f"conntrackd -C {shlex.quote(str(configuration_file(router, run_dir)))}"
    return {
        hook: ["sh", "-c", " && ".join(f"{client} -{letter}" for letter in letters)]
        for hook, letters in _STEPS.get(router.nat, {}).items()
    }


def check_sync_section(text: str, source: str) -> None:
    """Refuse what is more or less than a section Sync, with a UsageError that names `source`.

    The section General is the emulation's: conntrackd writes as root to the files it names.
    """
    sections, depth = [], 0
    for line in text.splitlines():
        line = line.partition("#")[0]
        if depth == 0 and line.strip():
            sections.append(line.split()[0])
        depth += line.count("{") - line.count("}")
        if depth < 0 or re.search(r"}\s*[^\s}]", line):
            raise UsageError(f"{source}: a brace too many, or something behind one: {line.strip()}")
    if [word.rstrip("{") for word in sections] != ["Sync"] or depth:
        raise UsageError(f"{source}: one whole section Sync {{ ... }} is expected, nothing else")


def render(network: Network, router: Router, run_dir: Path, sync: str = "") -> str:
    """Return the configuration of this firewall's conntrackd (conntrackd.conf(5)).

    `sync` is its section Sync, if it is to be another than the one that goes with the network.
    """
    section = sync.strip() or _sync_section(network, router)
    return f"{section}\n{_general_section(network, router, run_dir)}"


def _sync_section(network: Network, router: Router) -> str:
    own, other = _sync_addresses(network, router)
    return f"""\
Sync {{
    Mode FTFW {{
        StartupResync yes
        DisableExternalCache {"yes" if router.nat == SYNCED_NAT else "no"}
    }}
    UDP {{
        IPv{own.version}_address {own.ip}
        IPv{own.version}_Destination_Address {other.ip}
        Port {PORT}
        Interface {interface_name(router.name, SYNC)}
        Checksum on
    }}
}}"""


def _sync_addresses(network: Network, router: Router) -> tuple[InterfaceAddress, InterfaceAddress]:
    """Return this firewall's address on the sync link, and the other one's."""
    link = next(link for link in network.links if link.name == SYNC)
    own = next(address for name, address in link.ends if name == router.name)
    other = next(address for name, address in link.ends if name != router.name)
    return own, other


def _general_section(network: Network, router: Router, run_dir: Path) -> str:
    """Return where it keeps its files, and which connections it tells of.

    The firewall's own connections stay with it: those from its addresses, and those on the link
    itself, which would make news without end.
    """
    own, other = _sync_addresses(network, router)
    own_addresses = [each.ip for interface in router.interfaces for each in interface.addresses]
    ignored = "\n".join(
        f"            IPv{address.version}_address {address}"
        for address in (own.ip, other.ip, *own_addresses)
    )
    base = run_dir / f"{router.name}-conntrackd"
    return f"""\
General {{
    Systemd no
    HashSize 1024
    HashLimit 65536
    LogFile {base}.log
    LockFile {base}.lock
    UNIX {{
        Path {base}.sock
    }}
    NetlinkBufferSize 2097152
    NetlinkBufferSizeMaxGrowth 8388608
    Filter From Userspace {{
        Protocol Accept {{
            TCP
            UDP
            ICMP
            IPv6-ICMP
        }}
        Address Ignore {{
{ignored}
        }}
    }}
}}
"""

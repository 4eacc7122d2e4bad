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

import shlex
from pathlib import Path

from carplab.network import COMMITTED_NAT, SYNC, SYNCED_NAT, Network, Router, interface_name

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


def render(network: Network, router: Router, run_dir: Path) -> str:
    """Return the configuration of this firewall's conntrackd (conntrackd.conf(5)).

    The firewall's own connections stay with it: those from its addresses, and those on the link
    itself, which would make news without end.
    """
    link = next(link for link in network.links if link.name == SYNC)
    own = next(address for name, address in link.ends if name == router.name)
    other = next(address for name, address in link.ends if name != router.name)
    own_addresses = [each.ip for interface in router.interfaces for each in interface.addresses]
    ignored = "\n".join(
        f"            IPv{address.version}_address {address}"
        for address in (own.ip, other.ip, *own_addresses)
    )
    base = run_dir / f"{router.name}-conntrackd"
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
}}
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

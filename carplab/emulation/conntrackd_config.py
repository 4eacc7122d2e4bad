"""conntrackd's configuration: what pfsync does on BSD, each firewall knows the other's connections.

Each firewall's conntrackd tells the other of every connection over the sync link (FTFW: with
acknowledgements and retransmissions), and the other puts it into its kernel at once, as pfsync
does (DisableExternalCache). The common way, Debian's too (primary-backup.sh in conntrackd's
examples), keeps it in a cache outside of the kernel, and a firewall commits that cache when it has
become MASTER. That comes too late for a server that pushes: for the 10 to 20 ms until the commit
the firewall answers what comes to the virtual address with a reset. Where it had been down and
became MASTER outside before inside, 2 connections of 2 broke so.

Of that script's other steps a firewall that becomes MASTER takes two: conntrackd has to be told to
look at the kernel's table (-R), since it passes over the connections that it put there itself, and
then to send them all (-B). Without that, a firewall that boots, and asks for all connections
(StartupResync), would not hear of those that the other one has taken over. Left out are the flush
of caches, of which there are none, and what a BACKUP does there: what its request for all
connections would bring comes with the bulk send, its shortened timeouts are longer than a run.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from carplab.network import SYNC, Network, Router, interface_name

PORT = 3780


def configuration_file(router: Router, run_dir: Path) -> Path:
    """Return where this firewall's conntrackd is configured."""
    return run_dir / f"{router.name}-conntrackd.conf"


def announce_command(router: Router, run_dir: Path) -> list[str]:
    """Return what a firewall does that becomes MASTER: it now speaks for all connections."""
    client = f"conntrackd -C {shlex.quote(str(configuration_file(router, run_dir)))}"
    return ["sh", "-c", f"{client} -R && {client} -B"]


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
        DisableExternalCache yes
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

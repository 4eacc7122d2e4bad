"""Random loss on the way out of a network device, by nftables.

At the switch's side of the cable, on egress: there the host behind it sees nothing of what is lost,
not even with a packet socket. The kernel's netdev egress hook is needed, with `fwd` (Linux 5.17).
Each device gets a table of its own, named after this process, so that a later clean-up can tell
whose it was.

`drop` would be wrong: it tells the sender (ENOBUFS), and Open vSwitch's userspace datapath then
gives up the rest of the burst. With frames in bursts of 50, 30 % became 71 %. A frame that is
forwarded to a device which does not exist is gone as well, and the sender is told that it was sent.
"""

from __future__ import annotations

import os
import subprocess

from controllers.faults import RefusedError

TABLE_PREFIX = "carplab_loss_"
_TIMEOUT_S = 5.0
_NO_DEVICE = 2**31 - 1
"""The highest interface index, which the kernel gives to nobody: it counts them up from 1."""


def table_name(dpid: int, port: int) -> str:
    """The nftables table (family netdev) for a port's loss."""
    return f"{TABLE_PREFIX}{os.getpid()}_{dpid:x}_{port}"


def ruleset(table: str, device: str, percent: float) -> str:
    """The nft script that replaces the table by one which loses `percent` of what leaves `device`.

    numgen draws for each packet, in hundredths of a percent (nft(8)).
    """
    return f"""
        add table netdev {table}
        delete table netdev {table}
        table netdev {table} {{
            chain egress {{
                type filter hook egress device "{device}" priority 0; policy accept;
                numgen random mod 10000 < {round(percent * 100)} fwd to {_NO_DEVICE}
            }}
        }}
    """


def start(table: str, device: str, percent: float) -> None:
    """Begin to lose. Raises RefusedError (424) if nft is missing or does not do it."""
    _run_nft(ruleset(table, device, percent))


def stop(table: str) -> None:
    """End it; a table that is gone already is no error. Raises RefusedError (424)."""
    _run_nft(f"add table netdev {table}\ndelete table netdev {table}\n")


def _run_nft(script: str) -> None:
    try:
        done = subprocess.run(
            ["nft", "-f", "-"], input=script, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except FileNotFoundError:
        raise RefusedError(
            424, "Loss needs nft, which is not installed (package nftables)."
        ) from None
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise RefusedError(424, f"nft could not be run: {problem}.") from None
    if done.returncode != 0:
        complaint = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise RefusedError(424, f"nft refused the loss rule: {complaint}.")

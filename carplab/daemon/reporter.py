"""What happens, put into words: for the log on standard error, and for the event log."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

from carplab.carp.actions import (
    DemotionChanged,
    Heard,
    Rejected,
    SendAdvertisement,
    Transition,
    VirtualHostKey,
)
from carplab.carp.frames import ArpRequest
from carplab.carp.packet import Advertisement
from carplab.daemon.events import EventLog
from carplab.daemon.hooks import HookResult


def log(sentence: str) -> None:
    """One line on standard error. That nobody reads it is no reason to stop."""
    with contextlib.suppress(OSError):
        print(f"carpd: {sentence}", file=sys.stderr, flush=True)


class Reporter:
    """Writes what the core and the loop have to tell; the transitions in the BSD kernels' words."""

    def __init__(self) -> None:
        self.events = EventLog()

    def life(self, kind: str, sentence: str) -> None:
        """carpd starts or stops."""
        log(sentence)
        self.events.add(kind, time.monotonic(), reason=sentence)

    def error(self, where: VirtualHostKey | str, reason: str) -> None:
        """Something did not work on an interface or for a virtual host."""
        log(f"{where}: {reason}")
        key = {"interface": where} if isinstance(where, str) else _key(where)
        self.events.add("error", time.monotonic(), **key, reason=reason)

    def carrier(self, interface: str, up: bool, at_s: float) -> None:
        self.events.add("carrier", at_s, interface=interface, new="up" if up else "down")

    def port(self, interface: str, port: str) -> None:
        """A failover set works through another port."""
        log(f"{interface} works through {port}")
        self.events.add("port", time.monotonic(), interface=interface, new=port)

    def hook(self, result: HookResult) -> None:
        """A command of the user's is over, or could not start."""
        command = " ".join(result.command)
        if result.exit_code != 0:
            why = f" ({result.reason})" if result.reason else ""
            log(f"{result.key}: `{command}` ended with {result.exit_code}{why}")
        self.events.add(
            "hook",
            time.monotonic(),
            **_key(result.key),
            command=command,
            exit_code=result.exit_code,
            length_ms=round(1000 * result.length_s, 3),
            reason=result.reason,
        )

    def arp(self, key: VirtualHostKey, request: ArpRequest, at_s: float) -> None:
        """We answered an ARP request for a shared address."""
        self.events.add(
            "arp",
            at_s,
            **_key(key),
            requester=str(request.requester),
            target=str(request.target),
        )

    def sent(self, action: SendAdvertisement, ok: bool, at_s: float) -> None:
        self.events.add(
            "sent",
            at_s,
            **_key(action.key),
            family=action.family,
            ok=ok,
            **_intervals(action.advertisement),
        )

    def noted(self, action: Transition | DemotionChanged | Heard | Rejected) -> None:
        """One of the core's actions that are for the log only."""
        if isinstance(action, Transition):
            self._transition(action)
        elif isinstance(action, DemotionChanged):
            self._demotion(action)
        elif isinstance(action, Heard):
            self._heard(action)
        else:
            source = None if action.source is None else str(action.source)
            self.events.add_rejected(action.interface, source, action.statistic, action.at_s)

    def _transition(self, action: Transition) -> None:
        log(f"{action.key}: {action.old} -> {action.new} ({action.reason})")
        self.events.add(
            "transition",
            action.at_s,
            **_key(action.key),
            old=action.old,
            new=action.new,
            reason=action.reason,
        )

    def _demotion(self, action: DemotionChanged) -> None:
        log(f"demotion of {action.group}: {action.old} -> {action.new} ({action.reason})")
        self.events.add(
            "demotion",
            action.at_s,
            group=action.group,
            old=action.old,
            new=action.new,
            reason=action.reason,
        )

    def _heard(self, action: Heard) -> None:
        self.events.add(
            "heard",
            action.at_s,
            **_key(action.key),
            source=str(action.source),
            **_intervals(action.advertisement),
        )


def _key(key: VirtualHostKey) -> dict[str, Any]:
    return {"interface": key.interface, "vhid": key.vhid}


def _intervals(advertisement: Advertisement) -> dict[str, Any]:
    return {
        "advbase": advertisement.advbase,
        "advskew": advertisement.advskew,
        "demote": advertisement.demote,
    }

"""What a session says, as a session says it."""

from __future__ import annotations

from typing import Any


def virtual_host(router: str, segment: str, vhid: int, state: str, **other: Any) -> dict[str, Any]:
    """Return an entry of a status: of fw1 with advskew 0, of others 100."""
    return {
        "router": router,
        "segment": segment,
        "cable": 1,
        "vhid": vhid,
        "interface": f"{router}-{segment}",
        "state": state,
        "advbase": 1,
        "advskew": 0 if router == "fw1" else 100,
        "demotion": 0,
        "addresses": [f"10.0.{vhid}.1"],
        **other,
    }


def status(**other: Any) -> dict[str, Any]:
    """Return the status of a pair of which fw1 is MASTER everywhere."""
    return {
        "t_s": 12.5,
        "virtual_hosts": [
            virtual_host("fw1", "outside", 1, "MASTER"),
            virtual_host("fw1", "inside", 2, "MASTER"),
            virtual_host("fw2", "outside", 1, "BACKUP"),
            virtual_host("fw2", "inside", 2, "BACKUP"),
        ],
        "demotions": {"fw1": {"carp": 0}, "fw2": {"carp": 0}},
        "carpd": {"fw1": "running", "fw2": "running"},
        "faults": [],
        **other,
    }


def fault(number: int, kind: str, host: str, segment: str = "", cable: int = 1) -> dict[str, Any]:
    """Return an entry of a status's faults: there since second 2.5."""
    return {
        "id": number,
        "kind": kind,
        "host": host,
        "segment": segment,
        "cable": cable,
        "detail": kind,
        "since_t_s": 2.5,
    }


def event(kind: str, source: str, detail: str, segment: str = "") -> dict[str, Any]:
    """Return a message about an event at 8.2 s."""
    return {
        "kind": "event",
        "t_s": 8.2,
        "source": source,
        "event": kind,
        "segment": segment,
        "vhid": None,
        "detail": detail,
    }

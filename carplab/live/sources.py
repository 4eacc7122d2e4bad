"""Where the live view's messages come from: a session that runs, or a run that was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

Message = dict[str, Any]

LIVE, REPLAY = "live", "replay"


@dataclass(frozen=True)
class Scene:
    """What is shown: a network as plain data, who probes whom, and what its record says of it."""

    mode: str
    title: str
    network: dict[str, Any]
    client: str
    server: str
    folder: str
    settings: dict[str, Any] = field(default_factory=dict)
    end_s: float | None = None  #: of a recorded run
    may_change: bool = False  #: whether the page may start another network in its place

class Source(Protocol):
    """What a session's follower gets, with its clock. `messages` is read by one thread."""

    def scene(self) -> Scene:
        """Return what is shown."""
        ...

    def messages(self) -> Iterator[Message]:
        """Yield messages as they happen, those of `carplab.session`; ends with the source.

        `{"kind": "restart"}` says that what follows begins anew.
        """
        ...

    def now(self) -> tuple[float, float]:
        """Return the time that it is, in seconds of the record, and how fast it goes."""
        ...

    def close(self) -> None:
        """End `messages`, from another thread."""
        ...


def probed_hosts(network: dict[str, Any], client: str, server: str) -> tuple[str, str]:
    """Return client and server if the network has them, else its first and its last host."""
    names = [host["name"] for host in network["hosts"]]
    if client in names and server in names:
        return client, server
    return (names[0], names[-1]) if names else ("", "")

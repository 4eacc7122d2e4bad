"""A session that runs as the live view's source."""

from __future__ import annotations

import time
from collections.abc import Iterator

from carplab.live.sources import LIVE, Message, Scene, probed_hosts
from carplab.scenario import Traffic
from carplab.session.client import Session

TRAFFIC = Traffic()


class SessionSource:
    """Follows a session; `may_change` says whether it is ours to end."""

    def __init__(self, session: Session, may_change: bool) -> None:
        self._session = session
        about = session.describe()
        self._origin_s: float = about["origin_monotonic_s"]
        client, server = probed_hosts(about["network"], TRAFFIC.client, TRAFFIC.server)
        self._scene = Scene(
            LIVE, about["title"], about["network"], client, server, about["folder"],
            dict(about["settings"]), may_change=may_change,
        )  # fmt: skip

    def scene(self) -> Scene:
        """Return the session's network."""
        return self._scene

    def messages(self) -> Iterator[Message]:
        """Yield what the session tells its followers, until it ends."""
        return self._session.follow()

    def now(self) -> tuple[float, float]:
        """Return the session's time: its clock is this machine's."""
        return time.monotonic() - self._origin_s, 1.0

    def close(self) -> None:
        """Nothing to end: `messages` ends with the session, its reader with the program."""

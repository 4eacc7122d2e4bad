"""What this project adds to the protocol: ours, not BSD's, and off by default.

Each of them changes when a virtual host leaves INIT or when demotion is taken back, never what
stands on the wire: machines with and without them understand each other.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class Settled(enum.Enum):
    """When an interface whose link returned counts as restored, for its share of the demotion.

    HEARD alone has its price: a machine that is MASTER there with nobody to hear stays demoted, and
    two such machines, each on another segment, keep a split where demotion only slows them.
    """

    HEARD = "heard"  # a valid advertisement was heard there
    HEARD_OR_MASTER = "heard_or_master"  # or its virtual host is MASTER again


@dataclass(frozen=True, slots=True)
class Extensions:
    """Which extensions are on. Raises ValueError with one sentence that names the value."""

    # seconds from a link's coming up until its virtual hosts may leave INIT; the demotion for that
    # link stays as long. The first news of a link counts too: how long it was up is not known.
    link_up_delay_s: float = 0.0
    # keep the demotion for a lost link beyond its return; None: as the kernels, until it is up
    demote_until_settled: Settled | None = None
    # seconds for which the group "carp" is demoted from the start and from each link's return, as
    # pfsync does while it fetches all states; another return meanwhile starts the time anew
    bulk_hold_s: float = 0.0
    # when a link returns, lower the demotion before its virtual hosts leave INIT: the reverse of
    # the kernels' order
    demotion_first: bool = False

    def __post_init__(self) -> None:
        for name in ("link_up_delay_s", "bulk_hold_s"):
            seconds = getattr(self, name)
            if not 0 <= seconds < math.inf:
                raise ValueError(f"{name} {seconds} is not a number of seconds from 0 on")
        if self.demotion_first and self.demote_until_settled is not None:
            raise ValueError(
                "demotion_first lowers the demotion before an interface can settle: "
                "it excludes demote_until_settled"
            )

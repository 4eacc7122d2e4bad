"""What is measured: each series is one scenario, repeated with the fault's phases drawn anew.

Several claims may ask the same runs different questions: C2, C3 and C4 are about one cable pull.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from carplab.carp.dialect import DIALECTS
from carplab.errors import UsageError
from carplab.network import Network
from carplab.scenario import CRASH, LINK_DOWN, REBOOT, Fault, Scenario, Traffic, scenario
from carplab.settings import apply_settings
from topo.firewall_pair import firewall_pair

REPETITIONS = 10
FIRST_SEED = 2005001  # repetition k of every series has the seed 2005000 + k: the same phases

ALL = tuple(DIALECTS)
OPENBSD = ("openbsd-3.8", "openbsd")
AT_2005 = ("openbsd-3.8",)
SINCE_GROUPS = ("openbsd",)

PROBE_INTERVAL_S = 0.005
PING_INTERVAL_S = 0.1
# What a run takes beside its scenario, seen: with switches that forward at once, with spanning tree
# (which settles at a short forward delay), with a bulk update at the start.
STARTUP_S = 8.0
STARTUP_STP_S = 15.0
STARTUP_HELD_S = 45.0


@dataclass(frozen=True)
class Series:
    """One scenario: `fault` of `host` (its cable to `segment`) in a network of this `design`.

    `broken_s` and `after_s` are the least there is of the time before and after the repair: phases
    move the fault and the repair by up to two advertisement intervals.
    """

    name: str
    settings: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ALL
    fault: str = LINK_DOWN
    host: str = "fw1"
    segment: str = "outside"
    design: str = "single"
    family: str = "ipv4"
    firewalls: int = 2
    before_s: float = 2.0
    broken_s: float = 6.0
    after_s: float = 7.0
    stream: str | None = None
    startup_s: float = STARTUP_S

    @property
    def duration_s(self) -> float:
        """The measured time."""
        return self.before_s + self.broken_s + self.after_s

    def network(self, dialect: str, settings: tuple[str, ...] = ()) -> Network:
        """Return its network, with further settings after its own."""
        network = firewall_pair(self.firewalls, design=self.design, family=self.family)
        return apply_settings(network, [f"dialect={dialect}", *self.settings, *settings])

    def scenario(self, experiment: str, dialect: str, settings: tuple[str, ...] = ()) -> Scenario:
        """Return its scenario; UsageError for a dialect that cannot do this."""
        if dialect not in self.dialects and dialect in ALL:
            raise UsageError(
                f"this condition is not there for {dialect}: take {' or '.join(self.dialects)}"
            )
        network = self.network(dialect, settings)
        segment = self.segment if self.fault == LINK_DOWN else ""
        fault = Fault(self.fault, self.host, self.before_s, self.broken_s, segment)
        traffic = Traffic(
            probe_interval_s=PROBE_INTERVAL_S,
            ping_interval_s=PING_INTERVAL_S,
            iperf=None,
            stream=self.stream,
            flows=_further_flows(network),
        )
        return scenario(experiment, network, [fault], self.duration_s, traffic)


def _further_flows(network: Network) -> tuple[tuple[str, str], ...]:
    """Return every pair of a client and a server but the first."""
    clients = [host.name for host in network.hosts if host.segment == "inside"]
    servers = [host.name for host in network.hosts if host.segment == "outside"]
    return tuple((client, server) for client in clients for server in servers)[1:]


_BASE = Series("")
# What is lost while a BACKUP waits to become MASTER, TCP sends again up to 6.2 s after the fault.
_STREAM = replace(
    _BASE, dialects=AT_2005, fault=CRASH, stream="server", before_s=3.0, broken_s=11.0, after_s=9.0
)
_NAT = replace(_STREAM, dialects=OPENBSD)
# A port that spanning tree holds back for 30 s after its link is up, and the recovery after that.
_BLOCKED = replace(_BASE, after_s=38.0, startup_s=STARTUP_STP_S)
_HELD = replace(_BASE, after_s=42.0, startup_s=STARTUP_HELD_S)
# An advbase of 10: a fault up to 20 s late, 30.4 s for the BACKUP, a repair up to 20.8 s late.
_SLOW = replace(_BASE, dialects=SINCE_GROUPS, broken_s=52.0, after_s=62.0, startup_s=45.0)
_GROUPED = replace(_BASE, broken_s=7.0)  # the last cable's advskew is 150
_CURE = replace(_BLOCKED, dialects=OPENBSD)
_STP = "segment.outside=stp"
_LOOSE, _STRICT = "tcp_loose=yes", "tcp_loose=no"

SERIES = (
    replace(_NAT, name="c0-static-crash", settings=("nat=static",)),
    replace(_NAT, name="c0-static-cable", settings=("nat=static",), fault=LINK_DOWN),
    replace(_NAT, name="c0-committed-crash", settings=("nat=committed",)),
    replace(_NAT, name="c0-committed-cable", settings=("nat=committed",), fault=LINK_DOWN),
    replace(_NAT, name="c0-synced-crash", settings=("nat=synced",)),
    replace(_NAT, name="c0-synced-cable", settings=("nat=synced",), fault=LINK_DOWN),
    replace(_NAT, name="c0-none-crash", settings=("nat=none",)),
    replace(_NAT, name="c0-none-cable", settings=("nat=none",), fault=LINK_DOWN),
    replace(_STREAM, name="c0-server-strict", settings=("nat=static", _STRICT)),
    replace(_STREAM, name="c0-client-loose", settings=("nat=static", _LOOSE), stream="client"),
    replace(_STREAM, name="c0-client-strict", settings=("nat=static", _STRICT), stream="client"),
    replace(_STREAM, name="c0-echo-loose", settings=("nat=static", _LOOSE), stream="echo"),
    replace(_STREAM, name="c0-echo-strict", settings=("nat=static", _STRICT), stream="echo"),
    replace(_BASE, name="c1-crash", fault=CRASH),
    replace(_BASE, name="c1-reboot", fault=REBOOT),
    replace(_BLOCKED, name="c1-crash-stp", settings=(_STP,), dialects=OPENBSD, fault=CRASH),
    replace(_BASE, name="c2-inside", segment="inside"),
    replace(_BASE, name="c2-ipv6", dialects=OPENBSD, family="ipv6"),
    replace(_BASE, name="c2-both-families", dialects=OPENBSD, family="both"),
    replace(
        _BASE,
        name="c2-three-firewalls",
        dialects=OPENBSD,
        firewalls=3,
        broken_s=7.0,
        after_s=8.0,
    ),
    replace(_BASE, name="c3-plain"),
    replace(_BLOCKED, name="c3-stp", settings=(_STP,)),
    replace(_BASE, name="c3-stp-edge", settings=("segment.outside=stp-edge",)),
    replace(_CURE, name="c3-ryu-stp", settings=("segment.outside=ryu-stp",)),
    replace(_CURE, name="c3-loop", settings=("segment.outside=loop",)),
    replace(_BASE, name="c3-snooping", settings=("segment.outside=snooping",)),
    replace(_BASE, name="c3-snooping-strict", settings=("segment.outside=snooping-strict",)),
    replace(
        _BASE,
        name="c3-snooping-strict-fw2",
        dialects=OPENBSD,
        settings=("segment.outside=snooping-strict",),
        host="fw2",
        after_s=38.0,
    ),
    replace(_BASE, name="c3-demotion-first", settings=("demotion_first=yes",)),
    replace(_HELD, name="c3-bulk-hold", settings=("bulk_hold=30",)),
    replace(_HELD, name="c3-bulk-hold-stp", settings=("bulk_hold=30", _STP), dialects=OPENBSD),
    replace(_SLOW, name="c3-advbase-10", settings=("outside.advbase=10",)),
    replace(_SLOW, name="c3-advbase-10-stp", settings=("outside.advbase=10", _STP)),
    replace(_BASE, name="c5-plain", dialects=OPENBSD, design="balanced"),
    replace(_CURE, name="c5-stp", settings=(_STP,), design="balanced"),
    replace(_GROUPED, name="c6-demotion", dialects=SINCE_GROUPS, design="grouped-demotion"),
    replace(_GROUPED, name="c6-failover", design="grouped-failover"),
    replace(_GROUPED, name="c6-separate", design="grouped-separate"),
    replace(_CURE, name="cure-link-up-delay", settings=("link_up_delay=32", _STP), after_s=42.0),
    replace(_CURE, name="cure-heard", settings=("demote_until_settled=heard", _STP)),
    replace(
        _CURE, name="cure-heard-or-master", settings=("demote_until_settled=heard_or_master", _STP)
    ),
    replace(_CURE, name="cure-no-preempt", settings=("preempt=no", _STP)),
    replace(_CURE, name="cure-grouped-failover", settings=(_STP,), design="grouped-failover"),
    replace(
        _CURE,
        name="cure-grouped-failover-delay",
        settings=("link_up_delay=32", _STP),
        design="grouped-failover",
        after_s=42.0,
    ),
)
BY_NAME = {series.name: series for series in SERIES}

"""What differs between the generations of CARP, each difference one named decision.

`openbsd-3.8` is the protocol of 2005: OpenBSD 3.5 to 3.8 and the FreeBSD port of that code (FreeBSD
5.4 to 9, sys/netinet/ip_carp.c). `openbsd` is OpenBSD 3.9 and later (sys/netinet/ip_carp.c 1.270),
`freebsd` is FreeBSD 10 and later. Where a decision has no meaning in a dialect, its value there is
inert.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class DemotionEffect(enum.Enum):
    """What a host's demotion does to the advertisements of its virtual hosts."""

    SUPPRESS = "advskew becomes 240, or stays if higher, while the count is above 0"
    HEADER = "the count travels in the header, and a lower count wins whatever the interval"
    ADD_TO_SKEW = "the value is added to advskew, the sum clipped to 0..240"


class AddressOrder(enum.Enum):
    """The order in which the addresses enter the digest. IPv4 comes before IPv6 in both."""

    AS_ADDED = "in the order in which they were configured"
    ASCENDING = "from the smallest to the largest"


class CounterRule(enum.Enum):
    """What the 64-bit counter of an advertisement holds."""

    CONTINUE_HEARD = (
        "random each time until an advertisement was heard, then the heard one's successor"
    )
    COOKIE = (
        "a random value kept for good; an advertisement that carries it is one's own, looped back"
    )


class BalancingRule(enum.Enum):
    """Which of the virtual hosts that share an address answers an ARP request."""

    BY_ADDRESS = (
        "the requester's IPv4 address modulo the number of those that run here, in order of vhid"
    )
    # the kernel's hash is keyed with the password's digest; this plain one shares out as well, and
    # which host gets which requester can be told without the password
    BY_MAC = (
        "the XOR of the six bytes of the requester's MAC address modulo the number of those "
        "configured here, in order of vhid"
    )


@dataclass(frozen=True, slots=True)
class Dialect:
    """One generation of the protocol.

    Amounts of demotion are in the dialect's own unit: a count for `openbsd-3.8` and `openbsd`,
    1/256 s of advskew for `freebsd`.
    """

    name: str
    effect: DemotionEffect
    address_order: AddressOrder
    counter_rule: CounterRule
    # demotion by a lost carrier, once for each virtual host on the interface
    interface_down_demotion: int
    # demotion after three failed sends in a row, taken back after three good ones
    send_error_demotion: int
    # a demotion below 0 is kept, to let a host win against its configured advskew
    negative_demotion: bool
    # every MASTER advertises at once, True: at each change of the demotion, False: at a rise to 1
    advertise_every_change: bool
    # out of INIT with preempt on and nothing demoted, True: straight to MASTER, False: to BACKUP
    init_to_master: bool
    # a MASTER repeats its gratuitous ARP after this many further advertisements; 0: never
    repeat_announcement_after: int
    # advbase 0 is allowed: then the interval is advskew/256 s, at least 1/256 s
    advbase_zero: bool
    # link-local IPv6 addresses stay out of the digest that is sent; both forms are accepted
    digest_skips_link_local: bool
    # demotion counts for each interface group; False: there is the one group "carp"
    interface_groups: bool
    # how virtual hosts with the same address share the ARP requests; None: there is no such thing
    balancing: BalancingRule | None
    # a new MASTER announces the addresses it shares, too: every neighbour then turns to it, and the
    # balance is lost until their ARP entries expire
    announces_shared: bool

    def __repr__(self) -> str:
        return f"<Dialect {self.name}>"


OPENBSD_3_8 = Dialect(
    name="openbsd-3.8",
    effect=DemotionEffect.SUPPRESS,
    address_order=AddressOrder.AS_ADDED,
    counter_rule=CounterRule.CONTINUE_HEARD,
    interface_down_demotion=1,
    send_error_demotion=1,
    negative_demotion=False,
    advertise_every_change=False,
    init_to_master=True,
    repeat_announcement_after=0,
    advbase_zero=False,
    digest_skips_link_local=False,
    interface_groups=False,
    balancing=BalancingRule.BY_ADDRESS,
    announces_shared=True,
)

OPENBSD = Dialect(
    name="openbsd",
    effect=DemotionEffect.HEADER,
    address_order=AddressOrder.ASCENDING,
    counter_rule=CounterRule.COOKIE,
    interface_down_demotion=1,
    send_error_demotion=1,
    negative_demotion=False,
    advertise_every_change=False,
    init_to_master=False,
    repeat_announcement_after=2,
    advbase_zero=True,
    digest_skips_link_local=True,
    interface_groups=True,
    balancing=BalancingRule.BY_MAC,
    announces_shared=False,
)

FREEBSD = Dialect(
    name="freebsd",
    effect=DemotionEffect.ADD_TO_SKEW,
    address_order=AddressOrder.ASCENDING,
    counter_rule=CounterRule.CONTINUE_HEARD,
    interface_down_demotion=240,
    send_error_demotion=240,
    negative_demotion=True,
    advertise_every_change=True,
    init_to_master=False,
    repeat_announcement_after=0,
    advbase_zero=False,
    digest_skips_link_local=False,
    interface_groups=False,
    balancing=None,
    announces_shared=True,
)

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (OPENBSD_3_8, OPENBSD, FREEBSD)
}

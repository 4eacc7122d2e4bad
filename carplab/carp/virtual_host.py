"""One virtual host: everything that decides its state stands in this file.

Theory of operation
-------------------
A virtual host is in one of three states. In INIT it cannot run: its interface has no carrier, or
it was disabled. In BACKUP it listens, with a master-down timer for each address family; an
advertisement it defers to restarts the family's timer. In MASTER it advertises each interval, holds
the virtual addresses and receives for the virtual MAC.

    interval          advbase + advskew/256 s, with the demoted advskew where the dialect has one
    master-down time  3 x advbase + advskew/256 s, always with the configured advskew

All comparisons are between intervals, and the smaller one wins. OpenBSD since 3.9 compares demotion
counts first, and there the smaller count wins. A virtual host's demotion is the sum over its
interface groups; only OpenBSD since 3.9 has others than "carp".

A lost carrier moves a virtual host to INIT and then demotes its groups by its share, so that the
machine's other interfaces follow. When the link is back, it leaves INIT and then gives the share
back: the kernels' order, in every generation. The extensions change that, each on its own:

    link_up_delay_s       INIT, and the share with it, lasts longer than the link was down
    demote_until_settled  the share stays until something was heard on the interface again
    demotion_first        the share is given back before INIT is left, not after
    bulk_hold_s           the group "carp" is demoted for a while beside it: that is the node's

Two virtual hosts with one vhid on two interfaces of one segment hear each other as they hear
anybody: each has a counter, or a cookie, of its own, so neither takes the other for itself.

TRANSITIONS is the whole machine. Every change of state goes through VirtualHost._move(), which
looks it up there, logs it, and takes or releases the addresses. A cause that does not fit the state
raises TransitionError and leaves the virtual host as it was.

Times are seconds of any one monotonic clock and come in with each call: nothing here reads a clock.
Sources: FreeBSD sys/netinet/ip_carp.c of 2005 and of FreeBSD 10, OpenBSD sys/netinet/ip_carp.c
1.270.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from carplab.carp.actions import (
    Action,
    Announce,
    ReleaseAddresses,
    SendAdvertisement,
    TakeAddresses,
    Transition,
    VirtualHostKey,
)
from carplab.carp.dialect import AddressOrder, CounterRule, DemotionEffect, Dialect
from carplab.carp.extensions import Extensions, Settled
from carplab.carp.packet import (
    BOW_OUT,
    MAX_PASSWORD_BYTES,
    MULTICAST_GROUP,
    Address,
    Advertisement,
    ascending,
    digest,
    encode,
    interval_s,
    ipv4_first,
    master_down_s,
    timer_s,
    without_link_local,
)

SUPPRESSED_ADVSKEW = 240  # CARP_MAXSKEW: what a demoted host advertises
SEND_ERRORS_TO_DEMOTE = 3  # CARP_SENDAD_MAX_ERRORS
SENDS_TO_RECOVER = 3  # CARP_SENDAD_MIN_SUCCESS
DEFAULT_GROUP = "carp"  # the interface group of every virtual host that names no other
SETTLED = "interface settled"  # why a demotion ends that was kept beyond the link's return


class State(enum.Enum):
    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"

    def __repr__(self) -> str:
        return self.value


class Cause(enum.Enum):
    """Why a state changes; the values are the kernels' log words where they have some."""

    INITIALIZED = "initialization complete"
    PREEMPTING = "preempting"
    MASTER_TIMED_OUT = "master timed out"
    SLOWER_MASTER = "preempting a slower master"
    DEMOTED_MASTER = "preempting a more demoted master"
    MASTER_WILL_TIME_OUT = "master will time out"
    FASTER_HEARD = "more frequent advertisement received"
    LESS_DEMOTED_HEARD = "less demoted advertisement received"
    INTERFACE_DOWN = "hardware interface down"
    DISABLED = "disabled by the user"
    FORCED = "user requested"
    STOPPED = "shutting down"


TRANSITIONS: dict[tuple[State, Cause], State] = {
    (State.INIT, Cause.INITIALIZED): State.BACKUP,
    (State.INIT, Cause.PREEMPTING): State.MASTER,
    (State.BACKUP, Cause.MASTER_TIMED_OUT): State.MASTER,
    (State.BACKUP, Cause.SLOWER_MASTER): State.MASTER,
    (State.BACKUP, Cause.DEMOTED_MASTER): State.MASTER,
    (State.BACKUP, Cause.MASTER_WILL_TIME_OUT): State.MASTER,
    (State.BACKUP, Cause.FORCED): State.MASTER,
    (State.BACKUP, Cause.INTERFACE_DOWN): State.INIT,
    (State.BACKUP, Cause.DISABLED): State.INIT,
    (State.BACKUP, Cause.STOPPED): State.INIT,
    (State.MASTER, Cause.FASTER_HEARD): State.BACKUP,
    (State.MASTER, Cause.LESS_DEMOTED_HEARD): State.BACKUP,
    (State.MASTER, Cause.FORCED): State.BACKUP,
    (State.MASTER, Cause.INTERFACE_DOWN): State.INIT,
    (State.MASTER, Cause.DISABLED): State.INIT,
    (State.MASTER, Cause.STOPPED): State.INIT,
}


class TransitionError(Exception):
    """What was asked for does not fit the virtual host's present state; nothing was changed."""


@dataclass(frozen=True, slots=True)
class VirtualHostConfig:
    """One virtual host as configured.

    `interface` is the carpdev's name, `advbase` seconds, `advskew` 1/256 s. `addresses` are in the
    order in which they were added. `peers` are unicast destinations, at most one a family, instead
    of the group. `groups` are the interface groups whose demotion is the virtual host's own. Raises
    ValueError with one sentence that names the value.
    """

    interface: str
    vhid: int
    addresses: tuple[Address, ...]
    advbase: int = 1
    advskew: int = 0
    password: str = ""
    peers: tuple[Address, ...] = ()
    groups: tuple[str, ...] = (DEFAULT_GROUP,)

    def __post_init__(self) -> None:
        _require(1 <= self.vhid <= 255, f"vhid {self.vhid} is not in 1 to 255")
        _require(0 <= self.advbase <= 254, f"advbase {self.advbase} is not in 0 to 254")
        _require(0 <= self.advskew <= 254, f"advskew {self.advskew} is not in 0 to 254")
        size = len(self.password.encode())
        _require(
            size <= MAX_PASSWORD_BYTES,
            f"the password has {size} bytes, CARP takes at most {MAX_PASSWORD_BYTES}",
        )
        _require(bool(self.addresses), f"vhid {self.vhid} has no address")
        _require(
            len(set(self.addresses)) == len(self.addresses),
            f"vhid {self.vhid} has the same address twice",
        )
        families = [peer.version for peer in self.peers]
        _require(
            len(set(families)) == len(families), f"vhid {self.vhid} has two peers of one family"
        )
        _require(
            bool(self.groups) and all(self.groups),
            f"vhid {self.vhid} is in no group, or in one without a name",
        )
        _require(
            len(set(self.groups)) == len(self.groups),
            f"vhid {self.vhid} is in the same group twice",
        )

    @property
    def key(self) -> VirtualHostKey:
        return VirtualHostKey(self.interface, self.vhid)

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions of its addresses, ascending: it advertises over each of them."""
        return tuple(sorted({address.version for address in self.addresses}))

    def destination(self, family: int) -> Address:
        """Where its advertisements of one family go: the unicast peer, or the multicast group."""
        peers = [peer for peer in self.peers if peer.version == family]
        return peers[0] if peers else MULTICAST_GROUP[family]

    @property
    def master_down_s(self) -> float:
        """Seconds without an advertisement after which a BACKUP takes over."""
        return master_down_s(self.advbase, self.advskew)


class VirtualHost:
    """The state machine of one virtual host. Its Node gives it events and takes its actions.

    `announced` are those of its addresses that it announces as a new MASTER. `demotion` returns the
    present demotion of its groups, summed, `demote` changes that of each of them; `random_counter`
    returns a random 64-bit number; `emit` takes each action.
    """

    def __init__(
        self,
        config: VirtualHostConfig,
        announced: tuple[Address, ...],
        dialect: Dialect,
        preempt: bool,
        extensions: Extensions,
        demotion: Callable[[], int],
        demote: Callable[[int, str, float], None],
        random_counter: Callable[[], int],
        emit: Callable[[Action], None],
    ) -> None:
        self.config = config
        self.dialect = dialect
        self.state = State.INIT
        self.enabled = True
        # its interface has carrier, and no hold keeps it in INIT any more
        self.interface_up = False
        # its groups carry its share of the demotion, for its lost carrier
        self._suppressing = False
        self._announced = announced
        self._preempt = preempt
        self._extensions = extensions
        self._demotion = demotion
        self._demote = demote
        self._random_counter = random_counter
        self._emit = emit
        self._advertise_due: float | None = None
        self._master_down_due: dict[int, float] = {}
        self._counter: int | None = None
        self._announce_after = 0
        self._send_errors = 0
        self._good_sends = 0

    def __repr__(self) -> str:
        return f"<VirtualHost {self.config.key} {self.state!r}>"

    # What the digest covers

    def signs(self, advertisement: Advertisement) -> bool:
        """Whether the digest is right for this virtual host's password and addresses."""
        return any(
            hmac.compare_digest(
                digest(self.config.password, self.config.vhid, addresses, advertisement.counter),
                advertisement.digest,
            )
            for addresses in self._accepted_address_lists()
        )

    def is_own(self, advertisement: Advertisement) -> bool:
        """Whether a valid advertisement is one of ours that came back; only a cookie can tell."""
        return (
            self.dialect.counter_rule is CounterRule.COOKIE
            and advertisement.counter == self._counter
        )

    # Intervals, as the dialect demotes them

    @property
    def effective_advskew(self) -> int:
        """The advskew that is advertised and compared, in 1/256 s, demoted as the dialect does."""
        advskew, demotion = self.config.advskew, self._demotion()
        if self.dialect.effect is DemotionEffect.SUPPRESS and demotion > 0:
            return max(advskew, SUPPRESSED_ADVSKEW)
        if self.dialect.effect is DemotionEffect.ADD_TO_SKEW:
            return min(max(advskew + demotion, 0), SUPPRESSED_ADVSKEW)
        return advskew

    @property
    def interval_s(self) -> float:
        """Seconds between its advertisements, as it compares them with others'."""
        return interval_s(self.config.advbase, self.effective_advskew)

    # Drivers: calls

    def enable(self, now: float) -> None:
        """Let it run again after disable(). Raises TransitionError if it is enabled already."""
        if self.enabled:
            raise TransitionError(f"vhid {self.config.key} is up already")
        self.enabled = True
        self._leave_init(now)

    def disable(self, now: float) -> None:
        """Resign and stay in INIT. Raises TransitionError if it is disabled already."""
        if not self.enabled:
            raise TransitionError(f"vhid {self.config.key} is down already")
        self.enabled = False
        self._resign(Cause.DISABLED, now)
        if self.interface_up:
            self.lift_suppression("interface up", now)

    def stop(self, now: float) -> None:
        """Resign for good: the machine shuts down in an orderly way."""
        self._resign(Cause.STOPPED, now)

    def force(self, state: State, now: float) -> None:
        """Make a BACKUP the MASTER or the other way round; the protocol goes on from there."""
        if self.state is state:
            return
        self._require_fit(Cause.FORCED, state)
        if state is State.MASTER:
            self._become_master(Cause.FORCED, now)
        else:
            self._become_backup(Cause.FORCED, now)

    def advertise_if_master(self, now: float) -> None:
        """Advertise at once, outside the interval, and start the interval anew."""
        if self.state is State.MASTER:
            self._advertise(now)

    # Drivers: the interface

    def interface_came_up(self, now: float) -> None:
        """It may run. Out of INIT first, the demotion down after it: the kernels' order."""
        self.interface_up = True
        self._leave_init(now)
        # what does not run hears nothing and becomes nothing: it has nothing to wait for
        if self._extensions.demote_until_settled is None or self.state is State.INIT:
            self.lift_suppression("interface up", now)

    def interface_went_down(self, now: float) -> None:
        self.interface_up = False
        if self.state is not State.INIT:
            self._become_init(Cause.INTERFACE_DOWN, now)

    def interface_moved(self, now: float) -> None:
        """The interface is behind another switch port now: a MASTER tells the switches at once."""
        if self.state is State.MASTER:
            self._announce_after = self.dialect.repeat_announcement_after
            self._advertise(now, announcing=False)
            self._announce()

    def suppress(self, now: float) -> None:
        """Demote its groups for its lost carrier, unless they still are."""
        if not self._suppressing:
            self._suppressing = True
            self._demote(self.dialect.interface_down_demotion, "interface down", now)

    def lift_suppression(self, reason: str, now: float) -> None:
        """Take back what suppress() did, if it did."""
        if self._suppressing:
            self._suppressing = False
            self._demote(-self.dialect.interface_down_demotion, reason, now)

    # Drivers: an advertisement whose digest holds

    def hear(self, family: int, advertisement: Advertisement, now: float) -> None:
        if self.dialect.counter_rule is CounterRule.CONTINUE_HEARD:
            self._counter = advertisement.counter
        if self.state is State.MASTER:
            self._hear_as_master(advertisement, now)
        elif self.state is State.BACKUP:
            self._hear_as_backup(family, advertisement, now)

    # Drivers: timers

    def next_timer(self) -> float | None:
        """When handle_timer() is due, or None."""
        due = [*self._master_down_due.values()]
        if self._advertise_due is not None:
            due.append(self._advertise_due)
        return min(due, default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due at `now`; a call before that does nothing."""
        if self._advertise_due is not None and self._advertise_due <= now:
            self._advertise(now, due=self._advertise_due)
        elif any(due <= now for due in self._master_down_due.values()):
            self._become_master(Cause.MASTER_TIMED_OUT, now)

    # Drivers: the result of a send

    def sent(self, ok: bool, now: float) -> None:
        """Take note of a send's result: three failures in a row demote, three good ones restore."""
        if ok:
            self._send_went_well(now)
            return
        self._good_sends = 0
        self._send_errors += 1
        if self._send_errors == SEND_ERRORS_TO_DEMOTE:
            self._demote(self.dialect.send_error_demotion, "send error", now)

    # Decisions

    def _send_went_well(self, now: float) -> None:
        if self._send_errors < SEND_ERRORS_TO_DEMOTE:
            self._send_errors = 0
            return
        self._good_sends += 1
        if self._good_sends == SENDS_TO_RECOVER:
            self._send_errors = 0
            self._demote(-self.dialect.send_error_demotion, "send errors over", now)

    def _leave_init(self, now: float) -> None:
        if self.state is not State.INIT or not (self.enabled and self.interface_up):
            return
        if self.dialect.init_to_master and self._preempt and self._demotion() == 0:
            self._become_master(Cause.PREEMPTING, now)
        else:
            self._become_backup(Cause.INITIALIZED, now)

    def _hear_as_master(self, advertisement: Advertisement, now: float) -> None:
        theirs, ours = self._demotions(advertisement)
        if theirs < ours:
            self._become_backup(Cause.LESS_DEMOTED_HEARD, now)
        elif theirs == ours and advertisement.interval_s <= self.interval_s:
            self._become_backup(Cause.FASTER_HEARD, now)

    def _hear_as_backup(self, family: int, advertisement: Advertisement, now: float) -> None:
        theirs, ours = self._demotions(advertisement)
        slower = self.interval_s < advertisement.interval_s
        if self._preempt and slower and theirs >= ours:
            self._become_master(Cause.SLOWER_MASTER, now)
        elif theirs > ours:
            self._become_master(Cause.DEMOTED_MASTER, now)
        elif self._outlasts(advertisement):
            self._become_master(Cause.MASTER_WILL_TIME_OUT, now)
        else:
            self._master_down_due[family] = now + self.config.master_down_s

    def _demotions(self, advertisement: Advertisement) -> tuple[int, int]:
        """Their demotion count and ours, where the dialect compares them; else a draw."""
        if self.dialect.effect is DemotionEffect.HEADER:
            return advertisement.demote, self._advertised_demote()
        return 0, 0

    def _outlasts(self, advertisement: Advertisement) -> bool:
        """Whether the sender would time out before its own next advertisement."""
        patience_s = 3 * self.config.advbase + self.effective_advskew / 256
        return self.config.advbase > 0 and patience_s < advertisement.interval_s

    # Changes of state

    def _become_master(self, cause: Cause, now: float) -> None:
        self._move(cause, now)
        self._master_down_due.clear()
        self._announce_after = self.dialect.repeat_announcement_after
        self._advertise(now, announcing=False)
        self._emit(TakeAddresses(self.config.key))
        self._announce()
        if self._extensions.demote_until_settled is Settled.HEARD_OR_MASTER:
            self.lift_suppression(SETTLED, now)

    def _become_backup(self, cause: Cause, now: float) -> None:
        self._move(cause, now)
        self._advertise_due = None
        due = now + self.config.master_down_s
        self._master_down_due = dict.fromkeys(self.config.families, due)

    def _become_init(self, cause: Cause, now: float) -> None:
        self._move(cause, now)
        self._advertise_due = None
        self._master_down_due.clear()

    def _resign(self, cause: Cause, now: float) -> None:
        if self.state is State.INIT:
            return
        if self.state is State.MASTER:
            self._send(BOW_OUT, BOW_OUT)
        self._become_init(cause, now)

    def _require_fit(self, cause: Cause, new: State) -> None:
        if TRANSITIONS.get((self.state, cause)) is not new:
            raise TransitionError(
                f"vhid {self.config.key} is {self.state!r}, it cannot become {new!r}"
            )

    def _move(self, cause: Cause, now: float) -> None:
        old = self.state
        new = TRANSITIONS.get((old, cause))
        if new is None:
            raise TransitionError(f"vhid {self.config.key} is {old!r}: {cause.value} does not fit")
        self.state = new
        self._emit(Transition(self.config.key, old.value, new.value, cause.value, now))
        if old is State.MASTER:
            self._emit(ReleaseAddresses(self.config.key))

    # Sending

    def _advertise(self, now: float, due: float | None = None, announcing: bool = True) -> None:
        """Advertise, and count the next due time from `due`: from `now`, delays would add up."""
        self._send(self.config.advbase, self.effective_advskew)
        wait_s = timer_s(self.config.advbase, self.effective_advskew)
        next_due = (now if due is None else due) + wait_s
        # after a long stop the missed advertisements are not sent in a burst
        self._advertise_due = next_due if next_due > now else now + wait_s
        if announcing:
            self._repeat_announcement()

    def _repeat_announcement(self) -> None:
        if self._announce_after == 0:
            return
        self._announce_after -= 1
        if self._announce_after == 0:
            self._announce()

    def _announce(self) -> None:
        if self._announced:
            self._emit(Announce(self.config.key, self._announced))

    def _send(self, advbase: int, advskew: int) -> None:
        for family in self.config.families:
            advertisement = self._sign(advbase, advskew)
            self._emit(
                SendAdvertisement(
                    self.config.key,
                    family,
                    self.config.destination(family),
                    encode(advertisement),
                    advertisement,
                )
            )

    def _sign(self, advbase: int, advskew: int) -> Advertisement:
        counter = self._next_counter()
        mac = digest(self.config.password, self.config.vhid, self._sent_address_list(), counter)
        demote = self._advertised_demote()
        return Advertisement(self.config.vhid, advbase, advskew, counter, mac, demote)

    def _advertised_demote(self) -> int:
        if self.dialect.effect is DemotionEffect.HEADER:
            return min(self._demotion(), 255)
        return 0

    def _next_counter(self) -> int:
        if self.dialect.counter_rule is CounterRule.COOKIE:
            if self._counter is None:
                self._counter = self._random_counter()
            return self._counter
        if self._counter is None:
            return self._random_counter()
        self._counter = (self._counter + 1) % (1 << 64)
        return self._counter

    # Addresses in the digest

    def _sent_address_list(self) -> tuple[Address, ...]:
        addresses = self._ordered_addresses()
        return without_link_local(addresses) if self.dialect.digest_skips_link_local else addresses

    def _accepted_address_lists(self) -> Iterator[tuple[Address, ...]]:
        addresses = self._ordered_addresses()
        yield addresses
        if self.dialect.digest_skips_link_local and addresses != without_link_local(addresses):
            yield without_link_local(addresses)

    def _ordered_addresses(self) -> tuple[Address, ...]:
        if self.dialect.address_order is AddressOrder.ASCENDING:
            return ascending(self.config.addresses)
        return ipv4_first(self.config.addresses)


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)

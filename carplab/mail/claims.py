"""The claims of the mail, and the rule by which one run bears a claim out.

In our words; C0 to C6 in the order of the mail. A run that bears a claim out shows what the claim
says, whatever the condition: where a condition is a control, it should not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from carplab.errors import UsageError
from carplab.mail.facts import Facts
from carplab.mail.series import BY_NAME, Series

MARGIN_S = 0.1  #: what a failover may take beyond the protocol's longest time
SOON_S = 2.5  #: an interval of the slower MASTER (1.39 s), and a second more: "almost at once"
OUTAGE_S = 1.0  #: an outage that somebody notices
HEALS_S = (20.0, 40.0)  #: "approximately 30 seconds"

Judgement = tuple[bool, str]
"""Whether a run bears the claim out, and a sentence (without its full stop) that says why."""


@dataclass(frozen=True)
class Words:
    """What a verdict says when all runs bear the claim out, and when none does."""

    all: str = "reproduced"
    none: str = "not reproduced"


@dataclass(frozen=True)
class Claim:
    """One claim: `title` heads it, `sentence` states it, `rule` is what one run must show.

    `conditions`: the name of each condition, and the series in which it is looked at. `experiment`
    is the name under which `carplab run` has it.
    """

    id: str
    title: str
    sentence: str
    rule_text: str
    experiment: str
    rule: Callable[[Facts], Judgement]
    conditions: Mapping[str, str]
    words: Words = field(default_factory=Words)

    def series(self, condition: str) -> Series:
        """Return the series of a condition; UsageError naming those there are otherwise."""
        if condition not in self.conditions:
            raise UsageError(
                f"{self.experiment} has no condition {condition!r}: "
                f"there are {', '.join(self.conditions)}"
            )
        return BY_NAME[self.conditions[condition]]


# --- the rules ---


def stream_dies(facts: Facts) -> Judgement:
    """C0: nothing more is received on the connection while the MASTER is dead."""
    if facts.stream_broke == "fault":
        return True, f"the connection broke at the fault ({facts.stream_ended})"
    gap_s, broken_s = facts.stream_gap_fault_s, facts.broken_s
    if gap_s is None or broken_s is None:
        return False, f"the stream was not looked at ({facts.stream_ended or 'none was recorded'})"
    if gap_s >= broken_s:
        return True, f"nothing was received for {gap_s:.1f} s, until after the repair"
    said = f"the connection went on after {gap_s:.2f} s"
    if facts.stream_broke:
        said += f", and broke at the repair ({facts.stream_ended})"
    return False, said


def fails_over_and_back(facts: Facts) -> Judgement:
    """C1: the other host is MASTER everywhere in time, traffic flows, and all comes back."""
    if facts.detection_s is None or facts.theory_s is None or not facts.failed_over:
        return False, "the other host did not become MASTER everywhere"
    if facts.detection_s > facts.theory_s + MARGIN_S:
        return False, (
            f"the other host was MASTER after {facts.detection_s:.3f} s, "
            f"at most {facts.theory_s:.3f} s are due"
        )
    if not facts.flowed:
        return False, "traffic did not flow until the repair"
    if facts.recovery_s is None:
        return False, "the preferred host did not become MASTER everywhere again"
    return True, (
        f"the other host was MASTER after {facts.detection_s:.3f} s, "
        f"the preferred one again {facts.recovery_s:.3f} s after the repair"
    )


def fails_over_in_part(facts: Facts) -> Judgement:
    """C2: the pulled interface INIT, the others BACKUP, the other host MASTER, traffic flows."""
    if facts.pulled_state != "INIT" or facts.others_state != "BACKUP":
        return False, f"pulled interface {facts.pulled_state}, the other {facts.others_state}"
    if not facts.failed_over:
        return False, "the other host did not become MASTER everywhere"
    if not facts.flowed:
        return False, "traffic did not flow until the repair"
    return True, (
        "pulled interface INIT, the other BACKUP, the other host MASTER everywhere; "
        f"traffic flowed again after {facts.outage_fault_s or 0:.3f} s"
    )


def others_first(facts: Facts) -> Judgement:
    """C3: the other interface is MASTER again soon, the restored one does not serve."""
    back_s = facts.others_back_s
    if back_s is None or back_s > SOON_S:
        when = "never" if back_s is None else f"after {back_s:.2f} s"
        return False, f"the other interface was MASTER again {when}"
    split_s, outage_s = facts.split_repair_s or 0.0, facts.outage_repair_s or 0.0
    said = (
        f"the other interface was MASTER again after {back_s:.2f} s; "
        f"split {split_s:.2f} s, outage {outage_s:.2f} s"
    )
    return split_s > SOON_S and outage_s > OUTAGE_S, said


def heals_by_itself(facts: Facts) -> Judgement:
    """C4: what C3 describes is there, and ends by itself after some 30 s."""
    is_there, said = others_first(facts)
    if not is_there:
        return False, f"there was nothing to heal: {said}"
    low_s, high_s = HEALS_S
    end_s = facts.split_end_s
    if end_s is None or facts.split_open:
        return False, "the split went on until the end of the record"
    return low_s <= end_s <= high_s, f"the split was over {end_s:.2f} s after the repair"


def loses_nothing(facts: Facts) -> Judgement:
    """C5: no packet of any flow is lost."""
    lost = facts.packets_lost
    if lost is None:
        return False, "the probes recorded nothing"
    return lost == 0, f"{lost} of {facts.packets_sent} packets lost ({facts.flows_lost})"


def stays_master(facts: Facts) -> Judgement:
    """C6: the struck host stays MASTER of every segment."""
    said = f"an outage of {facts.outage_fault_s or 0:.3f} s at the fault"
    if facts.kept:
        return True, f"the struck host stayed MASTER, with {said}"
    return False, f"the struck host did not stay MASTER; {said}"


def avoids_the_split(facts: Facts) -> Judgement:
    """A cure: traffic flows when the repair comes, and goes on flowing, split or not."""
    if not facts.flowed:
        return False, "traffic did not flow until the repair"
    split_s, outage_s = facts.split_repair_s or 0.0, facts.outage_repair_s or 0.0
    said = f"after the repair a split of {split_s:.2f} s and an outage of {outage_s:.2f} s"
    return outage_s <= OUTAGE_S, said


# --- the claims ---

_PULLS = {
    "plain": "c3-plain",
    "stp": "c3-stp",
    "stp-edge": "c3-stp-edge",
    "ryu-stp": "c3-ryu-stp",
    "loop": "c3-loop",
    "snooping": "c3-snooping",
    "snooping-strict": "c3-snooping-strict",
    "snooping-strict-fw2": "c3-snooping-strict-fw2",
    "demotion-first": "c3-demotion-first",
    "bulk-hold": "c3-bulk-hold",
    "bulk-hold-stp": "c3-bulk-hold-stp",
    "advbase-10": "c3-advbase-10",
    "advbase-10-stp": "c3-advbase-10-stp",
}

CLAIMS = (
    Claim(
        "C0",
        "A connection through NAT dies with the MASTER",
        "When the MASTER dies, connections that were set up through its NAT break; plain routing "
        "does not have the problem.",
        "While the MASTER is away, nothing more is received on a TCP connection from the client to "
        "the server (in the main conditions the server is the one that sends).",
        "mail-c0-nat",
        stream_dies,
        {
            "static-crash": "c0-static-crash",
            "static-cable": "c0-static-cable",
            "synced-crash": "c0-synced-crash",
            "synced-cable": "c0-synced-cable",
            "committed-crash": "c0-committed-crash",
            "committed-cable": "c0-committed-cable",
            "none-crash": "c0-none-crash",
            "none-cable": "c0-none-cable",
            "server-strict": "c0-server-strict",
            "client-loose": "c0-client-loose",
            "client-strict": "c0-client-strict",
            "echo-loose": "c0-echo-loose",
            "echo-strict": "c0-echo-strict",
        },
    ),
    Claim(
        "C1",
        "A whole system that goes away fails over",
        "With one CARP host on each segment and preemption, failover works as expected when a "
        "whole system goes off line: by a crash, or by an administrator's reboot.",
        f"The other host is MASTER of every segment within the protocol's longest time and "
        f"{MARGIN_S:g} s, traffic flows when the repair comes, and after it the preferred host is "
        "MASTER of every segment again.",
        "mail-c1-offline",
        fails_over_and_back,
        {"crash": "c1-crash", "reboot": "c1-reboot", "crash-stp": "c1-crash-stp"},
    ),
    Claim(
        "C2",
        "One pulled cable moves the whole firewall",
        "When one interface of the MASTER loses its link, that one goes to INIT and the system's "
        "other one to BACKUP; traffic takes the way through the other system for as long as it "
        "lasts.",
        "When the repair comes, the pulled interface is INIT and the other one BACKUP, the other "
        "firewall is MASTER of both segments, and traffic flows.",
        "mail-c2-cable-pull",
        fails_over_in_part,
        {
            "outside": "c3-plain",
            "inside": "c2-inside",
            "outside-stp": "c3-stp",
            "ipv6": "c2-ipv6",
            "both-families": "c2-both-families",
            "three-firewalls": "c2-three-firewalls",
        },
    ),
    Claim(
        "C3",
        "Back in, the restored interface lags behind",
        "When the cable is back, the system's other interface is MASTER again almost at once, the "
        "restored one is not, it is BACKUP: the two segments have different MASTERs, and there "
        "is no way through.",
        f"The other interface is MASTER within {SOON_S:g} s after the repair, and a split of more "
        f"than {SOON_S:g} s with more than {OUTAGE_S:g} s of outage begins. What the restored "
        "interface shows meanwhile is told separately.",
        "mail-c3-restored",
        others_first,
        _PULLS,
    ),
    Claim(
        "C4",
        "It heals by itself after about thirty seconds",
        "That state ends by itself some 30 seconds later.",
        f"C3 holds, and the split is over between {HEALS_S[0]:g} and {HEALS_S[1]:g} s after the "
        "repair.",
        "mail-c4-thirty-seconds",
        heals_by_itself,
        _PULLS,
    ),
    Claim(
        "C5",
        "Balanced, nothing is lost",
        "With two CARP hosts on each segment and ARP balancing, the same partial failure gives a "
        "perfect failover and recovery, without a lost packet.",
        "No packet is lost in any of the flows, from each client to each server.",
        "mail-c5-balanced",
        loses_nothing,
        {"plain": "c5-plain", "stp": "c5-stp"},
    ),
    Claim(
        "C6",
        "Grouped interfaces keep their host MASTER",
        "Untested there: several physical interfaces in one group should keep their host MASTER "
        "even if one of them fails.",
        "From before the fault until the repair no other host is MASTER of anything.",
        "mail-c6-grouped",
        stays_master,
        {"demotion": "c6-demotion", "failover": "c6-failover", "separate": "c6-separate"},
    ),
    Claim(
        "cure",
        "Ways to avoid the split",
        "Not in the mail: what can be done about C3 and C4 where the switch runs spanning tree.",
        f"Traffic flows when the repair comes, and after it there is no outage of more than "
        f"{OUTAGE_S:g} s, in a split or without one.",
        "mail-cures",
        avoids_the_split,
        {
            "none": "c3-stp",
            "stp-edge": "c3-stp-edge",
            "link-up-delay": "cure-link-up-delay",
            "heard": "cure-heard",
            "heard-or-master": "cure-heard-or-master",
            "no-preempt": "cure-no-preempt",
            "balanced": "c5-stp",
            "grouped-failover": "cure-grouped-failover",
            "grouped-failover-delay": "cure-grouped-failover-delay",
        },
        Words("avoids it", "does not avoid it"),
    ),
)


def claim(identity: str) -> Claim:
    """Return the claim with this id."""
    return next(each for each in CLAIMS if each.id == identity)


def claims_of(series: str) -> Iterable[tuple[Claim, str]]:
    """Yield every claim, with the condition, that looks at a series."""
    for each in CLAIMS:
        for condition, name in each.conditions.items():
            if name == series:
                yield each, condition

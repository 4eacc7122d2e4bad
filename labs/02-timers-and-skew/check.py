"""Whether the timers keep the outage at a crash within the bounds that were drawn, and it is so."""

from __future__ import annotations

from collections.abc import Iterator

from carplab.labs.checking import Line, RunningLab

SEGMENTS = ("outside", "inside")
MEASURED_S = 0.1  # an outage is measured in packets 10 ms apart
BUSY_S = 0.6  # a busy machine takes over later, never sooner
AT_ONCE_S = 0.5


def check(lab: RunningLab) -> Iterator[Line]:
    wanted = {"outside": ["fw1"], "inside": ["fw1"]}
    settled = lab.wait_until(lambda: {each: lab.masters(each) for each in SEGMENTS} == wanted)
    masters = (f"{' and '.join(lab.masters(each)) or 'nobody'} on the {each}" for each in SEGMENTS)
    yield Line(
        settled,
        "fw1 is MASTER on both segments",
        f"MASTER is {', '.join(masters)}",
        "the interval of each: advbase + advskew/256; the shorter one is preferred",
    )
    if not settled:
        return
    shortest_s, longest_s = bounds(lab)
    least_s, most_s = float(lab.values["shortest_s"]), float(lab.values["longest_s"])
    yield Line(
        least_s <= shortest_s and longest_s <= most_s,
        "the timers keep the outage at a crash of fw1 within your bounds",
        f"they allow {shortest_s:.2f} to {longest_s:.2f} s, you have {least_s} to {most_s} s",
        "how long fw2 waits, and how much of that may have passed when fw1 crashes",
    )
    outage = lab.outage("crash", "fw1")
    yield Line(
        outage.ended and shortest_s - MEASURED_S <= outage.length_s <= longest_s + BUSY_S,
        "a crash of fw1 costs what the timers say",
        f"the outage was {outage}, the timers say {shortest_s:.2f} to {longest_s:.2f} s",
        "check again on a machine with less to do; carpd events on fw2 while it crashes",
    )
    shutdown = lab.outage("reboot", "fw1")
    yield Line(
        shutdown.ended and shutdown.length_s <= AT_ONCE_S,
        "a shutdown of fw1 costs next to nothing",
        f"the outage was {shutdown}",
        "the last advertisement that fw1 sends: carplab decode calls it a bow-out",
    )
    yield from predictions(lab, shortest_s, longest_s, shutdown.length_s)
    yield lab.answer(
        "shortest_wait_s",
        3.0,
        "question 1: the shortest wait with advbase 1",
        "the master-down time: 3 advbase + advskew/256",
        within=0.05,
        unit="s",
    )
    yield lab.answer(
        "smallest_advskew",
        1,
        "question 2: the smallest advskew of a BACKUP",
        "whom two firewalls prefer that advertise equally often",
    )


def bounds(lab: RunningLab) -> tuple[float, float]:
    """Return the shortest and longest outage at a crash of fw1 that the running timers allow.

    A packet and its answer need both segments, so what counts is the slower one of them.
    """
    ends = []
    for segment in SEGMENTS:
        (fw1,), (fw2,) = (lab.virtual_hosts(name, segment) for name in ("fw1", "fw2"))
        ends.append((fw2.master_down_s - fw1.interval_s, fw2.master_down_s))
    shortest, longest = zip(*ends, strict=True)
    return max(shortest), max(longest)


def predictions(
    lab: RunningLab, shortest_s: float, longest_s: float, shutdown_s: float
) -> Iterator[Line]:
    for key, right, what in (
        ("predicted_shortest_s", shortest_s, "the shortest outage at a crash"),
        ("predicted_longest_s", longest_s, "the longest outage at a crash"),
    ):
        yield lab.answer(
            key,
            right,
            f"prediction: {what}",
            "when fw1 last advertised before its crash, and how long fw2 waits after that",
            within=0.06,
            unit="s",
        )
    yield lab.answer(
        "predicted_shutdown_s",
        shutdown_s,
        "prediction: the outage at a shutdown",
        "what a firewall that is told to go says to the others",
        within=AT_ONCE_S,
        unit="s",
        measured=True,
    )

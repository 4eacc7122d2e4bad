"""carpd and Debian's ucarp on one segment, judged by the frames on the wire."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.daemon.lab import Capture, Lab, wait_for
from tests.daemon.ucarp import HEARS_LATE_S, Ucarp

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        shutil.which("ucarp", path="/usr/sbin:/usr/bin:/sbin:/bin") is None,
        reason="needs ucarp",
    ),
]

CARPD = "10.0.1.11"
UCARP = "10.0.1.12"
SLOW_INTERVAL_S = 1 + 100 / 256
SLOW_MASTER_DOWN_S = 3 + 100 / 256
# what a busy machine may add
LATE_S = 0.3


def first_after(capture: Capture, source: str, since_s: float, deadline_s: float = 8.0) -> float:
    """When `source` sent its first advertisement, other than a bow-out, after `since_s`."""

    def regular() -> list[float]:
        heard = capture.advertisements(since_s, source)
        return [at_s for at_s, advertisement in heard if not advertisement.is_bow_out]

    return wait_for(f"{source} is MASTER", regular, deadline_s)[0]


def last_of(capture: Capture, source: str) -> float:
    return capture.advertisements(source=source)[-1][0]


def wait_until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.monotonic()))


@pytest.mark.parametrize("dialect", ["openbsd-3.8", "openbsd", "freebsd"])
def test_carpd_is_the_preferred_master(lab: Lab, dialect: str) -> None:
    host, peer = lab.firewall(1), lab.firewall(2)
    capture = lab.capture(lab.client())
    carpd = lab.carpd(host, dialect=dialect)
    carpd.request("force", vhid=1, state="MASTER")
    ucarp = Ucarp(lab, peer, UCARP, advskew=100)
    ucarp.wait_for_log("Switching to state: BACKUP")
    started_s = time.monotonic()
    first_after(capture, CARPD, started_s)
    first_after(capture, CARPD, started_s + 1)

    # carpd resigns: ucarp believes its bow-out, and goes on counting where it ended
    carpd.end()
    ended_s = time.monotonic()
    taken_s = first_after(capture, UCARP, started_s)
    bow_out_s, bow_out = capture.advertisements(source=CARPD)[-1]
    assert bow_out.is_bow_out
    assert 0 <= taken_s - bow_out_s < HEARS_LATE_S + LATE_S
    counter = capture.advertisements(taken_s, UCARP)[0][1].counter
    assert counter == bow_out.counter + 1, "ucarp took up the counter: the digest held"

    # carpd returns: it believes ucarp, takes over, and ucarp steps down after one more
    again = lab.carpd(host, dialect=dialect)
    again.wait_for_state("MASTER")
    back_s = first_after(capture, CARPD, ended_s)
    ucarp.wait_for_log("Preferred master advertised: going back to BACKUP state")
    wait_until(last_of(capture, UCARP) + SLOW_INTERVAL_S + LATE_S)
    both_s = last_of(capture, UCARP) - back_s
    assert both_s < HEARS_LATE_S + LATE_S
    counters = [ad.counter for _, ad in capture.advertisements(back_s, CARPD)]
    heard_by_ucarp = [
        ad for _, ad in capture.advertisements(back_s, UCARP) if ad.counter - 1 in counters
    ]
    assert len(heard_by_ucarp) == 1, "one extra advertisement once it has heard carpd"
    assert again.statistics()["badauth"] == 0
    assert again.status()["state"] == "MASTER"
    assert "Bad digest" not in ucarp.log


def test_ucarp_is_the_preferred_master(lab: Lab) -> None:
    host, peer = lab.firewall(1), lab.firewall(2)
    capture = lab.capture(lab.client())
    ucarp = Ucarp(lab, peer, UCARP, advskew=0)
    ucarp.wait_for_log("Switching to state: MASTER")
    carpd = lab.carpd(host, dialect="freebsd", advskew=100)
    wait_for("carpd hears ucarp", lambda: len(carpd.events("heard")) >= 2)
    assert carpd.status()["state"] == "BACKUP"

    # ucarp ends without a bow-out: carpd waits for its master-down time, then takes over
    ucarp.end()
    ended_s = time.monotonic()
    taken_s = first_after(capture, CARPD, 0)
    assert abs(taken_s - last_of(capture, UCARP) - SLOW_MASTER_DOWN_S) < LATE_S
    assert carpd.events("transition")[-1]["reason"] == "master timed out"

    # ucarp returns and preempts: carpd steps down at its first advertisement
    again = Ucarp(lab, peer, UCARP, advskew=0)
    back_s = first_after(capture, UCARP, ended_s)
    carpd.wait_for_state("BACKUP")
    again.wait_for_log("Putting MASTER down - preemption")
    wait_until(back_s + SLOW_INTERVAL_S + LATE_S)
    assert last_of(capture, CARPD) - back_s < 0.05, "never two MASTERs"
    assert carpd.events("transition")[-1]["reason"] == "more frequent advertisement received"
    assert carpd.statistics()["badauth"] == 0
    assert "Bad digest" not in again.log


def test_with_different_passwords_both_are_master(lab: Lab) -> None:
    host, peer = lab.firewall(1), lab.firewall(2)
    capture = lab.capture(lab.client())
    ucarp = Ucarp(lab, peer, UCARP, advskew=100, password="other")
    carpd = lab.carpd(host)
    carpd.wait_for_state("MASTER")
    ucarp.wait_for_log("Bad digest")
    ucarp.wait_for_log("Switching to state: MASTER")
    wait_for("carpd counts bad digests", lambda: carpd.statistics()["badauth"] >= 2)
    since_s = last_of(capture, UCARP)
    first_after(capture, UCARP, since_s + 0.01)
    first_after(capture, CARPD, since_s)
    assert carpd.status()["state"] == "MASTER"
    assert carpd.events("heard") == []
    assert carpd.events("rejected")[0]["source"] == UCARP

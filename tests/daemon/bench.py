"""Measures carpd: as root, `python -m tests.daemon.bench [start] [failover] [ucarp]`.

Prints one line a figure: n, median and range. Nothing is judged here; the tests do that.
"""

from __future__ import annotations

import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.daemon.lab import Capture, Carpd, Lab, open_lab, wait_for
from tests.daemon.test_interop_ucarp import first_after, last_of
from tests.daemon.ucarp import Ucarp

FAST = {"dialect": "openbsd", "advbase": 0, "advskew": 25}
SLOW = {"dialect": "openbsd", "advbase": 0, "advskew": 50}


def main(chosen: Sequence[str]) -> None:
    benches: dict[str, Callable[[Lab], None]] = {
        "start": bench_start,
        "failover": bench_failover,
        "ucarp": bench_ucarp,
    }
    for name in chosen or benches:
        with tempfile.TemporaryDirectory() as folder, open_lab(Path(folder)) as lab:
            benches[name](lab)


def show(what: str, values_s: Sequence[float]) -> None:
    values = [1000 * value for value in values_s]
    print(
        f"{what}: n {len(values)}, median {statistics.median(values):.1f} ms "
        f"({min(values):.1f}-{max(values):.1f})",
        flush=True,
    )


def bench_start(lab: Lab, count: int = 20) -> None:
    """From the spawn of the process to its first advertisement on the wire."""
    host = lab.firewall(1)
    capture = lab.capture(lab.client())
    config = lab.configure(host)
    first_s, memory_mb = [], []
    for _ in range(count):
        carpd = lab.launch(host, config)
        first_s.append(first_after(capture, "10.0.1.11", carpd.started_s) - carpd.started_s)
        carpd.wait_until_running()
        memory_mb.append(resident_mb(carpd))
        carpd.end()
    show("start to first frame, one virtual host", first_s)
    print(f"resident memory: n {count}, median {statistics.median(memory_mb):.1f} MB", flush=True)


def resident_mb(carpd: Carpd) -> float:
    text = Path(f"/proc/{carpd.request('status')['pid']}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) / 1024


def arp_after(capture: Capture, since_s: float) -> float:
    def times() -> list[float]:
        return [f.at_s for f in tuple(capture.frames) if f.arp() and f.at_s >= since_s]

    return wait_for("a gratuitous ARP", times)[0]


def bench_failover(lab: Lab, count: int = 10) -> None:
    """From the bow-out, or the last advertisement before a SIGKILL, to the next MASTER's."""
    fw1, fw2, client = lab.firewall(1), lab.firewall(2), lab.client()
    capture = lab.capture(client)
    second = lab.carpd(fw2, **SLOW)
    bow_out_s: list[float] = []
    killed_s: list[float] = []
    announced_s: list[float] = []
    for number in (signal.SIGTERM, signal.SIGKILL) * count:
        first = lab.carpd(fw1, **FAST)
        first.wait_for_state("MASTER")
        second.wait_for_state("BACKUP")
        since_s = time.monotonic()
        first.end(number)
        taken_s = first_after(capture, "10.0.1.12", since_s)
        last_s = last_of(capture, "10.0.1.11")
        (bow_out_s if number is signal.SIGTERM else killed_s).append(taken_s - last_s)
        announced_s.append(arp_after(capture, taken_s) - taken_s)
    show("bow-out to the next MASTER's advertisement", bow_out_s)
    show("last advertisement before SIGKILL to the next MASTER's (due 585.9)", killed_s)
    show("advertisement to gratuitous ARP, addresses taken in between", announced_s)


def bench_ucarp(lab: Lab, count: int = 5) -> None:
    """carpd at advskew 0 beside ucarp at 100, and the other way round."""
    fw1, fw2, client = lab.firewall(1), lab.firewall(2), lab.client()
    capture = lab.capture(client)

    to_ucarp_s, both_s, extra = [], [], []
    ucarp = Ucarp(lab, fw2, "10.0.1.12", advskew=100)
    for _ in range(count):
        carpd = lab.carpd(fw1)
        since_s = carpd.started_s
        back_s = first_after(capture, "10.0.1.11", since_s)
        time.sleep(3)
        both = [ad for at_s, ad in capture.advertisements(back_s, "10.0.1.12")]
        if both:
            both_s.append(last_of(capture, "10.0.1.12") - back_s)
            extra.append(len(both))
        ended_s = time.monotonic()
        carpd.end()
        to_ucarp_s.append(
            first_after(capture, "10.0.1.12", ended_s) - last_of(capture, "10.0.1.11")
        )
        time.sleep(1)
    show("carpd's bow-out to ucarp's first advertisement", to_ucarp_s)
    show("carpd back: two MASTERs", both_s)
    print(f"ucarp's advertisements in that time: {extra}", flush=True)
    ucarp.end()

    to_carpd_s, back_both_s = [], []
    carpd = lab.carpd(fw1, dialect="freebsd", advskew=100)
    for _ in range(count):
        since_s = time.monotonic()
        ucarp = Ucarp(lab, fw2, "10.0.1.12", advskew=0)
        back_s = first_after(capture, "10.0.1.12", since_s)
        time.sleep(2.5)
        back_both_s.append(max(0.0, last_of(capture, "10.0.1.11") - back_s))
        ended_s = time.monotonic()
        ucarp.end()
        taken_s = first_after(capture, "10.0.1.11", ended_s)
        to_carpd_s.append(taken_s - last_of(capture, "10.0.1.12"))
    show("ucarp's last advertisement to carpd's first (due 3390.6)", to_carpd_s)
    show("ucarp back: two MASTERs", back_both_s)


if __name__ == "__main__":
    main(sys.argv[1:])

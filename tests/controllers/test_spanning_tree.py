"""Ryu's spanning tree on a real Open vSwitch."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.controllers.bench import (
    BRIDGE,
    BROADCAST,
    CARP_GROUP,
    DPID,
    REPOSITORY,
    VIRTUAL_MAC,
    Bench,
    Controller,
    Host,
    run,
    wait_for,
)

FORWARD_DELAY_S = 3  # not the one that a switch starts with


class States:
    """What the controller prints."""

    def __init__(self, controller: Controller) -> None:
        assert controller.process.stdout
        self._changes: queue.Queue[dict[str, Any]] = queue.Queue()
        lines = controller.process.stdout
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._changes.put(json.loads(line))

    def wait_for(self, host: Host, state: str) -> float:
        """Read on until the host's port is in this state; when that was."""
        while True:
            change = self._changes.get(timeout=3 * FORWARD_DELAY_S)
            if (change["port"], change["state"]) == (host.switch_port, state):
                return float(change["monotonic_s"])


def passes(sender: Host, receiver: Host, destination: str, source: str | None = None) -> bool:
    """Whether a frame gets through, sent again and again for 50 ms."""
    receiver.drain()
    end_s = time.monotonic() + 0.05
    while time.monotonic() < end_s:
        sender.send(destination, source, b"probe")
        if receiver.receive(0.003) == b"probe":
            return True
    return False


@pytest.mark.mininet
def test_port_that_comes_up_is_blocked_one_way_for_two_forward_delays() -> None:
    option = f"--spanning-tree={DPID}:{FORWARD_DELAY_S}"
    with Bench() as bench, Controller("ryu", option) as controller:
        a, b, c = bench.hosts
        run(f"ovs-vsctl set-controller {BRIDGE} tcp:127.0.0.1:{controller.ofp_port}")
        states = States(controller)
        states.wait_for(c, "forwarding")
        wait_for("a and c are heard", lambda: passes(a, b, BROADCAST) and passes(c, b, BROADCAST))
        assert passes(a, b, BROADCAST, source=VIRTUAL_MAC)
        wait_for("its frames go to it alone", lambda: not passes(b, c, VIRTUAL_MAC))

        run(f"ip link set {a.switch_port} down")
        a.wait_for_carrier(up=False)
        states.wait_for(a, "disabled")
        # Whoever takes the virtual MAC over is found: nothing of the lost port is remembered.
        assert passes(c, b, BROADCAST, source=VIRTUAL_MAC) and passes(b, c, VIRTUAL_MAC)

        run(f"ip link set {a.switch_port} up")
        a.wait_for_carrier(up=True)
        listening_s = states.wait_for(a, "listening")
        assert passes(b, a, CARP_GROUP) and not passes(a, b, CARP_GROUP)
        learning_s = states.wait_for(a, "learning")
        assert passes(b, a, CARP_GROUP) and not passes(a, b, CARP_GROUP)
        forwarding_s = states.wait_for(a, "forwarding")
        wait_for("a is heard", lambda: passes(a, b, CARP_GROUP))
        assert learning_s - listening_s == pytest.approx(FORWARD_DELAY_S, abs=0.3)
        assert forwarding_s - learning_s == pytest.approx(FORWARD_DELAY_S, abs=0.3)


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--spanning-tree=outside"], 2, "DPID:SECONDS is a form such as 1:15, not 'outside'"),
        (["--spanning-tree=1:15", "--framework=os-ken"], 1, "timers of os-ken's spanning tree"),
    ],
)
def test_what_cannot_be_is_refused(options: list[str], code: int, sentence: str) -> None:
    command = [sys.executable, "-m", "controllers.launch", *options]
    refused = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert refused.returncode == code
    assert sentence in refused.stderr

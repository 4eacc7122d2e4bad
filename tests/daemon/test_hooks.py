from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carplab.carp.actions import Transition, VirtualHostKey
from carplab.daemon.hooks import CANNOT_START, Command, HookResult, Hooks
from tests.daemon.lab import Lab, wait_for

OUTSIDE = VirtualHostKey("eth0", 1)


class Loop:
    """Hooks, and a loop that drives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.selector = selectors.SelectSelector()
        self.results: list[HookResult] = []

    def hooks(self, **commands: Command) -> Hooks:
        return Hooks("fw1", commands, self.selector, self.results.append)

    def shell(self, script: str) -> Command:
        return ("sh", "-c", f"cd {self.folder}; {script}")

    def turn_until(self, count: int) -> None:
        """Go on until so many commands are over."""

        def over() -> bool:
            for key, mask in self.selector.select(0.01):
                key.data(mask)
            return len(self.results) >= count

        wait_for(f"{count} commands are over", over)

    def written(self, name: str = "out") -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    created = Loop(tmp_path)
    yield created
    created.selector.close()


def transition(new: str, old: str = "BACKUP", key: VirtualHostKey = OUTSIDE) -> Transition:
    return Transition(key, old, new, "master timed out", 1.0)


def test_a_command_is_told_what_happened(loop: Loop) -> None:
    names = ("NAME", "INTERFACE", "VHID", "OLD", "NEW", "REASON")
    hooks = loop.hooks(
        MASTER=loop.shell("echo " + " ".join(f'"$CARPD_{name}"' for name in names) + " > out")
    )
    hooks.note(transition("BACKUP", "INIT"))
    hooks.note(transition("MASTER"))
    hooks.start_waiting()
    loop.turn_until(1)
    assert loop.written() == "fw1 eth0 1 BACKUP MASTER master timed out\n"
    (result,) = loop.results
    assert (result.key, result.exit_code, result.reason) == (OUTSIDE, 0, "")
    assert 0 < result.length_s < 5


def test_one_after_another_in_their_order(loop: Loop) -> None:
    slow = loop.shell("sleep 0.2; echo $CARPD_VHID $CARPD_NEW >> out; exit 3")
    quick = loop.shell("echo $CARPD_VHID $CARPD_NEW >> out")
    hooks = loop.hooks(MASTER=slow, INIT=quick)
    hooks.note(transition("MASTER"))
    hooks.note(transition("INIT"))
    hooks.note(transition("MASTER", key=VirtualHostKey("eth0", 2)))
    started_s = time.monotonic()
    hooks.start_waiting()
    assert time.monotonic() - started_s < 0.1, "nobody waits for it"
    loop.turn_until(3)
    assert loop.written() == "1 MASTER\n1 INIT\n2 MASTER\n"
    assert [result.exit_code for result in loop.results] == [3, 0, 3]


def test_a_command_that_cannot_start_is_only_told(loop: Loop) -> None:
    hooks = loop.hooks(MASTER=("no-such-command", "-c"), INIT=loop.shell("echo next > out"))
    hooks.note(transition("MASTER"))
    hooks.note(transition("INIT"))
    hooks.start_waiting()
    loop.turn_until(2)
    first = loop.results[0]
    assert (first.exit_code, first.reason) == (CANNOT_START, "No such file or directory")
    assert loop.written() == "next\n"


def test_a_command_that_a_signal_ends(loop: Loop) -> None:
    hooks = loop.hooks(MASTER=loop.shell("kill -9 $$"))
    hooks.note(transition("MASTER"))
    hooks.start_waiting()
    loop.turn_until(1)
    assert loop.results[0].exit_code == -9


def test_the_end_waits_for_none_and_forgets_none(loop: Loop) -> None:
    hooks = loop.hooks(
        MASTER=loop.shell("sleep 0.2; echo $CARPD_VHID > first"),
        INIT=loop.shell("echo $CARPD_VHID > second"),
    )
    hooks.note(transition("MASTER"))
    hooks.note(transition("INIT", key=VirtualHostKey("eth0", 2)))
    hooks.start_waiting()
    started_s = time.monotonic()
    hooks.close()
    assert time.monotonic() - started_s < 0.1
    assert not loop.selector.get_map()
    wait_for("the first goes on", lambda: loop.written("first") == "1\n")
    wait_for("the second ran", lambda: loop.written("second") == "2\n")


def test_a_command_has_the_usual_signals_and_its_own_group(loop: Loop) -> None:
    hooks = loop.hooks(MASTER=loop.shell("cat /proc/self/stat /proc/self/status > out; cat"))
    hooks.note(transition("MASTER"))
    hooks.start_waiting()
    loop.turn_until(1)
    group = loop.written().split(") ")[1].split()[2]
    assert int(group) != os.getpgrp()
    ignored = next(line for line in loop.written().splitlines() if line.startswith("SigIgn"))
    assert int(ignored.split()[1], 16) & (1 << 12) == 0, "SIGPIPE ends it"


# In carpd


@pytest.mark.root
def test_carpd_runs_them_in_order_and_its_end_waits_for_none(lab: Lab) -> None:
    script = f"sleep 0.3; echo $CARPD_VHID $CARPD_OLD $CARPD_NEW >> {lab.folder}/out"
    command = ["sh", "-c", script]
    carpd = lab.carpd(
        lab.firewall(1), on_master=command, on_init=command, on_backup=["no-such-command"]
    )
    carpd.wait_for_state("MASTER")
    carpd.request("force", vhid=1, state="BACKUP")
    carpd.request("force", vhid=1, state="MASTER")
    hooks = wait_for("three are over", lambda: carpd.events("hook")[2:] and carpd.events("hook"))
    assert [hook["exit_code"] for hook in hooks] == [0, CANNOT_START, 0]
    assert hooks[0]["command"] == " ".join(command)
    assert hooks[0]["length_ms"] > 300
    assert hooks[1]["reason"] == "No such file or directory"
    assert "1@fw1-outside: `no-such-command` ended with 127 (No such file" in carpd.log.read_text()
    told_s = time.monotonic()
    assert carpd.end() == 0
    assert time.monotonic() - told_s < 0.3
    expected = "1 INIT MASTER\n1 BACKUP MASTER\n1 MASTER INIT\n"
    wait_for("the last one too", lambda: (lab.folder / "out").read_text() == expected)


@pytest.mark.root
def test_one_that_hangs_stops_nothing_else(lab: Lab) -> None:
    pid_file = lab.folder / "pid"
    pid_file.touch()
    hangs = ["sh", "-c", f"echo $$ > {pid_file}; exec sleep 1000"]
    carpd = lab.carpd(lab.firewall(1), dialect="openbsd", advbase=0, advskew=25, on_master=hangs)
    pid = int(wait_for("it hangs", pid_file.read_text))
    sent = len(carpd.events("sent"))
    wait_for("ten more advertisements", lambda: len(carpd.events("sent")) > sent + 10)
    assert carpd.events("hook") == []
    assert carpd.end() == 0
    os.kill(pid, signal.SIGTERM)

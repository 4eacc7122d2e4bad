"""`carplab exec`: a command on a machine of the network that is running."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from carplab.cli import build_parser, main
from carplab.emulation.enter import find_machine, machine_environment
from carplab.emulation.registry import Registry, find_running
from carplab.errors import CarplabError, UsageError
from tests.emulation.lab import (
    DEADLINE_S,
    FAST_TIMERS,
    PROJECT,
    SHORT_EXPERIMENT,
    command,
    running,
    write_experiment,
)


@pytest.mark.parametrize(
    ("words", "command_words"),
    [
        ([], []),
        (["tcpdump", "-ni", "fw1-outside"], ["tcpdump", "-ni", "fw1-outside"]),
        (["ls", "--help"], ["ls", "--help"]),
        (["--", "ls", "--", "-a"], ["ls", "--", "-a"]),
    ],
)
def test_options_of_the_command_are_the_commands(
    words: list[str], command_words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[tuple[str, list[str]]] = []

    def enter(machine: str, command: list[str]) -> None:
        entered.append((machine, command))

    monkeypatch.setattr("carplab.emulation.enter.enter", enter)
    arguments = build_parser().parse_args(["exec", "fw1", *words])
    arguments.handler(arguments)
    assert entered == [("fw1", command_words)]


def test_nothing_is_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("carplab.emulation.enter.find_running", lambda root: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert main(["exec", "fw1", "ls"]) == 1
    assert "no network is running: 'carplab shell'" in capsys.readouterr().err


def test_plain_user_is_told_to_use_sudo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["exec", "fw1", "ls"]) == 1
    assert "entering a machine needs root: run it with sudo" in capsys.readouterr().err


def test_machines_are_those_whose_shell_is_there(tmp_path: Path) -> None:
    registry = Registry.acquire("cable-pull", tmp_path)
    try:
        record = find_running(tmp_path)
        assert record
        with pytest.raises(CarplabError, match="network of cable-pull is not there yet"):
            find_machine(record, "fw1")
        registry.add_process("shell of fw1", os.getpid())
        registry.add_process("carpd on fw2", os.getpid())
        registry.record.processes["shell of fw3"] = (os.getpid(), 1)  # another process's number
        assert find_machine(registry.record, "fw1") == os.getpid()
        with pytest.raises(UsageError, match=r"no machine called 'fw3': there are fw1$"):
            find_machine(registry.record, "fw3")
        with pytest.raises(UsageError, match="'lo' is no machine with namespaces of its own"):
            find_machine(registry.record, "lo")
    finally:
        registry.release()
    assert find_running(tmp_path) is None


def test_record_of_a_killed_run_is_no_running_one(tmp_path: Path) -> None:
    registry = Registry.acquire("cable-pull", tmp_path)
    path = tmp_path / "record.json"
    killed = json.loads(path.read_text())
    killed["mark"] = f"{os.getpid()}-1-{'0' * 12}"  # a process with this pid, but not that one
    registry.release()
    path.write_text(json.dumps(killed))
    assert find_running(tmp_path) is None


def test_environment_leads_to_the_machines_own_carpd() -> None:
    given = {"PATH": "/usr/bin", "LANG": "C"}
    environment = machine_environment("fw1", Path("/run/carplab/x"), given)
    assert environment["CARPD_SOCKET"] == "/run/carplab/x/fw1.sock"
    assert environment["PATH"].startswith("/usr/bin:")
    assert environment["LANG"] == "C"
    assert environment["PS1"].startswith("fw1:")


@pytest.mark.mininet
def test_experiment_entered_from_another_terminal(tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, SHORT_EXPERIMENT.replace("3.5", "600"))
    with running("run", experiment, "--out", tmp_path / "results", *FAST_TIMERS) as cli:
        cli.wait_for("starting the traffic")
        status = execute("fw1", "carpd", "status", "--json")
        assert json.loads(status.stdout)["name"] == "fw1"
        addresses = execute("fw2", "ip", "-brief", "address")
        assert "10.0.1.12/24" in addresses.stdout and "fw1" not in addresses.stdout
        assert execute("client", "sh", "-c", "exit 7").returncode == 7
        nobody = execute("nobody", "ls")
        assert nobody.returncode == 2
        assert "there are client, fw1, fw2, server" in nobody.stderr
        missing = execute("fw1", "no-such-program")
        assert missing.returncode == 2
        assert "no program called 'no-such-program' to run on fw1" in missing.stderr
        assert "a switch" in execute("outside", "ls").stderr
        prompted_shell_takes_ctrl_c("fw1")
        assert cli.process.poll() is None


def execute(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("exec", *words),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def prompted_shell_takes_ctrl_c(machine: str) -> None:
    """Check that the shell's prompt names the machine, and that Ctrl-C ends the command alone."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(PROJECT)
        os.execvp(command()[0], command("exec", machine))
    try:
        read_until(terminal, f"{machine}:")
        os.write(terminal, b"sleep 600 & wait\n")
        read_until(terminal, "[1]")
        os.write(terminal, b"\x03")
        read_until(terminal, f"{machine}:")
        os.write(terminal, b"kill %1; exit 3\n")
        read_until(terminal, "exit")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        pid = 0
    finally:
        os.close(terminal)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def read_until(terminal: int, text: str) -> None:
    said = ""
    deadline_s = time.monotonic() + DEADLINE_S
    while text not in said:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline_s - time.monotonic()))
        assert ready, f"no {text!r} in {said!r}"
        said += os.read(terminal, 4096).decode(errors="replace")

"""`carplab shell` on a session: Mininet's words and ours, typed, piped and given with -c."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carplab.analysis.analysed import read_run
from carplab.emulation.registry import find_running, run_dir
from carplab.network import network_from_plain
from carplab.session.client import Session, start_session
from carplab.session.spec import SessionSpec
from carplab.settings import apply_settings
from carplab.shell.text import fault_words
from tests.emulation.lab import DEADLINE_S, PROJECT, Cli, command
from topo.firewall_pair import firewall_pair

pytestmark = pytest.mark.mininet

PROMPT = "carplab> "

# fw2 takes over 0.9 s after the last advertisement of fw1, which sends eight in a second: soon
# enough, and not because a busy machine delays one of them.
SETTINGS = ["advbase=0", "fw1.advskew=32", "fw2.advskew=230"]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A pair with short timers, for all tests here."""
    network = apply_settings(firewall_pair(), SETTINGS)
    spec = SessionSpec("pair", network, tmp_path_factory.mktemp("results"))
    with start_session(spec, lambda text: None) as started:
        yield started
        started.stop()


@pytest.fixture
def whole(session: Session) -> Session:
    """The session, with nothing broken any more."""
    session.lift_all()
    wait_until_master(session, "fw1")
    return session


def wait_until_master(session: Session, router: str) -> None:
    """Return when that firewall is MASTER everywhere, and nobody else of anything."""
    deadline_s = time.monotonic() + DEADLINE_S
    while masters(session) != {(router, "outside"), (router, "inside")}:
        assert time.monotonic() < deadline_s, session.status()
        time.sleep(0.05)


def masters(session: Session) -> set[tuple[str, str]]:
    return {
        (host["router"], host["segment"])
        for host in session.status()["virtual_hosts"]
        if host["state"] == "MASTER"
    }


def shell(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `carplab shell` to its end."""
    return subprocess.run(
        command("shell", *words),
        cwd=PROJECT,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def doing(*lines: str) -> str:
    """Return what a shell prints that does these lines; it must be content with them."""
    done = shell(*(word for line in lines for word in ("-c", line)))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_mininets_own_words(whole: Session) -> None:
    words = ("nodes", "net", "intfs", "links", "dump", "pingall", "dpctl show")
    said = doing(*words, "py fw1.IP()", "time carp")
    assert "client fw1 fw2 inside outside server" in said
    assert "fw1 fw1-outside:outside-fw1 fw1-inside:inside-fw1" in said
    assert "fw2: fw2-outside,fw2-inside" in said
    assert "client-inside<->inside-client (OK OK)" in said
    assert "client-inside:10.0.2.100" in said
    assert "client -> fw1 fw2 server" in said and "received)" in said
    assert "\n10.0.1.11\n" in said
    assert "2(outside-fw2)" in said
    assert "*** Elapsed time" in said


def test_commands_on_machines(whole: Session) -> None:
    ping = "client ping -c 1 -w 10 server"
    said = doing("fw1 ip -brief address", ping, "fw1 carpd status", "fw2 echo fw1 and client")
    assert "10.0.1.11/24" in said and "10.0.1.12/24" not in said
    assert " 1 received" in said
    assert "fw1: pid" in said and "carp: MASTER vhid 1" in said
    assert "\n10.0.1.11 and 10.0.2.100" in said
    entered = subprocess.run(
        command("exec", "client", "ip", "-brief", "address"),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert "10.0.2.100/24" in entered.stdout, entered.stderr


def test_throughput_of_two_machines(whole: Session) -> None:
    from carplab.shell.attached import AttachedNetwork  # needs Mininet

    about, record = whole.describe(), find_running()
    assert record
    network = network_from_plain(about["network"])
    with AttachedNetwork(network, about["machines"], run_dir(record), os.environ) as attached:
        ends = [attached["client"], attached["server"]]
        for protocol in ("UDP", "TCP"):
            results = attached.iperf(ends, protocol, "2M", seconds=1)
            for result in results:
                amount, unit = result.split()
                assert unit in ("Mbits/sec", "Gbits/sec") and float(amount) > 1, results


def test_fault_moves_the_master_and_lift_brings_it_back(whole: Session) -> None:
    assert "MASTER advbase 0 advskew 32   BACKUP advbase 0 advskew 230" in doing("carp")
    said = doing("fault link_down fw1 outside", "faults")
    (broken,) = whole.status()["faults"]
    assert f"fault {broken['id']} ('lift {broken['id']}' mends it)" in said
    assert f"{broken['id']}    link_down   fw1       outside" in said
    wait_until_master(whole, "fw2")
    said = doing("carp", "lift", "faults")
    assert "INIT advbase 0 advskew 32     MASTER advbase 0 advskew 230" in said
    assert "fw1: demotion carp 1" in said
    assert f"broken: {broken['id']} link_down of fw1 on outside" in said
    assert f"mended {broken['id']}" in said and "nothing is broken" in said
    wait_until_master(whole, "fw1")


def test_demotion_gives_way(whole: Session) -> None:
    doing("demote fw1 +1")
    wait_until_master(whole, "fw2")
    doing("demote fw1 -1")
    wait_until_master(whole, "fw1")


def test_watch_shows_events_and_losses_until_ctrl_c(whole: Session) -> None:
    watching = Cli("shell", "-c", "watch")
    try:
        watching.wait_for("MASTER")
        number = whole.inject("crash", "fw1")["id"]
        watching.wait_for("fault crash")
        watching.wait_for("BACKUP -> MASTER (master timed out)")
        watching.wait_for(" probes")
        whole.lift(number)
        watching.wait_for("repair crash")
        watching.wait_for("carpd started")
        watching.process.send_signal(signal.SIGINT)
        assert watching.wait() == 0, watching.output
    finally:
        watching.process.kill()
        watching.process.wait()
    assert "sent" not in watching.output


def test_plot_leaves_a_run_that_the_analysis_reads(whole: Session) -> None:
    doing("watch 0.5")
    figure = Path(doing("plot 3").removeprefix("drawn: ").partition(" (")[0])
    assert figure.stat().st_size > 0
    assert len(read_run(figure.parent).run.probe) > 10


def test_lines_after_a_refused_one_are_not_done(whole: Session) -> None:
    done = shell("-c", "nodes", "-c", "fault link_down fw9 outside", "-c", "carp")
    assert done.returncode == 2
    assert "available nodes" in done.stdout and "MASTER" not in done.stdout
    assert done.stderr == "carplab: fw9 is not on outside: it is on nowhere\n"
    refused = shell(stdin="check\ncarp\n")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "this network is no lab's" in refused.stderr


def test_lines_of_a_pipe_are_not_eaten_by_the_commands_on_machines(whole: Session) -> None:
    done = shell(stdin="# a comment\n\nfw1 cat /etc/hostname\nnodes\n")
    assert done.returncode == 0 and "available nodes" in done.stdout


def test_options_are_refused_while_a_network_is_up(whole: Session) -> None:
    refused = shell("--firewalls", "3", "-c", "carp")
    assert refused.returncode == 2
    assert "a network is up already (pair): leave the options out" in refused.stderr


def test_terminal(whole: Session, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("first\nnodes\n")
    with Terminal(tmp_path) as terminal:
        terminal.wait_for(PROMPT)
        assert "pair: fw1, fw2, client, server" in terminal.said
        terminal.type("fw1 sleep 600\n")
        wait_for_process("sleep", "600")
        terminal.type("\x03")  # Ctrl-C ends the command, not the shell
        terminal.wait_for(PROMPT)
        terminal.type("fault li\t f\t2 ou\t\n")
        terminal.wait_for("mends it")
        (broken,) = whole.status()["faults"]
        assert fault_words(broken) == f"{broken['id']} link_down of fw2 on outside"
        for line, answer in (
            ("nonsense", "there is no word 'nonsense', and no machine of that name"),
            ("fw1", "what shall fw1 do?"),
            ("x fw9", "there is no machine 'fw9'"),
            (f"source {tmp_path}/none", "none cannot be read"),
            (f"source {lines}", "there is no word 'first'"),
            ("link fw1 outside down", "'fault link_down fw1 outside' pulls a cable"),
            ("carp", "\x1b[1;37;44mMASTER\x1b[0m"),
        ):
            terminal.type(f"{line}\n")
            terminal.wait_for(answer)
            terminal.wait_for(PROMPT)
        terminal.type("exit\n")
        assert terminal.wait() == 0
    assert "available nodes" not in terminal.said  # of the line after a refused one
    assert "fault link_down fw2 outside" in (tmp_path / ".carplab_history").read_text()


def wait_for_process(*argv: str) -> None:
    """Return when a process with this command line is there."""
    wanted = "\0".join(argv).encode() + b"\0"
    deadline_s = time.monotonic() + DEADLINE_S
    while not any(wanted == line for line in command_lines()):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


class Terminal:
    """A shell on a terminal of its own, with a home of its own for the history."""

    def __init__(self, home: Path) -> None:
        self.said = ""
        self._unread = ""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(PROJECT)
            words = command("shell")
            environment = {**os.environ, "HOME": str(home), "TERM": "xterm"}
            environment.pop("NO_COLOR", None)
            os.execvpe(words[0], words, environment)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._terminal)
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, text: str) -> None:
        """Return when the text has come after what was waited for before."""
        deadline_s = time.monotonic() + DEADLINE_S
        while text not in self._unread:
            assert self._read(deadline_s), f"it has ended after {self.said!r}"
        self._unread = self._unread.partition(text)[2]

    def wait(self) -> int:
        """Return the exit code when it has ended."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self._read(deadline_s):
            pass
        pid, self._pid = self._pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _read(self, deadline_s: float) -> bool:
        wait_s = max(0.0, deadline_s - time.monotonic())
        ready, _, _ = select.select([self._terminal], [], [], wait_s)
        assert ready, f"nothing more came after {self.said!r}"
        try:
            data = os.read(self._terminal, 4096).decode(errors="replace")
        except OSError:  # the other end is closed
            return False
        self.said += data
        self._unread += data
        return bool(data)

"""The command line itself: Mininet's, with words of ours.

A word is a method `do_WORD`; its docstring is what `help WORD` shows, the first line of it what
`help` lists.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import readline
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from mininet.cli import CLI
from mininet.log import lg
from mininet.node import OVSSwitch
from rich.console import Console

from carplab.daemon import control
from carplab.daemon.instance import socket_path
from carplab.errors import CarplabError, UsageError, listed
from carplab.network import Network
from carplab.session.client import Session, find_session
from carplab.shell import text
from carplab.shell.attached import AttachedNetwork
from carplab.shell.completion import candidates, names_of
from carplab.shell.orders import parse_demotion, parse_fault, parse_lift, parse_seconds

HISTORY = Path("~/.carplab_history")
HISTORY_LINES = 1000
PLOT_S = 60.0
PIPE_WIDTH = 160  # characters a line where no terminal says how many
NOT_HERE = ("EOF", "link", "switch", "wait")  # of Mininet's words
WORDS = ("carp", "fault", "faults", "lift", "watch", "plot", "check", "demote", "help")


class _TimeIsUpError(Exception):
    pass


class CommandLine(CLI):  # type: ignore[misc]
    """Mininet's command line on a session's network, with our words.

    It runs in the constructor, as Mininet's does: until it is left, or `lines` have been done, or
    one of them was refused. `exit_code` is then what a script wants to know.
    """

    prompt = "carplab> "
    identchars = CLI.identchars + "-."  # of the machines' names

    def __init__(
        self,
        attached: AttachedNetwork,
        session: Session,
        network: Network,
        sockets: Path,
        origin_s: float,
        lines: Iterable[str] | None = None,
    ) -> None:
        self.exit_code = 0
        self._session = session
        self._sockets = sockets
        self._names = names_of(network)
        self._origin_s = origin_s
        self._lines = lines
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        self._console = Console(highlight=False, width=width)
        lg.ch.setStream(sys.stdout)  # Mininet's own words as ours, for pipes
        with _input_of(lines) as stdin:
            super().__init__(attached, stdin=stdin)

    def run(self) -> None:
        """Take commands from the terminal until it is left, or do the lines that were given."""
        if self._lines is None:
            super().run()
        else:
            self._do_lines(self._lines)

    def onecmd(self, line: str) -> bool:
        """Do one command; what is wrong with it is said in a sentence. True ends it all."""
        try:
            return bool(super().onecmd(line))
        except CarplabError as error:
            self.exit_code = error.exit_code
            self._console.file.flush()
            print(f"carplab: {error}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            self._session = find_session()  # on the old connection an answer may be yet to come
            raise
        return False

    def default(self, line: str) -> None:
        """Run a command on a machine: `fw1 ip address`; names after it become addresses."""
        name, command, line = self.parseline(line)
        if name not in self._names.machines:
            raise UsageError(
                f"there is no word {line.split()[0]!r}, and no machine of that name among "
                f"{listed(self._names.machines)}: 'help' lists the words"
            )
        if not command:
            raise UsageError(f"what shall {name} do? As in '{name} ip address'")
        words = [
            self.mn[word].IP() if word in self._names.machines else word
            for word in command.split(" ")
        ]
        self.mn[name].sendCmd(" ".join(words))
        self.waitForNode(self.mn[name])

    def initReadline(self) -> None:  # noqa: N802 - Mininet's name
        """Keep a history; let Tab complete whole words, as outside/2."""
        if self._lines is not None:
            return
        history = HISTORY.expanduser()
        with contextlib.suppress(OSError):
            readline.read_history_file(history)
        readline.set_history_length(HISTORY_LINES)
        readline.set_completer_delims(" \t\n")

    def postloop(self) -> None:
        """Keep the history."""
        with contextlib.suppress(OSError):
            readline.write_history_file(HISTORY.expanduser())

    # --- words ---

    def do_carp(self, line: str) -> None:
        """The state of every virtual host on every firewall.

        carp             a row for each virtual host: who is MASTER of what, with which advskew
        """
        _refuse_words(line, "carp")
        self._show_states(self._session.status())

    def do_fault(self, line: str) -> None:
        """Break something: a cable, or a firewall.

        fault link_down fw1 outside                        pull the cable: no carrier any more
        fault blackhole fw1 outside direction=from_host    frames vanish, the carrier stays; also
                                                           to_host, both (if it is left out)
        fault loss fw1 outside percent=20                  a fifth of the frames to fw1 vanish
        fault flap fw1 outside count=3 period=1            down and up three times, a second each
        fault crash fw1                                    processes killed, every link down
        fault hang fw1                                     nothing works, but the carrier stays
        fault reboot fw1                                   shut down in order; 'lift' boots it
        fault daemon_kill fw1                              carpd alone is killed

        The second cable to a segment is outside/2. 'faults' shows what is broken, 'lift' mends it.
        """
        made = self._session.inject(**parse_fault(line.split()))
        self._say(f"{made['t_s']:.3f} s: fault {made['id']} ('lift {made['id']}' mends it)")

    def do_faults(self, line: str) -> None:
        """What is broken now.

        faults           their ids, which 'lift' takes, and for how long they have been there
        """
        _refuse_words(line, "faults")
        status = self._session.status()
        if status["faults"]:
            self._console.print(text.faults_table(status["faults"], status["t_s"]))
        else:
            self._say("nothing is broken")

    def do_lift(self, line: str) -> None:
        """Mend what is broken: put the cable back, boot the firewall.

        lift 2           the fault with this id, as 'fault' and 'faults' say it
        lift             the only one
        lift all         every one, the last one first
        """
        numbers = parse_lift(line.split(), self._active())
        if numbers is None:
            lifted = self._session.lift_all()["lifted"]
            self._say(f"mended {listed(lifted)}")
        for number in numbers or ():
            self._say(f"{self._session.lift(number)['t_s']:.3f} s: mended {number}")

    def do_watch(self, line: str) -> None:
        """States, faults and loss as they happen, until Ctrl-C.

        watch            an event a line; for each second in which probes were lost, how many
        watch 20         for 20 seconds
        """
        losses = text.Losses()
        seconds = parse_seconds(line.split(), None)
        with _ended_after(seconds):
            messages = self._session.follow()
            self._show_states(next(messages))
            for message in messages:
                self._show_message(message, losses)
            raise CarplabError("the session has ended")

    def do_plot(self, line: str) -> None:
        """Draw the last minute: states, faults, ping, throughput, the windows found.

        plot             the last 60 seconds
        plot 20          the last 20 seconds

        It leaves the folder of a run, with figure, report and data, as 'carplab run' does.
        """
        seconds = parse_seconds(line.split(), PLOT_S)
        results = Path(self._session.describe()["folder"]).parent.parent
        figure = self._session.export(results, seconds) / "timeline.png"
        self._say(f"drawn: {figure} (report.html and the data are beside it)")
        if os.environ.get("DISPLAY") and shutil.which("xdg-open"):
            silent = subprocess.DEVNULL
            subprocess.Popen(["xdg-open", str(figure)], stdout=silent, stderr=silent)

    def do_check(self, line: str) -> None:
        """Check the lab whose network this is, as 'carplab lab check' does.

        check            a line for each thing that is looked at: pass or fail, and what was seen
        """
        _refuse_words(line, "check")
        lab = self._session.describe()["lab"]
        if lab is None:
            raise UsageError("this network is no lab's: 'carplab lab start' starts one")
        command = [sys.executable, "-m", "carplab.cli", "lab", "check", lab["name"]]
        self.exit_code = subprocess.run(command).returncode

    def do_demote(self, line: str) -> None:
        """Change the demotion of a firewall: the more demoted one gives way.

        demote fw1 +1           of all its virtual hosts (the interface group carp)
        demote fw1 -1           take that back
        demote fw1 GROUP +1     of those of one interface group
        """
        asked = parse_demotion(line.split())
        if asked.router not in self._names.firewalls:
            raise UsageError(
                f"there is no firewall {asked.router!r}: there are {listed(self._names.firewalls)}"
            )
        order: dict[str, Any] = {"command": "demote", "delta": asked.delta}
        if asked.group:
            order["group"] = asked.group
        control.request(socket_path(self._sockets, asked.router), order)

    def do_help(self, line: str) -> None:
        """The words there are.

        help             all of them
        help fault       one of them, with examples
        """
        if line.strip():
            self._help_on(line.strip())
            return
        for word in WORDS:
            self._say(f"{word:<10}{_documentation(self, word).splitlines()[0]}")
        self._say("")
        self._say("A machine's name runs a command there, and names become addresses:")
        self._say("  fw1 ip address    client ping -c 3 server    fw1 carpd status")
        known = {name[3:] for name in self.get_names() if name.startswith("do_")}
        self._say("Mininet's own words:")
        self._say(f"  {' '.join(sorted(known.difference(WORDS, NOT_HERE)))}")
        self._say("'help WORD' says more, with examples. Tab completes, 'exit' leaves.")

    def do_link(self, line: str) -> None:
        """Not here: it would set both ends down, which is no cable pulled. See 'help fault'."""
        raise UsageError("'link' is no word here: 'fault link_down fw1 outside' pulls a cable")

    def do_switch(self, line: str) -> None:
        """Not here: the switches are not this shell's to start and stop. See 'help fault'."""
        raise UsageError("'switch' is no word here: 'help fault' shows what can be broken")

    def do_wait(self, line: str) -> None:
        """Not here: what there is to wait for is over when this shell starts."""
        raise UsageError("'wait' is no word here: the switches have their controller already")

    def do_dpctl(self, line: str) -> None:
        """Ask the switches of Open vSwitch, as in 'dpctl dump-flows'."""
        if not line.strip():
            raise UsageError("dpctl wants a command of ovs-ofctl(8), as in 'dpctl dump-flows'")
        switches = [each for each in self.mn.switches if isinstance(each, OVSSwitch)]
        if not switches:
            raise UsageError("no segment has a switch of Open vSwitch here")
        for switch in switches:
            self._say(f"*** {switch.name}")
            self._say(switch.dpctl(*line.split()).rstrip())

    def do_source(self, line: str) -> bool:
        """Do the lines of a file, to its end or to the first one that is refused: 'source FILE'."""
        path = Path(line.strip())
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror})") from None
        return self._do_lines(lines)

    def do_x(self, line: str) -> None:
        """Tunnel X11 to a machine, and start a program there: 'x MACHINE [COMMAND]'."""
        for name in line.split()[:1]:
            if name not in self.mn:
                raise UsageError(f"there is no machine {name!r}: there are {listed(self.mn)}")
        super().do_x(line)

    # --- Tab ---

    def completenames(self, prefix: str, *ignored: Any) -> list[str]:
        """Complete the first word: a word, or a machine."""
        machines = [name for name in self._names.machines if name.startswith(prefix)]
        return machines + list(super().completenames(prefix, *ignored))

    def completedefault(self, prefix: str, line: str, begin: int, _end: int) -> list[str]:
        """Complete what comes after it."""
        return candidates(line[:begin].split(), prefix, self._names, self._active)

    # --- within ---

    def _do_lines(self, lines: Iterable[str]) -> bool:
        """Do one line after the other; whether one of them was 'exit'."""
        self.exit_code = 0
        for line in lines:
            if self.onecmd(self.precmd(line)):
                return True
            if self.exit_code:
                break
        return False

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, markup=False, soft_wrap=True)

    def _active(self) -> list[int]:
        return [fault["id"] for fault in self._session.status()["faults"]]

    def _show_states(self, status: dict[str, Any]) -> None:
        if status["virtual_hosts"]:
            self._console.print(text.states_table(status))
        else:
            self._say("no firewall has a virtual host: no carpd is configured with one")
        for condition in text.conditions(status):
            self._say(condition)
        if status["faults"]:
            self._say(f"broken: {listed(text.fault_words(each) for each in status['faults'])}")

    def _show_message(self, message: dict[str, Any], losses: text.Losses) -> None:
        if message["kind"] == "event":
            shown = text.event_line(message)
            if shown:
                self._console.print(shown, soft_wrap=True)
        elif message["kind"] == "probe":
            losses.add(message["rows"])
            for shown in losses.lines(time.monotonic() - self._origin_s):
                self._console.print(shown, soft_wrap=True)
        elif message["kind"] == "dropped":
            self._say(f"({message['number']} messages were missed)")

    def _help_on(self, word: str) -> None:
        documentation = _documentation(self, word)
        if not documentation:
            raise UsageError(f"there is no word {word!r}: 'help' lists them")
        self._say(documentation)


def _documentation(line: CommandLine, word: str) -> str:
    return inspect.getdoc(getattr(line, f"do_{word}", None)) or ""


def _refuse_words(line: str, word: str) -> None:
    if line.strip():
        raise UsageError(f"{word!r} takes nothing after it: {line.strip()!r} is too much")


@contextlib.contextmanager
def _input_of(lines: Iterable[str] | None) -> Iterator[TextIO]:
    """Yield what Mininet reads keys from: nothing comes while lines are done, they are no keys."""
    if lines is None:
        yield sys.stdin
        return
    silent, kept_open = os.pipe()
    with os.fdopen(silent) as stdin:
        try:
            yield stdin
        finally:
            os.close(kept_open)


@contextlib.contextmanager
def _ended_after(seconds: float | None) -> Iterator[None]:
    """End what is within after so many seconds, or at Ctrl-C, without an error."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise _TimeIsUpError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds or 0.0)
    try:
        yield
    except _TimeIsUpError:
        pass
    except KeyboardInterrupt:
        print()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)

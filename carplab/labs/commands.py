"""`carplab lab`: the course, for students, for who grades them and for who writes labs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from carplab.errors import CarplabError, UsageError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from carplab.labs.batch import Graded
    from carplab.labs.checking import Line
    from carplab.labs.course import CourseLab
    from carplab.labs.grading import Grade
    from carplab.labs.workspace import Workspace
    from carplab.session.client import Session

MOST_LANES = 32
RESULTS = Path("results")


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its own subcommands."""
    lab = subparsers.add_parser("lab", help="the course: start a lab, work on it, have it checked")
    commands = lab.add_subparsers(metavar="WHAT", required=True)

    listing = commands.add_parser("list", help="list the labs")
    listing.set_defaults(handler=_list)

    start = commands.add_parser("start", help="start a lab's network on your files (root)")
    _add_lab(start)
    start.add_argument("--student", metavar="ID", help="whose values are drawn (guest)")
    _add_folder(start)
    _add_out(start)
    start.set_defaults(handler=_start)

    apply = commands.add_parser("apply", help="restart carpd where its file has changed (root)")
    apply.set_defaults(handler=_apply)

    check = commands.add_parser("check", help="check the lab on the network that runs (root)")
    _add_lab(check)
    check.add_argument("--csv", type=Path, metavar="FILE", help="append the lines to this file")
    check.add_argument(
        "--files",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="check these handed-in folders instead, each on a network of its own",
    )
    _add_lanes(check)
    _add_out(check)
    check.set_defaults(handler=_check)

    reset = commands.add_parser("reset", help="go back to the lab's own files; edited ones stay")
    _add_lab(reset)
    _add_folder(reset)
    _add_out(reset)
    reset.set_defaults(handler=_reset)

    stop = commands.add_parser("stop", help="end the lab's network (root)")
    stop.set_defaults(handler=_stop)

    verify = commands.add_parser(
        "verify", help="whether each lab's start fails and its solution passes (root)"
    )
    verify.add_argument("labs", nargs="*", metavar="NN", help="its number (all)")
    verify.add_argument("--student", metavar="ID", help="whose values are drawn (as the lab says)")
    verify.add_argument("--csv", type=Path, metavar="FILE", help="write the table to this file too")
    _add_lanes(verify)
    verify.set_defaults(handler=_verify)


def _add_lab(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lab", metavar="NN", help="its number, as 'carplab lab list' shows it")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="of your files (./lab-NN)")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="FOLDER", help="of the recording (%(default)s)"
    )


def _add_lanes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lanes", type=int, default=1, metavar="N", help="networks at once (%(default)s)"
    )


def _list(_arguments: argparse.Namespace) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from carplab.labs.course import list_labs

    table = Table("lab", "minutes", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for lab in list_labs():
        table.add_row(lab.name, str(lab.minutes), lab.title)
    Console(highlight=False).print(table)
    return 0


def _start(arguments: argparse.Namespace) -> int:
    from carplab.labs.course import find_lab
    from carplab.labs.workspace import Workspace

    lab = find_lab(arguments.lab)
    folder = arguments.dir or _default_folder(lab)
    workspace = Workspace.prepare(folder, lab.name, arguments.student)
    _run(workspace, arguments.out)
    _show_start(workspace)
    return 0


def _run(workspace: Workspace, out: Path) -> None:
    """Start the network on the student's files, instead of a lab that may be running."""
    from carplab.labs.building import session_spec
    from carplab.session.client import start_session

    spec = session_spec(workspace, out)
    running = _running()
    if running:
        with running as session:
            print(f"{session.describe()['title']} is stopped first")
            session.stop()
    with start_session(spec) as session:
        _show_failures(session)


def _show_start(workspace: Workspace) -> None:
    handout, folder = workspace.handout, workspace.folder
    print(f"\nLab {handout.lab.number}, {handout.lab.title}, runs. Values of {handout.student}:")
    for name, value in handout.shown.items():
        print(f"  {name:20} {value}")
    command, number = _command(), handout.lab.number
    steps = [
        (f"less {folder / 'README.md'}", "what it is about, and what to do"),
        (f"{command} shell", "the network's own command line"),
        (f"{command} exec fw1 carpd status", "or any command on a machine"),
        (f"{command} lab apply", "after editing the firewalls' files there"),
        (f"{command} lab start {number}", "after editing anything else: the network anew"),
        (f"{command} lab check {number}", "is it as it should be?"),
        (f"{command} lab stop", "when you are done"),
    ]
    print("\nNext:")
    width = max(len(step) for step, _ in steps)
    for step, text in steps:
        print(f"  {step:{width}}  {text}")


def _show_failures(session: Session) -> None:
    """Say what does not run on a firewall, in its own words: the network is up all the same."""
    status = session.status()
    for router, condition in status["carpd"].items():
        if condition.startswith("failed"):
            print(f"{router}: {condition}")
    for sentence in status["conntrackd"].values():
        print(sentence)


def _apply(_arguments: argparse.Namespace) -> int:
    from carplab.labs.building import changed_routers, needs_restart
    from carplab.labs.workspace import Workspace

    with _lab_session() as session:
        workspace = Workspace.open(Path(session.describe()["lab"]["folder"]))
        if needs_restart(session, workspace):
            raise CarplabError(
                "more has changed than what carpd reads, which takes the network anew: "
                f"{_command()} lab start {workspace.handout.lab.number}"
            )
        changed = changed_routers(session, workspace)
        for router, text in changed.items():
            session.configure(router, text)
            print(f"{router}: carpd runs with {workspace.folder / router}.toml as it is now")
        if not changed:
            print("nothing has changed")
        _show_failures(session)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from carplab.labs.course import find_lab
    from carplab.labs.grading import append_csv

    _check_lanes(arguments.lanes)
    lab = find_lab(arguments.lab)
    if arguments.csv:
        append_csv(arguments.csv, [])  # what keeps it from being written is said at once
    passed = True
    for grade in _grades(lab, arguments):
        passed = passed and grade.passed
        if arguments.csv:
            append_csv(arguments.csv, [grade])
    return 0 if passed else 1


def _grades(lab: CourseLab, arguments: argparse.Namespace) -> Iterator[Grade]:
    """Yield the grade of the lab that runs, or of each folder as it is found."""
    if not arguments.files:
        yield _check_running(lab)
    elif len(arguments.files) == 1:
        yield _grade(lab, arguments.files[0], arguments.out)
    else:
        yield from _grade_all(lab, arguments.files, arguments.lanes, arguments.out)


def _check_running(lab: CourseLab) -> Grade:
    from carplab.labs.building import changed_routers, needs_restart
    from carplab.labs.grading import check_session
    from carplab.labs.workspace import Workspace

    with _lab_session() as session:
        about = session.describe()["lab"]
        if about["name"] != lab.name:
            raise CarplabError(f"lab {about['name']} is running, not {lab.name}: start that first")
        workspace = Workspace.open(Path(about["folder"]))
        if workspace.handout.student != about["student"]:
            raise CarplabError(
                f"{workspace.folder} is {workspace.handout.student}'s, the network that runs "
                f"{about['student']}'s: start the lab again"
            )
        try:
            if needs_restart(session, workspace):
                print(f"files have changed since it began: '{_command()} lab start {lab.number}'")
            for name in changed_routers(session, workspace):
                print(f"{name}.toml has changed since {name} took it: '{_command()} lab apply'")
        except UsageError as error:
            print(f"not what runs: {error}")
        for number in session.lift_all()["lifted"]:
            print(f"fault {number} is lifted for the check")
        with _Shown(workspace) as shown:
            return check_session(session, workspace, shown.add)


def _grade(lab: CourseLab, folder: Path, out: Path) -> Grade:
    from carplab.labs.grading import grade_folder
    from carplab.labs.workspace import Workspace

    with _Shown(Workspace.open(folder)) as shown:
        return grade_folder(lab, folder, out, shown.add)


def _grade_all(lab: CourseLab, folders: list[Path], lanes: int, out: Path) -> Iterator[Grade]:
    from carplab.labs.batch import Job, grade_in_lanes
    from carplab.labs.workspace import Workspace

    for folder in folders:  # what is no lab's folder is said before an hour of grading
        if Workspace.open(folder).handout.lab != lab:
            raise UsageError(f"{folder} is not of lab {lab.name}")
    for graded in grade_in_lanes([Job(lab, folder) for folder in folders], lanes, out):
        print(_graded_text(graded), flush=True)
        yield graded.grade


def _graded_text(graded: Graded) -> str:
    lines, name = graded.grade.lines, f"{graded.grade.student} ({graded.job.folder})"
    passed = sum(line.passed for line in lines)
    text = f"{name}: {passed} of {len(lines)} passed, {graded.seconds:.0f} s"
    return "\n".join([text, *(f"  {each.what}: {each.seen}" for each in lines if not each.passed)])


def _reset(arguments: argparse.Namespace) -> int:
    from carplab.labs.course import find_lab
    from carplab.labs.workspace import Workspace

    lab = find_lab(arguments.lab)
    workspace = Workspace.open(arguments.dir or _default_folder(lab))
    there = workspace.handout.lab
    if there != lab:
        raise UsageError(f"{workspace.folder} is of lab {there.name}, not {lab.name}")
    kept = workspace.reset()
    for name, kept_name in kept.items():
        print(f"{name} is as it was given; yours is {workspace.folder / kept_name}")
    if not kept:
        print("all files are as they were given")
    running = _running()
    if running:
        with running as session:
            folder = Path(session.describe()["lab"]["folder"])
        if folder == workspace.folder.resolve():
            _run(workspace, arguments.out)
    return 0


def _stop(_arguments: argparse.Namespace) -> int:
    with _lab_session() as session:
        about = session.describe()
        session.stop()
    print(f"{about['title']} is stopped; what it recorded is in {about['folder']}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from carplab.labs.course import find_lab, list_labs
    from carplab.labs.drawing import student_id
    from carplab.labs.verifying import by_lab, table, verify, write_csv

    _check_lanes(arguments.lanes)
    labs = [find_lab(text) for text in arguments.labs] or list_labs()
    student = student_id(arguments.student) if arguments.student else None
    found = []
    for each in verify(labs, arguments.lanes, student):
        found.append(each)
        if not each.is_right:
            print(f"{each.lab}, {each.part}:", *each.seen, sep="\n  ", flush=True)
    Console(highlight=False).print(table(by_lab(found)))
    if arguments.csv:
        write_csv(arguments.csv, by_lab(found))
    return 0 if all(each.is_right for each in found) else 1


class _Shown:
    """The table of a check: on a terminal it grows as lines are found."""

    def __init__(self, workspace: Workspace) -> None:
        from rich.console import Console
        from rich.live import Live

        from carplab.labs.grading import new_table

        lab = workspace.handout.lab
        self._table = new_table(f"Lab {lab.number}, {lab.title}: {workspace.handout.student}")
        self._console = Console(highlight=False)
        self._live = Live(self._table, console=self._console, auto_refresh=False)

    def __enter__(self) -> _Shown:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if not self._console.is_terminal:
            self._console.print(self._table)

    def add(self, line: Line) -> None:
        from carplab.labs.grading import add_line

        add_line(self._table, line)
        if self._console.is_terminal:
            self._live.refresh()


def _running() -> Session | None:
    """Return the session of a lab, if one is running."""
    from carplab.session.client import find_session
    from carplab.session.protocol import find_socket

    if find_socket() is None:
        return None
    session = find_session()
    if session.describe()["lab"]:
        return session
    session.close()
    return None


def _lab_session() -> Session:
    """Return the session of the lab that runs; CarplabError if there is none."""
    from carplab.session.client import find_session

    session = find_session()
    if not session.describe()["lab"]:
        session.close()
        raise CarplabError("what is running is no lab: start one with 'carplab lab start'")
    return session


def _default_folder(lab: CourseLab) -> Path:
    return Path(f"lab-{lab.number}")


def _command() -> str:
    """Return how this was called, for the next step."""
    return f"sudo {sys.argv[0]}"


def _check_lanes(lanes: int) -> None:
    if not 1 <= lanes <= MOST_LANES:
        raise UsageError(f"--lanes {lanes} is out of range: 1 to {MOST_LANES}")

"""`carplab mail`: measure the mail's claims, draw the verdicts, build the document."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carplab.errors import UsageError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

MOST_LANES = 32
SOME_FAILED = 3  # the exit code when all has been tried
RESULTS = Path("results/mail")


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its own subcommands."""
    mail = subparsers.add_parser("mail", help="the mail of 2005: measure its claims, judge them")
    commands = mail.add_subparsers(metavar="WHAT", required=True)

    measure = commands.add_parser("measure", help="make the runs that are missing (root)")
    _add_results(measure)
    _add_lanes(measure, 1)
    measure.add_argument(
        "--only", default="*", metavar="PATTERN", help="series whose names match, as in c3-*"
    )
    measure.add_argument(
        "--repetitions", type=int, metavar="N", help="not all, but the first N of each series"
    )
    measure.set_defaults(handler=_measure)

    series = commands.add_parser("series", help="list the series, and what of them is there")
    _add_results(series)
    series.set_defaults(handler=_list)

    verdicts = commands.add_parser("verdicts", help="runs.csv, verdicts.csv and the figures")
    _add_results(verdicts)
    verdicts.set_defaults(handler=_verdicts)

    lanes = commands.add_parser("lanes", help="a few runs alone, to compare: lanes.csv (root)")
    _add_results(lanes)
    _add_lanes(lanes, 12)
    lanes.set_defaults(handler=_lanes)

    publish = commands.add_parser("publish", help="copy all that to results/reference/mail")
    _add_results(publish)
    publish.set_defaults(handler=_publish)

    document = commands.add_parser("document", help="build docs/the-mail.md from what is published")
    document.set_defaults(handler=_document)


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder (%(default)s)")


def _add_lanes(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument(
        "--lanes", type=int, default=default, metavar="N", help="runs at once (%(default)s)"
    )


def _measure(arguments: argparse.Namespace) -> int:
    from carplab.mail.jobs import all_jobs
    from carplab.mail.measure import measure
    from carplab.mail.series import REPETITIONS

    repetitions = REPETITIONS if arguments.repetitions is None else arguments.repetitions
    if not 1 <= repetitions <= REPETITIONS:
        raise UsageError(f"--repetitions {repetitions} is out of range: 1 to {REPETITIONS}")
    _check_lanes(arguments.lanes)
    _terminate_as_interrupted()
    jobs = all_jobs(arguments.only, repetitions)
    progress = measure(jobs, arguments.out, arguments.lanes, _say)
    if not progress.failed:
        return 0
    _say(
        f"{len(progress.failed)} of {progress.total} runs failed twice: "
        f"{', '.join(progress.failed)}; what they said is in {arguments.out}/runs"
    )
    return SOME_FAILED


def _list(arguments: argparse.Namespace) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from carplab.mail.claims import claims_of
    from carplab.mail.jobs import all_jobs
    from carplab.mail.measure import duration_text
    from carplab.mail.series import SERIES

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("series", "looked at by", "network", "dialects", "each", "there"):
        table.add_column(column, no_wrap=column != "network")
    for series in SERIES:
        jobs = all_jobs(series.name)
        done = sum(job.is_done(arguments.out) for job in jobs)
        claims = dict.fromkeys(claim.id for claim, _ in claims_of(series.name))
        table.add_row(
            series.name,
            " ".join(claims),
            " ".join((series.design, series.family, *series.settings)),
            str(len(series.dialects)),
            duration_text(jobs[0].expected_s),
            f"{done}/{len(jobs)}",
        )
    Console(highlight=False).print(table)
    return 0


def _verdicts(arguments: argparse.Namespace) -> int:
    from carplab.mail.collect import collect

    for line in collect(arguments.out):
        _say(line)
    return 0


def _lanes(arguments: argparse.Namespace) -> int:
    from carplab.mail.compare_lanes import compare_lanes

    _check_lanes(arguments.lanes)
    _terminate_as_interrupted()
    for line in compare_lanes(arguments.out, arguments.lanes, _say):
        _say(line)
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    from carplab.mail.publish import PUBLISHED, publish

    copied = publish(arguments.out)
    _say(f"{len(copied)} files are in {PUBLISHED}")
    return 0


def _document(_arguments: argparse.Namespace) -> int:
    from carplab.mail.document import build_document

    _say(f"built {build_document()}")
    return 0


def _check_lanes(lanes: int) -> None:
    if not 1 <= lanes <= MOST_LANES:
        raise UsageError(f"--lanes {lanes} is out of range: 1 to {MOST_LANES}")


def _terminate_as_interrupted() -> None:
    """Let SIGTERM end it as Ctrl-C does."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


_printing = threading.Lock()


def _say(line: str) -> None:
    with _printing:
        print(line, flush=True)

"""`carplab report`: one HTML page for a run, for its repetitions, or for a folder of runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `carplab`."""
    parser = subparsers.add_parser(
        "report",
        help="write the HTML page of a run, of a series or of a folder of runs",
        description="Find the windows of a run (or of all runs in a folder), draw its figures and "
        "write one HTML page that needs no other file and no network.",
    )
    parser.add_argument(
        "results_dir",
        metavar="RESULTS_DIR",
        type=Path,
        help="the folder of a run, of a series, or one above such folders, as results/",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="write the page here and nothing else (default: report.html, windows.csv and the "
        "figures in RESULTS_DIR)",
    )
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page and print its path; returns 0. CarplabError where there is no run."""
    from carplab.analysis.run import report

    print(report(arguments.results_dir, arguments.out))
    return 0

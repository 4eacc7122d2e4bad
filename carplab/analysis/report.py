"""`carplab report`: a page and a PDF about a run, its repetitions, several runs, or a course's."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `carplab`."""
    parser = subparsers.add_parser(
        "report",
        help="write the report, HTML and PDF, of a run, of a series or of folders of runs",
        description="Find the windows of a run (or of all runs in a folder), draw its figures and "
        "write one HTML page that needs no other file and no network, and the same as a PDF to "
        "hand in.",
    )
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        type=Path,
        nargs="+",
        help="of a run, of a series, or one above such folders, as results/",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="set the runs and series in these folders side by side",
    )
    parser.add_argument("--title", default="", help="of the report (what it is about)")
    parser.add_argument("--author", default="", metavar="NAME", help="who hands it in")
    parser.add_argument(
        "--out",
        metavar="PATH",
        type=Path,
        help="write the report here and nothing else: a name that ends in .html or .pdf, or a "
        "folder (default: report.html, report.pdf, windows.csv and the figures in FOLDER; of "
        "several folders, report.html or comparison.html where you are)",
    )
    parser.add_argument("--no-pdf", action="store_true", help="only the page, some seconds sooner")
    parser.add_argument(
        "--figures",
        metavar="FORMATS",
        default="",
        help="also write each figure at print size (17 cm wide, 300 dots per inch) into figures/ "
        "beside the report: png, svg, pdf, or several as in png,pdf",
    )
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the report and print the paths; returns 0. CarplabError where there is no run."""
    from carplab.analysis.page import Heading
    from carplab.analysis.run import Order, report

    order = Order(
        out=arguments.out,
        heading=Heading(arguments.title, arguments.author),
        pdf=not arguments.no_pdf,
        figures=tuple(each for each in arguments.figures.split(",") if each),
        compare=arguments.compare,
    )
    for path in report(arguments.folders, order):
        print(path)
    return 0

"""The site builds without a warning, serves everything itself, and its command lines are right."""

from __future__ import annotations

import html
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carplab.cli import build_parser
from carplab.daemon import main as carpd
from carplab.labs.course import list_labs

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted((PROJECT / "labs").rglob("*.md")),
]
STRICT = ("-W", "--keep-going", "-n", "-q", "-j", "auto")
# A line of a shell: behind a prompt, indented as a block, or with the path of the command.
_COMMAND = re.compile(
    r"(?:\$ | {4,}|(?=sudo |\.venv/))(?:sudo )?(?:\.venv/bin/)?(carplab|carpd) (.*)"
)
_FOREIGN = re.compile(r'(?:src|href)="(?:https?:)?//[^"]*"')
_DRAWN = re.compile(r"\{\{.*?\}\}")  # in the labs' handouts, which are templates
_TARGET = re.compile(r"\]\((?!https?:)([^)#]+)")
# What a page may lead to, and what it may load nothing from.
_LINK = re.compile(r'<a\b[^>]*>|<link rel="canonical"[^>]*>')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does."""
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *STRICT, "-d", out / "doctrees", "docs", out / "html"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return out / "html"


def test_every_page_is_there(site: Path) -> None:
    for page in (PROJECT / "docs").rglob("*.md"):
        built = site / page.relative_to(PROJECT / "docs").with_suffix(".html")
        assert built.is_file(), f"{page.name} was not built"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = _FOREIGN.findall(_LINK.sub("", page.read_text(encoding="utf-8")))
        assert loaded == [], page


def test_every_lab_is_listed(site: Path) -> None:
    page = (site / "labs.html").read_text(encoding="utf-8")
    for lab in list_labs():
        assert lab.name in page and html.escape(lab.title) in page


def test_reference_is_made_from_the_code(site: Path) -> None:
    commands = (site / "reference/commands.html").read_text(encoding="utf-8")
    assert "--bandwidth" in commands and "--no-analysis" in commands
    network = (site / "reference/python/network.html").read_text(encoding="utf-8")
    assert 'id="carplab.network.Router"' in network
    assert "Seconds without an advertisement after which a BACKUP becomes MASTER." in network
    machine = (site / "explanation/carp.html").read_text(encoding="utf-8")
    assert "preempting a slower master</text>" in machine
    drawing = (site / "howto/own-topology.html").read_text(encoding="utf-8")
    assert "10.0.3.100/24</text>" in drawing  # the server in the DMZ


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_outside_the_site_lead_somewhere(name: str) -> None:
    targets = _TARGET.findall((PROJECT / name).read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (PROJECT / target).exists(), target


def command_lines() -> Iterator[tuple[str, str, str]]:
    """Yield the page, the program and the words of each command line in the pages."""
    for page in PAGES:
        text = _DRAWN.sub("1", page.read_text(encoding="utf-8"))
        for line in text.replace("\\\n", " ").splitlines():
            match = _COMMAND.fullmatch(line)
            if match:
                yield page.name, match[1], match[2]


@pytest.mark.parametrize(
    ("page", "program", "words"), [pytest.param(*each, id=each[0]) for each in command_lines()]
)
def test_command_line_of_a_page_is_understood(page: str, program: str, words: str) -> None:
    parser = build_parser() if program == "carplab" else carpd.build_parser()
    parser.parse_args(shlex.split(words, comments=True))

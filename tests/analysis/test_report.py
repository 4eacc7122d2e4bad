from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pypdf import PdfReader

from carplab.analysis.analysed import read_series
from carplab.analysis.report import add_parser
from carplab.analysis.run import Order, analyse_run, analyse_series, report, windows_table
from carplab.errors import CarplabError, UsageError
from tests.analysis.recorded import blocked_port, cable_pull, crash
from tests.analysis.test_table import printed

VOID = {"meta", "img", "link", "br", "hr"}


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Page(HTMLParser):
    """What a page shows, what it loads and where it leads; fails where a tag is left open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.sources, self.links = "", [""][:0], [""][:0]
        self.ids: set[str] = set()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.ids |= {value or "" for name, value in attrs if name == "id"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def page_of(*folders: Path, **order: Any) -> Page:
    """Write the report of these folders and read its page back."""
    return Page(report(folders, Order(**order))[0])


def write_series(folder: Path, dialect: str = "openbsd", repetitions: int = 3) -> Path:
    folder.mkdir(parents=True)
    for number in range(1, repetitions + 1):
        recording = cable_pull(phase_s=0.2 * number)
        recording.settings, recording.repetition = {"dialect": dialect}, number
        recording.write(folder / f"{number:02d}")
    about = {
        "format": 1,
        "experiment": "cable-pull",
        "run": folder.name,
        "repetitions": repetitions,
    }
    (folder / "series.json").write_text(json.dumps({**about, "outcome": "finished"}))
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series with all its files; not to be changed."""
    folder = write_series(tmp_path_factory.mktemp("runs") / "series")
    analyse_series(folder)
    return folder


def test_a_run_gets_its_files(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    before = {path.name for path in folder.iterdir()}
    analysed = analyse_run(folder)
    written = {path.name for path in folder.iterdir()} - before
    assert written == {
        "windows.csv",
        "timeline.png",
        "timeline.svg",
        "sides.csv",
        "sides.png",
        "sides.svg",
        "report.html",
    }
    assert (folder / "windows.csv").read_text().count("\n") == len(analysed.windows) + 1
    said = printed(windows_table(analysed))
    assert "failover" in said
    assert said.splitlines()[-1].startswith("worst split: 2.892 s after fault 1 (outside none")


def test_without_figures_only_the_windows(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    analyse_run(folder, figures=False)
    assert (folder / "windows.csv").exists()
    assert not (folder / "report.html").exists()


def test_a_series_without_figures_has_the_tables_only(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    analyse_series(folder, figures=False)
    written = {path.name for path in folder.rglob("*") if path.suffix in (".csv", ".png", ".html")}
    assert "windows.csv" in written and not {"report.html", "distribution.png"} & written
    assert (folder / "01" / "windows.csv").exists()


def test_the_page_of_a_run(tmp_path: Path) -> None:
    page = page_of(cable_pull().write(tmp_path))
    for words in (
        "cable-pull: 2026-11-22T11-30-00",
        "Fault 1 (link_down fw1 outside): traffic was out for 2.898 s (theory: 2.391 to 3.391 s).",
        "all was back after 0.550 s",
        "carplab run cable-pull --dialect openbsd --seed 7",
        "who is MASTER of what, until all is as before?",
        "fw2 outside vhid 1",
        "3.391",
        "6.1.0",
        "hardware interface down",
        "10 advertisements sent and heard are in events.csv only.",
    ):
        assert words in page.text
    assert "did not finish" not in page.text


def test_the_page_needs_nothing_else(finished: Path) -> None:
    path = finished / "report.html"
    page = Page(path)
    assert len(page.sources) == 3
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "url(" not in path.read_text()
    assert not re.search(r"https?://", re.sub(r"data:[^\"]+", "", path.read_text()))


def test_several_flows_are_set_side_by_side(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.flows = {("client2", "server"): [(6.0, 6.5)]}
    folder = recording.write(tmp_path)
    analysed = analyse_run(folder)
    rows = list(csv.DictReader((folder / "flows.csv").read_text().splitlines()))
    assert [(row["client"], row["cause"], row["lost"]) for row in rows] == [
        ("client", "all", "2897"),
        ("client", "none", "0"),
        ("client", "fault 1", "2897"),
        ("client", "repair 1", "0"),
        ("client2", "all", "500"),
        ("client2", "none", "0"),
        ("client2", "fault 1", "500"),
        ("client2", "repair 1", "0"),
    ]
    page = Page(folder / "report.html")
    for shown in (printed(windows_table(analysed)), page.text):
        assert "client2 to server" in shown
        assert "0.501 s" in shown


def test_the_stream_and_the_worst_split_are_headlines(tmp_path: Path) -> None:
    recording = blocked_port()
    recording.silent = []
    text = page_of(recording.write(tmp_path)).text
    assert "The stream: alive." in text
    assert "Worst split: 29.6 s after repair 1 (outside fw1+fw2, inside fw1), 29.6 s of it" in text


def test_the_recorded_command_is_shown(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    about = json.loads((folder / "run.json").read_text())
    about["command"] = "carplab run cable-pull --seed 99 --set fw2.advskew=50"
    (folder / "run.json").write_text(json.dumps(about))
    assert about["command"] in page_of(folder).text


def test_a_session_has_no_seed_and_a_lab_its_own_command(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path)
    about = json.loads((folder / "run.json").read_text())
    del about["seed"]
    (folder / "run.json").write_text(json.dumps(about))
    text = page_of(folder).text
    assert "The faults were made by hand" in text and "carplab run" not in text
    about["settings"] = {"lab": "01-who-is-master", "student": "alice"}
    (folder / "run.json").write_text(json.dumps(about))
    assert "carplab lab start 01-who-is-master --student alice" in page_of(folder).text


def test_everything_recorded_is_escaped(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.settings = {"dialect": "<script>alert(1)</script>", "x&y": '"<b>'}
    recording.event(6.0, "<i>fw1</i>", "process", "", "", "<img src=x onerror=alert(2)>")
    path = report([recording.write(tmp_path)])[0]
    assert "<script" not in path.read_text()
    assert "<img src=x" not in path.read_text()
    assert "<script>alert(1)</script>" in Page(path).text


def test_a_partial_run_says_what_is_missing(tmp_path: Path) -> None:
    recording = crash()
    recording.outcome = "interrupted"
    folder = recording.write(tmp_path)
    (folder / "ping.csv").unlink()
    (folder / "iperf.csv").write_text("")
    text = page_of(folder).text
    assert "This run did not finish: interrupted in the phase 'end' (Ctrl-C)." in text
    assert "ping.csv is missing." in text
    assert "iperf.csv is empty." in text


def test_a_run_that_recorded_nothing_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 1, "outcome": "running"}')
    text = page_of(tmp_path).text
    assert "This run did not finish: running." in text
    assert "probe.csv is missing." in text


def test_a_series_gets_its_files_and_each_repetition_its_own(finished: Path) -> None:
    for name in ("windows.csv", "distribution.png", "distribution.svg", "report.html"):
        assert (finished / name).exists()
    page = Page(finished / "report.html")
    assert page.links == ["01/report.html", "02/report.html", "03/report.html"]
    assert all((finished / link).exists() for link in page.links)
    assert "The middle one: repetition 02" in page.text
    said = printed(windows_table(read_series(finished)))
    assert "failover" in said
    assert said.splitlines()[-1] == (
        "worst split: 3.192 s after fault 1 (outside none, inside fw2), "
        "3.192 s of it without traffic, in repetition 01"
    )


def test_a_series_that_was_cut_short_says_so(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "series")
    about = json.loads((folder / "series.json").read_text())
    (folder / "series.json").write_text(json.dumps({**about, "repetitions": 10}))
    assert "Of 10 repetitions 3 are here." in page_of(folder).text


def test_a_series_without_repetitions_has_a_page(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series", repetitions=0)
    assert "No repetition has windows." in page_of(folder).text


def test_a_folder_of_runs(finished: Path, tmp_path: Path) -> None:
    cable_pull().write(tmp_path / "cable-pull" / "single")
    shutil.copytree(finished, tmp_path / "cable-pull" / "first")
    write_series(tmp_path / "cable-pull" / "second", "freebsd", 1)
    (tmp_path / "crash" / "broken").mkdir(parents=True)
    (tmp_path / "crash" / "broken" / "run.json").write_text("{")
    page = page_of(tmp_path)
    outward = [link for link in page.links if not link.startswith("#")]
    assert len(outward) == 3
    assert all((tmp_path / link).exists() for link in outward)
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert "series side by side" in page.text
    assert len(page.sources) == 4
    assert "run.json is damaged" in page.text


def test_out_writes_the_page_and_nothing_else(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    cable_pull().write(runs / "single")
    write_series(runs / "series", repetitions=2)
    before = sorted(runs.rglob("*"))
    for folder in (runs / "single", runs / "series", runs):
        out = tmp_path / "out.html"
        assert report([folder], Order(out)) == [out]
        assert Page(out).text
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize("there", [True, False])
def test_where_no_run_is_there_is_no_report(tmp_path: Path, there: bool) -> None:
    folder = tmp_path if there else tmp_path / "nowhere"
    with pytest.raises(CarplabError, match="no run in" if there else "is no folder"):
        report([folder])


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path / "run")
    with pytest.raises(CarplabError, match=r"cannot write .*out\.html: No such file"):
        report([folder], Order(tmp_path / "nowhere" / "out.html"))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    folder = cable_pull().write(tmp_path)
    words = ["--no-pdf", "--title", "What I did", "--author", "A. Student", "--figures", "svg"]
    arguments = parser.parse_args(["report", str(folder), *words])
    assert arguments.handler(arguments) == 0
    names = ("report.html", "figures/timeline.svg", "figures/sides.svg", "figures/network.svg")
    said = capsys.readouterr().out.splitlines()
    assert [Path(line).relative_to(folder).as_posix() for line in said] == list(names)
    page = Page(folder / "report.html")
    assert page.text.split()[:3] == ["What", "I", "did"] and "A. Student" in page.text


def test_the_command_line_starts_without_what_is_heavy() -> None:
    heavy = "pandas", "matplotlib", "jinja2", "numpy"
    code = f"import sys, carplab.analysis.report; print(set({heavy}) & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


def test_figures_at_print_size(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path / "run")
    out = tmp_path / "out.html"
    written = report([folder], Order(out, figures=("png", "pdf")))
    assert {path.name for path in written[1:]} == {
        "timeline.png",
        "timeline.pdf",
        "sides.png",
        "sides.pdf",
        "network.svg",
    }
    with Image.open(tmp_path / "figures" / "timeline.png") as timeline:
        dots_a_cm = 300 / 2.54
        assert timeline.width == int(17 * dots_a_cm)
        assert [round(dpi) for dpi in timeline.info["dpi"]] == [300, 300]
    page = PdfReader(tmp_path / "figures" / "timeline.pdf").pages[0]
    assert float(page.mediabox.width) / 72 * 2.54 == pytest.approx(17, abs=0.01)
    assert "failover" in page.extract_text()


def test_a_folder_can_be_named_for_the_report(tmp_path: Path) -> None:
    folder = cable_pull().write(tmp_path / "run")
    (tmp_path / "there").mkdir()
    assert report([folder], Order(tmp_path / "there")) == [tmp_path / "there" / "report.html"]


def test_an_unknown_format_of_a_figure_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown format 'gif': known are png, svg, pdf"):
        report([tmp_path], Order(figures=("gif",)))


def test_a_run_of_a_later_version_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(CarplabError, match=r"run\.json has format 99, .* up to 1: update it"):
        report([tmp_path])

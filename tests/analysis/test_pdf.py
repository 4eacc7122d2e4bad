from __future__ import annotations

import builtins
import logging
import re
import subprocess
import sys
from typing import Any

import pytest
from pypdf import PdfReader

from carplab.analysis.page import Heading
from carplab.analysis.pdf import render_pdf
from carplab.analysis.run import Order, report
from carplab.errors import CarplabError
from carplab.network import as_plain
from tests.analysis.recorded import cable_pull
from topo.firewall_pair import firewall_pair

A4_PT = (595, 842)


class Warnings(logging.Handler):
    """What WeasyPrint complained about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> PdfReader:
    """The report of a run as a PDF, and nothing else; not to be changed."""
    recording = cable_pull()
    recording.network = as_plain(firewall_pair())
    folder = recording.write(tmp_path_factory.mktemp("run"))
    before = sorted(folder.iterdir())
    out = tmp_path_factory.mktemp("out") / "handed-in.pdf"
    order = Order(out, Heading("Pulling a cable", "A. Student"))
    warnings = Warnings()
    logging.getLogger("weasyprint").addHandler(warnings)
    assert report([folder], order) == [out]
    logging.getLogger("weasyprint").removeHandler(warnings)
    assert warnings.said == []
    assert sorted(folder.iterdir()) == before
    assert sorted(out.parent.iterdir()) == [out]
    return PdfReader(out)


def text_of(pages: PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in pages.pages).split())


def test_it_is_a4_with_numbered_pages_and_a_running_header(pages: PdfReader) -> None:
    count = len(pages.pages)
    assert 3 <= count <= 5
    for number, page in enumerate(pages.pages, start=1):
        assert (round(page.mediabox.width), round(page.mediabox.height)) == A4_PT
        words = page.extract_text()
        assert f"{number} / {count}" in words
        assert "Pulling a cable" in words and "A. Student" in words
    assert pages.metadata and pages.metadata.title == "Pulling a cable"
    assert pages.metadata.author == "A. Student"


def test_it_says_what_a_report_says(pages: PdfReader) -> None:
    text = text_of(pages)
    for words in (
        "The question",
        "who is MASTER of what, until all is as before?",
        "Windows against theory",
        "traffic was out for 2.898 s (theory: 2.391 to 3.391 s)",
        "fw2 outside vhid 1 1 100 1.391 3.391 BACKUP",
        "What was not reached",
        "carplab run cable-pull --dialect openbsd --seed 7",
        "mininet",
        "0123abc",
    ):
        assert words in text
    assert text.index("What the words mean") < text.index("detection minus theory")
    assert "10 advertisements sent and heard" not in text  # the page has the events


def test_the_drawing_is_on_the_first_page(pages: PdfReader) -> None:
    """Its text is text: 10.0.1.100/24 stands nowhere else."""
    assert "10.0.1.100/24" in pages.pages[0].extract_text()


def fonts_of(resources: Any) -> dict[str, Any]:
    """Return all fonts of a page and of the figures in it, by name."""
    fonts = {
        str(font.get_object()["/BaseFont"]): font.get_object()
        for font in resources.get("/Font", {}).values()
    }
    for form in resources.get("/XObject", {}).values():
        inner = form.get_object().get("/Resources")
        fonts |= fonts_of(inner.get_object()) if inner else {}
    return fonts


def test_its_fonts_are_embedded(pages: PdfReader) -> None:
    fonts = {}
    for page in pages.pages:
        fonts |= fonts_of(page["/Resources"])
    assert {re.sub(r"^/\w+\+", "", name) for name in fonts} == {
        "DejaVu-Sans",
        "DejaVu-Sans-Bold",
        "DejaVu-Sans-Mono",
    }
    for font in fonts.values():
        descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert {"/FontFile2", "/FontFile3"} & set(descriptor)


@pytest.mark.parametrize(
    "error", [OSError("cannot load 'libpango-1.0-0'"), ImportError("No module named 'cffi'")]
)
def test_without_its_libraries_one_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    usual = builtins.__import__

    def refuse(name: str, *others: Any) -> Any:
        if name == "weasyprint":
            raise error
        return usual(name, *others)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(CarplabError, match=r"^a PDF needs .*(libpango|cffi).*--no-pdf$"):
        render_pdf("<p>")


def test_weasyprint_is_imported_for_a_pdf_only() -> None:
    code = "import sys, carplab.analysis.run; print('weasyprint' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert result.stdout == b"False\n"

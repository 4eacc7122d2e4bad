"""What the repository holds of the mail: the document and the files it is built from agree."""

from __future__ import annotations

from carplab.mail import publish
from carplab.mail.document import DOCUMENT, FIGURES, TEMPLATE, render
from carplab.mail.facts import read_facts
from carplab.mail.verdicts import find_verdicts, write_verdicts


def test_the_document_is_what_template_and_tables_give() -> None:
    assert DOCUMENT.read_text() == render(TEMPLATE.read_text()), "run `make docs`"


def test_the_verdicts_follow_from_the_runs() -> None:
    runs = read_facts(publish.published(publish.RUNS_FILE))
    assert publish.published(publish.VERDICTS_FILE) == write_verdicts(find_verdicts(runs))


def test_every_figure_of_the_document_is_there() -> None:
    shown = [part.partition(")")[0] for part in DOCUMENT.read_text().split(f"({FIGURES}/")[1:]]
    assert len(shown) >= 8
    for name in shown:
        assert (publish.PUBLISHED / name).is_file(), name

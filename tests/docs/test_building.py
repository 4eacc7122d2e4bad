"""What the pages take from the code: tables that explain every word, docstrings, anchors."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from carplab import recording
from docs.building.directives import check_texts, for_site, read_texts, unit, words_of
from docs.building.docstrings import as_rest

PROJECT = Path(__file__).resolve().parents[2]
FILES_PAGE = (PROJECT / "docs/reference/files.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "first"),
    [
        ("carplab.recording.PING", "seq"),
        ("carplab.carp.virtual_host.State", "INIT"),
        ("carplab.network.SEGMENT_KINDS", "openflow"),
        ("carplab.settings.SETTINGS", "advbase"),
    ],
)
def test_words_of_tables_enumerations_and_lists(path: str, first: str) -> None:
    assert words_of(path)[0] == first


@pytest.mark.parametrize("path", ["carplab.network.KINDS", "carplab.nothing.X", "X"])
def test_a_list_that_is_not_there(path: str) -> None:
    with pytest.raises(ValueError, match=f"there is no {path} in the code"):
        words_of(path)


def test_texts_go_on_where_they_are_indented() -> None:
    assert read_texts(["a: one", "  two", "", "b c: `x: y`"]) == {"a": "one two", "b c": "`x: y`"}
    with pytest.raises(ValueError, match="'no word' is not of the form WORD: text"):
        read_texts(["no word"])
    with pytest.raises(ValueError, match="a is explained twice"):
        read_texts(["a: one", "a: two"])


def test_a_word_without_a_text_and_a_text_without_its_word() -> None:
    check_texts("carplab.x.Y", ["a", "b"], ["b", "a"])
    with pytest.raises(ValueError, match=r"b of carplab.x.Y: not explained"):
        check_texts("carplab.x.Y", ["a", "b"], ["a"])
    with pytest.raises(ValueError, match=r"c: not in carplab.x.Y"):
        check_texts("carplab.x.Y", ["a"], ["a", "c"])


def test_units_stand_in_the_names() -> None:
    columns = ("t_s", "rtt_ms", "throughput_mbps", "start_s_after_repair", "seq", "source")
    assert [unit(column) for column in columns] == ["s", "ms", "Mbit/s", "s", "", ""]


def test_every_table_of_a_run_is_on_the_page_about_files() -> None:
    tables = {name for name, value in vars(recording).items() if isinstance(value, recording.Table)}
    explained = {name for name in tables if f"carplab.recording.{name}\n" in FILES_PAGE}
    # its columns are those of WINDOWS and one more, which the page says
    assert tables - explained == {"SERIES_WINDOWS"}


def test_every_kind_of_event_that_was_recorded_is_on_the_page_about_files() -> None:
    section = FILES_PAGE.split("### Kinds of events")[1].split("\n## ")[0]
    for path in (PROJECT / "results/reference").rglob("events*.csv"):
        with path.open(encoding="utf-8") as file:
            for kind in {row["kind"] for row in csv.DictReader(file)}:
                assert f"`{kind}`" in section, f"{kind} in {path.name}"


def test_indented_blocks_of_docstrings_are_verbatim() -> None:
    lines = ["One:", "", "    a  b", "", "    c", "", "Two", "    more", "", "- x", "  y"]
    assert list(as_rest(lines)) == [
        *("One:", "", "::", "", "    a  b", "", "    c", ""),
        *("Two", "    more", "", "- x", "  y"),
    ]


@pytest.mark.parametrize(
    ("written", "built"),
    [
        ('<a id="c0"></a>\n## C0', "(c0)=\n## C0"),
        ('see <a id="c0"></a>', 'see <a id="c0"></a>'),
        ("[x](../labs.md)", "[x](../labs.md)"),
        ("[x](../../results/README.md)", "[x](path:../../results/README.md)"),
        ("[x](../../results/runs.csv)", "[x](../../results/runs.csv)"),
    ],
)
def test_what_a_forge_understands_is_put_in_other_words(written: str, built: str) -> None:
    docs = PROJECT / "docs"
    assert for_site(written, docs / "howto" / "page.md", docs) == built

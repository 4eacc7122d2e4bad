"""Directives of the pages that take from the code what the code decides.

`table-of OBJECT` explains each word of a list in the code: its content has a line `WORD: text` for
each one, in Markdown, indented where it goes on. A word without a text, or a text without its word,
is an error. The object is a table of a run (its columns, whose units stand in their names), an
enumeration (its values), or whatever can be iterated. `:head:` names the columns.

`state-machine` draws the transitions of carplab.carp.

`network FUNCTION` draws the network that a function returns; `:design:` is given to it.

`experiments` lists the experiments with the first line of their descriptions, and their conditions.

`labs` lists the labs of the course, with the first paragraph of each one's handout.

Pages can be read on a forge, too: `<a id="x"></a>` on a line of its own is a target, and a link to
a page outside of docs/ leads to the file.
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from carplab import recording
from carplab.analysis.network_drawing import draw_network
from carplab.carp import virtual_host
from carplab.emulation.experiment import list_experiments
from carplab.labs.course import README_FILE, CourseLab, list_labs
from carplab.labs.drawing import GUEST
from carplab.labs.handout import Handout
from carplab.network import as_plain
from docs.building.state_machine import draw

UNITS = {"_mbps": "Mbit/s", "_ms": "ms", "_s": "s"}
_WORD = re.compile(r"(?P<word>\S[^:]*): *(?P<text>.*)")
_OTHER_PAGE = re.compile(r"\]\((?P<path>\.\./[^)#]+\.md)\)")
_ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>$', re.MULTILINE)


def words_of(path: str) -> list[str]:
    """Return the words of the list at `package.module.NAME`; ValueError when there is none."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"there is no {path} in the code") from None
    if isinstance(found, recording.Table):
        return list(found.columns)
    if isinstance(found, type) and issubclass(found, enum.Enum):
        return [str(member.value) for member in found]
    return [str(word) for word in found]


def read_texts(lines: Iterable[str]) -> dict[str, str]:
    """Return the text of each word; ValueError for a line that has no word, or a word twice."""
    texts: dict[str, str] = {}
    word = ""
    for line in lines:
        if word and line.startswith(" "):
            texts[word] += " " + line.strip()
        elif line.strip():
            match = _WORD.fullmatch(line)
            if match is None:
                raise ValueError(f"{line!r} is not of the form WORD: text")
            word = match["word"]
            if word in texts:
                raise ValueError(f"{word} is explained twice")
            texts[word] = match["text"]
    return texts


def check_texts(path: str, words: Iterable[str], texts: Iterable[str]) -> None:
    """Raise ValueError when a word is not explained, or an explained one is not there."""
    known, explained = list(words), list(texts)
    missing = [word for word in known if word not in explained]
    unknown = [word for word in explained if word not in known]
    if missing:
        raise ValueError(f"{', '.join(missing)} of {path}: not explained")
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: not in {path}")


def unit(column: str) -> str:
    """Return the unit that a column's name ends in, or nothing; `_s_after_repair` is seconds."""
    for ending, name in UNITS.items():
        if column.endswith(ending) or f"{ending}_" in column:
            return name
    return ""


class _Tabular(SphinxDirective):
    """A directive that makes a table whose cells are Markdown."""

    def table(self, head: list[str], rows: list[list[str]]) -> nodes.table:
        group = nodes.tgroup(cols=len(head))
        group += [nodes.colspec() for _ in head]
        group += nodes.thead("", self._row(head))
        group += nodes.tbody("", *(self._row(row) for row in rows))
        return nodes.table("", group, classes=["table-of"])

    def _row(self, cells: list[str]) -> nodes.row:
        entries = (nodes.entry("", *self.parse_text_to_nodes(cell)) for cell in cells)
        return nodes.row("", *entries)


class TableOf(_Tabular):
    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"head": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        path = self.arguments[0]
        try:
            words, texts = words_of(path), read_texts(self.content)
            check_texts(path, words, texts)
        except ValueError as error:
            raise self.error(str(error)) from None
        units = [unit(word) for word in words]
        with_units = path.startswith(recording.__name__) and any(units)
        head = self.options.get("head", "column, unit, meaning" if with_units else "word, meaning")
        rows = [
            [f"`{word}`", *([its_unit] if with_units else []), texts[word]]
            for word, its_unit in zip(words, units, strict=True)
        ]
        return [self.table([name.strip() for name in head.split(",")], rows)]


class Experiments(_Tabular):
    def run(self) -> list[nodes.Node]:
        rows = []
        for each in list_experiments():
            self.env.note_dependency(str(each.path))
            conditions = ", ".join(f"`{condition}`" for condition in each.conditions)
            rows.append([f"`{each.name}`", each.summary, conditions])
        return [self.table(["experiment", "what happens", "conditions"], rows)]


class Labs(_Tabular):
    def run(self) -> list[nodes.Node]:
        labs = list_labs()
        for lab in labs:
            self.env.note_dependency(str(lab.folder / README_FILE))
        rows = [[f"`{lab.name}`", str(lab.minutes), about(lab)] for lab in labs]
        return [self.table(["lab", "minutes", "what it is about"], rows)]


def about(lab: CourseLab) -> str:
    """Return a lab's title and the first paragraph of its handout, as anybody gets it."""
    _, paragraph, *_ = Handout(lab, GUEST).readme().split("\n\n")
    return f"**{lab.title}**\n\n{paragraph}"


class StateMachine(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        # a change of the table must draw it again, although the page is the same
        self.env.note_dependency(virtual_host.__file__)
        return [nodes.raw("", draw(virtual_host.TRANSITIONS), format="html")]


class NetworkDrawing(SphinxDirective):
    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"design": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].rpartition(".")
        function = getattr(import_module(module), name)
        self.env.note_dependency(inspect.getfile(function))
        drawing = draw_network(as_plain(function(**self.options)))
        return [nodes.raw("", f'<div class="network">{drawing}</div>', format="html")]


def for_site(source: str, page: Path, docs: Path) -> str:
    """Return a page's source with the anchors and links that MyST has other words for."""

    def link(match: re.Match[str]) -> str:
        is_outside = docs not in (page.parent / match["path"]).resolve().parents
        return f"](path:{match['path']})" if is_outside else match[0]

    return _OTHER_PAGE.sub(link, _ANCHOR.sub(r"(\1)=", source))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("table-of", TableOf)
    app.add_directive("state-machine", StateMachine)
    app.add_directive("network", NetworkDrawing)
    app.add_directive("experiments", Experiments)
    app.add_directive("labs", Labs)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = for_site(source[0], Path(app.env.doc2path(name)), Path(app.srcdir))


"""The code's docstrings and signatures, as Sphinx can read them.

The docstrings are written as Markdown is: what is indented after an empty line is verbatim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sphinx.application import Sphinx


def as_rest(lines: Sequence[str]) -> Iterator[str]:
    """Yield the docstring as reStructuredText, which marks a verbatim block with `::` above it."""
    base = 0  # how far the last line that was not verbatim is indented
    verbatim = False
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if line.strip() and verbatim:
            verbatim = indent > base
        if line.strip() and not verbatim:
            begins = indent >= base + 4 and number > 0 and not lines[number - 1].strip()
            if begins:
                verbatim = True
                yield from (" " * base + "::", "")
            else:
                base = indent
        yield line


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process_docstring)
    app.connect("autodoc-process-signature", _process_signature)
    return {"parallel_read_safe": True}


def _process_docstring(
    app: Sphinx, what: str, name: str, documented: object, options: object, lines: list[str]
) -> None:
    lines[:] = as_rest(lines)


def _process_signature(
    app: Sphinx,
    what: str,
    name: str,
    documented: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Write `...` for a default that a function makes: `<factory>` is no Python."""
    return signature and signature.replace("<factory>", "..."), returns

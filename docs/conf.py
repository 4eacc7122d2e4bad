"""Sphinx's configuration; `make site` builds the site into build/site.

Everything is served from the site itself: no CDN, no fonts or inventories of others. Whatever does
not resolve is an error, and so is each word of the code that a page does not explain (`table-of`).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from carplab import __version__

project = "carplab"
author = "carplab authors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinxarg.ext",
    "docs.building.directives",
    "docs.building.docstrings",
]
exclude_patterns = ["examples"]

# The pages can be read on a forge, too: links to files of the repository are plain Markdown.
myst_heading_anchors = 3

highlight_language = "none"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
# In the docstrings `name` is code, as in Markdown.
default_role = "literal"

nitpicky = True
nitpick_ignore_regex = [
    # Names of the standard library and of others lead nowhere: that would need their inventories.
    (r"py:.*", r"(?!carplab|topo|experiments|controllers).*"),
    (r"py:.*", r".*\._\w+"),  # private names, type variables
]

# sphinx-argparse's domain has nothing that Markdown's links could find.
suppress_warnings = ["myst.domains"]

html_theme = "furo"
html_title = "carplab"
html_static_path = ["static"]
html_css_files = ["carplab.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "tango"

"""The picture of the README: the split and its cure, from the runs recorded for lab 05.

`make docs` draws it.
"""

from __future__ import annotations

from pathlib import Path

from carplab.analysis.analysed import read_run
from carplab.analysis.strips import draw_strips
from carplab.analysis.style import as_png

PROJECT = Path(__file__).resolve().parents[2]
PICTURE = PROJECT / "docs" / "images" / "split-and-cure.png"
RUNS = PROJECT / "results" / "reference" / "labs" / "05-split-on-recovery"
TITLES = {
    "A switch with spanning tree": "stp",
    "The same switch, and firewalls that wait for its port: link_up_delay=32": "link-up-delay",
}
SHOWN_S = 3.0, 47.0  # before and after the fault


def draw() -> bytes:
    """Return the picture as PNG."""
    runs = {title: read_run(RUNS / name) for title, name in TITLES.items()}
    return as_png(draw_strips(runs, before_s=SHOWN_S[0], after_s=SHOWN_S[1]))


if __name__ == "__main__":
    PICTURE.write_bytes(draw())

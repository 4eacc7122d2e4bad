"""Lines, boxes and text as SVG, with the widths of the text known, so that a drawing can make room.

Black on white: nothing is told by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path

import matplotlib as mpl
from PIL import ImageFont

from carplab.analysis.style import BLACK, VERMILLION

SIZE, SMALL = 11.0, 10.0  # of text
MARK = 5.0  # half a cross


@dataclass(frozen=True)
class Text:
    """A line of text; `soft` is smaller and grey."""

    words: str
    bold: bool = False
    soft: bool = False

    @property
    def width(self) -> float:
        """How wide it is."""
        return text_width(self.words, SMALL if self.soft else SIZE, self.bold)


@dataclass
class Canvas:
    """Pieces of SVG, and how far they reach."""

    pieces: list[str] = field(default_factory=list)
    left: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = BLACK, wide: float = 1.4
    ) -> None:
        """Draw a line; it does not count for how far the drawing reaches."""
        self.pieces.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{wide:g}"/>'
        )

    def cable(self, x1: float, x2: float, y: float) -> None:
        """Draw a cable that visibly passes over the bars between its ends."""
        halo = 2.0 if x2 > x1 else -2.0
        self.line(x1 + halo, y, x2 - halo, y, "white", 7)
        self.line(x1, y, x2, y)

    def box(self, x: float, y: float, wide: float, high: float, fill: str = "white") -> None:
        """Draw a box."""
        self.pieces.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{fill}" '
            f'stroke="{BLACK}" stroke-width="1.2" rx="3"/>'
        )
        self._reach(x, x + wide, y + high)

    def text(self, x: float, y: float, text: Text, anchor: str = "start") -> None:
        """Write a line whose middle is at `y`."""
        size = SMALL if text.soft else SIZE
        low = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * text.width
        weight = ' font-weight="bold"' if text.bold else ""
        fill = ' fill="#444444"' if text.soft else ""
        self.pieces.append(
            f'<text x="{x:.1f}" y="{y + 0.36 * size:.1f}" font-size="{size:g}" '
            f'text-anchor="{anchor}"{weight}{fill}>{escape(text.words)}</text>'
        )
        self._reach(low, low + text.width, y + size / 2)

    def cross(self, x: float, y: float) -> None:
        """Mark where a fault strikes."""
        for colour, wide in (("white", 8.0), (VERMILLION, 3.6)):
            self.line(x - MARK, y - MARK, x + MARK, y + MARK, colour, wide)
            self.line(x - MARK, y + MARK, x + MARK, y - MARK, colour, wide)

    def _reach(self, left: float, right: float, bottom: float) -> None:
        self.left, self.right = min(self.left, left), max(self.right, right)
        self.bottom = max(self.bottom, bottom)

    def svg(self, title: str) -> str:
        """Return the drawing, as large as it reaches."""
        left, wide = self.left - 2, self.right - self.left + 4
        high = self.bottom + 4
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.1f} 0 {wide:.1f} {high:.1f}" '
            f'width="{wide:.0f}" height="{high:.0f}" role="img" '
            f'font-family="DejaVu Sans, Verdana, Arial, sans-serif">'
            f"<title>{escape(title)}</title>\n" + "\n".join(self.pieces) + "\n</svg>\n"
        )


@lru_cache(maxsize=4096)
def text_width(words: str, size: float, bold: bool = False) -> float:
    """Return the width of a line of text in DejaVu Sans, the widest of the fonts asked for."""
    return _font(bold).getlength(words) * size / 100


@lru_cache(maxsize=2)
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(fonts / f"DejaVuSans{'-Bold' if bold else ''}.ttf", 100)

"""What the figures share: colours that colour-blind people tell apart, and how they are saved.

The colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/). What matters is told apart by
lightness or hatching too, so that a black-and-white print says the same.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
DARK_GREEN = "#00664B"  # GREEN for text
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
DARK_PURPLE = "#7A3A5E"  # PURPLE for lines
PALE_BLUE = "#D3E8F6"  # SKY_BLUE on white
GREY = "#767676"
PALE_GREY = "#EEEEEE"

_PNG_COLOURS = 128
_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.8,
    "path.simplify": True,
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "svg.hashsalt": "carplab",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_TEN_PT = 10.0


@dataclass(frozen=True)
class Size:
    """How wide a figure is, how large its text, and with how many pixels an inch it is saved.

    `squeezed` is how high a timeline is, for its text: a page has less room than a screen.
    """

    width_in: float
    font_pt: float
    dpi: int
    squeezed: float = 1.0


SCREEN = Size(11.0, _TEN_PT, 140)
PRINT = Size(17 / 2.54, 8.2, 300, squeezed=0.86)  #: what A4 has room for


@contextmanager
def figure_style(size: Size = SCREEN) -> Iterator[None]:
    """Draw and save with the settings all figures share."""
    with mpl.rc_context({**_SETTINGS, "font.size": size.font_pt}):
        yield


def use_style() -> None:
    """Draw everything from here on with the settings all figures share; for a notebook."""
    mpl.rcParams.update({**_SETTINGS, "font.size": _TEN_PT})


def scaled(at_ten_pt: float) -> float:
    """Return a length, as a font size, for the style in use: it is given for text of 10 pt."""
    return at_ten_pt * float(mpl.rcParams["font.size"]) / _TEN_PT


def as_svg(figure: Figure) -> bytes:
    """Return the figure as SVG, the same bytes for the same figure."""
    with figure_style(), io.BytesIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "carplab"})
        return file.getvalue()


def as_pdf(figure: Figure) -> bytes:
    """Return the figure as PDF with its fonts, the same bytes for the same figure."""
    with figure_style(), io.BytesIO() as file:
        metadata = {"CreationDate": None, "Creator": "carplab", "Producer": None}
        figure.savefig(file, format="pdf", metadata=metadata)
        return file.getvalue()


def as_png(figure: Figure, dpi: int = SCREEN.dpi) -> bytes:
    """Return the figure as PNG with a palette, a third of the size of one without."""
    with figure_style(), io.BytesIO() as pixels, io.BytesIO() as file:
        figure.savefig(pixels, format="rgba", dpi=dpi)
        width, height = (int(inches * dpi) for inches in figure.get_size_inches())
        image = Image.frombytes("RGBA", (width, height), pixels.getvalue()).convert("RGB")
        palette = Image.Quantize.FASTOCTREE
        small = image.quantize(_PNG_COLOURS, palette, dither=Image.Dither.NONE)
        small.save(file, format="png", optimize=True, dpi=(dpi, dpi))
        return file.getvalue()

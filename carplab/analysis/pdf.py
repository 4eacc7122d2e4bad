"""A page as PDF: the same HTML, laid out by WeasyPrint for A4 with the print rules of page.css."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from carplab.errors import CarplabError

# Matplotlib brings the fonts, so that a page looks the same on every machine.
_FACES = (
    ("DejaVu Sans", "DejaVuSans", "normal"),
    ("DejaVu Sans", "DejaVuSans-Bold", "bold"),
    ("DejaVu Sans Mono", "DejaVuSansMono", "normal"),
)


def render_pdf(html: str) -> bytes:
    """Return the page as PDF. CarplabError where the libraries of WeasyPrint are missing."""
    try:
        from weasyprint import CSS, HTML
        from weasyprint.text.fonts import FontConfiguration
    except (ImportError, OSError) as error:
        why = str(error).splitlines()[0]
        raise CarplabError(
            f"a PDF needs WeasyPrint and the library Pango ({why}): install what is missing with "
            "'make setup', or leave the PDF out with --no-pdf"
        ) from None
    fonts = FontConfiguration()
    faces = CSS(string=_font_faces(), font_config=fonts)
    pdf: bytes = HTML(string=html).write_pdf(stylesheets=[faces], font_config=fonts)
    return pdf


def _font_faces() -> str:
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return "\n".join(
        f"@font-face {{ font-family: '{family}'; font-weight: {weight}; "
        f"src: url('{(folder / name).with_suffix('.ttf').as_uri()}'); }}"
        for family, name, weight in _FACES
    )

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from PIL import ImageFont

from carplab.analysis.network_drawing import MOST_FIREWALLS, draw_network
from carplab.network import as_plain
from topo.firewall_pair import BALANCED, BOTH, DESIGNS, GROUPED, IPV4, IPV6, firewall_pair

SVG = "{http://www.w3.org/2000/svg}"
FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"


@dataclass(frozen=True)
class Box:
    words: str
    left: float
    right: float
    top: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        apart_x = self.right <= other.left or other.right <= self.left
        return not (apart_x or self.bottom <= other.top or other.bottom <= self.top)

    def holds(self, other: Box) -> bool:
        inside_x = self.left <= other.left and other.right <= self.right
        return inside_x and self.top <= other.top and other.bottom <= self.bottom


@lru_cache
def font_of(weight: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / f"DejaVuSans{weight}.ttf", 100)


class Drawing:
    """A drawing read back: what it says and where, by the font's own metrics."""

    def __init__(self, svg: str) -> None:
        root = ElementTree.fromstring(svg)
        left, top, wide, high = map(float, root.attrib["viewBox"].split())
        self.frame = Box("", left, left + wide, top, top + high)
        self.texts = [self._text(each) for each in root.iter(f"{SVG}text")]
        self.rects = [self._rect(each) for each in root.iter(f"{SVG}rect")]
        self.crosses = svg.count('stroke-width="3.6"') // 2
        self.words = [text.words for text in self.texts]

    def _text(self, text: ElementTree.Element) -> Box:
        bold = "-Bold" if text.get("font-weight") == "bold" else ""
        size = float(text.attrib["font-size"])
        font = font_of(bold)
        words = text.text or ""
        left, top, right, bottom = (each * size / 100 for each in font.getbbox(words, anchor="ls"))
        wide = font.getlength(words) * size / 100
        x = float(text.attrib["x"])
        x -= {"start": 0.0, "middle": wide / 2, "end": wide}[text.attrib["text-anchor"]]
        y = float(text.attrib["y"])
        return Box(words, x + left, x + right, y + top, y + bottom)

    def _rect(self, rect: ElementTree.Element) -> Box:
        x, y, wide, high = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        return Box("", x, x + wide, y, y + high)

    def check(self) -> None:
        for one, other in combinations(self.texts, 2):
            assert not one.overlaps(other), f"{one} lies over {other}"
        for text in self.texts:
            assert self.frame.holds(text), f"{text} is cut off"
            for rect in self.rects:
                assert rect.holds(text) or not rect.overlaps(text), f"{text} leaves its box {rect}"


def fault(kind: str, host: str, segment: str = "", cable: int = 1) -> dict[str, Any]:
    return {"kind": kind, "host": host, "segment": segment, "cable": cable}


FAULTS = (
    [],
    [fault("link_down", "fw1", "outside"), fault("daemon_kill", "fw2")],
    [fault("blackhole", "fw1", "inside"), fault("link_down", "fw1", "inside"),
     fault("loss", "client", "inside"), fault("hang", "fw1")],
)  # fmt: skip


def networks() -> Iterator[Any]:
    for design in DESIGNS:
        families = (IPV4,) if design == BALANCED else (IPV4, IPV6, BOTH)
        for family in families:
            for firewalls in (2, 9):
                yield pytest.param(
                    firewall_pair(firewalls, design=design, family=family),
                    id=f"{design}-{family}-{firewalls}",
                )


@pytest.mark.parametrize("network", networks())
def test_every_design_is_drawn_without_overlap(network: Any) -> None:
    for faults in FAULTS:
        drawing = Drawing(draw_network(as_plain(network), faults))
        drawing.check()
        said = Counter(drawing.words)
        for machine in (*network.routers, *network.hosts, *network.segments):
            assert said[machine.name] == 1
        assert drawing.crosses == len({(each["host"], each["segment"]) for each in faults})


def test_it_says_who_is_preferred_and_where_a_fault_strikes() -> None:
    drawing = draw_network(
        as_plain(firewall_pair()), [fault("link_down", "fw1", "outside"), fault("crash", "fw2")]
    )
    bold = [
        each.text
        for each in ElementTree.fromstring(drawing).iter(f"{SVG}text")
        if each.get("font-weight") == "bold"
    ]
    assert {"vhid 1, advskew 0", "vhid 2, advskew 0", "fault 1", "fault 2 crash"} <= set(bold)
    assert "vhid 1, advskew 100" not in bold and "vhid 1, advskew 100" in drawing


def test_each_cable_of_a_grouped_design_can_be_struck() -> None:
    for design in GROUPED:
        faults = [fault("link_down", "fw1", "outside", cable) for cable in (1, 2)]
        drawing = Drawing(draw_network(as_plain(firewall_pair(design=design)), faults))
        drawing.check()
        assert drawing.crosses == 2


def test_a_sync_link_shows_both_ends() -> None:
    drawing = Drawing(draw_network(as_plain(firewall_pair(sync=True))))
    drawing.check()
    assert {"sync", "10.0.3.11/24", "10.0.3.12/24"} <= set(drawing.words)


def test_what_there_is_no_room_for_is_named() -> None:
    network = firewall_pair(80)
    drawing = Drawing(draw_network(as_plain(network)))
    drawing.check()
    named = ", ".join(drawing.words).replace(",", " ").split()
    for router in network.routers:
        assert named.count(router.name) == 1
    assert f"{80 - MOST_FIREWALLS} more" in drawing.words


def test_a_third_and_a_fourth_segment_have_room() -> None:
    network = as_plain(firewall_pair())
    for name in ("dmz", "guests"):
        network["segments"].append({"name": name, "prefixes": ["10.0.9.0/24"], "kind": "stp"})
        network["hosts"].append({"name": f"{name}1", "segment": name, "addresses": ["10.0.9.9/24"]})
        for router in network["routers"]:
            router["interfaces"].append(
                {"segment": name, "cable": 1, "addresses": ["10.0.9.8/24"], "virtual_hosts": []}
            )
    drawing = Drawing(draw_network(network, [fault("link_down", "fw1", "dmz")]))
    drawing.check()
    assert {"dmz", "guests", "dmz1", "guests1"} <= set(drawing.words)


def test_what_was_recorded_is_escaped_and_what_is_missing_left_out() -> None:
    drawing = draw_network({"routers": [{"name": "<b>&"}, {}], "links": [{"ends": []}]})
    assert ElementTree.fromstring(drawing) is not None
    assert "<b>" not in drawing
    assert ElementTree.fromstring(draw_network({})) is not None


def test_a_link_to_a_firewall_that_is_no_neighbour_is_named_at_both_ends() -> None:
    network = as_plain(firewall_pair(3))
    ends = [["fw1", "10.0.3.11/24"], ["fw3", "10.0.3.13/24"]]
    drawing = Drawing(draw_network({**network, "links": [{"name": "far", "ends": ends}]}))
    drawing.check()
    assert {"far 10.0.3.11/24", "far 10.0.3.13/24"} <= set(drawing.words)

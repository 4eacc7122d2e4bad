"""CARP's state machine as a drawing, made from the table that the code runs on.

Where a state stands is decided here; which arrows there are, and what stands on them, the table
says. So a new transition draws itself, and a new state is an error until it has a place.

The drawing is SVG for the inside of a page: it takes the page's text colour, and is text itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from carplab.carp.virtual_host import Cause, State

Table = Mapping[tuple[State, Cause], State]


class Point(NamedTuple):
    x: float
    y: float

    def moved(self, along: Point, length: float) -> Point:
        """This point moved by `length` in the direction of the unit vector `along`."""
        return Point(self.x + length * along.x, self.y + length * along.y)


PLACES = {
    State.INIT: Point(380, 48),
    State.BACKUP: Point(90, 400),
    State.MASTER: Point(670, 400),
}
WIDTH, HEIGHT = 760, 500
BOX_WIDTH, BOX_HEIGHT = 132, 52
LINE_HEIGHT = 18
APART = 7  # half the distance of the two arrows between two states
LABEL_GAP = 12


def draw(table: Table) -> str:
    """Return the SVG element with one arrow for each pair of states that the table joins.

    An arrow's label has a line for each of its causes, in the table's order and words. ValueError
    for a state that has no place in the drawing.
    """
    arrows: dict[tuple[State, State], list[str]] = {}
    for (old, cause), new in table.items():
        arrows.setdefault((old, new), []).append(cause.value)
    states = dict.fromkeys(state for pair in arrows for state in pair)
    if unplaced := [state.value for state in states if state not in PLACES]:
        raise ValueError(f"{', '.join(unplaced)} has no place in the drawing: add it to PLACES")
    parts = [_arrow(old, new, causes) for (old, new), causes in arrows.items()]
    parts += [_box(state) for state in states]
    return "\n".join([*_HEAD, _description(arrows), *parts, "</svg>"])


_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    ' class="state-machine" aria-labelledby="state-machine-title state-machine-description">',
    '<title id="state-machine-title">The states of a virtual host</title>',
    '<defs><marker id="state-machine-head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8"'
    ' markerHeight="8" orient="auto"><path d="M0 0L10 5L0 10z" fill="currentColor"/></marker>'
    "</defs>",
)


def _description(arrows: Mapping[tuple[State, State], Iterable[str]]) -> str:
    told = [
        f"From {old.value} to {new.value}: {', '.join(causes)}."
        for (old, new), causes in arrows.items()
    ]
    return f'<desc id="state-machine-description">{escape(" ".join(told))}</desc>'


def _box(state: State) -> str:
    place = PLACES[state]
    x, y = place.x - BOX_WIDTH / 2, place.y - BOX_HEIGHT / 2
    return (
        f'<g class="{state.value.lower()}"><rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}"'
        f' height="{BOX_HEIGHT}" rx="6"/><text x="{place.x:g}" y="{place.y + 6:g}"'
        f' text-anchor="middle">{state.value}</text></g>'
    )


def _arrow(old: State, new: State, causes: Sequence[str]) -> str:
    """Return one of the two arrows between two states, and its label, beside their joining line."""
    start, end = PLACES[old], PLACES[new]
    length = math.dist(start, end)
    along = Point((end.x - start.x) / length, (end.y - start.y) / length)
    side = _side(old, new, along)
    first = start.moved(side, APART).moved(along, _to_border(along))
    last = end.moved(side, APART).moved(along, -_to_border(along))
    line = f'<path class="arrow" d="M{first.x:.1f} {first.y:.1f}L{last.x:.1f} {last.y:.1f}"/>'
    middle = Point((first.x + last.x) / 2, (first.y + last.y) / 2)
    return line + _label(middle, side, causes)


def _side(old: State, new: State, along: Point) -> Point:
    """Return on which side of the line between its states an arrow runs.

    Those to a later state of PLACES run inside the triangle, the others outside.
    """
    order = list(PLACES)
    centre_x = sum(place.x for place in PLACES.values()) / len(PLACES)
    centre_y = sum(place.y for place in PLACES.values()) / len(PLACES)
    side = Point(-along.y, along.x)
    is_inward = side.x * (centre_x - PLACES[old].x) + side.y * (centre_y - PLACES[old].y) > 0
    if is_inward is (order.index(old) < order.index(new)):
        return side
    return Point(-side.x, -side.y)


def _to_border(along: Point) -> float:
    """Return how far it is from a box's centre to its border, in this direction."""
    across = BOX_WIDTH / 2 / abs(along.x) if along.x else math.inf
    down = BOX_HEIGHT / 2 / abs(along.y) if along.y else math.inf
    return min(across, down) + 3


def _label(beside: Point, side: Point, lines: Sequence[str]) -> str:
    """Return the lines as a block on that side of an arrow's middle."""
    height = LINE_HEIGHT * len(lines)
    if abs(side.x) < 0.1:  # a level arrow: below it, or above
        x, anchor = beside.x, "middle"
        top = beside.y + LABEL_GAP if side.y > 0 else beside.y - LABEL_GAP - height
    else:
        # the arrow is slanted: the nearer corner of the block has to keep clear of it
        corner = abs(side.y / side.x) * (height - LINE_HEIGHT) / 2
        x = beside.x + math.copysign(LABEL_GAP + corner, side.x)
        anchor, top = "start" if side.x > 0 else "end", beside.y - height / 2
    return "".join(
        f'<text class="cause" x="{x:.1f}" y="{top + LINE_HEIGHT * (number + 0.75):.1f}"'
        f' text-anchor="{anchor}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )

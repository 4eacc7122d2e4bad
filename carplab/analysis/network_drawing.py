"""The network of a run as a drawing: segments, firewalls, hosts, cables, and where faults strike.

    client --- inside === fw1, fw2, ... === outside --- server

Segments are upright bars left and right of the firewalls, which stand one below the other; so there
is room for every design, and for what a firewall has on each cable. Black on white: nothing is told
by colour alone. A bold virtual host is the one that is MASTER of its vhid while nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carplab.analysis.load import mapping, sequence
from carplab.analysis.style import GREY
from carplab.analysis.svg import MARK, SIZE, Canvas, Text, text_width
from carplab.network import NO_NAT, SPANNING_TREE_KINDS

MOST_FIREWALLS = 10  #: drawn one by one; further ones share a box
_LINE = 14.0  # from one line of text to the next
_PAD = 8.0
_APART = 14.0  # between two boxes
_CABLE = 30.0  # a host's cable
_BAR = 6.0
_MOST_ALONE = 3  # virtual hosts of one interface that have a line each

Plain = Mapping[str, Any]
Place = tuple[str, str, int]
"""A machine, a segment and a cable."""


@dataclass(frozen=True)
class _Block:
    """What is written about a firewall's cable to a segment."""

    segment: str
    cable: int
    lines: Sequence[Text]


def draw_network(network: Plain, faults: Iterable[Plain] = ()) -> str:
    """Return the drawing of a network and its faults, both as run.json has them, as SVG.

    Each machine is named once. What the description does not say is left out of the drawing.
    """
    return _Drawing(network, [mapping(fault) for fault in faults]).draw()


class _Drawing:
    def __init__(self, network: Plain, faults: Sequence[Plain]) -> None:
        self._network = network
        self._segments = {str(each.get("name")): each for each in _all(network, "segments")}
        self._routers = _all(network, "routers")
        for interface in (each for router in self._routers for each in _all(router, "interfaces")):
            name = str(interface.get("segment"))
            self._segments.setdefault(name, {"name": name})
        self._hosts = _all(network, "hosts")
        self._preferred = _preferred(self._routers)
        self._faults: dict[Place, list[tuple[int, str]]] = {}
        for number, fault in enumerate(faults, start=1):
            place: Place = (str(fault.get("host")), str(fault.get("segment") or ""), _cable(fault))
            self._faults.setdefault(place, []).append((number, str(fault.get("kind"))))
        names = list(self._segments)
        # Inside left, outside right, as one reads from the client to the server; from the
        # firewalls outwards.
        self._right, self._left = names[0::2], names[1::2]
        self._canvas = Canvas()

    def draw(self) -> str:
        canvas = self._canvas
        labels = {name: self._label(each) for name, each in self._segments.items()}
        top = max((len(lines) for lines in labels.values()), default=0) * _LINE + _PAD
        shown = self._routers[:MOST_FIREWALLS]
        blocks = {str(each.get("name")): self._blocks(each) for each in shown}
        halves = [
            max(
                (text.width for each in blocks.values() for block in each
                 if block.segment in side for text in block.lines),
                default=0.0,
            )
            for side in (self._left, self._right)
        ]  # fmt: skip
        wide = max(
            [sum(halves) + 4 * _PAD]
            + [sum(text.width for text in self._head(each)) + 6 * _PAD for each in shown]
        )
        bars = self._bars(wide, labels)
        bottom, cables = self._stack(blocks, wide, top)
        ends = self._edge(bars, top, bottom)
        drawn, canvas.pieces = canvas.pieces, []
        for name, x in bars.items():
            for number, line in enumerate(labels[name]):
                y = top - _PAD - (len(labels[name]) - number - 0.5) * _LINE
                canvas.text(x, y, line, "middle")
            canvas.box(x - _BAR / 2, top - 4, _BAR, ends[name] - top + 8, "#BBBBBB")
        for machine, segment, cable, y in cables:
            if segment in bars:
                self._draw_cable(machine, segment, cable, y, wide, bars[segment])
        canvas.pieces += drawn
        return canvas.svg(f"Network {self._network.get('name', '')}")

    # --- the segments --------------------------------------------------------------------------

    def _label(self, segment: Plain) -> list[Text]:
        kind = str(segment.get("kind", ""))
        says = [Text(str(segment.get("name")), bold=True)]
        says += [Text(str(prefix), soft=True) for prefix in sequence(segment.get("prefixes"))]
        if kind in SPANNING_TREE_KINDS and "forward_delay_s" in segment:
            kind += f", delay {segment['forward_delay_s']} s"
        return [*says, Text(kind, soft=True)] if kind else says

    def _bars(self, wide: float, labels: Mapping[str, Sequence[Text]]) -> dict[str, float]:
        """Return where the segments' bars stand; the firewalls' boxes have their middle at 0."""
        bars: dict[str, float] = {}
        for side, sign in ((self._left, -1), (self._right, 1)):
            struck = [place for place in self._faults if place[1] in side]
            marks = [text.width + 20 for place in struck for text in self._mark(place)]
            x, former = wide / 2 + max([44.0, *marks]), 0.0
            for number, name in enumerate(side):
                half = max((text.width for text in labels[name]), default=0.0) / 2
                x += max(36.0, former + half + _PAD) if number else 0.0
                bars[name], former = sign * x, half
        return bars

    def _edge(self, bars: Mapping[str, float], top: float, bottom: float) -> dict[str, float]:
        """Draw the hosts, each beside the bar of its segment; return where the bars end.

        Those of a side's outermost segment stand outside of it, beside the firewalls; those of
        the others stand inside, below the firewalls, where no cable passes.
        """
        ends = dict.fromkeys(bars, bottom)
        for side, sign in ((self._left, -1), (self._right, 1)):
            below = bottom
            for name in side:
                outermost = name == side[-1]
                y = top if outermost else below + _APART
                for host in self._hosts:
                    if host.get("segment") == name:
                        y = self._draw_host(host, bars[name], y, sign if outermost else -sign)
                        ends[name] = max(ends[name], y - _APART)
                below = max(below, ends[name])
                ends[name] = max(ends[name], below if not outermost else bottom)
            for name in side:  # the outer bars pass the hosts of the inner ones
                ends[name] = max(ends[name], bottom)
        return ends

    def _draw_host(self, host: Plain, bar: float, y: float, sign: int) -> float:
        lines = [Text(str(host.get("name")), bold=True)]
        lines += [Text(str(address)) for address in sequence(host.get("addresses"))]
        for route in map(mapping, sequence(host.get("routes"))):
            lines.append(Text(f"via {route.get('via')}", soft=True))
        wide = max(text.width for text in lines) + 2 * _PAD
        high = len(lines) * _LINE + _PAD
        near = bar + sign * _CABLE
        x = near if sign > 0 else near - wide
        self._canvas.box(x, y, wide, high)
        for number, line in enumerate(lines):
            self._canvas.text(x + _PAD, y + _PAD / 2 + (number + 0.5) * _LINE, line)
        self._canvas.line(bar + sign * _BAR / 2, y + high / 2, near, y + high / 2)
        place = str(host.get("name")), str(host.get("segment")), 1
        if place in self._faults:
            self._canvas.cross(bar + sign * _CABLE / 2, y + high / 2)
            mark, kind = self._mark(place)
            for line in (mark, kind):
                self._canvas.text(x, y + high + _LINE / 2, line)
                high += _LINE
        return y + high + _APART

    # --- the firewalls -------------------------------------------------------------------------

    def _head(self, router: Plain) -> tuple[Text, Text, Text]:
        """Return a firewall's name, how it does CARP, and the faults that strike all of it."""
        mark, kind = self._mark((str(router.get("name")), "", 1))
        faults = f"{mark.words} {kind.words}" if mark.words else ""
        name = Text(str(router.get("name")), bold=True)
        return name, Text(_manner(router), soft=True), Text(faults, bold=True)

    def _mark(self, place: Place) -> tuple[Text, Text]:
        """Return what is written above and below the cross at a place."""
        struck = self._faults.get(place, [])
        if not struck:
            return Text(""), Text("")
        numbers = ", ".join(str(number) for number, _ in struck)
        kinds = ", ".join(dict.fromkeys(kind for _, kind in struck))
        return Text(f"fault {numbers}", bold=True), Text(kinds)

    def _blocks(self, router: Plain) -> list[_Block]:
        interfaces = _all(router, "interfaces")
        cables = [str(each.get("segment")) for each in interfaces]
        return [
            _Block(
                segment := str(each.get("segment")),
                _cable(each),
                self._lines(router, each, cables.count(segment) > 1),
            )
            for each in interfaces
        ]

    def _lines(self, router: Plain, interface: Plain, several: bool) -> list[Text]:
        segment, cable = str(interface.get("segment")), _cable(interface)
        lines = [Text(str(address)) for address in sequence(interface.get("addresses"))]
        if several:
            lines.append(Text(f"cable {cable}", soft=True))
        here = str(router.get("name")), segment, cable
        by_addresses: dict[tuple[str, ...], list[Plain]] = {}
        for each in _all(interface, "virtual_hosts"):
            addresses = tuple(map(str, sequence(each.get("addresses"))))
            by_addresses.setdefault(addresses, []).append(each)
        for addresses, virtual_hosts in by_addresses.items():
            lines += [Text(f"virtual {address}") for address in addresses]
            preferred = [
                self._preferred[segment, each.get("vhid")] == here for each in virtual_hosts
            ]
            if len(virtual_hosts) <= _MOST_ALONE:
                said = zip(map(_timers, virtual_hosts), preferred, strict=True)
                lines += [Text(words, bold) for words, bold in said]
            else:
                lines += _folded(virtual_hosts, preferred)
        return lines

    def _stack(
        self, blocks: Mapping[str, Sequence[_Block]], wide: float, top: float
    ) -> tuple[float, list[tuple[str, str, int, float]]]:
        """Draw the firewalls; return where they end, and the height of each cable."""
        canvas, y, previous = self._canvas, top, ""
        cables: list[tuple[str, str, int, float]] = []
        least = 2.6 * _LINE if self._faults else 1.6 * _LINE  # room for what a cross says
        for router in self._routers[: len(blocks)]:
            name = str(router.get("name"))
            if previous:
                y += self._draw_links(previous, name, y)
            heads = y + _PAD / 2 + _LINE
            places: list[tuple[_Block, float]] = []
            ends = []
            for side in (self._left, self._right):
                at = heads + _PAD / 2
                for block in (each for each in blocks[name] if each.segment in side):
                    places.append((block, at))
                    at += max(len(block.lines) * _LINE + _PAD / 2, least)
                ends.append(at)
            far = self._far_links(name)
            high = max(ends) - y + _PAD / 2 + len(far) * _LINE
            canvas.box(-wide / 2, y, wide, high)
            self._write_head(router, y + _PAD / 2 + _LINE / 2, wide)
            canvas.line(-wide / 2, heads, wide / 2, heads, GREY, 0.8)
            for block, at in places:
                self._write(block, at, wide)
                cables.append((name, block.segment, block.cable, at + _LINE / 2))
            for number, line in enumerate(far):
                canvas.text(-wide / 2 + _PAD, max(ends) + (number + 0.5) * _LINE, line)
            y += high
            previous = name
        return self._draw_others(len(blocks), wide, y, cables), cables

    def _write_head(self, router: Plain, y: float, wide: float) -> None:
        name, manner, faults = self._head(router)
        x = -wide / 2 + _PAD
        self._canvas.text(x, y, name)
        self._canvas.text(x + name.width + _PAD, y, manner)
        if faults.words:
            x = wide / 2 - _PAD - MARK
            self._canvas.cross(x, y)
            self._canvas.text(x - MARK - _PAD, y, faults, "end")

    def _write(self, block: _Block, y: float, wide: float) -> None:
        is_left = block.segment in self._left
        x, anchor = (-wide / 2 + _PAD, "start") if is_left else (wide / 2 - _PAD, "end")
        for number, line in enumerate(block.lines):
            self._canvas.text(x, y + (number + 0.5) * _LINE, line, anchor)

    def _draw_cable(
        self, machine: str, segment: str, cable: int, y: float, wide: float, bar: float
    ) -> None:
        sign = 1 if bar > 0 else -1
        near = sign * wide / 2
        self._canvas.cable(near, bar - sign * _BAR / 2, y)
        place = machine, segment, cable
        if place in self._faults:
            mark, kind = self._mark(place)
            middle = near + sign * (10 + max(mark.width, kind.width) / 2)
            self._canvas.cross(middle, y)
            self._canvas.text(middle, y - MARK - 7, mark, "middle")
            self._canvas.text(middle, y + MARK + 8, kind, "middle")

    def _links(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name of each cable between two firewalls, and its addresses by firewall."""
        for link in _all(self._network, "links"):
            ends = {str(end[0]): end[1] for end in map(sequence, sequence(link.get("ends")))}
            yield str(link.get("name")), ends

    def _far_links(self, router: str) -> list[Text]:
        """Return what is said of cables to a firewall that is not drawn next to this one."""
        order = [str(each.get("name")) for each in self._routers]
        here = order.index(router)
        near = {router, *order[max(0, here - 1) : here + 2]}
        links = ((name, ends) for name, ends in self._links() if router in ends)
        return [Text(f"{name} {ends[router]}") for name, ends in links if not set(ends) <= near]

    def _draw_links(self, upper: str, lower: str, y: float) -> float:
        """Draw the cables from a firewall straight to the next; return the room they take."""
        links = [(name, ends) for name, ends in self._links() if set(ends) == {upper, lower}]
        high = 3 * _LINE + _PAD if links else _APART
        x = 0.0
        for name, ends in links:
            self._canvas.line(x, y, x, y + high)
            says = [Text(str(ends[upper])), Text(name, bold=True), Text(str(ends[lower]))]
            for number, line in enumerate(says):
                self._canvas.text(x + _PAD, y + _PAD / 2 + (number + 0.5) * _LINE, line)
            x += max(line.width for line in says) + 3 * _PAD
        return high

    def _draw_others(
        self, drawn: int, wide: float, y: float, cables: list[tuple[str, str, int, float]]
    ) -> float:
        """Draw the box of the firewalls for which there is no room; return where it ends."""
        others = self._routers[drawn:]
        if not others:
            return y
        y += _APART
        lines, row = [Text(f"{len(others)} more", soft=True)], ""
        for name in (str(each.get("name")) for each in others):
            longer = f"{row}, {name}" if row else name
            if row and text_width(longer, SIZE) > wide - 2 * _PAD:
                lines.append(Text(f"{row},"))
                longer = name
            row = longer
        lines.append(Text(row))
        high = len(lines) * _LINE + _PAD
        self._canvas.box(-wide / 2, y, wide, high)
        for number, line in enumerate(lines):
            self._canvas.text(-wide / 2 + _PAD, y + _PAD / 2 + (number + 0.5) * _LINE, line)
        segments = dict.fromkeys(
            str(each.get("segment")) for other in others for each in _all(other, "interfaces")
        )
        for side in (self._left, self._right):
            for number, segment in enumerate(name for name in side if name in segments):
                cables.append(("", segment, 1, y + _PAD / 2 + (number + 0.5) * _LINE))
        return y + high


def _all(holder: Plain, what: str) -> list[Plain]:
    return [mapping(each) for each in sequence(holder.get(what))]


def _cable(holder: Plain) -> int:
    cable = holder.get("cable", 1)
    return cable if isinstance(cable, int) else 1


def _manner(router: Plain) -> str:
    """Return how a firewall does CARP, as far as it is not the same everywhere."""
    nat = str(router.get("nat", NO_NAT))
    parts = [str(router.get("dialect", ""))]
    parts += ["no preempt"] if router.get("preempt") is False else []
    parts += [f"nat {nat}"] if nat != NO_NAT else []
    sets = [str(each.get("segment")) for each in _all(router, "failover_sets")]
    parts += [f"failover sets {', '.join(sets)}"] if sets else []
    return ", ".join(part for part in parts if part)


def _timers(virtual_host: Plain) -> str:
    advbase = virtual_host.get("advbase")
    base = "" if advbase == 1 else f", advbase {advbase}"
    return f"vhid {virtual_host.get('vhid')}, advskew {virtual_host.get('advskew')}{base}"


def _folded(virtual_hosts: Sequence[Plain], preferred: Sequence[bool]) -> list[Text]:
    """Return lines for many virtual hosts with the same addresses: the preferred ones, a sum."""
    pairs = list(zip(virtual_hosts, preferred, strict=True))
    lines = [Text(_timers(each), bold=True) for each, is_preferred in pairs if is_preferred]
    others = [each.get("advskew") for each, is_preferred in pairs if not is_preferred]
    skews = [skew for skew in others if isinstance(skew, int)]
    if skews:
        lines.append(Text(f"{len(others)} more, advskew {min(skews)} to {max(skews)}"))
    return lines


def _interval(virtual_host: Plain) -> tuple[int, int]:
    """Return what orders virtual hosts by their interval; those not described come last."""
    advbase, advskew = virtual_host.get("advbase"), virtual_host.get("advskew")
    if isinstance(advbase, int) and isinstance(advskew, int):
        return advbase, advskew
    return 256, 0


def _preferred(routers: Iterable[Plain]) -> dict[tuple[str, Any], Place]:
    """Return where each (segment, vhid) is MASTER while nothing is wrong."""
    best: dict[tuple[str, Any], tuple[tuple[int, int], Place]] = {}
    for router in routers:
        for interface in _all(router, "interfaces"):
            place = str(router.get("name")), str(interface.get("segment")), _cable(interface)
            for each in _all(interface, "virtual_hosts"):
                key = place[1], each.get("vhid")
                if key not in best or _interval(each) < best[key][0]:
                    best[key] = _interval(each), place
    return {key: place for key, (_, place) in best.items()}

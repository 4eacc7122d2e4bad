"""Where everything stands on the page: plain coordinates from a network's plain data.

Segments stand upright in columns, by their distance from the client's segment; the firewalls
between the columns, the hosts beside their segment: the client's on the left, all others on the
right of it. Coordinates are those of the drawing's own box, whose size is part of the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carplab.network import place_text

Plain = Mapping[str, Any]

WIDTH, HEIGHT = 860.0, 520.0  # at least; a network that needs more gets it, and is drawn smaller
_MARGIN = 14.0
_BAR_WIDTH = 26.0
_BAR_TEXT = 44.0  # room for what is written above and below a bar
_ROUTER_WIDTH = 306.0
_ROUTER_HEAD = 40.0
_BADGE_HEIGHTS = 42.0, 68.0  # the least; the most, where there is room
_BADGE_GAP = 6.0
_HOST_WIDTH, _HOST_HEIGHT = 104.0, 52.0
_GAP = 62.0  # the shortest cable
_SPREAD, _MOST_SPREAD = 16.0, 60.0  # between what stands in one column


def cable_id(machine: str, segment: str, cable: int = 1) -> str:
    """Return what a cable is called on the page, as in `fw1/outside/1`."""
    return f"{machine}/{segment}/{cable}"


def make_plan(network: Plain, client: str) -> dict[str, Any]:
    """Return the drawing of a network as `carplab.network.as_plain` gives it.

    width, height; segments, routers and hosts with x, y (their top left), width, height; the
    routers with badges, one for each virtual host; cables from (x1, y1), at the machine, to (x2,
    y2), at the segment; links, straight from router to router.
    """
    return _Planner(network, client).plan()


def segment_layers(network: Plain, client: str) -> dict[str, int]:
    """Return each segment's distance in firewalls from the client's; 0 where no way leads."""
    names = [segment["name"] for segment in network["segments"]]
    starts = [host["segment"] for host in network["hosts"] if host["name"] == client] or names[:1]
    layers = dict.fromkeys(starts, 0)
    waiting = list(starts)
    while waiting:
        here = waiting.pop(0)
        for there in _neighbours(network, here):
            if there not in layers:
                layers[there] = layers[here] + 1
                waiting.append(there)
    return {name: layers.get(name, 0) for name in names}


def _neighbours(network: Plain, segment: str) -> Iterator[str]:
    for router in network["routers"]:
        segments = [interface["segment"] for interface in router["interfaces"]]
        if segment in segments:
            yield from segments


class _Planner:
    def __init__(self, network: Plain, client: str) -> None:
        self._network = network
        self._layers = segment_layers(network, client)
        self._columns = self._fill_columns()
        self._badge_height = self._find_badge_height()
        tallest = max(map(self._column_height, self._columns.values()))
        self._height = max(HEIGHT, tallest + 2 * _MARGIN)
        self._x = self._place_columns()

    def plan(self) -> dict[str, Any]:
        boxes = {
            name: box
            for column, names in self._columns.items()
            for name, box in self._stack(column, names)
        }
        hosts = [{**host, **boxes[host["name"]]} for host in self._hosts()]
        routers = [
            {"name": router["name"], **boxes[router["name"]]} for router in self._network["routers"]
        ]
        segments = [
            {**self._segment_text(segment), **boxes[segment["name"]]}
            for segment in self._network["segments"]
        ]
        cables: list[dict[str, Any]] = []
        for router, box in zip(self._network["routers"], routers, strict=True):
            box["badges"] = []
            self._plug(router, box, boxes, cables)
        for host in hosts:
            cables.append(_cable(host["name"], host["segment"], 1, host, boxes[host["segment"]]))
        return {
            "width": self._width, "height": self._height, "segments": segments, "routers": routers,
            "hosts": hosts, "cables": cables, "links": self._links(boxes),
        }  # fmt: skip

    def _find_badge_height(self) -> float:
        """Return the height of the badges: as large as the fullest column has room for."""
        least, most = _BADGE_HEIGHTS
        heights = []
        for names in self._columns.values():
            routers = [self._routers[name] for name in names if name in self._routers]
            rows = sum(map(self._most_rows, routers))
            self._badge_height = least
            free = HEIGHT - 2 * _MARGIN - self._column_height(names) - _SPREAD * (len(names) - 1)
            heights.append(least + free / rows if rows else most)
        return max(least, min(most, *heights))

    def _fill_columns(self) -> dict[float, list[str]]:
        """Return the names of what stands in each column, the columns by their place."""
        columns: dict[float, list[str]] = {}
        for name, layer in self._layers.items():
            columns.setdefault(layer, []).append(name)
        for router in self._network["routers"]:
            layers = [self._layers[each["segment"]] for each in router["interfaces"]]
            columns.setdefault(min(layers, default=0) + 0.5, []).append(router["name"])
        for host in self._network["hosts"]:
            layer = self._layers[host["segment"]]
            columns.setdefault(layer + (0.5 if layer else -0.5), []).append(host["name"])
        return dict(sorted(columns.items()))

    def _place_columns(self) -> dict[float, float]:
        """Return the left edge of each column; the cables share what the columns leave."""
        widths = {
            column: max(map(self._width_of, names)) for column, names in self._columns.items()
        }
        gaps = max(len(widths) - 1, 1)
        taken = sum(widths.values()) + 2 * _MARGIN
        self._width = max(WIDTH, taken + gaps * _GAP)
        gap = (self._width - taken) / gaps
        left, edges = _MARGIN, {}
        for column, width in widths.items():
            edges[column] = left
            left += width + gap
        return edges

    def _stack(self, column: float, names: Sequence[str]) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield the box of everything in a column; all of it stands around the middle."""
        heights = [self._height_of(name) for name in names]
        free = self._height - 2 * _MARGIN - sum(heights)
        is_bar = names[0] in self._layers
        spread = 2 * _BAR_TEXT if is_bar else min(_MOST_SPREAD, free / max(len(names) - 1, 1))
        if is_bar:
            each = (self._height - 2 * _MARGIN - len(names) * 2 * _BAR_TEXT) / len(names)
            heights = [each] * len(names)
        top = (self._height - sum(heights) - spread * (len(names) - 1)) / 2
        widest = max(map(self._width_of, names))
        for name, height in zip(names, heights, strict=True):
            width = self._width_of(name)
            left = self._x[column] + (widest - width) / 2
            yield name, {"x": left, "y": top, "width": width, "height": height}
            top += height + spread

    def _column_height(self, names: Sequence[str]) -> float:
        return sum(map(self._height_of, names)) + _BADGE_GAP * 2 * (len(names) - 1)

    def _width_of(self, name: str) -> float:
        if name in self._layers:
            return _BAR_WIDTH
        return _ROUTER_WIDTH if name in self._routers else _HOST_WIDTH

    def _height_of(self, name: str) -> float:
        if name in self._layers:
            return 2 * _BAR_TEXT + 40
        if name not in self._routers:
            return _HOST_HEIGHT
        rows = self._most_rows(self._routers[name])
        return _ROUTER_HEAD + rows * (self._badge_height + _BADGE_GAP) + _BADGE_GAP

    @property
    def _routers(self) -> dict[str, Plain]:
        return {router["name"]: router for router in self._network["routers"]}

    def _hosts(self) -> Iterator[dict[str, Any]]:
        for host in self._network["hosts"]:
            address = str(host["addresses"][0]).partition("/")[0]
            yield {"name": host["name"], "segment": host["segment"], "address": address}

    def _segment_text(self, segment: Plain) -> dict[str, Any]:
        shared = dict.fromkeys(
            str(address)
            for router in self._network["routers"]
            for interface in router["interfaces"]
            if interface["segment"] == segment["name"]
            for virtual_host in interface["virtual_hosts"]
            for address in virtual_host["addresses"]
        )
        return {
            "name": segment["name"], "type": segment["kind"], "virtual": list(shared),
        }  # fmt: skip

    def _is_left(self, router: Plain, interface: Plain) -> bool:
        """Whether an interface is on the firewall's left side: what is nearer to the client."""
        nearest = min(self._layers[each["segment"]] for each in router["interfaces"])
        return self._layers[interface["segment"]] == nearest

    def _most_rows(self, router: Plain) -> int:
        return max(1, self._rows(router, True), self._rows(router, False))

    def _rows(self, router: Plain, is_left: bool) -> int:
        """Return how many rows one side of a firewall needs: an interface has at least one."""
        return sum(
            max(1, len(interface["virtual_hosts"]))
            for interface in router["interfaces"]
            if self._is_left(router, interface) == is_left
        )

    def _plug(
        self, router: Plain, box: dict[str, Any], boxes: Mapping[str, Plain],
        cables: list[dict[str, Any]],
    ) -> None:  # fmt: skip
        """Put badges on a firewall, and a cable at each of its interfaces."""
        step = self._badge_height + _BADGE_GAP
        row = {True: 0, False: 0}
        width = (box["width"] - 3 * _BADGE_GAP) / 2
        for interface in router["interfaces"]:
            is_left = self._is_left(router, interface)
            segment, cable = interface["segment"], interface["cable"]
            top = box["y"] + _ROUTER_HEAD + row[is_left] * step
            left = box["x"] + _BADGE_GAP + (0 if is_left else width + _BADGE_GAP)
            for number, virtual_host in enumerate(interface["virtual_hosts"]):
                box["badges"].append(
                    {
                        "segment": segment, "cable": cable, "place": place_text(segment, cable),
                        "vhid": virtual_host["vhid"], "x": left, "y": top + number * step,
                        "width": width, "height": step * _spanned(router, interface) - _BADGE_GAP,
                    }
                )  # fmt: skip
            rows = max(1, len(interface["virtual_hosts"]))
            row[is_left] += rows
            middle = top + (rows * step - _BADGE_GAP) / 2
            cables.append(_cable(router["name"], segment, cable, box, boxes[segment], middle))

    def _links(self, boxes: Mapping[str, Plain]) -> list[dict[str, Any]]:
        links = []
        for link in self._network["links"]:
            upper, lower = sorted((boxes[name] for name, _ in link["ends"]), key=_top)
            links.append(
                {
                    "name": link["name"],
                    "x1": _middle(upper), "y1": upper["y"] + upper["height"],
                    "x2": _middle(lower), "y2": lower["y"],
                }
            )  # fmt: skip
        return links


def _spanned(router: Plain, interface: Plain) -> int:
    """Return how many rows a badge spans: all cables of a failover set carry it."""
    for failover_set in router.get("failover_sets", []):
        if failover_set["segment"] == interface["segment"]:
            return len(failover_set["cables"])
    return 1


def _cable(
    machine: str, segment: str, cable: int, box: Plain, bar: Plain, y: float | None = None
) -> dict[str, Any]:
    """Return a cable from a machine's side to a bar, level as long as the bar is that tall."""
    height = box["y"] + box["height"] / 2 if y is None else y
    is_left = _middle(bar) < _middle(box)
    reach = min(max(height, bar["y"] + 8), bar["y"] + bar["height"] - 8)
    return {
        "id": cable_id(machine, segment, cable), "machine": machine, "segment": segment,
        "cable": cable, "x1": box["x"] + (0 if is_left else box["width"]), "y1": height,
        "x2": bar["x"] + (bar["width"] if is_left else 0), "y2": reach,
    }  # fmt: skip


def _middle(box: Plain) -> float:
    return float(box["x"] + box["width"] / 2)


def _top(box: Plain) -> float:
    return float(box["y"])

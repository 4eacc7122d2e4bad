"""From a source's messages to those that a page draws: fewer, and with what follows from them.

    status  t_s, virtual_hosts, demotions, carpd, faults: as in a session, with each virtual host's
            state as it looks from outside: "hung" or "not running" where its carpd is; masters,
            who is MASTER of what in words; whole, whether that is as it should be
    path    t_s, there, back: the way of the probe's packets to the server and back
    event   t_s, source, event, segment, vhid, detail; cable, where an advertisement went
    probe   t_s, sent, lost: how many so far; last_s: when the last one came back
    packet  t_s, server_s, back_s: a packet sent at t_s that is drawn; None where it never was
    outage  t_s, start_s: nothing came back from start_s to t_s, and packets were lost
    ping    t_s, rtt_ms, lost: the longest round trip in a batch, and how many were lost
    iperf   t_s, mbps

Each has the time it is about, `t_s`: what a page shows at a time is a function of the messages up
to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from carplab.analysis.load import Place
from carplab.analysis.states import HUNG, MASTER, NOT_RUNNING, describe, is_whole
from carplab.carp.dialect import DIALECTS
from carplab.errors import listed
from carplab.live.plan import cable_id, make_plan
from carplab.live.sources import Message, Scene
from carplab.live.ways import Clues, find_way
from carplab.network import SEGMENT_KINDS, parse_place
from topo.firewall_pair import DESIGNS

PACKET_EACH_S = 0.2  # of the packets that come back, this many are drawn, and as many lost ones
OUTAGE_S = 0.05  # a gap this long, in which packets were lost, is an outage
LATEST_S = 2.0  # after a gap it is known whether packets were lost in it
_ONLY_LATEST = ("status", "path", "probe")  # what a page needs of the past to draw the present
_DAEMON_STATES = {"running": "", "frozen": HUNG}
_VIRTUAL_MAC = "00:00:5e:00:01:"  # IPv4's; the last byte is the vhid


class Feed:
    """Makes a page's messages; keeps what is needed to draw the present anew."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._clues = Clues()
        self._status: Message | None = None
        self._latest: dict[str, Message] = {}
        self._sent = self._lost = 0
        self._back_s: float | None = None
        self._drawn_s = self._drawn_lost_s = float("-inf")
        self._last_lost_s = float("-inf")
        self._gaps: list[tuple[float, float]] = []  # of which nothing is known to be lost yet

    def hello(self) -> dict[str, Any]:
        """Return what a page needs to know before the first message."""
        scene = self._scene
        return {
            "mode": scene.mode, "title": scene.title, "folder": scene.folder,
            "settings": dict(scene.settings), "end_s": scene.end_s,
            "may_change": scene.may_change, "plan": make_plan(scene.network, scene.client),
            "choices": {
                "design": list(DESIGNS), "dialect": list(DIALECTS), "switch": list(SEGMENT_KINDS),
            },
        }  # fmt: skip

    def take(self, message: Message) -> list[Message]:
        """Return what a page gets for a message of the source."""
        makers = {
            "status": self._take_status, "event": self._take_event, "probe": self._take_probe,
            "ping": self._take_ping, "iperf": self._take_iperf, "dropped": self._take_dropped,
        }  # fmt: skip
        made = list(makers[message["kind"]](message))
        self._latest |= {each["kind"]: each for each in made if each["kind"] in _ONLY_LATEST}
        return made

    def present(self) -> list[Message]:
        """Return what draws the present for somebody who has missed the past."""
        return list(self._latest.values())

    def _take_status(self, message: Message) -> Iterator[Message]:
        carpd = message["carpd"]
        virtual_hosts = [
            _seen(each, carpd.get(each["router"], "")) for each in message["virtual_hosts"]
        ]
        masters = _masters(virtual_hosts)
        self._status = {
            **message, "virtual_hosts": virtual_hosts, "masters": _in_words(masters),
            "whole": is_whole(masters), "faults": list(map(_told, message["faults"])),
        }  # fmt: skip
        yield self._status
        yield from self._path(message["t_s"])

    def _take_event(self, message: Message) -> Iterator[Message]:
        is_changed = self._note(message)
        if message["event"] in ("sent", "heard"):
            message = {**message, "cable": self._cable_of(message)}
        yield message
        if is_changed:
            yield from self._path(message["t_s"])

    def _note(self, event: Message) -> bool:
        """Note what tells the way of packets; return whether it may be another one now."""
        source, words = event["source"], event["detail"].split()
        segment, cable = parse_place(event["segment"])
        if event["event"] == "sent":
            key = cable_id(source, segment, cable), event["vhid"]
            self._clues.advertised_s[key] = event["t_s"]
        elif event["event"] == "neighbour" and words and words[-1].startswith(_VIRTUAL_MAC):
            self._clues.vhids[source] = int(words[-1].rpartition(":")[2], 16)
            return True
        elif event["event"] == "arp" and words and words[0] in self._hosts:
            self._clues.vhids[self._hosts[words[0]]] = event["vhid"]  # the one that answered
            return True
        elif event["event"] == "port" and source in self._routers:
            self._clues.ports[source, segment] = cable
            return True
        return False

    def _cable_of(self, event: Message) -> str:
        """Return the cable an advertisement took: of a failover set, the one that works."""
        segment, cable = parse_place(event["segment"])
        cable = self._clues.ports.get((event["source"], segment), cable)
        return cable_id(event["source"], segment, cable)

    @property
    def _hosts(self) -> dict[str, str]:
        """The hosts by their addresses."""
        return {
            str(address).partition("/")[0]: host["name"]
            for host in self._scene.network["hosts"]
            for address in host["addresses"]
        }

    @property
    def _routers(self) -> list[str]:
        return [router["name"] for router in self._scene.network["routers"]]

    def _path(self, t_s: float) -> Iterator[Message]:
        """Yield the way of the probe's packets if it has changed."""
        scene, status = self._scene, self._status
        if status is None or not scene.client:
            return
        ends = (scene.client, scene.server), (scene.server, scene.client)
        there, back = (
            find_way(scene.network, status, self._clues, *each).plain() for each in ends
        )
        latest = self._latest.get("path", {})
        if (latest.get("there"), latest.get("back")) != (there, back):
            yield {"kind": "path", "t_s": t_s, "there": there, "back": back}

    def _take_probe(self, message: Message) -> Iterator[Message]:
        known_s = self._back_s if self._back_s is not None else float("-inf")
        for _, sent_s, server_s, back_s in message["rows"]:
            self._sent += 1
            if back_s is None:
                self._lost += 1
                self._last_lost_s = max(self._last_lost_s, sent_s)
                yield from self._outages()
                if sent_s >= self._drawn_lost_s + PACKET_EACH_S:
                    self._drawn_lost_s = sent_s
                    yield _packet(sent_s, server_s, None)
                known_s = max(known_s, sent_s)
                continue
            if self._back_s is not None and back_s - self._back_s >= OUTAGE_S:
                self._gaps.append((self._back_s, back_s))
                yield from self._outages()
            self._back_s = max(back_s, self._back_s or back_s)
            if sent_s >= self._drawn_s + PACKET_EACH_S:
                self._drawn_s = sent_s
                yield _packet(sent_s, server_s, back_s)
        yield {
            "kind": "probe", "t_s": max(known_s, self._back_s or known_s), "sent": self._sent,
            "lost": self._lost, "last_s": self._back_s,
        }  # fmt: skip

    def _outages(self) -> Iterator[Message]:
        """Yield the gaps in which a packet was lost; a machine that was busy makes gaps, too."""
        waiting = []
        for start_s, end_s in self._gaps:
            if start_s <= self._last_lost_s <= end_s:
                yield {"kind": "outage", "t_s": end_s, "start_s": start_s}
            elif end_s > self._last_lost_s and end_s > (self._back_s or end_s) - LATEST_S:
                waiting.append((start_s, end_s))
        self._gaps = waiting

    def _take_ping(self, message: Message) -> Iterator[Message]:
        rows = message["rows"]
        times_ms = [rtt_ms for _, _, rtt_ms in rows if rtt_ms is not None]
        yield {
            "kind": "ping", "t_s": max(sent_s for _, sent_s, _ in rows),
            "rtt_ms": max(times_ms, default=None), "lost": len(rows) - len(times_ms),
        }  # fmt: skip

    def _take_iperf(self, message: Message) -> Iterator[Message]:
        for _, end_s, mbps in message["rows"]:
            yield {"kind": "iperf", "t_s": end_s, "mbps": mbps}

    def _take_dropped(self, message: Message) -> Iterator[Message]:
        """Say that something is missing: whoever reads the source was too slow."""
        t_s = max((each["t_s"] for each in self._latest.values()), default=0.0)
        detail = f"{message['number']} messages of the session"
        yield {
            "kind": "event", "t_s": t_s, "source": "live view", "event": "missed", "segment": "",
            "vhid": None, "detail": detail,
        }  # fmt: skip


def _masters(virtual_hosts: list[dict[str, Any]]) -> dict[Place, frozenset[str]]:
    """Return the firewalls that are MASTER of each place."""
    masters: dict[Place, frozenset[str]] = {}
    for each in virtual_hosts:
        own = [each["router"]] if each["state"] == MASTER else []
        place = each["segment"], each["vhid"]
        masters[place] = masters.get(place, frozenset()).union(own)
    return masters


def _in_words(masters: dict[Place, frozenset[str]]) -> str:
    if not is_whole(masters):
        return describe(masters)
    vhids: dict[str, list[int]] = {}
    for (_, vhid), (router,) in masters.items():
        vhids.setdefault(router, []).append(vhid)
    if len(vhids) == 1:
        return f"{min(vhids)} is MASTER everywhere"
    return "; ".join(f"{router}: vhid {listed(sorted(vhids[router]))}" for router in sorted(vhids))


def _seen(virtual_host: dict[str, Any], carpd: str) -> dict[str, Any]:
    """Return a virtual host with the state it has for others, whose carpd may not run."""
    state = _DAEMON_STATES.get(carpd, NOT_RUNNING) or virtual_host["state"]
    return {**virtual_host, "state": state}


def _told(fault: dict[str, Any]) -> dict[str, Any]:
    """Return a fault whose detail, `loss 30 %`, does not say its kind again."""
    detail = str(fault.get("detail", ""))
    return {**fault, "detail": detail.removeprefix(fault["kind"]).strip()}


def _packet(sent_s: float, server_s: float | None, back_s: float | None) -> Message:
    return {"kind": "packet", "t_s": sent_s, "server_s": server_s, "back_s": back_s}

"""What the shell shows: states, faults, events, losses. From a session's messages, to rich's text.

States are told apart by words and by weight; colours, of those that colour-blind people tell apart,
come on top. rich leaves them out where NO_COLOR is set or nobody looks at a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from carplab.emulation.states import BACKUP, INIT, MASTER
from carplab.network import place_text

STATE_STYLES = {MASTER: "bold white on blue", BACKUP: "cyan", INIT: "italic yellow"}
FAULT_STYLE = "bold underline"
LOSS_STYLE = "yellow"

# The kinds of events that are shown as they happen; advertisements are too many to be read.
SHOWN_EVENTS = (
    "carp", "demotion", "carrier", "port", "port-state", "fault", "repair", "process", "hook",
)  # fmt: skip
_STATE = re.compile(rf"\b({'|'.join(STATE_STYLES)})\b")
_RUNNING = "running"


def states_table(status: Mapping[str, Any]) -> Table:
    """Return the states of all virtual hosts: a row each, a column for each firewall."""
    hosts: Sequence[Mapping[str, Any]] = status["virtual_hosts"]
    firewalls = list(status["carpd"])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("segment", "vhid", "address"):
        table.add_column(name, no_wrap=True)
    for name in firewalls:
        table.add_column(name)
    cells = {(_place(host), host["vhid"], host["router"]): host for host in hosts}
    places = list(dict.fromkeys(place for place, _, _ in cells))
    for place, vhid in sorted(
        dict.fromkeys((place, vhid) for place, vhid, _ in cells),
        key=lambda row: places.index(row[0]),
    ):
        row = [cells.get((place, vhid, name)) for name in firewalls]
        addresses = dict.fromkeys(each for host in row if host for each in host["addresses"])
        table.add_row(place, str(vhid), "\n".join(addresses), *map(_cell, row))
    return table


def conditions(status: Mapping[str, Any]) -> list[str]:
    """Return a line for each firewall about which the table does not say all."""
    lines = []
    for router, condition in status["carpd"].items():
        demotions = status["demotions"].get(router, {})
        said = [f"demotion {group} {value}" for group, value in demotions.items() if value]
        if condition != _RUNNING:
            said.append(f"carpd {condition}")
        if said:
            lines.append(f"{router}: {', '.join(said)}")
    return lines


def faults_table(faults: Sequence[Mapping[str, Any]], now_s: float) -> Table:
    """Return what is broken, since when."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "fault", "machine", "segment", "for"):
        table.add_column(name, no_wrap=True)
    for fault in faults:
        detail = Text(fault["detail"], style=FAULT_STYLE)
        age = f"{now_s - fault['since_t_s']:.0f} s"
        table.add_row(str(fault["id"]), detail, fault["host"], _place(fault), age)
    return table


def fault_words(fault: Mapping[str, Any]) -> str:
    """Return a fault in a few words, for a sentence: `2 link_down of fw1 on outside`."""
    on = f" on {_place(fault)}" if fault["segment"] else ""
    return f"{fault['id']} {fault['detail']} of {fault['host']}{on}"


def event_line(event: Mapping[str, Any]) -> Text | None:
    """Return the line of an event; None for one that is not shown."""
    if event["event"] not in SHOWN_EVENTS:
        return None
    what = event["detail"] if event["event"] == "carp" else f"{event['event']} {event['detail']}"
    where = event["segment"] or ""
    line = Text(f"{event['t_s']:9.3f} s  {event['source']:<8}{where:<12}")
    if event["event"] in ("fault", "repair"):
        line.append(what, FAULT_STYLE)
    else:
        line.append(with_states(what))
    return line


def with_states(text: str) -> Text:
    """Return the text with the names of states in their styles."""
    styled = Text(text)
    for match in _STATE.finditer(text):
        styled.stylize(STATE_STYLES[match[0]], *match.span())
    return styled


class Losses:
    """Counts the probe's packets by the second in which they were sent.

    A packet is reported when it is back, or lost some time later: a second is over when it is so
    long past that nothing more is to come.
    """

    SETTLED_S = 1.5  # after the second's end; a packet is given up after 1 s

    def __init__(self) -> None:
        self._sent: dict[int, int] = {}
        self._lost: dict[int, int] = {}
        self._was_losing = False

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Note packets, as a session's message "probe" has them."""
        for _, sent_s, _, back_s in rows:
            second = int(sent_s // 1)
            self._sent[second] = self._sent.get(second, 0) + 1
            if back_s is None:
                self._lost[second] = self._lost.get(second, 0) + 1

    def lines(self, now_s: float) -> list[Text]:
        """Return a line for each second with losses that is over, and one when they end."""
        over = sorted(second for second in self._sent if second + 1 + self.SETTLED_S <= now_s)
        lines = []
        for second in over:
            sent, lost = self._sent.pop(second), self._lost.pop(second, 0)
            if lost:
                said = f"lost {lost} of {sent} probes"
            elif self._was_losing:
                said = "no loss any more"
            if lost or self._was_losing:
                lines.append(Text(f"{second:9d} s  {said}", LOSS_STYLE if lost else ""))
            self._was_losing = bool(lost)
        return lines


def _place(of: Mapping[str, Any]) -> str:
    return place_text(of["segment"], of["cable"])


def _cell(host: Mapping[str, Any] | None) -> Text:
    if host is None:
        return Text("-")
    advbase = f"advbase {host['advbase']} " if host["advbase"] != 1 else ""
    cell = with_states(host["state"])
    return cell.append(f" {advbase}advskew {host['advskew']}")

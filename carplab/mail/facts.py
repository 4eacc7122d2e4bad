"""What one repetition says about the mail's claims: a line of runs.csv.

Every verdict follows from these lines alone. Where a number means nothing it is None, and its cell
is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from carplab.errors import CarplabError

FINISHED = "finished"


@dataclass(frozen=True)
class Facts:
    """One repetition of a series; seconds. `what` says why it is of no use unless it finished.

    The fault strikes one host ("struck"), a cable pull one interface of it ("pulled"); the
    interfaces of the struck host on other segments are its others.

    outage_fault_s, outage_repair_s: all outages that belong to it, of the flow that had most.
    split_fault_s, split_repair_s: all splits; of the repair's longest, split_begin_s and
    split_end_s are counted from the repair, split_open says that the record ended first, split_who
    who was MASTER of what for most of it. detection_s: until the last segment had a new MASTER;
    theory_s: the longest that may take where a master-down timer ran out, 0 where none had to.
    failed_over: at the repair each place had one MASTER, none of them the struck host. flowed: no
    outage was under way at the repair. pulled_state, others_state: at the repair. others_back_s:
    from the repair until the others had all been MASTER; restored_back_s: until the pulled one had.
    restored_shows: its states from the repair on, "BACKUP 3.0; MASTER 26.1", those longer than 10
    ms, the last one until the end. kept: the struck host was MASTER everywhere before the fault,
    and until the repair no other host of anything. packets_sent, packets_lost: of all flows;
    flows_lost: "client>server 12; ...". stream_ended: "alive", "stalled", "reset" ...; the gaps:
    the longest that began after the fault, or the repair; stream_broke: after which of the two it
    broke.
    """

    series: str
    dialect: str
    repetition: int
    seed: int
    outcome: str
    what: str = ""
    fault: str = ""
    outage_fault_s: float | None = None
    outage_repair_s: float | None = None
    split_fault_s: float | None = None
    split_repair_s: float | None = None
    split_begin_s: float | None = None
    split_end_s: float | None = None
    split_open: bool | None = None
    split_who: str = ""
    broken_s: float | None = None
    detection_s: float | None = None
    lateness_s: float | None = None
    takeover_s: float | None = None
    theory_s: float | None = None
    recovery_s: float | None = None
    failed_over: bool | None = None
    flowed: bool | None = None
    kept: bool | None = None
    pulled_state: str = ""
    others_state: str = ""
    others_back_s: float | None = None
    restored_back_s: float | None = None
    restored_shows: str = ""
    packets_sent: int | None = None
    packets_lost: int | None = None
    flows_lost: str = ""
    stream_ended: str = ""
    stream_broke: str = ""
    stream_gap_fault_s: float | None = None
    stream_gap_repair_s: float | None = None
    commit: str = ""

    @property
    def finished(self) -> bool:
        """Whether it counts."""
        return self.outcome == FINISHED

    def spans(self) -> list[tuple[str, float]]:
        """Return restored_shows as (state, seconds)."""
        parts = [part.rpartition(" ") for part in self.restored_shows.split("; ") if part]
        return [(state, float(length)) for state, _, length in parts]


_TYPES = get_type_hints(Facts)
COLUMNS = tuple(each.name for each in fields(Facts))


def write_facts(runs: Iterable[Facts]) -> str:
    """Return runs.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(run, name)) for name in COLUMNS] for run in runs)
    return text.getvalue()


def read_facts(text: str) -> list[Facts]:
    """Return what runs.csv says; CarplabError where it is not one."""
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise CarplabError("runs.csv has other columns than this carplab writes: measure it anew")
    try:
        return [_facts(row) for row in rows[1:]]
    except ValueError as error:
        raise CarplabError(f"runs.csv is damaged: {error}") from None


def _facts(row: Sequence[str]) -> Facts:
    cells = zip(COLUMNS, row, strict=True)
    return Facts(**{name: _value(_TYPES[name], cell) for name, cell in cells})


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _value(kind: Any, cell: str) -> Any:
    if kind is str:
        return cell
    if cell == "":
        return None
    if kind == bool | None:
        return {"yes": True, "no": False}[cell]
    return int(cell) if kind in (int, int | None) else float(cell)

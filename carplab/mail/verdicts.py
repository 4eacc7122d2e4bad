"""From facts to verdicts: one for each claim, condition and dialect, and one for each claim."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from carplab.errors import CarplabError
from carplab.mail.claims import CLAIMS, Claim
from carplab.mail.facts import Facts

OVERALL = "overall"
LENGTHS = {
    "outage_fault_s": "outage_fault_s",
    "outage_repair_s": "outage_repair_s",
    "split_s": "split_repair_s",
    "recovery_s": "recovery_s",
}
"""The columns of lengths (each with _median, _min and _max), and the facts they are of."""

_SPREAD: Mapping[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median,
    "min": min,
    "max": max,
}
_PACKETS = ("packets_sent", "packets_lost")
_LATER = ("recovery_s",)  # behind the verdict
COLUMNS = (
    "claim",
    "condition",
    "dialect",
    "n",
    *(f"{name}_{how}" for name in LENGTHS if name not in _LATER for how in _SPREAD),
    *_PACKETS,
    "verdict",
    *(f"{name}_{how}" for name in _LATER for how in _SPREAD),
    "restored_shows",
    "connection",
)

Verdict = dict[str, str]
"""A row of verdicts.csv."""


@dataclass(frozen=True)
class Count:
    """Of `of` runs `borne` bear a claim out; `failed` ones are among `of`."""

    borne: int
    of: int
    failed: int = 0

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.borne} of {self.of}{failed}"


def find_verdicts(runs: Sequence[Facts]) -> list[Verdict]:
    """Return the rows of verdicts.csv: what was measured of each claim, then the whole claim."""
    by_series = group(runs)
    rows: list[Verdict] = []
    for claim in CLAIMS:
        counts: dict[tuple[str, str], Count] = {}
        for condition, name in claim.conditions.items():
            for dialect in claim.series(condition).dialects:
                found = by_series.get((name, dialect), [])
                if found:
                    counts[condition, dialect] = count(claim, found)
                    rows.append(_row(claim, condition, dialect, found))
        if counts:
            said = overall(claim, counts)
            rows.append({**_blank(), "claim": claim.id, "condition": OVERALL, "verdict": said})
    return rows


def group(runs: Iterable[Facts]) -> dict[tuple[str, str], list[Facts]]:
    """Return the repetitions of each series and dialect."""
    groups: dict[tuple[str, str], list[Facts]] = {}
    for run in runs:
        groups.setdefault((run.series, run.dialect), []).append(run)
    return groups


def count(claim: Claim, runs: Sequence[Facts]) -> Count:
    """Return how many runs bear the claim out."""
    finished = [run for run in runs if run.finished]
    borne = sum(claim.rule(run)[0] for run in finished)
    return Count(borne, len(runs), len(runs) - len(finished))


def verdict(claim: Claim, counted: Count) -> str:
    """Return the verdict on one condition in one dialect."""
    if counted.borne == counted.of:
        return claim.words.all
    if counted.borne == 0 and counted.failed < counted.of:
        return claim.words.none + (f" ({counted.failed} failed)" if counted.failed else "")
    return str(counted)


def overall(claim: Claim, counts: Mapping[tuple[str, str], Count]) -> str:
    """Return the verdict on the whole claim from those of its conditions and dialects."""
    borne = {key: counted for key, counted in counts.items() if counted.borne}
    if not borne:
        return claim.words.none
    if all(counted.borne == counted.of for counted in counts.values()):
        return claim.words.all
    conditions = dict.fromkeys(condition for condition, _ in borne)
    return "only under: " + "; ".join(_only(condition, counts) for condition in conditions)


def _only(condition: str, counts: Mapping[tuple[str, str], Count]) -> str:
    """Return a condition with what limits it: the dialects, how many of the runs."""
    here = {dialect: counted for (name, dialect), counted in counts.items() if name == condition}
    if all(counted.borne == counted.of for counted in here.values()):
        return condition
    told = [
        dialect if counted.borne == counted.of else f"{dialect} {counted}"
        for dialect, counted in here.items()
        if counted.borne
    ]
    return f"{condition} ({', '.join(told)})"


def _blank() -> Verdict:
    return dict.fromkeys(COLUMNS, "")


def _row(claim: Claim, condition: str, dialect: str, runs: Sequence[Facts]) -> Verdict:
    finished = [run for run in runs if run.finished]
    row = {**_blank(), "claim": claim.id, "condition": condition, "dialect": dialect}
    row["n"] = str(len(finished))
    row["verdict"] = verdict(claim, count(claim, runs))
    for name, fact in LENGTHS.items():
        lengths_s = [getattr(run, fact) for run in finished]
        row.update(_spread(name, [length for length in lengths_s if length is not None]))
    for name in _PACKETS:
        row[name] = str(sum(getattr(run, name) or 0 for run in finished))
    row["restored_shows"] = restored_shows(finished)
    row["connection"] = connection(finished)
    return row


def _spread(name: str, lengths_s: Sequence[float]) -> Iterator[tuple[str, str]]:
    for how, function in _SPREAD.items():
        yield f"{name}_{how}", f"{function(lengths_s):.4f}" if lengths_s else ""


def restored_shows(runs: Sequence[Facts]) -> str:
    """Return the states that the restored interface went through, in most of the runs.

    Each with the median of its length, the last one without: it lasted to the end.
    """
    sequences = Counter(tuple(state for state, _ in run.spans()) for run in runs)
    (states, often), *_ = sequences.most_common(1) or [((), 0)]
    if not states:
        return ""
    alike = [run.spans() for run in runs if tuple(state for state, _ in run.spans()) == states]
    *lasting, _ = zip(*alike, strict=True)
    told = [
        f"{spans[0][0]} {statistics.median(length_s for _, length_s in spans):.2f} s"
        for spans in lasting
    ]
    text = ", ".join([*told, ("then " if told else "") + states[-1]])
    return text if often == len(runs) else f"{text} ({often} of {len(runs)})"


def connection(runs: Sequence[Facts]) -> str:
    """Return what became of the TCP connections, the commonest first; empty without any."""
    ends = Counter(_end(run) for run in runs if run.stream_ended)
    told = [end if often == len(runs) else f"{end} ({often})" for end, often in ends.most_common()]
    gaps_s = [run.stream_gap_fault_s for run in runs if run.stream_gap_fault_s is not None]
    if gaps_s:
        middle_s = statistics.median(gaps_s)
        told.append(f"gap {middle_s:.2f} s ({min(gaps_s):.2f} to {max(gaps_s):.2f})")
    return "; ".join(told)


def _end(run: Facts) -> str:
    return f"{run.stream_ended} at the {run.stream_broke}" if run.stream_broke else run.stream_ended


# --- the file ---


def write_verdicts(rows: Iterable[Verdict]) -> str:
    """Return verdicts.csv."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_verdicts(text: str) -> list[Verdict]:
    """Return the rows of verdicts.csv; CarplabError where it is not one."""
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise CarplabError("verdicts.csv has other columns than this carplab writes: make it anew")
    return list(reader)


def find_row(
    rows: Iterable[Verdict], claim: str, condition: str, dialect: str = ""
) -> Verdict | None:
    """Return one row of verdicts.csv, None if there is none."""
    wanted = {"claim": claim, "condition": condition, "dialect": dialect}
    return next((row for row in rows if wanted.items() <= row.items()), None)

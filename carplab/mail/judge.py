"""What `carplab run` says after a run of one of the mail's claims: its verdict, beside the table's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carplab import recording
from carplab.errors import CarplabError
from carplab.mail.claims import Claim, claim
from carplab.mail.facts import Facts
from carplab.mail.jobs import is_scenario
from carplab.mail.publish import VERDICTS_FILE, published
from carplab.mail.verdicts import Count, Verdict, count, find_row, read_verdicts, verdict


def judge(identity: str, folder: Path) -> str:
    """Return the verdict on a claim from a run or series of its experiment, compared."""
    from carplab.analysis.load import is_series, repetitions
    from carplab.mail.extract import read_run

    chosen = claim(identity)
    folders = repetitions(folder) if is_series(folder) else [folder]
    abouts = [recording.read_run(path) for path in folders]
    condition, dialect = (str(abouts[0]["settings"][key]) for key in ("condition", "dialect"))
    series = chosen.series(condition)
    runs = [
        read_run(path, Facts(series.name, dialect, number, about.get("seed", 0), ""))
        for number, (path, about) in enumerate(zip(folders, abouts, strict=True), start=1)
    ]
    said = f"verdict: {_of(chosen, runs)}"
    if not _is_unchanged(chosen, condition, dialect, abouts):
        return f"{said}; not compared with the table: other options changed the condition"
    return said + _compared(count(chosen, runs), _row(chosen, condition, dialect), chosen)


def _of(chosen: Claim, runs: Sequence[Facts]) -> str:
    said = verdict(chosen, count(chosen, runs))
    return f"{said} ({chosen.rule(runs[0])[1]})" if len(runs) == 1 else f"{said} (n={len(runs)})"


def _is_unchanged(
    chosen: Claim, condition: str, dialect: str, abouts: Sequence[dict[str, Any]]
) -> bool:
    series = chosen.series(condition)
    if dialect not in series.dialects:
        return False
    expected = series.scenario(chosen.experiment, dialect)
    return all(is_scenario(about, expected) for about in abouts)


def _row(chosen: Claim, condition: str, dialect: str) -> Verdict | None:
    try:
        rows = read_verdicts(published(VERDICTS_FILE))
    except CarplabError:
        return None
    return find_row(rows, chosen.id, condition, dialect)


def _compared(counted: Count, row: Verdict | None, chosen: Claim) -> str:
    """Return what follows the verdict: the table's, and whether they agree."""
    if row is None:
        return "; the table has nothing about this condition"
    said, of = row["verdict"], row["n"]
    if verdict(chosen, counted) == said:
        return f", as in the table ({of} of {of} runs)"
    if said[:1].isdigit() and counted.of == 1:
        return f"; in the table {said} runs are"
    return f", which differs from the table: {said} (n={of})"

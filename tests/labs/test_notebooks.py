"""The notebooks run as they are, and their numbers are those of the recorded files.

What a number has to be is worked out here once more, from the lines of the files alone.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

PROJECT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = sorted((PROJECT / "labs").glob("*/notebook.ipynb"))
REFERENCE = PROJECT / "results" / "reference" / "labs"
ABOUT = ("run.json", "series.json")
AT_ONCE = 2
LONGEST_CELL_S = 120
NEAR_S = 0.05  # a repair is stamped a little after the first packet that it lets pass
TAKES_OVER, GIVES_WAY = "BACKUP -> MASTER", "MASTER -> BACKUP"


@pytest.fixture(scope="module", autouse=True)
def jupyter_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the kernels from the user's Jupyter and IPython, and these from theirs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))
        yield


@dataclass(frozen=True)
class Executed:
    """A notebook that ran: its RESULT, what it printed, how many figures it drew."""

    result: dict[str, Any]
    printed: str
    figures: int


def execute(lab: str) -> Executed:
    """Return what became of the notebook of a lab."""
    executed = execute_all()[lab]
    if isinstance(executed, BaseException):
        raise executed
    return executed


@cache
def execute_all() -> dict[str, Executed | BaseException]:
    """Run every notebook, some at once: most of the time goes into starting and importing."""

    async def run() -> list[Executed | BaseException]:
        gate = asyncio.Semaphore(AT_ONCE)
        runs = (execute_one(path, gate) for path in NOTEBOOKS)
        return await asyncio.gather(*runs, return_exceptions=True)

    return dict(zip((path.parent.name for path in NOTEBOOKS), asyncio.run(run()), strict=True))


async def execute_one(path: Path, gate: asyncio.Semaphore) -> Executed:
    """Run a notebook in its folder, as Jupyter does."""
    notebook = nbformat.read(path, as_version=4)
    report = "import json\nprint(json.dumps(RESULT, default=lambda number: number.item()))"
    notebook.cells.append(nbformat.v4.new_code_cell(report))
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=LONGEST_CELL_S,
        resources={"metadata": {"path": str(path.parent)}},
    )
    async with gate:
        await client.async_execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = [output["text"] for output in outputs if output.get("name") == "stdout"]
    return Executed(
        result=json.loads(printed[-1]),
        printed="".join(printed[:-1]),
        figures=sum("image/png" in output.get("data", {}) for output in outputs),
    )


@dataclass(frozen=True)
class Recorded:
    """A recorded run, read without carplab."""

    folder: Path

    def rows(self, name: str) -> list[dict[str, str]]:
        return read_rows(self.folder / name)

    def when(self, kind: str, detail: str = "", source: str = "", segment: str = "") -> list[float]:
        """Return the times of the events of a kind whose detail begins so."""
        return [
            float(row["t_s"])
            for row in self.rows("events.csv")
            if row["kind"] == kind
            and row["detail"].startswith(detail)
            and (not source or row["source"] == source)
            and (not segment or row["segment"] == segment)
        ]

    @property
    def fault_s(self) -> float:
        return self.when("fault")[0]

    @property
    def repair_s(self) -> float:
        return self.when("repair")[0]

    def longest_gap(self, name: str = "probe.csv.gz", from_s: float = 0.0) -> tuple[float, float]:
        """Return when the longest time without an answer began, and when it ended."""
        times = (row["returned_t_s"] for row in self.rows(name))
        back_s = sorted(float(t_s) for t_s in times if t_s and float(t_s) >= from_s)
        return max(pairwise(back_s), key=lambda gap: gap[1] - gap[0])

    def first_after(self, t_s: float, detail: str, source: str, segment: str) -> float:
        """Return when a virtual host first changed so after a time."""
        return next(each for each in self.when("carp", detail, source, segment) if each > t_s)

    def taken_over_s(self, segment: str) -> float:
        """Return how long after the fault fw2 became MASTER of a segment."""
        return self.first_after(self.fault_s, TAKES_OVER, "fw2", segment) - self.fault_s


@cache
def read_rows(path: Path) -> list[dict[str, str]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(text.decode().splitlines()))


def recorded(lab: str, name: str) -> Recorded:
    return Recorded(REFERENCE / lab / name)


def mail(series: str, dialect: str) -> list[dict[str, str]]:
    """Return the ten runs of a series that were recorded for the mail."""
    with (REFERENCE.parent / "mail" / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if (row["series"], row["dialect"]) == (series, dialect)]


# --- all of them ---


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.parent.name)
def test_is_committed_as_nobody_has_run_it(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert all(len(cell.source.splitlines()) <= 30 for cell in code), "too long to read at once"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.parent.name)
def test_runs_without_a_prediction_and_says_so(path: Path) -> None:
    executed = execute(path.parent.name)
    assert "no prediction yet" in executed.printed
    assert executed.figures >= 1


def test_there_is_one_for_each_folder_of_recorded_runs() -> None:
    assert [path.parent.name for path in NOTEBOOKS] == sorted(
        folder.name for folder in REFERENCE.iterdir() if folder.is_dir()
    )


def test_the_index_tells_how_each_of_these_was_recorded() -> None:
    text = (REFERENCE / "README.md").read_text()
    told = dict(re.findall(r"^\| `(.+?)` \| `(.+?)` \|", text, re.MULTILINE))
    recorded = {}
    for folder in REFERENCE.glob("*/*/"):
        about = next(path for name in ABOUT if (path := folder / name).exists())
        recorded[f"{folder.parent.name}/{folder.name}"] = json.loads(about.read_text())["command"]
    assert told == recorded


# --- one by one ---


@pytest.mark.parametrize(
    ("series", "folder", "advbase", "advskew"),
    [
        ("advskew 50", "skew-50", 1, 50),
        ("advskew 100", "skew-100", 1, 100),
        ("advskew 200", "skew-200", 1, 200),
        ("advbase 2", "advbase-2", 2, 100),
    ],
)
def test_timers_and_skew(series: str, folder: str, advbase: int, advskew: int) -> None:
    lab = "02-timers-and-skew"
    result = execute(lab).result[series]
    runs = [Recorded(path.parent) for path in sorted((REFERENCE / lab / folder).glob("*/run.json"))]
    detected_s = [run.taken_over_s("outside") for run in runs]
    failed_over_s = [run.longest_gap()[1] - run.fault_s for run in runs]
    assert result["runs"] == len(runs) == 4
    assert result["shortest_detection_s"] == pytest.approx(min(detected_s), abs=1e-6)
    assert result["longest_detection_s"] == pytest.approx(max(detected_s), abs=1e-6)
    assert result["longest_failover_s"] == pytest.approx(max(failed_over_s), abs=1e-6)
    assert result["longest_due_s"] == 3 * advbase + advskew / 256
    assert result["shortest_due_s"] == 2 * advbase + advskew / 256
    assert result["shortest_due_s"] < min(detected_s) < max(detected_s) < result["longest_due_s"]


@pytest.mark.parametrize(
    ("name", "inside_before_repair", "inside", "outside"),
    [
        ("crash", "fw2", "fw1", "fw1"),
        ("crash-no-preempt", "fw2", "fw2", "fw2"),
        ("cable", "fw2", "fw1", "fw1"),
        ("cable-no-preempt", "fw2", "fw2", "fw2"),
        ("cable-no-preempt-2005", "fw1", "fw1", "fw2"),
    ],
)
def test_preemption(name: str, inside_before_repair: str, inside: str, outside: str) -> None:
    lab = "03-preemption"
    result, run = execute(lab).result[name], recorded(lab, name)
    start_s, end_s = run.longest_gap()
    assert result["inside_before_repair"] == inside_before_repair
    assert (result["inside_at_end"], result["outside_at_end"]) == (inside, outside)
    assert result["outage_fault_s"] == pytest.approx(end_s - start_s, abs=1e-6)
    if inside == outside == "fw1":
        waits_s = [
            run.first_after(run.repair_s, TAKES_OVER, "fw1", segment)
            - max(run.repair_s, run.when("carp", "INIT -> BACKUP", "fw1", segment)[-1])
            for segment in ("outside", "inside")
        ]
        if name == "cable":  # the inside was a BACKUP already
            waits_s[1] = run.first_after(run.repair_s, TAKES_OVER, "fw1", "inside") - run.repair_s
        assert result["longest_wait_s"] == pytest.approx(max(waits_s), abs=1e-6)
        assert max(waits_s) < 1 + 100 / 256


@pytest.mark.parametrize(
    ("fault", "masters"),
    [
        ("link-down", "outside fw2, inside fw2"),
        ("blackhole", "outside fw1+fw2, inside fw1"),
        ("deaf", "outside fw1, inside fw1"),
        ("mute", "outside fw1+fw2, inside fw1"),
        ("hang", "outside fw2, inside fw2"),
    ],
)
def test_carrier_or_silence(fault: str, masters: str) -> None:
    lab = "04-carrier-or-silence"
    result, run = execute(lab).result[fault], recorded(lab, fault)
    start_s, end_s = run.longest_gap()
    assert result["master_before_repair"] == masters
    assert result["outage_s"] == pytest.approx(end_s - start_s, abs=1e-6)
    assert result["flows_before_repair"] == (end_s < run.repair_s - NEAR_S)
    if fault in ("blackhole", "mute"):  # two MASTERs outside, until one hears the other
        (ends_s,) = run.when("carp", GIVES_WAY, "fw2", "outside")
        split_s = ends_s - run.fault_s - run.taken_over_s("outside")
        assert result["split_s"] == pytest.approx(split_s, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("plain", "c3-plain"),
        ("stp", "c3-stp"),
        ("stp-edge", "c3-stp-edge"),
        ("link-up-delay", "cure-link-up-delay"),
    ],
)
def test_split_on_recovery(name: str, series: str) -> None:
    lab = "05-split-on-recovery"
    result, run = execute(lab).result[name], recorded(lab, name)
    begins_s = run.first_after(run.repair_s, TAKES_OVER, "fw1", "inside")
    ends_s = run.first_after(run.repair_s, GIVES_WAY, "fw2", "outside")
    assert result["split_s"] == pytest.approx(ends_s - begins_s, abs=1e-6)
    assert result["ended_after_s"] == pytest.approx(ends_s - run.repair_s, abs=1e-6)
    assert result["ended_after_s"] < result["latest_end_s"]
    start_s, end_s = run.longest_gap(from_s=run.repair_s)
    if name == "stp":
        assert result["outage_s"] == pytest.approx(end_s - start_s, abs=1e-6)
        (forwards_s,) = run.when("port-state", "learning -> forwarding", "fw1", "outside")
        assert result["port_forwards_after_s"] == pytest.approx(forwards_s - run.repair_s, abs=1e-6)
        assert 30 < forwards_s - run.repair_s < 30.5
    else:
        assert result["outage_s"] <= end_s - start_s < 0.1
    splits_s = [float(row["split_repair_s"]) for row in mail(series, "openbsd")]
    assert len(splits_s) == 10
    assert result["median_split_of_ten_s"] == pytest.approx(median(splits_s))


@pytest.mark.parametrize("dialect", ["openbsd", "openbsd-3.8"])
def test_arp_balancing(dialect: str) -> None:
    lab = "06-arp-balancing"
    result, run = execute(lab).result[dialect], recorded(lab, dialect)
    probes = sorted(path.name for path in run.folder.glob("probe*.csv.gz"))
    assert len(probes) == 8
    broken_s = run.fault_s - NEAR_S, run.repair_s
    gaps_s, unharmed = [], 0
    for name in probes:
        start_s, end_s = run.longest_gap(name)
        gaps_s.append(end_s - start_s)
        unharmed += all(
            row["returned_t_s"]
            for row in run.rows(name)
            if broken_s[0] < float(row["sent_t_s"]) < broken_s[1]
        )
    assert result["unharmed"] == unharmed == 2
    assert result["harmed"] == sum(gap_s > 1 for gap_s in gaps_s) == 4
    assert result["longest_outage_s"] == pytest.approx(max(gaps_s), abs=1e-6)
    assert result["as_the_rule_says"]
    assert result["through_fw2_before_repair"] == 8


@pytest.mark.parametrize(
    ("name", "ended"),
    [
        ("none-crash", "alive"),
        ("static-crash", "reset"),
        ("synced-crash", "alive"),
        ("client-loose", "alive"),
    ],
)
def test_nat_and_state(name: str, ended: str) -> None:
    lab = "07-nat-and-state"
    result, run = execute(lab).result[name], recorded(lab, name)
    received_s = sorted(
        float(row["received_t_s"]) for row in run.rows("stream.csv.gz") if row["received_t_s"]
    )
    answers_s = run.when("stream", "reset") + [t_s for t_s in received_s if t_s > run.fault_s + 1]
    way_open_s = run.longest_gap()[1] - run.fault_s
    assert (result["ended"], result["alive"]) == (ended, ended == "alive")
    assert result["way_open_after_s"] == pytest.approx(way_open_s, abs=1e-6)
    assert result["answered_after_s"] == pytest.approx(answers_s[0] - run.fault_s, abs=1e-6)
    assert way_open_s < result["due_after_s"] == pytest.approx(result["answered_after_s"], abs=0.1)
    ends = [row["stream_ended"] for row in mail(f"c0-{name}", "openbsd-3.8")]
    assert (result["alive_of_ten"], len(ends)) == (ends.count("alive"), 10)

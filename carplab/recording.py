"""What a run leaves on disk: the names, columns and units of its files, in this one place.

A run is a folder ``RESULTS/EXPERIMENT/RUN/`` where RUN is the wall-clock start in UTC
(``2026-11-22T11-30-00``). A series of repetitions is such a folder with one run folder ``01``,
``02``, ... per repetition. Times in the tables are seconds of the monotonic clock minus the run's
origin; run.json keeps the origin on both clocks.

Nothing here needs more than the standard library. A disk that fills up in the middle of a run ends
it with one sentence, and everything written before stays readable.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import gzip
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from carplab.errors import CarplabError

FORMAT = 1  #: of run.json and the tables; raised when a reader of older runs would get them wrong


@dataclass(frozen=True, slots=True)
class Table:
    """One CSV file of a run. The columns are its header; their suffixes are the units."""

    file_name: str
    columns: tuple[str, ...]


EVENTS = Table("events.csv", ("t_s", "source", "kind", "segment", "vhid", "detail"))
PROBE = Table("probe.csv", ("seq", "sent_t_s", "server_t_s", "returned_t_s"))
PING = Table("ping.csv", ("seq", "sent_t_s", "rtt_ms"))
IPERF = Table("iperf.csv", ("start_t_s", "end_t_s", "throughput_mbps"))
STREAM = Table("stream.csv", ("seq", "sent_t_s", "received_t_s"))
WINDOWS = Table(
    "windows.csv", ("window", "cause", "segment", "start_t_s", "end_t_s", "length_s", "detail")
)
FLOWS = Table("flows.csv", ("client", "server", "cause", "outage_s", "sent", "lost"))
SIDES = Table(
    "sides.csv",
    ("host", "segment", "vhid", "state", "start_s_after_repair", "end_s_after_repair"),
)
SERIES_WINDOWS = Table("windows.csv", ("repetition", *WINDOWS.columns))

RUN_FILE = "run.json"
SERIES_FILE = "series.json"
TIMELINE_FIGURES = ("timeline.png", "timeline.svg")
SIDES_FIGURES = ("sides.png", "sides.svg")
DISTRIBUTION_FIGURES = ("distribution.png", "distribution.svg")
REPORT_FILE = "report.html"
RAW_FOLDER = "raw"

#: How a run ended; "running" also stands for one whose runner was killed before it could say.
OUTCOMES = ("running", "finished", "interrupted", "failed")

Cell = str | int | float | None
Row = Sequence[Cell]

_RESERVE_FILE = ".reserve"
_RESERVE_BYTES = 256 * 1024  # run.json and a last batch of events fit in it many times over


@dataclass(frozen=True, slots=True)
class Origin:
    """The moment that a run calls t = 0, on both clocks, in seconds."""

    monotonic_s: float
    wall_s: float

    @classmethod
    def now(cls) -> Origin:
        return cls(monotonic_s=time.monotonic(), wall_s=time.time())


@dataclass(frozen=True, slots=True)
class Event:
    """One line of events.csv, still on the monotonic clock."""

    monotonic_s: float
    source: str
    kind: str
    segment: str = ""
    vhid: int | None = None
    detail: str = ""

    def row(self, origin: Origin) -> Row:
        t_s = self.monotonic_s - origin.monotonic_s
        return (t_s, self.source, self.kind, self.segment, self.vhid, self.detail)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What ``carplab list`` says about one run or series."""

    path: Path
    experiment: str
    run: str
    outcome: str
    reason: str | None
    started_wall: str
    repetitions: int  #: 1 for a single run


# --- writing ---


class _Folder:
    """A folder of results: whole files replaced at once, owned by the user who called sudo."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_rows(self, table: Table, rows: Iterable[Row], *, compress: bool = False) -> Path:
        """Write a whole table, replacing it at once; ``compress`` makes it NAME.csv.gz.

        Raises CarplabError when it cannot be written; a former version is then still there.
        """
        name = table.file_name + (".gz" if compress else "")
        data = _csv_bytes(table.columns, rows)
        if compress:
            data = gzip.compress(data, compresslevel=9, mtime=0)
        return self._replace(name, data)

    def write_text(self, name: str, text: str) -> Path:
        """Write a whole text file, replacing it at once."""
        return self._replace(name, text.encode())

    def _write_json(self, name: str, fields: Mapping[str, Any]) -> Path:
        return self._replace(name, (json.dumps(fields, indent=2, default=str) + "\n").encode())

    def _replace(self, name: str, data: bytes) -> Path:
        target = self.path / name
        with writing(target):
            _replace_file(target, data)
        return target


class RunFolder(_Folder):
    """The folder of one run while it is written. Its methods may be called from any thread."""

    def __init__(self, path: Path, fields: dict[str, Any], origin: Origin) -> None:
        super().__init__(path)
        self.origin = origin
        self._fields = fields
        self._lock = threading.RLock()
        self._events: list[Event] = []
        self._events_file: io.FileIO | None = None
        self._listeners: list[Callable[[Event], None]] = []

    @classmethod
    def create(cls, results: Path, experiment: str, origin: Origin) -> RunFolder:
        """Make RESULTS/EXPERIMENT/RUN/ with a run.json that says "running".

        Raises CarplabError when the folder cannot be made or written.
        """
        path = _make_stamped_folder(results / experiment, origin)
        return cls._begin(path, experiment, path.name, origin, repetition=1)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run, to add to its run.json or to write its tables anew.

        Raises CarplabError when it is no run folder.
        """
        fields = read_run(path)
        origin = Origin(**fields["origin"])
        return cls(path, fields, origin)

    @classmethod
    def _begin(
        cls, path: Path, experiment: str, run: str, origin: Origin, repetition: int
    ) -> RunFolder:
        fields: dict[str, Any] = {
            "format": FORMAT,
            "experiment": experiment,
            "run": run,
            "outcome": "running",
            "reason": None,
            "started_wall": _iso(origin.wall_s),
            "origin": {"monotonic_s": origin.monotonic_s, "wall_s": origin.wall_s},
            "repetition": repetition,
        }
        folder = cls(path, fields, origin)
        with writing(path):
            _allocate(path / _RESERVE_FILE, _RESERVE_BYTES)
        folder.write_run()
        folder._open_events()
        return folder

    @property
    def fields(self) -> dict[str, Any]:
        """A copy of what run.json says."""
        with self._lock:
            return dict(self._fields)

    @property
    def raw_dir(self) -> Path:
        """Where the traffic tools put what they print, until :meth:`drop_raw`."""
        path = self.path / RAW_FOLDER
        with writing(path):
            path.mkdir(exist_ok=True)
            give_to_user(path)
        return path

    def drop_raw(self) -> None:
        """Remove the tools' raw output; for when the tables are written."""
        shutil.rmtree(self.path / RAW_FOLDER, ignore_errors=True)

    def write_run(self, **fields: Any) -> None:
        """Add the given fields to run.json and write it, all or nothing."""
        with self._lock:
            self._fields.update(fields)
            self._write_json(RUN_FILE, self._fields)

    def set_origin(self, origin: Origin) -> None:
        """Choose another moment as t = 0; events already written are shifted."""
        with self._lock:
            self.origin = origin
            self.write_run(origin={"monotonic_s": origin.monotonic_s, "wall_s": origin.wall_s})
            if self._events_file is not None:
                self._close_events()
                self._write_events(self._events)
                self._open_events()

    def event(
        self,
        monotonic_s: float,
        source: str,
        kind: str,
        *,
        segment: str = "",
        vhid: int | None = None,
        detail: str = "",
    ) -> None:
        """Append one line to events.csv; it is in the file when this returns.

        Raises CarplabError when it cannot be written. The event is kept in memory even so, and
        :meth:`close` tries again.
        """
        event = Event(monotonic_s, source, kind, segment, vhid, detail)
        with self._lock:
            self._events.append(event)
            if self._events_file is not None:
                with writing(self.path / EVENTS.file_name):
                    _append_whole(self._events_file, _csv_line(event.row(self.origin)))
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have each further event passed on, from whatever thread records it."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Sort events.csv by time. Calling it again does nothing.

        Raises CarplabError when it cannot be written; the unsorted lines are then still there.
        """
        with self._lock:
            if self._events_file is None:
                return
            self._close_events()
            self._release_reserve()
            self._write_events(sorted(self._events, key=lambda event: event.monotonic_s))

    def finish(self, outcome: str, reason: str | None = None, **fields: Any) -> None:
        """Close the folder and record how the run ended; also when the disk has filled up.

        The reserve that :meth:`create` took is given back first, so that the last words find room.
        Raises CarplabError when they do not, or when a run that went well cannot be finished.
        """
        with self._lock:
            self._release_reserve()
            try:
                self.close()
            except CarplabError as error:
                if outcome == "finished":
                    self.write_run(outcome="failed", reason=str(error), **fields)
                    raise
            self.write_run(outcome=outcome, reason=reason, **fields)

    def _open_events(self) -> None:
        path = self.path / EVENTS.file_name
        with writing(path):
            if not path.exists():
                _replace_file(path, _csv_bytes(EVENTS.columns, ()))
            self._events_file = io.FileIO(path, "ab")

    def _close_events(self) -> None:
        if self._events_file is not None:
            self._events_file.close()
            self._events_file = None

    def _write_events(self, events: Sequence[Event]) -> None:
        self.write_rows(EVENTS, (event.row(self.origin) for event in events))

    def _release_reserve(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.path / _RESERVE_FILE).unlink()


class SeriesFolder(_Folder):
    """The folder of a series: series.json, tables over all repetitions, a run folder for each."""

    def __init__(self, path: Path, fields: dict[str, Any]) -> None:
        super().__init__(path)
        self._fields = fields

    @classmethod
    def create(
        cls, results: Path, experiment: str, origin: Origin, repetitions: int
    ) -> SeriesFolder:
        """Make RESULTS/EXPERIMENT/RUN/ with a series.json that says "running"."""
        path = _make_stamped_folder(results / experiment, origin)
        fields: dict[str, Any] = {
            "format": FORMAT,
            "experiment": experiment,
            "run": path.name,
            "outcome": "running",
            "reason": None,
            "started_wall": _iso(origin.wall_s),
            "repetitions": repetitions,
        }
        folder = cls(path, fields)
        folder.write_series()
        return folder

    def repetition(self, number: int, origin: Origin) -> RunFolder:
        """Make the run folder of one repetition, counted from 1: RUN/01, RUN/02, ..."""
        path = self.path / f"{number:02d}"
        with writing(path):
            path.mkdir()
            give_to_user(path)
        run = f"{self.path.name}/{path.name}"
        return RunFolder._begin(path, self._fields["experiment"], run, origin, number)

    def write_series(self, **fields: Any) -> None:
        """Add the given fields to series.json and write it, all or nothing."""
        self._fields.update(fields)
        self._write_json(SERIES_FILE, self._fields)


def give_to_user(path: Path) -> None:
    """Give a file that root made under sudo to the user who called sudo; else do nothing."""
    uid, gid = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if os.geteuid() != 0 or not uid or not gid:
        return
    with contextlib.suppress(FileNotFoundError):
        os.chown(path, int(uid), int(gid), follow_symlinks=False)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError inside into one sentence that names the path and what would help."""
    try:
        yield
    except OSError as error:
        raise CarplabError(f"cannot write {path}: {_say(error)}") from error


def _say(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space, or choose another folder with --out"
    reason = error.strerror or str(error)
    return f"{reason}; choose a folder that can be written with --out"


def _iso(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, timezone.utc).isoformat(timespec="milliseconds")


def _make_stamped_folder(parent: Path, origin: Origin) -> Path:
    """A new folder named after the wall clock; a second one within a second gets "-2"."""
    stamp = datetime.fromtimestamp(origin.wall_s, timezone.utc).strftime("%Y-%m-%dT%H-%M-%S")
    with writing(parent):
        _make_parents(parent)
        number = 1
        while True:
            path = parent / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
                continue
            give_to_user(path)
            return path


def _make_parents(path: Path) -> None:
    """mkdir -p that gives away the folders it made, and no others."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        give_to_user(folder)


def _replace_file(target: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old or the new version, no mixture."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        draft.write_bytes(data)
        give_to_user(draft)
        draft.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _append_whole(file: io.FileIO, data: bytes) -> None:
    """Append all of ``data`` or nothing: on a full disk the last line must not be cut in half."""
    end = os.fstat(file.fileno()).st_size
    try:
        written = file.write(data) or 0
        while written < len(data):
            written += file.write(data[written:]) or 0
    except OSError:
        os.ftruncate(file.fileno(), end)
        raise


def _allocate(path: Path, size: int) -> None:
    """Take disk space for later. Not sparse: where the file system cannot allocate, write zeros."""
    with open(path, "wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            file.write(bytes(size))
    give_to_user(path)


def _csv_bytes(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_cells, rows))
    return text.getvalue().encode()


def _csv_line(row: Row) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(_cells(row))
    return text.getvalue().encode()


def _cells(row: Row) -> list[str | int | None]:
    """Floats with a microsecond's digits: more would only be noise of the stamps."""
    return [f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row]


# --- reading ---


def read_run(path: Path) -> dict[str, Any]:
    """run.json of a run folder. Raises CarplabError when it is missing, damaged or too new."""
    return _read_json(path / RUN_FILE)


def read_series(path: Path) -> dict[str, Any]:
    """series.json of a series folder. Raises CarplabError like :func:`read_run`."""
    return _read_json(path / SERIES_FILE)


def list_runs(results: Path) -> list[RunSummary]:
    """All runs and series under a results folder, oldest first. What is no run is passed over."""
    found = [_summary(path.parent) for path in results.glob(f"*/*/{RUN_FILE}")]
    found += [_summary(path.parent) for path in results.glob(f"*/*/{SERIES_FILE}")]
    return sorted(
        (summary for summary in found if summary is not None),
        key=lambda summary: (summary.started_wall, summary.run),
    )


def read_events(path: Path, origin: Origin) -> list[Event]:
    """The events of a run that may still be going on, `origin` being its t = 0.

    Raises CarplabError when there are none.
    """
    with open_table(find_table(path, EVENTS)) as lines:
        whole = [line for line in lines if line.endswith("\n")]
    return [
        Event(
            origin.monotonic_s + float(row["t_s"]),
            row["source"],
            row["kind"],
            row["segment"],
            int(row["vhid"]) if row["vhid"] else None,
            row["detail"],
        )
        for row in csv.DictReader(whole)
    ]


def find_table(path: Path, table: Table) -> Path:
    """The file of a table in a run folder, plain or compressed. Raises CarplabError if neither."""
    for name in (table.file_name, table.file_name + ".gz"):
        if (path / name).is_file():
            return path / name
    raise CarplabError(f"{path} has no {table.file_name}: the run ended before it was written")


def flow_table(client: str, server: str) -> Table:
    """The table of a further probe between two hosts; the main one's is PROBE."""
    return Table(f"probe-{client}-{server}.csv", PROBE.columns)


def find_flows(path: Path) -> list[tuple[str, str]]:
    """The client and server of each further probe in a run folder, in the order of their names."""
    names = {file.name.split(".")[0] for file in path.glob("probe-*-*.csv*")}
    flows = [name.split("-")[1:] for name in sorted(names)]
    return [(flow[0], flow[1]) for flow in flows if len(flow) == 2]


def open_table(path: Path) -> TextIO:
    """Open a table's file for reading text, compressed or not."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return open(path, encoding="utf-8", newline="")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CarplabError(f"{path.parent} is no folder of a run: no {path.name} in it") from error
    except OSError as error:
        raise CarplabError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CarplabError(f"{path} is damaged: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), int):
        raise CarplabError(f"{path} is damaged: it does not say its format")
    if fields["format"] > FORMAT:
        raise CarplabError(
            f"{path} has format {fields['format']}, this carplab reads up to {FORMAT}: update it"
        )
    return fields


def _summary(path: Path) -> RunSummary | None:
    name = SERIES_FILE if (path / SERIES_FILE).exists() else RUN_FILE
    try:
        fields = _read_json(path / name)
    except CarplabError as error:
        fields = {"outcome": "failed", "reason": str(error)}
    return RunSummary(
        path=path,
        experiment=fields.get("experiment", path.parent.name),
        run=fields.get("run", path.name),
        outcome=fields.get("outcome", "failed"),
        reason=fields.get("reason"),
        started_wall=fields.get("started_wall", ""),
        repetitions=fields.get("repetitions", 1),
    )

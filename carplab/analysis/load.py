"""Read a run folder. What an interrupted run left half written is read as far as it goes.

A missing or empty file is no error: its table is empty, and `Run.missing` says so in a sentence. A
file that holds something else than it should is one: CarplabError, one sentence.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from carplab import recording
from carplab.errors import CarplabError
from carplab.network import VirtualHost, parse_place, place_text

_EVENT_TEXTS = ("source", "kind", "segment", "detail")
DEFAULT_FLOW = ("client", "server")
_GZIP_WINDOW_BITS = 31  # zlib: the largest window, with gzip's header


Place = tuple[str, int]
"""A segment and a vhid on it."""
Flow = tuple[str, str]
"""The client and the server of a probe."""


@dataclass(frozen=True)
class Event:
    """One line of events.csv; `segment` is empty and `vhid` None where they mean nothing.

    `cable` tells apart the cables of one machine to the segment.
    """

    t_s: float
    source: str
    kind: str
    segment: str
    vhid: int | None
    detail: str
    cable: int = 1

    @property
    def place(self) -> str:
        """The segment and the cable, as events.csv has them."""
        return place_text(self.segment, self.cable)


@dataclass(frozen=True)
class VirtualHostKey:
    """One virtual host on one interface of a machine."""

    host: str
    segment: str
    vhid: int
    cable: int = 1

    @property
    def place(self) -> Place:
        """The segment and the vhid: what the hosts are MASTER or BACKUP of."""
        return self.segment, self.vhid

    def __str__(self) -> str:
        return f"{self.host} {place_text(self.segment, self.cable)} vhid {self.vhid}"


@dataclass(frozen=True, eq=False)
class Run:
    """What one run recorded.

    `about` is run.json. `probe`, `ping`, `iperf` and `stream` have the columns of their files,
    sorted by time, and may be empty. `further_probes` are those beside the main one, by their
    flows. `virtual_hosts` are the settings of each virtual host, as far as run.json holds the
    network.
    """

    folder: Path
    about: Mapping[str, Any]
    events: tuple[Event, ...]
    probe: pd.DataFrame
    ping: pd.DataFrame
    iperf: pd.DataFrame
    stream: pd.DataFrame
    further_probes: Mapping[Flow, pd.DataFrame] = field(default_factory=dict)
    virtual_hosts: Mapping[VirtualHostKey, VirtualHost] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """`finished`, `interrupted`, `failed`; `running` where the runner got no further."""
        return str(self.about.get("outcome", "unknown"))

    @property
    def preferred(self) -> str | None:
        """The host that is MASTER everywhere while nothing is wrong."""
        preferred = mapping(self.about.get("scenario")).get("preferred")
        return str(preferred) if preferred else None

    @property
    def homes(self) -> dict[Place, str]:
        """The host that is MASTER of each place while nothing is wrong: the most frequent one."""
        most_frequent: dict[Place, VirtualHostKey] = {}
        for key, settings in self.virtual_hosts.items():
            best = most_frequent.setdefault(key.place, key)
            if settings.interval_s < self.virtual_hosts[best].interval_s:
                most_frequent[key.place] = key
        return {place: key.host for place, key in most_frequent.items()}

    @property
    def _traffic(self) -> Mapping[str, Any]:
        return mapping(mapping(self.about.get("scenario")).get("traffic"))

    @property
    def flow(self) -> Flow:
        """The main probe's client and server."""
        client, server = DEFAULT_FLOW
        return str(self._traffic.get("client", client)), str(self._traffic.get("server", server))

    @property
    def has_ping(self) -> bool:
        """Tell whether ping was to run; so it was where the run does not say."""
        return self._traffic.get("ping_interval_s", 0) is not None

    @property
    def has_iperf(self) -> bool:
        """Tell whether iperf was to run; so it was where the run does not say."""
        return self._traffic.get("iperf", "") is not None

    @property
    def has_stream(self) -> bool:
        """Tell whether a stream was to run."""
        return bool(self._traffic.get("stream"))

    @property
    def dialect(self) -> str:
        """The CARP dialect of the run; several are joined by `+`, and an unknown one is empty."""
        setting = mapping(self.about.get("settings")).get("dialect")
        if setting:
            return str(setting)
        network = mapping(mapping(self.about.get("scenario")).get("network"))
        names = {
            str(mapping(router).get("dialect", "")) for router in sequence(network.get("routers"))
        }
        return "+".join(sorted(names - {""}))


def mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return `value` if it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def is_run(folder: Path) -> bool:
    """Tell whether the folder holds one run."""
    return (folder / recording.RUN_FILE).is_file()


def is_series(folder: Path) -> bool:
    """Tell whether the folder holds the repetitions of one run."""
    return (folder / recording.SERIES_FILE).is_file()


def repetitions(folder: Path) -> list[Path]:
    """Return the run folders of a series, in the order of their names."""
    return sorted(path.parent for path in folder.glob(f"*/{recording.RUN_FILE}"))


def load_run(folder: Path) -> Run:
    """Read a run folder; CarplabError where it is none, or a file is not what its name says."""
    about = recording.read_run(folder)
    missing: list[str] = []
    no_ping: list[str] = []
    no_iperf: list[str] = []
    no_stream: list[str] = []
    events = _table(folder, recording.EVENTS, missing, _EVENT_TEXTS)
    probe = _table(folder, recording.PROBE, missing)
    ping = _table(folder, recording.PING, no_ping)
    iperf = _table(folder, recording.IPERF, no_iperf)
    stream = _table(folder, recording.STREAM, no_stream)
    further_probes = {
        flow: _in_time(_table(folder, recording.flow_table(*flow), missing), "sent_t_s")
        for flow in recording.find_flows(folder)
    }
    run = Run(
        folder=folder,
        about=about,
        events=_events(events),
        probe=_in_time(probe, "sent_t_s"),
        ping=_in_time(ping, "sent_t_s"),
        iperf=_in_time(iperf.dropna(), "start_t_s"),
        stream=_in_time(stream, "sent_t_s"),
        further_probes=further_probes,
        virtual_hosts=_virtual_hosts(about),
    )
    missing += no_ping if run.has_ping else []
    missing += no_iperf if run.has_iperf else []
    missing += no_stream if run.has_stream else []
    return replace(run, missing=tuple(missing))


def _table(
    folder: Path, table: recording.Table, missing: list[str], texts: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read one table; its last line counts only if it was written to its end."""
    name, columns = table.file_name, table.columns
    path = folder / name
    if not path.exists() and (folder / f"{name}.gz").exists():
        path = folder / f"{name}.gz"
    content = _whole_lines(path)
    if content is None:
        missing.append(f"{name} is missing.")
        return _empty(columns, texts)
    if not content:
        missing.append(f"{name} is empty.")
        return _empty(columns, texts)
    try:
        frame = pd.read_csv(
            io.BytesIO(content),
            dtype=str if texts else None,
            keep_default_na=not texts,
            on_bad_lines="skip",
            encoding_errors="replace",
        )
    except ValueError as error:
        raise CarplabError(f"{path} is no table of comma-separated values: {error}") from None
    for column in columns:
        if column not in frame.columns:
            raise CarplabError(f"{path} has no column {column!r}: expected {', '.join(columns)}")
    if frame.empty:
        missing.append(f"{name} has no lines.")
    frame = frame[list(columns)].copy()
    for column in columns:
        if column not in texts:
            frame[column] = pd.to_numeric(frame[column], errors="coerce").astype(float)
    return frame


def _empty(columns: tuple[str, ...], texts: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {column: pd.Series(dtype=str if column in texts else float) for column in columns}
    )


def _whole_lines(path: Path) -> bytes | None:
    """Return the file up to its last line end, or None where there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CarplabError(f"cannot read {path}: {error.strerror}") from None
    if path.suffix == ".gz":
        content = _unzipped(path, content)
    return content[: content.rfind(b"\n") + 1]


def _unzipped(path: Path, content: bytes) -> bytes:
    """Decompress as much as there is: gzip's own reader gives nothing of a file cut short."""
    decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        return decompressor.decompress(content)
    except zlib.error:
        raise CarplabError(f"{path} is no gzip file, or damaged") from None


def _in_time(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table.dropna(subset=[column]).sort_values(column, kind="stable").reset_index(drop=True)


def _events(table: pd.DataFrame) -> tuple[Event, ...]:
    rows = _in_time(table, "t_s")
    columns = [rows[column].tolist() for column in recording.EVENTS.columns]
    return tuple(
        _event(t_s, source, kind, place, None if vhid != vhid else int(vhid), detail)
        for t_s, source, kind, place, vhid, detail in zip(*columns, strict=True)
    )


def _event(
    t_s: float, source: str, kind: str, place: str, vhid: int | None, detail: str
) -> Event:
    segment, cable = parse_place(place)
    return Event(t_s, source, kind, segment, vhid, detail, cable)


def _virtual_hosts(about: Mapping[str, Any]) -> dict[VirtualHostKey, VirtualHost]:
    """Collect the settings of each virtual host from the recorded network."""
    found: dict[VirtualHostKey, VirtualHost] = {}
    network = mapping(mapping(about.get("scenario")).get("network"))
    for router in map(mapping, sequence(network.get("routers"))):
        for interface in map(mapping, sequence(router.get("interfaces"))):
            for settings in map(mapping, sequence(interface.get("virtual_hosts"))):
                try:
                    vhid, advbase, advskew = (
                        int(settings[name]) for name in ("vhid", "advbase", "advskew")
                    )
                    cable = int(interface.get("cable", 1))
                except (KeyError, TypeError, ValueError):
                    continue
                key = VirtualHostKey(
                    str(router.get("name")), str(interface.get("segment")), vhid, cable
                )
                found[key] = VirtualHost(vhid, (), advbase, advskew)
    return found

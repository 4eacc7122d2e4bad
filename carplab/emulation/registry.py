"""What a run has made on this machine, so that exactly that can be removed: after a SIGKILL too.

Each thing is written down before it is made, together with what tells ours from a namesake of
somebody else's: a bridge carries the run's mark among its external ids, an interface is known by
the MAC address drawn for it, a process by its start time and by the mark in its environment. Hosts
are network namespaces without a name: they vanish with the last process in them.

One run at a time: they would share the switches' names and disturb each other's measurements. The
lock is flock(2), so that it ends with its holder, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from carplab.errors import CarplabError

ROOT = Path("/run/carplab")
MARK_VARIABLE = "CARPLAB_RUN"
KILL_DEADLINE_S = 5.0
COMMAND_DEADLINE_S = 15
KILLED = "the runner was killed"
SHELL_LABEL = "shell of "  #: and a machine's name: the process that holds its namespaces

_ANY_MARK = "external_ids:carplab!=none"  # matches where there is any, ovs-vsctl(8)
_MARK = re.compile(r"\d+-\d+-[0-9a-f]{12}")


@dataclass
class Record:
    """The things of one run. Start times are in clock ticks since boot.

    `mark` is unique to the run: the runner's pid and start time and a random part.
    """

    what: str
    pid: int
    mark: str
    folder: str = ""
    interfaces: dict[str, str] = field(default_factory=dict)
    processes: dict[str, tuple[int, int]] = field(default_factory=dict)
    table_prefixes: list[str] = field(default_factory=list)

    def machines(self) -> dict[str, int]:
        """Return machine -> pid of a process in its namespaces, of those that are there."""
        return {
            label.removeprefix(SHELL_LABEL): pid
            for label, (pid, ticks) in self.processes.items()
            if label.startswith(SHELL_LABEL) and _start_ticks(pid) == ticks
        }


class Registry:
    """The lock of the running experiment and the record of what it has made."""

    def __init__(self, root: Path, lock_fd: int, record: Record) -> None:
        self._root = root
        self._lock_fd = lock_fd
        self.record = record
        self.left_over: list[str] = []

    @classmethod
    def acquire(cls, what: str, root: Path = ROOT) -> Registry:
        """Take the lock for the run called `what`; first remove what a killed run has left.

        `left_over` then says what that was. CarplabError when another run holds the lock (it names
        the pid) or when `root` is not writable.
        """
        lock_fd = _lock(root)
        left_over = _remove_left_over(root)
        pid = os.getpid()
        mark = f"{pid}-{_start_ticks(pid)}-{uuid.uuid4().hex[:12]}"
        registry = cls(root, lock_fd, Record(what, pid, mark))
        registry.left_over = left_over
        registry.run_dir.mkdir(mode=0o700)
        registry._write()
        os.environ[MARK_VARIABLE] = registry.record.mark
        return registry

    @property
    def run_dir(self) -> Path:
        """A directory for the run's sockets and configuration files; removed with it."""
        return run_dir(self.record, self._root)

    def add_interfaces(self, macs: dict[str, str]) -> None:
        """Note interfaces of the root namespace that are about to be made, name -> MAC address."""
        self.record.interfaces.update(macs)
        self._write()

    def add_tables(self, prefix: str) -> None:
        """Note that nftables tables (family netdev) whose names begin so may be made."""
        self.record.table_prefixes.append(prefix)
        self._write()

    def add_process(self, label: str, pid: int) -> None:
        """Note a process that was started; a second one with the same label replaces the first."""
        ticks = _start_ticks(pid)
        if ticks is not None:
            self.record.processes[label] = (pid, ticks)
            self._write()

    def set_folder(self, folder: Path) -> None:
        """Note where the run's files are, so that a killed run can be marked as interrupted."""
        self.record.folder = str(folder.resolve())
        self._write()

    def release(self) -> list[str]:
        """Remove whatever of the run is still there, forget it and give the lock back.

        Returns what was still there: nothing, when the run has tidied up after itself.
        """
        removed = _remove(self._root, self.record)
        (self._root / "record.json").unlink(missing_ok=True)
        os.environ.pop(MARK_VARIABLE, None)
        os.close(self._lock_fd)
        return removed

    def _write(self) -> None:
        _write_record(self._root, self.record)


def run_dir(record: Record, root: Path = ROOT) -> Path:
    """Return the directory for the sockets and configuration files of the run with this record."""
    return root / record.mark


def find_running(root: Path = ROOT) -> Record | None:
    """Return the record of the run that is going on; None when there is none."""
    record = read_record(root)
    return record if record and _runner_lives(record.mark) else None


def clean(root: Path = ROOT) -> list[str]:
    """Remove what a killed run has left; return what that was, one phrase each.

    CarplabError when a run is going on: what is there is in use.
    """
    lock_fd = _lock(root)
    try:
        return _remove_left_over(root)
    finally:
        os.close(lock_fd)


def _lock(root: Path) -> int:
    try:
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock_fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CarplabError(f"cannot write {root / 'lock'}: {error.strerror}") from None
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        holder = read_record(root)
        name = f"{holder.what}, pid {holder.pid}" if holder else "it is just starting"
        raise CarplabError(
            f"another carplab run is going on ({name}): wait until it has ended, or end it with "
            "Ctrl-C"
        ) from None
    return lock_fd


def _remove_left_over(root: Path) -> list[str]:
    record = read_record(root)
    if record is None:
        # /run is empty after a boot, while Open vSwitch brings its bridges back.
        return _remove_bridges("")
    removed = _remove(root, record)
    if record.folder and _mark_interrupted(Path(record.folder)):
        removed.append(f"run {record.folder} marked as interrupted")
    (root / "record.json").unlink(missing_ok=True)
    return removed


def _mark_interrupted(folder: Path) -> bool:
    from carplab.emulation.recover import recover_traffic
    from carplab.recording import RunFolder, read_run

    _mark_series_interrupted(folder.parent)
    try:
        if read_run(folder).get("outcome") != "running":
            return False
        run = RunFolder.open(folder)
        with contextlib.suppress(CarplabError):
            recover_traffic(run)
        run.finish("interrupted", reason=KILLED)
    except (CarplabError, OSError):
        return False
    return True


def _mark_series_interrupted(folder: Path) -> None:
    from carplab.recording import SERIES_FILE, SeriesFolder, read_series

    with contextlib.suppress(CarplabError, OSError):
        if (folder / SERIES_FILE).exists():
            series = SeriesFolder(folder, read_series(folder))
            series.write_series(outcome="interrupted", reason=KILLED)


# --- removing ---


def _remove(root: Path, record: Record) -> list[str]:
    removed = _kill_processes(record)
    removed += _remove_bridges(record.mark)
    for name, mac in record.interfaces.items():
        if _interface_mac(name) == mac:
            _run("ip", "link", "delete", name)
            removed.append(f"interface {name}")
    for table in _tables(record.table_prefixes):
        _run("nft", "delete", "table", "netdev", table)
        removed.append(f"nftables table {table}")
    shutil.rmtree(root / record.mark, ignore_errors=True)
    return removed


def _remove_bridges(mark: str) -> list[str]:
    """Remove the bridges of this run and of those whose runner is gone."""
    removed = []
    for bridge, found in _marked_bridges().items():
        if found == mark or not _runner_lives(found):
            _run("ovs-vsctl", "--if-exists", "del-br", bridge)
            removed.append(f"switch {bridge}")
    return removed


def _runner_lives(mark: str) -> bool:
    pid, ticks, _ = mark.split("-")
    return _start_ticks(int(pid)) == int(ticks)


def _kill_processes(record: Record) -> list[str]:
    noted = {pid: (label, ticks) for label, (pid, ticks) in record.processes.items()}
    removed: dict[int, str] = {}
    deadline_s = time.monotonic() + KILL_DEADLINE_S
    # Again until none is left: a process may start another between being seen and being killed.
    while pids := _processes(record.mark, noted):
        for pid in pids:
            name = noted[pid][0] if pid in noted else _command_name(pid)
            if _kill(pid, record.mark, noted):
                removed[pid] = f"process {pid} ({name})"
        if time.monotonic() > deadline_s:
            raise CarplabError(f"cannot end the processes {sorted(pids)} that a run has left")
        time.sleep(0.01)
    return list(removed.values())


def _processes(mark: str, noted: dict[int, tuple[str, int]]) -> set[int]:
    pids = {int(entry) for entry in os.listdir("/proc") if entry.isdigit()} - {os.getpid()}
    return {pid for pid in pids if _is_ours(pid, mark, noted)}


def _is_ours(pid: int, mark: str, noted: dict[int, tuple[str, int]]) -> bool:
    ticks = _start_ticks(pid)
    if ticks is None:
        return False
    return (pid in noted and noted[pid][1] == ticks) or _has_mark(pid, mark)


def _kill(pid: int, mark: str, noted: dict[int, tuple[str, int]]) -> bool:
    """SIGKILL the process if it still is the one that was meant: the descriptor pins it down."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not _is_ours(pid, mark, noted):
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)


def _has_mark(pid: int, mark: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK_VARIABLE}={mark}".encode() in environment.split(b"\0")


def _start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat, proc(5); None when there is no such process, or its zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] == "Z" else int(after_name[19])


def _command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"


def _interface_mac(name: str) -> str | None:
    try:
        return Path(f"/sys/class/net/{name}/address").read_text().strip()
    except OSError:
        return None


def _marked_bridges() -> dict[str, str]:
    """Return name -> mark of the bridges that carry one."""
    names = _output(
        "ovs-vsctl", "--timeout=5", "--bare", "--columns=name", "find", "Bridge", _ANY_MARK
    ).split()
    marks = {name: _output("ovs-vsctl", "br-get-external-id", name, "carplab") for name in names}
    return {name: mark.strip() for name, mark in marks.items() if _MARK.fullmatch(mark.strip())}


def _tables(prefixes: list[str]) -> list[str]:
    if not prefixes:
        return []
    # One line each: "table netdev NAME".
    names = [line.split()[-1] for line in _output("nft", "list", "tables", "netdev").splitlines()]
    return [name for name in names if name.startswith(tuple(prefixes))]


def _run(*command: str) -> None:
    _completed(*command)


def _output(*command: str) -> str:
    return _completed(*command).stdout


def _completed(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


# --- the record on disk ---


def _write_record(root: Path, record: Record) -> None:
    path = root / "record.json"
    try:
        path.with_suffix(".new").write_text(json.dumps(asdict(record), indent=1))
        path.with_suffix(".new").replace(path)
    except OSError as error:
        raise CarplabError(f"cannot write {path}: {error.strerror}") from None


def read_record(root: Path = ROOT) -> Record | None:
    """Return the record of the run that is going on, or that was killed; None when there is none.

    CarplabError when it is damaged.
    """
    try:
        values: dict[str, Any] = json.loads((root / "record.json").read_text())
        processes = {label: (pid, ticks) for label, (pid, ticks) in values["processes"].items()}
        return Record(**{**values, "processes": processes})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise CarplabError(f"{root / 'record.json'} is damaged ({error}): remove it") from None

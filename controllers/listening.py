"""Free TCP ports, and who holds one that is taken."""

from __future__ import annotations

import os
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LISTEN_STATE = "0A"


class PortTakenError(Exception):
    """A port that was asked for cannot be had; the text is a sentence naming it and its holder."""


def open_listener(port: int) -> socket.socket:
    """A socket that listens on the loopback; port 0 takes a free one. Raises PortTakenError."""
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as problem:
        raise PortTakenError(_complaint(port, problem)) from None


def choose_port(port: int) -> int:
    """`port` if it is free, for 0 a free one. Raises PortTakenError."""
    with open_listener(port) as probe:
        return int(probe.getsockname()[1])


def holders(port: int) -> list[tuple[int, str]]:
    """Process id and name of those who listen on a TCP port, as far as they may be seen (/proc)."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return []
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [(pid, _process_name(pid)) for pid in pids if inodes & _open_files(pid)]


def _complaint(port: int, problem: OSError) -> str:
    found = ", ".join(f"{name} (pid {pid})" for pid, name in holders(port))
    if found:
        return f"Port {port} is taken: {found} listens on it."
    return f"Port {port} cannot be listened on: {problem.strerror}."


def _listening_inodes(port: int) -> list[str]:
    inodes = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _read_lines(table)[1:]:
            fields = line.split()
            if fields[3] == _LISTEN_STATE and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.append(fields[9])
    return inodes


def _read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _open_files(pid: int) -> set[str]:
    files = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            files.add(os.readlink(entry.path))
    except OSError:
        pass
    return files


def _process_name(pid: int) -> str:
    return "".join(_read_lines(f"/proc/{pid}/comm")) or "a process that has ended"

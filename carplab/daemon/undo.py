"""What carpd changes on its machine, on disk before it is changed.

An orderly end takes everything back and removes the file. After a SIGKILL the file is still there,
and the next carpd of the same name takes back what its predecessor left before it starts. The file
says in which boot and network namespace it was: what was left elsewhere is gone with it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from carplab.daemon import sysctl
from carplab.daemon.netlink import RouteSocket

FORMAT = 1
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, since Linux 5.14; never reused until reboot


@dataclass(frozen=True, slots=True)
class Change:
    """One kernel setting: what it was, and what carpd set it to."""

    before: str
    ours: str


@dataclass(slots=True)
class Changes:
    """Everything carpd changed in one network namespace: `place` names it and the boot."""

    place: str
    sysctls: dict[str, Change] = field(default_factory=dict)
    macvlans: list[str] = field(default_factory=list)


class Journal:
    """The changes of a running carpd, and their file. Note a change here, then make it."""

    def __init__(self, path: Path, place: str) -> None:
        self._path = path
        self._changes = Changes(place)

    def set_sysctls(self, wanted: dict[str, str]) -> None:
        """Set kernel settings; what has its value already is left alone, also at the end."""
        changed: dict[str, str] = {}
        for name, value in wanted.items():
            before = sysctl.read(name)
            if before != value:
                self._changes.sysctls[name] = Change(before, value)
                changed[name] = value
        save(self._path, self._changes)
        for name, value in changed.items():
            sysctl.write(name, value)

    def note_macvlans(self, names: Iterable[str]) -> None:
        """Macvlans of these names are about to be created."""
        self._changes.macvlans += [name for name in names if name not in self._changes.macvlans]
        save(self._path, self._changes)

    def take_back(self, netlink: RouteSocket) -> None:
        """Undo everything and remove the file."""
        take_back(self._changes, netlink)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def clean_up_remains(
    path: Path, place: str, netlink: RouteSocket, log: Callable[[str], None]
) -> None:
    """Take back what a killed carpd left, if its file is there and its namespace is this one."""
    try:
        remains = load(path)
    except FileNotFoundError:
        return
    except ValueError as error:
        log(f"{path} is damaged ({error}): what a killed carpd left cannot be taken back")
        return
    if remains.place == place:
        take_back(remains, netlink)
        log(
            f"took back what a killed carpd left (macvlans: {len(remains.macvlans)}, "
            f"kernel settings: {len(remains.sysctls)})"
        )
    path.unlink()


def take_back(changes: Changes, netlink: RouteSocket) -> None:
    """Delete the macvlans and restore the settings, where they are still there and still ours."""
    for link in netlink.links():
        if link.name in changes.macvlans and link.kind == "macvlan":
            # gone in between: then so is what was to be done
            with contextlib.suppress(OSError):
                netlink.delete_link(link.index)
    for name, change in changes.sysctls.items():
        with contextlib.suppress(OSError):
            if sysctl.read(name) == change.ours:
                sysctl.write(name, change.before)


def this_place() -> str:
    """A name for this boot and this network namespace that no other one ever has."""
    boot = sysctl.read("kernel/random/boot_id")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        cookie = any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    return f"{boot}/{struct.unpack('=Q', cookie)[0]}"


def save(path: Path, changes: Changes) -> None:
    """Write the file in one step: a reader, or a SIGKILL, finds the old one or the new one."""
    content = {
        "format": FORMAT,
        "place": changes.place,
        "macvlans": changes.macvlans,
        "sysctls": {
            name: {"before": change.before, "ours": change.ours}
            for name, change in changes.sysctls.items()
        },
    }
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)


def load(path: Path) -> Changes:
    """Read the file. Raises FileNotFoundError, or ValueError when it is not ours or damaged."""
    content = json.loads(path.read_text(encoding="utf-8"))
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}, not {FORMAT}")
        return Changes(
            place=str(content["place"]),
            sysctls={
                str(name): Change(str(change["before"]), str(change["ours"]))
                for name, change in content["sysctls"].items()
            },
            macvlans=[str(name) for name in content["macvlans"]],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"unexpected content: {error!r}") from None

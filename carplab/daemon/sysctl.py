"""Kernel settings under /proc/sys, named by their path below it: "net/ipv4/conf/all/arp_ignore"."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/proc/sys")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="ascii").strip()


def write(name: str, value: str) -> None:
    (ROOT / name).write_text(value, encoding="ascii")

"""Carrier changes, seen through netlink."""

from __future__ import annotations

import queue
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from carplab.emulation.carrier import IFF_LOWER_UP, RTM_NEWLINK, CarrierWatcher, parse_links


def link_message(name: bytes, flags: int, kind: int = RTM_NEWLINK) -> bytes:
    attribute = struct.pack("=HH", 4 + len(name) + 1, 3) + name + b"\0"
    attribute += b"\0" * (-len(attribute) % 4)
    address = struct.pack("=HH", 10, 1) + bytes(6) + b"\0\0"
    body = struct.pack("=BxHiII", 0, 1, 7, flags, 0) + address + attribute
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_messages_are_parsed_one_after_the_other() -> None:
    data = link_message(b"fw1-outside", IFF_LOWER_UP | 1) + link_message(b"fw1-in", 1)
    assert parse_links(data) == [("fw1-outside", True), ("fw1-in", False)]


def test_other_messages_and_broken_ones_are_passed_over() -> None:
    assert parse_links(link_message(b"fw1-in", 1, kind=17)) == []
    assert parse_links(b"") == []
    assert parse_links(bytes(40)) == []


@pytest.fixture
def namespace() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a namespace with a veth pair in it, both ends up."""
    make = "ip link add name va type veth peer name vb && ip link set va up && ip link set vb up"
    script = f"{make} && echo up && cat"
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"up\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.root
def test_pulled_cable_is_reported_once_each_way(namespace: subprocess.Popen[bytes]) -> None:
    seen: queue.Queue[tuple[float, str, str, bool]] = queue.Queue()
    watcher = CarrierWatcher(lambda *change: seen.put(change))
    watcher.add("fw1", namespace.pid, ["va"])
    watcher.start()
    try:
        for state, up in (("down", False), ("up", True)):
            asked_s = time.monotonic()
            subprocess.run(
                [
                    "nsenter",
                    f"--net=/proc/{namespace.pid}/ns/net",
                    "ip",
                    "link",
                    "set",
                    "vb",
                    state,
                ],
                check=True,
            )
            at_s, machine, interface, is_up = seen.get(timeout=5)
            assert (machine, interface, is_up) == ("fw1", "va", up)
            assert asked_s < at_s < time.monotonic()
            assert watcher.wait_for("fw1", "va", up, asked_s) == at_s
        assert seen.empty()
        assert watcher.wait_for("fw1", "va", False, asked_s) is None
    finally:
        watcher.stop()

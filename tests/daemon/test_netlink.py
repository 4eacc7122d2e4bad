from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carplab.daemon import netlink
from carplab.daemon.netlink import (
    AddressesChanged,
    Link,
    LinkRemoved,
    RouteSocket,
    RouteWatch,
    attribute,
    encode_address,
    encode_macvlan,
    encode_message,
    parse_address,
    parse_attributes,
    parse_link,
    parse_messages,
)
from tests.daemon.lab import Lab, in_namespace, wait_for


def test_a_message_has_the_kernels_header() -> None:
    assert encode_message(16, 5, 7, b"abcd") == struct.pack("=IHHII", 20, 16, 5, 7, 0) + b"abcd"


def test_attributes_are_padded_but_their_length_is_not() -> None:
    assert attribute(3, b"lo\0") == b"\x07\x00\x03\x00lo\0\0"


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_come_back(attributes: dict[int, bytes]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in attributes.items())
    assert parse_attributes(data) == attributes


@given(st.binary(max_size=200))
def test_damaged_messages_end_the_reading(data: bytes) -> None:
    for _, _, body in parse_messages(data):
        parse_attributes(body)


def test_messages_of_one_datagram() -> None:
    data = encode_message(16, 0, 1, b"abc") + b"\0" + encode_message(3, 0, 2, b"")
    assert list(parse_messages(data)) == [(16, 1, b"abc"), (3, 2, b"")]


def test_a_macvlan_is_private_and_has_the_virtual_mac() -> None:
    attributes = parse_attributes(encode_macvlan("carp1-7", 7, "00:00:5e:00:01:01")[16:])
    info = parse_attributes(attributes[18])
    assert attributes[3] == b"carp1-7\0"
    assert attributes[5] == struct.pack("=i", 7)
    assert attributes[1] == bytes.fromhex("00005e000101")
    assert info[1] == b"macvlan"
    assert parse_attributes(info[2]) == {1: struct.pack("=I", 1)}


@pytest.mark.parametrize(
    ("address", "family", "prefix_length", "flags"),
    [("10.0.1.1", socket.AF_INET, 32, 0), ("fd00:1::1", socket.AF_INET6, 128, 2)],
)
def test_a_virtual_address_is_a_host_address(
    address: str, family: int, prefix_length: int, flags: int
) -> None:
    body = encode_address(5, ip_address(address))
    assert body[:4] == bytes((family, prefix_length, flags, 0))
    found = parse_address(body)
    assert (found.index, found.interface) == (5, ip_interface(f"{address}/{prefix_length}"))


def test_a_link_as_the_kernel_tells_it() -> None:
    kind = attribute(1, b"macvlan\0")
    body = (
        struct.pack("=BxHiII", 0, 1, 4, 0x11043, 0)
        + attribute(3, b"carp1-2\0")
        + attribute(1, bytes.fromhex("00005e000101"))
        + attribute(5, struct.pack("=i", 2))
        + attribute(18 | 0x8000, kind)
    )
    assert parse_link(body) == Link(4, "carp1-2", 0x11043, "00:00:5e:00:01:01", "macvlan", 2)


@pytest.mark.parametrize(
    ("flags", "up"),
    [(0x11043, True), (0x1003, False), (0x11042, False), (0x1043, False), (0x11003, False)],
)
def test_up_needs_the_administrator_and_the_carrier(flags: int, up: bool) -> None:
    assert Link(1, "eth0", flags, "", "", 0).is_up is up


def test_a_refusal_keeps_its_errno() -> None:
    netlink.raise_refusal(struct.pack("=i", 0))
    with pytest.raises(FileExistsError):
        netlink.raise_refusal(struct.pack("=i", -errno.EEXIST))


@pytest.mark.root
def test_links_and_addresses_of_a_real_host(lab: Lab) -> None:
    host = lab.firewall(1)
    kernel = in_namespace(host.namespace, RouteSocket)
    watch = in_namespace(host.namespace, RouteWatch)
    try:
        link = kernel.link(host.interface)
        assert link is not None
        assert kernel.link("none") is None
        assert str(kernel.addresses(link.index)[0].interface) == "10.0.1.11/24"
        index = kernel.create_macvlan("carp9-1", link.index, "00:00:5e:00:01:09")
        macvlan = kernel.link("carp9-1")
        assert macvlan is not None
        assert (macvlan.index, macvlan.mac, macvlan.kind, macvlan.parent, macvlan.is_up) == (
            index,
            "00:00:5e:00:01:09",
            "macvlan",
            link.index,
            False,
        )
        with pytest.raises(FileExistsError):
            kernel.create_macvlan("carp9-1", link.index, "00:00:5e:00:01:09")
        kernel.set_up(index, True)
        kernel.add_address(index, ip_address("10.0.1.1"))
        assert str(kernel.addresses(index)[0].interface) == "10.0.1.1/32"
        kernel.delete_address(index, ip_address("10.0.1.1"))
        assert not [entry for entry in kernel.addresses(index) if entry.interface.version == 4]
        kernel.delete_link(index)
        with pytest.raises(OSError, match="No such device"):
            kernel.delete_link(index)
        news = list(watch.read())
        assert LinkRemoved(index) in news
        assert AddressesChanged(index) in news
        assert any(isinstance(item, Link) and item.index == index and item.is_up for item in news)
    finally:
        kernel.close()
        watch.close()


@pytest.mark.root
def test_a_lost_carrier_is_news(lab: Lab) -> None:
    host = lab.firewall(1)
    watch = in_namespace(host.namespace, RouteWatch)

    def heard(up: bool) -> bool:
        links = [news for news in watch.read() if isinstance(news, Link)]
        return any(link.name == host.interface and link.is_up is up for link in links)

    try:
        host.pull_cable()
        wait_for("carrier lost", lambda: heard(False))
        host.plug_cable()
        wait_for("carrier back", lambda: heard(True))
    finally:
        watch.close()

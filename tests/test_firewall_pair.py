"""The designs: how CARP is laid over the firewalls, as plain data."""

from __future__ import annotations

import json
from ipaddress import IPv6Network, ip_address

import pytest

from carplab.errors import UsageError
from carplab.network import VirtualHost, as_plain, preferred_interfaces
from carplab.settings import apply_settings
from topo.firewall_pair import DESIGNS, FAMILIES, MOST_FIREWALLS, firewall_pair


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_in_every_family_and_size_has_masters(design: str, family: str) -> None:
    for firewalls in (2, 3, MOST_FIREWALLS[design]):
        network = firewall_pair(firewalls, design=design, family=family)
        count = firewalls if design == "balanced" else 1
        assert len(preferred_interfaces(network)) == 2 * count
        for router in network.routers:
            for interface in router.interfaces:
                skews = [each.advskew for each in interface.virtual_hosts]
                assert all(0 <= skew <= 254 for skew in skews)


@pytest.mark.parametrize("design", [design for design in DESIGNS if design != "single"])
def test_firewalls_are_limited_in_each_design(design: str) -> None:
    most = MOST_FIREWALLS[design]
    with pytest.raises(UsageError, match=f"2 to {most}, with the design {design}"):
        firewall_pair(most + 1, design=design)


def test_unknown_design_or_family_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="unknown design 'pair': known are single, balanced, gr"):
        firewall_pair(design="pair")
    with pytest.raises(UsageError, match="unknown family 'ipx': known are ipv4, ipv6, both"):
        firewall_pair(family="ipx")


@pytest.mark.parametrize(
    ("design", "sentence"),
    [
        ("balanced", "fw1: arp_balance does not go with dialect freebsd: it was removed there"),
        ("grouped-demotion", "fw1 on outside: vhid .* is in outside1, but dialect freebsd"),
    ],
)
def test_design_that_a_dialect_cannot_do(design: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        apply_settings(firewall_pair(design=design), ["dialect=freebsd"])


def test_balanced_firewalls_share_one_address() -> None:
    network = firewall_pair(3, design="balanced")
    assert all(router.arp_balance for router in network.routers)
    outside = network.router("fw2").interface("outside")
    assert [(each.vhid, each.advskew) for each in outside.virtual_hosts] == [
        (1, 100),
        (3, 0),
        (5, 200),
    ]
    addresses = {each.addresses for each in outside.virtual_hosts}
    assert addresses == {(ip_address("10.0.1.1"),)}
    names = [host.name for host in network.hosts]
    assert names == ["client", "client2", "client3", "client4", "server", "server2"]
    with pytest.raises(UsageError, match=r"is in vhids 1 and 3 .* only with arp_balance"):
        apply_settings(firewall_pair(design="balanced"), ["arp_balance=no"])


def test_balanced_ipv6_gives_each_virtual_host_its_own_addresses() -> None:
    network = firewall_pair(design="balanced", family="ipv6")
    assert not any(router.arp_balance for router in network.routers)
    inside = network.router("fw1").interface("inside")
    assert [each.addresses for each in inside.virtual_hosts] == [
        (ip_address("fd00:2::1"), ip_address("fe80::2:1")),
        (ip_address("fd00:2::2"), ip_address("fe80::2:2")),
    ]
    ways = [str(host.routes[0].via) for host in network.hosts if host.segment == "inside"]
    assert ways == ["fe80::2:1", "fe80::2:2", "fe80::2:1", "fe80::2:2"]


def test_both_families_have_both_addresses_and_routes() -> None:
    network = firewall_pair(family="both")
    server = network.host("server")
    assert [str(address) for address in server.addresses] == ["10.0.1.100/24", "fd00:1::100/64"]
    ways = [(str(route.destination), str(route.via)) for route in server.routes]
    assert ways == [("10.0.2.0/24", "10.0.1.1"), ("fd00:2::/64", "fe80::1:1")]
    assert IPv6Network("fd00:2::/64") in network.segment("inside").prefixes
    virtual_host = network.router("fw1").interface("outside").virtual_hosts[0]
    assert virtual_host == VirtualHost(
        1,
        tuple(map(ip_address, ("10.0.1.1", "fd00:1::1", "fe80::1:1"))),
        advskew=0,
        password="carplab",
    )


@pytest.mark.parametrize(
    ("design", "groups"),
    [
        ("grouped-demotion", [("outside1",), ("outside2",), ("inside1",), ("inside2",)]),
        ("grouped-separate", [("carp",)] * 4),
    ],
)
def test_both_cables_carry_the_virtual_host(design: str, groups: list[tuple[str, ...]]) -> None:
    network = firewall_pair(design=design)
    interfaces = [each for router in network.routers for each in router.interfaces]
    skews = [each.virtual_hosts[0].advskew for each in interfaces]
    assert skews == [0, 50, 0, 50, 100, 150, 100, 150]
    assert [each.virtual_hosts[0].groups for each in interfaces] == groups * 2
    assert {each.virtual_hosts[0].vhid for each in interfaces} == {1, 2}
    second = network.router("fw2").interface("outside", 2)
    assert str(second.addresses[0]) == "10.0.1.32/24"


def test_failover_set_carries_one_virtual_host() -> None:
    router = firewall_pair(design="grouped-failover").router("fw2")
    carriers = [(each.cable, len(each.virtual_hosts)) for each in router.interfaces]
    assert carriers == [(1, 1), (2, 0)] * 2
    assert [each.virtual_hosts[0].advskew for each in router.interfaces[::2]] == [100, 100]
    names = [router.carp_interface(each) for each in router.interfaces]
    assert names == ["fw2-outside-set"] * 2 + ["fw2-inside-set"] * 2


@pytest.mark.parametrize("design", DESIGNS)
def test_site_renumbers_every_address_and_nothing_else(design: str) -> None:
    here, there = (
        json.dumps(as_plain(firewall_pair(design=design, family="both", site=site)))
        for site in (0, 171)
    )
    assert here.replace("10.0.", "10.171.").replace("fd00:", "fdab:") == there
    with pytest.raises(UsageError, match="a site of 256 is out of range: 0 to 255"):
        firewall_pair(site=256)

"""The description of a network: its names, its addresses, who is preferred where."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface

import pytest

from carplab.errors import UsageError
from carplab.network import (
    Network,
    VirtualHost,
    as_plain,
    interface_name,
    network_from_plain,
    parse_place,
    place_text,
    port_name,
    preferred_interfaces,
    preferred_masters,
    preferred_router,
)
from carplab.settings import apply_settings
from topo.firewall_pair import DESIGNS, firewall_pair


def virtual_host(network: Network, router: str, segment: str) -> VirtualHost:
    return network.router(router).interface(segment).virtual_hosts[0]


def test_pair_has_the_documented_addresses_and_skews() -> None:
    network = firewall_pair()
    assert [router.name for router in network.routers] == ["fw1", "fw2"]
    assert virtual_host(network, "fw2", "inside") == VirtualHost(
        2, (ip_address("10.0.2.1"),), 1, 100, "carplab"
    )
    assert network.router("fw2").interface("outside").addresses == (ip_interface("10.0.1.12/24"),)


def test_skews_of_many_firewalls_stay_in_range_and_differ() -> None:
    skews = [virtual_host(firewall_pair(20), f"fw{n}", "inside").advskew for n in range(1, 21)]
    assert skews == sorted(set(skews))
    assert skews[0] == 0 and skews[-1] <= 254


@pytest.mark.parametrize("firewalls", [1, 81])
def test_number_of_firewalls_is_limited(firewalls: int) -> None:
    with pytest.raises(UsageError, match="2 to 80"):
        firewall_pair(firewalls)


def test_intervals_and_master_down_times() -> None:
    network = firewall_pair()
    assert network.interval_s() == 1 + 100 / 256
    assert network.master_down_s() == 3 + 100 / 256
    assert VirtualHost(1, (), advbase=0, advskew=0).interval_s == 1 / 256
    assert VirtualHost(1, (), advbase=0, advskew=0).master_down_s == 3 / 256
    assert VirtualHost(1, (), advbase=0, advskew=64).master_down_s == 0.75


def test_names_of_a_second_cable() -> None:
    network = firewall_pair(design="grouped-failover")
    assert ("fw2", "inside", 2) in set(network.attachments())
    assert interface_name("fw1", "outside", 2) == "fw1-outside-2"
    assert port_name("outside", "fw1", 2) == "outside-fw1-2"
    assert [place_text("outside", cable) for cable in (1, 2)] == ["outside", "outside/2"]


def test_mac_addresses_are_those_of_the_first_address() -> None:
    network = firewall_pair(design="grouped-separate", family="both")
    assert network.host("client").mac == "02:00:0a:00:02:64"
    macs = network.macs()
    assert macs["fw2", "outside", 2] == "02:00:0a:00:01:20"
    assert len(set(macs.values())) == len(macs) == 10
    only_ipv6 = firewall_pair(9, design="balanced", family="ipv6").macs()
    assert len(set(only_ipv6.values())) == len(only_ipv6)
    assert all(mac.startswith("02:00:") for mac in only_ipv6.values())


def test_preferred_router_is_the_one_with_the_shortest_interval() -> None:
    assert preferred_router(firewall_pair(3)) == "fw1"
    assert preferred_router(apply_settings(firewall_pair(), ["fw1.advskew=150"])) == "fw2"


def test_no_preferred_router_when_segments_disagree_or_tie() -> None:
    with pytest.raises(UsageError, match=r"no firewall is preferred everywhere.*fw2 on outside"):
        preferred_router(apply_settings(firewall_pair(), ["fw1.outside.advskew=150"]))
    sentence = "fw1 on outside and fw2 on outside advertise vhid 1 .* --set fw2.advskew=100"
    with pytest.raises(UsageError, match=sentence):
        preferred_router(apply_settings(firewall_pair(), ["advskew=0"]))


def test_preferred_masters_of_each_design() -> None:
    balanced = firewall_pair(3, design="balanced")
    assert preferred_masters(balanced) == {
        ("outside", 1): "fw1",
        ("outside", 3): "fw2",
        ("outside", 5): "fw3",
        ("inside", 2): "fw1",
        ("inside", 4): "fw2",
        ("inside", 6): "fw3",
    }
    assert preferred_router(balanced) == "fw1"
    grouped = apply_settings(firewall_pair(design="grouped-separate"), ["fw1.outside.advskew=60"])
    sentence = "fw1 on outside and fw1 on outside/2 .* --set fw1.outside/2.advskew=100"
    with pytest.raises(UsageError, match=sentence):
        preferred_interfaces(grouped)
    grouped = apply_settings(grouped, ["fw1.outside/2.advskew=50"])
    assert preferred_interfaces(grouped) == {("outside", 1): ("fw1", 2), ("inside", 2): ("fw1", 1)}


def test_unknown_names_list_what_there_is() -> None:
    network = firewall_pair()
    with pytest.raises(UsageError, match="no firewall called 'fw9': there are fw1, fw2"):
        network.router("fw9")
    with pytest.raises(UsageError, match="no segment called 'dmz': there are outside, inside"):
        network.segment("dmz")


def test_plain_form_is_json() -> None:
    plain = json.loads(json.dumps(as_plain(firewall_pair(sync=True))))
    assert plain["routers"][0]["interfaces"][0]["virtual_hosts"][0]["addresses"] == ["10.0.1.1"]
    assert plain["links"][0]["ends"][1] == ["fw2", "10.0.3.12/24"]


@pytest.mark.parametrize("design", DESIGNS)
def test_plain_form_leads_back_to_the_network(design: str) -> None:
    settings = ["demote_until_settled=heard", "segment.inside=loop", "fw2.outside.advskew=7"]
    for network in (
        firewall_pair(design=design, family="both"),
        firewall_pair(3, design=design, family="ipv6"),
        apply_settings(firewall_pair(design=design, sync=True), settings),
    ):
        assert network_from_plain(json.loads(json.dumps(as_plain(network)))) == network


def test_place_text_and_back() -> None:
    for place in (("outside", 1), ("outside", 2)):
        assert parse_place(place_text(*place)) == place

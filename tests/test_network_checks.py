"""What cannot be built is refused with one sentence."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from carplab.errors import UsageError
from carplab.network import (
    VirtualHost,
)
from carplab.network_checks import check_network
from carplab.settings import apply_settings
from topo.firewall_pair import firewall_pair


def test_sync_link_needs_exactly_two() -> None:
    assert firewall_pair(sync=True).links[0].name == "sync"
    with pytest.raises(UsageError, match="joins two firewalls, not 3"):
        firewall_pair(3, sync=True)


def test_firewalls_that_share_their_connections_do_so_alike() -> None:
    with pytest.raises(UsageError, match=r"nat=committed needs .*, both with it.* fw1 with it"):
        apply_settings(firewall_pair(), ["fw1.nat=committed", "fw2.nat=synced"])


def test_a_cable_has_its_number_once() -> None:
    network = firewall_pair(design="grouped-separate")
    router = network.routers[0]
    second = replace(router.interfaces[1], cable=1)
    router = replace(router, interfaces=(router.interfaces[0], second, *router.interfaces[2:]))
    with pytest.raises(UsageError, match="fw1 is plugged into outside twice with cable 1"):
        check_network(replace(network, routers=(router, network.routers[1])))


def test_failover_set_takes_all_cables_and_one_place_for_virtual_hosts() -> None:
    network = firewall_pair(design="grouped-failover")
    router = network.routers[0]
    outside = replace(router.failover_sets[0], cables=(1,))
    short = replace(router, failover_sets=(outside, router.failover_sets[1]))
    with pytest.raises(UsageError, match="'fw1-outside-set' of fw1 has the cables 1: it takes"):
        check_network(replace(network, routers=(short, network.routers[1])))
    first, second, *inside = router.interfaces
    twice = replace(second, virtual_hosts=first.virtual_hosts)
    twice_there = replace(router, interfaces=(first, twice, *inside))
    with pytest.raises(UsageError, match="virtual hosts on several cables"):
        check_network(replace(network, routers=(twice_there, network.routers[1])))


def test_link_local_virtual_addresses_belong_to_every_segment() -> None:
    setting = "outside.virtual_address=10.0.1.1,fe80::1"
    assert apply_settings(firewall_pair(), [setting])


def test_two_virtual_hosts_with_one_vhid_on_an_interface() -> None:
    network = firewall_pair()
    router = network.routers[0]
    twin = VirtualHost(1, (ip_address("10.0.1.2"),))
    outside = replace(
        router.interfaces[0], virtual_hosts=(*router.interfaces[0].virtual_hosts, twin)
    )
    router = replace(router, interfaces=(outside, router.interfaces[1]))
    with pytest.raises(UsageError, match="fw1 on outside has two virtual hosts with vhid 1"):
        check_network(replace(network, routers=(router, network.routers[1])))


def test_long_interface_name_is_refused() -> None:
    network = firewall_pair()
    client = replace(network.hosts[0], name="workstation")
    with pytest.raises(UsageError, match="'workstation-inside' has more than 15 characters"):
        check_network(replace(network, hosts=(client, network.hosts[1])))

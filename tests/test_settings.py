"""Settings reach what they name, and bad ones are one clear sentence."""

from __future__ import annotations

import pytest

from carplab.carp.extensions import Extensions, Settled
from carplab.errors import UsageError
from carplab.network import (
    Network,
    VirtualHost,
    as_plain,
)
from carplab.settings import apply_settings
from topo.firewall_pair import firewall_pair


def virtual_host(network: Network, router: str, segment: str) -> VirtualHost:
    return network.router(router).interface(segment).virtual_hosts[0]


def test_settings_reach_exactly_what_they_name() -> None:
    network = apply_settings(
        firewall_pair(),
        [
            "advbase=2",
            "fw2.advskew=50",
            "outside.advskew=10",
            "fw2.outside.password=x=y",
            "fw1.preempt=no",
        ],
    )
    assert all(each.advbase == 2 for _, _, each in network.virtual_hosts())
    assert virtual_host(network, "fw2", "inside").advskew == 50
    assert virtual_host(network, "fw2", "outside").advskew == 10
    assert virtual_host(network, "fw1", "inside").advskew == 0
    assert virtual_host(network, "fw2", "outside").password == "x=y"
    assert virtual_host(network, "fw2", "inside").password == "carplab"
    assert [router.preempt for router in network.routers] == [False, True]


def test_dialect_of_one_firewall() -> None:
    network = apply_settings(firewall_pair(), ["dialect=freebsd", "fw2.dialect=openbsd-3.8"])
    assert [router.dialect for router in network.routers] == ["freebsd", "openbsd-3.8"]


def test_kind_of_a_segment() -> None:
    network = apply_settings(
        firewall_pair(), ["segment.outside.forward_delay=2", "segment.outside=stp"]
    )
    outside, inside = network.segments
    assert (outside.kind, outside.forward_delay_s) == ("stp", 2)
    assert (inside.kind, inside.forward_delay_s) == ("openflow", 15)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("segment.outside=hub", "unknown kind 'hub' of the segment outside: known are openflow"),
        ("segment.dmz=stp", "no segment called 'dmz': there are outside, inside"),
        ("segment.outside.forward_delay=2", "of the kind openflow, which has no forward delay"),
        ("segment.outside.forward_delay=x", "'x' in .* is no value for forward_delay"),
        ("segment.outside.forward_delay=1", "a forward delay of 1 s on outside.*2 to 30"),
        ("segment.outside.hello=1", "unknown setting 'hello' of a segment"),
        ("advbase", "form KEY=VALUE"),
        ("advskw=3", "unknown setting 'advskw'.*known are advbase, advskew, vhid"),
        (
            "fw3.advskew=3",
            "'fw3' in 'fw3.advskew=3' is no firewall.*fw1, fw2 on the segments outside, inside",
        ),
        ("fw1.middle.advskew=3", "'middle' in .* is no firewall or interface"),
        ("outside.fw1.advskew=3", "'fw1' in .* is no firewall or interface"),
        ("fw1.fw2.advskew=3", "'fw2' in .* is no firewall or interface"),
        ("fw1.advskew=many", "'many' in .* is no value for advskew: a whole number"),
        ("fw1.advskew=255", "fw1 on outside: advskew 255 is not in 0 to 254"),
        ("fw1.advskew=-1", "fw1 on outside: advskew -1 is not in 0 to 254"),
        ("vhid=0", "fw1 on outside: vhid 0 is not in 1 to 255"),
        ("vhid=256", "fw1 on outside: vhid 256 is not in 1 to 255"),
        ("advbase=256", "fw1 on outside: advbase 256 is not in 0 to 254"),
        ("advbase=255", "advbase 255"),
        (
            "fw1.inside.password=" + "x" * 21,
            "fw1 on inside: the password has 21 bytes, CARP takes at most 20",
        ),
        ("fw1.inside.password=" + "ä" * 11, "has 22 bytes"),
        ("preempt=maybe", "'maybe' in .* yes or no"),
        ("outside.preempt=no", "belongs to a whole firewall: leave 'outside' out"),
        ("address=10.0.1.1/24", "belongs to one interface"),
        ("dialect=netbsd", "unknown dialect 'netbsd': known are openbsd-3.8, openbsd, freebsd"),
        (
            "fw1.outside.address=10.0.9.1/24",
            "10.0.9.1/24 of fw1 is outside the segment outside.*10.0.1.0/24",
        ),
        ("fw1.outside.address=nowhere", "no value for address: an IP address with its prefix"),
        ("fw1.outside.address=10.0.1.12/24", "10.0.1.12 is given to both fw1 and fw2"),
        (
            "outside.virtual_address=10.0.2.1",
            "virtual address 10.0.2.1 of fw1 on outside is outside the segment",
        ),
        ("outside.virtual_address=10.0.1.12", "10.0.1.12 of fw1 is also the address of fw2"),
        ("fw1.outside.virtual_address=10.0.1.2", "on outside use vhid 1 for different addresses"),
        ("nat=maybe", "'maybe' in .* is no value for nat: none, static, synced, committed are"),
        ("fw1.nat=synced", "nat=synced needs exactly two firewalls, both with it.* fw1 with it"),
        ("fw2.nat=committed", "nat=committed needs exactly two firewalls, both .* fw2 with it"),
        ("tcp_loose=2", "no value for tcp_loose: yes or no is expected"),
        ("outside.nat=static", "nat belongs to a whole firewall: leave 'outside' out"),
        ("bulk_hold=long", "no value for bulk_hold: a number of seconds is expected"),
        ("bulk_hold=-1", "no value for bulk_hold"),
        ("link_up_delay=inf", "no value for link_up_delay: a number of seconds"),
        ("demote_until_settled=never", "off, heard or heard_or_master is expected"),
        ("fw1.outside/2.advskew=3", "'outside/2' in .* is no firewall or interface"),
    ],
)
def test_bad_setting_is_one_clear_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as raised:
        apply_settings(firewall_pair(), [setting])
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_advbase_0_is_for_the_dialect_that_has_it() -> None:
    assert apply_settings(firewall_pair(), ["advbase=0"]).interval_s() == 100 / 256
    with pytest.raises(
        UsageError, match="vhid 1@fw1-outside has advbase 0, dialect freebsd"
    ):
        apply_settings(firewall_pair(), ["dialect=freebsd", "advbase=0"])


def test_settings_of_a_whole_firewall() -> None:
    network = apply_settings(
        firewall_pair(),
        [
            "nat=static",
            "fw2.tcp_loose=no",
            "fw1.link_up_delay=2.5",
            "demote_until_settled=heard_or_master",
            "bulk_hold=30",
            "arp_balance=yes",
        ],
    )
    first, second = network.routers
    assert (first.nat, first.tcp_loose, second.tcp_loose) == ("static", True, False)
    assert (first.arp_balance, second.arp_balance) == (True, True)
    assert first.extensions == Extensions(2.5, Settled.HEARD_OR_MASTER, 30)
    assert second.extensions == Extensions(0, Settled.HEARD_OR_MASTER, 30)
    assert network.hold_s() == 32.5
    assert as_plain(first)["extensions"]["demote_until_settled"] == "heard_or_master"


def test_extensions_that_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"demotion_first .* excludes demote_until_settled"):
        apply_settings(firewall_pair(), ["demotion_first=yes", "demote_until_settled=heard"])


@pytest.mark.parametrize("nat", ["synced", "committed"])
def test_shared_nat_brings_its_sync_link_to_exactly_two_firewalls(nat: str) -> None:
    network = apply_settings(firewall_pair(), [f"nat={nat}"])
    assert network.links == firewall_pair(sync=True).links
    assert apply_settings(firewall_pair(sync=True), [f"nat={nat}"]).links == network.links
    with pytest.raises(UsageError, match=rf"nat={nat} needs exactly two .* the network has 3"):
        apply_settings(firewall_pair(3), [f"nat={nat}"])


def test_settings_of_several_cables_and_of_one() -> None:
    network = apply_settings(
        firewall_pair(design="grouped-separate"),
        ["fw2.outside.advskew=200", "fw2.outside/2.advskew=210", "inside/2.password=x"],
    )
    skews = [
        network.router("fw2").interface("outside", cable).virtual_hosts[0].advskew
        for cable in (1, 2)
    ]
    assert skews == [200, 210]
    passwords = [each.virtual_hosts[0].password for each in network.router("fw1").interfaces]
    assert passwords == ["carplab", "carplab", "carplab", "x"]

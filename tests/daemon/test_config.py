from __future__ import annotations

from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from carplab.carp.extensions import Extensions, Settled
from carplab.daemon.config import check_addresses, load, parse
from carplab.errors import UsageError

WHOLE = """
name = "fw1"
dialect = "openbsd"
preempt = true
arp_balance = true
run_dir = "/run/elsewhere"
on_master = ["conntrackd", "-c"]
on_init = ["logger"]
link_up_delay = 30.5
demote_until_settled = "heard_or_master"
bulk_hold = 10

[[failover]]
name = "inside"
interfaces = ["eth1", "eth2"]

[[virtual_host]]
interface = "eth0"
vhid = 1
advbase = 2
advskew = 100
password = "secret"
addresses = ["10.0.1.1", "fd00:1::1"]
peers = ["10.0.1.12"]
groups = ["carp", "outside"]

[[virtual_host]]
interface = "inside"
vhid = 1
addresses = ["10.0.2.1"]
"""

HOST = """
[[virtual_host]]
interface = "eth0"
vhid = 1
addresses = ["10.0.1.1"]
"""


def test_everything_that_can_be_configured() -> None:
    config = parse(WHOLE, "fw1.toml")
    assert (config.name, str(config.run_dir)) == ("fw1", "/run/elsewhere")
    assert config.node.dialect.name == "openbsd"
    assert config.node.preempt
    assert config.node.arp_balance
    assert config.hooks == {"MASTER": ("conntrackd", "-c"), "INIT": ("logger",)}
    assert config.node.extensions == Extensions(30.5, Settled.HEARD_OR_MASTER, 10.0)
    assert config.interfaces == ("eth0", "inside")
    assert [config.ports(name) for name in config.interfaces] == [("eth0",), ("eth1", "eth2")]
    first = config.node.virtual_hosts[0]
    assert (first.vhid, first.advbase, first.advskew, first.password) == (1, 2, 100, "secret")
    assert first.addresses == (ip_address("10.0.1.1"), ip_address("fd00:1::1"))
    assert first.peers == (ip_address("10.0.1.12"),)
    assert first.groups == ("carp", "outside")
    other = WHOLE.replace('demote_until_settled = "heard_or_master"', "demotion_first = true")
    assert parse(other, "fw1.toml").node.extensions.demotion_first


def test_what_is_left_out_has_the_bsds_defaults() -> None:
    config = parse(HOST, "x.toml")
    host = config.node.virtual_hosts[0]
    assert (config.node.dialect.name, config.node.preempt) == ("openbsd", False)
    assert (host.advbase, host.advskew, host.password, host.peers) == (1, 0, "", ())
    assert str(config.run_dir) == "/run/carpd"
    assert (config.node.arp_balance, config.hooks, config.failover) == (False, {}, {})
    assert config.node.extensions == Extensions()
    assert host.groups == ("carp",)


def test_a_set_may_have_the_name_of_its_first_interface() -> None:
    config = parse(HOST + FAILOVER.replace('"set"', '"eth0"'), "fw1.toml")
    assert config.ports("eth0") == ("eth1", "eth2")


FAILOVER = """
[[failover]]
name = "set"
interfaces = ["eth1", "eth2"]
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HOST + "advskew = 255", "virtual_host 1: advskew 255 is not in 0 to 254"),
        (HOST.replace("vhid = 1", "vhid = 0"), "virtual_host 1: vhid 0 is not in 1 to 255"),
        (HOST.replace("vhid = 1", "vhid = 256"), "virtual_host 1: vhid 256 is not in 1 to 255"),
        (HOST + "advbase = 256", "virtual_host 1: advbase 256 is not in 0 to 254"),
        (HOST + f'password = "{"p" * 21}"', "virtual_host 1: the password has 21 bytes"),
        (HOST + f'password = "{"ä" * 11}"', "virtual_host 1: the password has 22 bytes"),
        (HOST + HOST.replace("10.0.1.1", "10.0.1.2"), "vhid 1 is configured twice"),
        (
            HOST + HOST.replace("vhid = 1", "vhid = 2"),
            "10.0.1.1 is in vhids 1 and 2 of eth0",
        ),
        (HOST + "advskw = 1", "virtual_host 1: unknown key 'advskw'"),
        ("prempt = true\n" + HOST, "unknown key 'prempt'"),
        (
            'dialect = "netbsd"\n' + HOST,
            "dialect 'netbsd' is unknown, there are openbsd-3.8, openbsd",
        ),
        (
            'dialect = "freebsd"\n' + HOST + "advbase = 0",
            "advbase 0, dialect freebsd takes 1 to 254",
        ),
        ('preempt = "yes"\n' + HOST, "preempt 'yes' is neither true nor false"),
        ('name = "../fw1"\n' + HOST, "name '../fw1' is not made of letters"),
        ('run_dir = "here"\n' + HOST, "run_dir 'here' is not an absolute path"),
        (HOST + "advskew = true", "virtual_host 1: advskew True is not a whole number"),
        (HOST + 'advskew = "1"', "virtual_host 1: advskew '1' is not a whole number"),
        (HOST.replace('"eth0"', "7"), "virtual_host 1: interface 7 is not a text"),
        (HOST.replace('interface = "eth0"', ""), "virtual_host 1: interface is missing"),
        (HOST.replace("vhid = 1", ""), "virtual_host 1: vhid is missing"),
        (HOST.replace('["10.0.1.1"]', "[]"), "virtual_host 1: vhid 1 has no address"),
        (HOST.replace('["10.0.1.1"]', '"10.0.1.1"'), "addresses '10.0.1.1' is not a list"),
        (HOST.replace("10.0.1.1", "10.0.1.1/24"), "addresses: '10.0.1.1/24' is not an IP address"),
        (
            HOST.replace("10.0.1.1", "fe80::1%eth0"),
            "addresses: 'fe80::1%eth0' is not an IP address",
        ),
        ('on_master = "fly"\n' + HOST, "on_master 'fly' is not a list of texts"),
        ("on_backup = []\n" + HOST, "on_backup [] is not a list of texts"),
        ('on_init = ["a", 1]\n' + HOST, "on_init: 1 is not a text in quotes"),
        ('on_init = ["a\\u0000b"]\n' + HOST, "on_init ['a\\x00b'] has a NUL in it"),
        ("link_up_delay = -1\n" + HOST, "link_up_delay -1 is not a number of seconds from 0 on"),
        ("bulk_hold = inf\n" + HOST, "bulk_hold inf is not a number of seconds from 0 on"),
        ("bulk_hold = true\n" + HOST, "bulk_hold True is not a number of seconds from 0 on"),
        (
            'demote_until_settled = "never"\n' + HOST,
            "demote_until_settled 'never' is not one of heard, heard_or_master",
        ),
        (
            'demotion_first = true\ndemote_until_settled = "heard"\n' + HOST,
            "it excludes demote_until_settled",
        ),
        ('dialect = "freebsd"\narp_balance = true\n' + HOST, "arp_balance does not go with"),
        (HOST + 'groups = "a"', "virtual_host 1: groups 'a' is not a list of texts"),
        ('dialect = "freebsd"\n' + HOST + 'groups = ["a"]', "knows the one group carp"),
        (HOST + FAILOVER, "failover set set carries no virtual host"),
        (
            HOST.replace('"eth0"', '"set"') + FAILOVER + FAILOVER,
            "failover 2: the name 'set' is taken already",
        ),
        (
            HOST.replace('"eth0"', '"set"') + FAILOVER.replace("eth1", "eth2"),
            "interface eth2 is used twice, in set and in set",
        ),
        (
            HOST.replace('"eth0"', '"set"') + HOST.replace("eth0", "eth2") + FAILOVER,
            "interface eth2 is used twice, in set and in eth2",
        ),
        (HOST + FAILOVER + "port = 1", "failover 1: unknown key 'port'"),
        (HOST + FAILOVER.replace('"set"', '""'), "failover 1: name '' is not a text"),
        ("failover = 3\n" + HOST, "failover: not a list of tables"),
        ("failover = [3]\n" + HOST, "failover 1: not a table"),
        ("virtual_host = 3", "virtual_host: at least one"),
        ("virtual_host = [3]", "virtual_host 1: not a table"),
        ("", "virtual_host: at least one"),
        ("[[virtual_host", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text, "fw1.toml")
    assert str(error.value).startswith("fw1.toml: ")
    assert sentence in str(error.value)
    assert error.value.exit_code == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read \(No such file"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(path)


def test_addresses_on_their_segments() -> None:
    config = parse(WHOLE, "fw1.toml")
    present = {
        "eth0": [ip_interface("10.0.1.11/24"), ip_interface("fd00:1::11/64")],
        "eth1": [ip_interface("10.0.2.11/24")],
        "eth2": [ip_interface("10.0.2.31/24")],
    }
    check_addresses(config, present)
    present["eth2"] = []
    with pytest.raises(UsageError, match=r"10\.0\.2\.1 has no segment: eth2 has no IPv4"):
        check_addresses(config, present)


def test_every_segment_has_the_link_local_one() -> None:
    config = parse(HOST.replace("10.0.1.1", "fe80::1:1"), "fw1.toml")
    check_addresses(config, {"eth0": [ip_interface("fd00:1::11/64")]})
    with pytest.raises(UsageError, match="fe80::1:1 is eth0's own"):
        check_addresses(config, {"eth0": [ip_interface("fe80::1:1/64")]})


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (None, "vhid 1: interface eth0 does not exist on this machine"),
        (["10.0.9.11/24"], "address 10.0.1.1 is outside the segment of eth0 (10.0.9.0/24)"),
        (["fd00:1::11/64"], "address 10.0.1.1 has no segment: eth0 has no IPv4 address"),
        (["10.0.1.1/24"], "address 10.0.1.1 is eth0's own"),
    ],
)
def test_addresses_that_do_not_fit(own: list[str] | None, sentence: str) -> None:
    present = {"eth0": own if own is None else [ip_interface(address) for address in own]}
    with pytest.raises(UsageError) as error:
        check_addresses(parse(HOST, "fw1.toml"), present)
    assert sentence in str(error.value)

"""What a session is asked to be: firewalls as their files configure them."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.emulation.carpd_config import at_home, render
from carplab.emulation.conntrackd_config import check_sync_section
from carplab.errors import UsageError
from carplab.session.spec import SessionSpec, with_configuration
from topo.firewall_pair import firewall_pair

TEXT = """\
# the outside only
name = "somebody"
preempt = true

[[virtual_host]]
interface = "fw2-outside"
vhid = 7
advskew = 20
password = "x"
addresses = ["10.0.1.1"]

[[failover]]
name = "set"
"""
GOOD = TEXT.partition("\n[[failover]]")[0]


def test_network_has_the_virtual_hosts_of_the_file() -> None:
    network = with_configuration(firewall_pair(), "fw2", GOOD)
    (virtual_host,) = network.router("fw2").interface("outside").virtual_hosts
    assert (virtual_host.vhid, virtual_host.advskew) == (7, 20)
    assert network.router("fw2").interface("inside").virtual_hosts == ()
    assert network.router("fw2").preempt
    assert network.router("fw1") == firewall_pair().router("fw1")


def test_what_carplab_renders_comes_back_as_it_was() -> None:
    for design in ("single", "balanced", "grouped-demotion", "grouped-failover"):
        network = firewall_pair(design=design)
        text = render(network.router("fw1"), Path("/run/x"))
        assert with_configuration(network, "fw1", text) == network, design


def test_no_configuration_means_no_virtual_hosts() -> None:
    network = with_configuration(firewall_pair(), "fw1", "")
    assert [router.name for router, _, _ in network.virtual_hosts()] == ["fw2", "fw2"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("fw1", "vhid = 1", "fw1.toml: unknown key 'vhid'"),
        ("fw1", GOOD, "no interface 'fw2-outside' on fw1: there are fw1-outside, fw1-inside"),
        ("fw3", GOOD, "no firewall called 'fw3'"),
    ],
)
def test_what_is_wrong_is_said(name: str, text: str, said: str) -> None:
    spec = SessionSpec("t", firewall_pair(), Path("x"), configurations={name: text})
    with pytest.raises(UsageError, match=said):
        spec.configured_network()


def test_a_file_written_by_hand_runs_at_home() -> None:
    text = at_home("fw2", Path("/run/here"), TEXT)
    head, tables = text.split("[[virtual_host]]")
    assert 'name = "fw2"' in head
    assert 'run_dir = "/run/here"' in head
    assert "somebody" not in text
    assert 'name = "set"' in tables  # of a failover set: not the daemon's
    assert at_home("a", Path("/b"), "[[virtual_host]]\n").startswith('name = "a"\nrun_dir = "/b"\n')


SYNC = """\
# what the other firewall is told
Sync {
    Mode FTFW { DisableExternalCache yes }
    UDP {
        Port 3780  # {
    }
}
"""


def test_a_section_sync_by_hand_is_taken() -> None:
    check_sync_section(SYNC, "fw1-sync.conf")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SYNC + "General {\n  LogFile /etc/passwd\n}\n", "fw1-sync.conf: one whole section Sync"),
        (SYNC.rstrip() + " General { }\n", "fw1-sync.conf: a brace too many, or something behind"),
        (SYNC.replace("}\n}", "}"), "one whole section"),
        (SYNC + "}\n", "a brace too many"),
        ("", "one whole section"),
    ],
)
def test_nothing_but_one_section_sync_is_taken(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SessionSpec("x", firewall_pair(), Path(), sync_sections={"fw1": text}).configured_network()

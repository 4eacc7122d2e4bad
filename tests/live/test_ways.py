from __future__ import annotations

import pytest

from carplab.live.ways import Clues, Way, find_way
from carplab.network import as_plain
from tests.live.scenes import PULLED, plain, status, with_state
from tests.live.test_plan import chain
from topo.firewall_pair import BALANCED, GROUPED_FAILOVER, firewall_pair

THERE = ("client/inside/1", "fw1/inside/1", "fw1/outside/1", "server/outside/1")


def test_packets_go_through_the_master() -> None:
    network = plain()
    assert find_way(network, status(), Clues(), "client", "server") == Way(THERE)
    assert find_way(network, status(), Clues(), "server", "client") == Way(THERE[::-1])


def test_each_direction_has_the_master_of_its_own_segment() -> None:
    split = with_state(with_state(status(), "fw1", "inside", "BACKUP"), "fw2", "inside", "MASTER")
    there = find_way(plain(), split, Clues(), "client", "server")
    back = find_way(plain(), split, Clues(), "server", "client")
    assert there.cables[1:3] == ("fw2/inside/1", "fw2/outside/1")
    assert back.cables[1:3] == ("fw1/outside/1", "fw1/inside/1")


def test_without_a_master_packets_end_at_the_switch() -> None:
    nobody = with_state(status(), "fw1", "outside", "INIT")
    way = find_way(plain(), nobody, Clues(), "server", "client")
    assert way == Way(("server/outside/1",), "outside", "nobody is MASTER on outside")


def test_packets_end_at_a_cable_that_is_out() -> None:
    way = find_way(plain(), status(faults=[PULLED]), Clues(), "client", "server")
    assert way.cables == THERE[:3]
    assert way.ends_at == "fw1/outside/1"


def test_a_machine_that_hangs_passes_nothing() -> None:
    hang = {"id": 1, "kind": "hang", "host": "fw1", "segment": "", "cable": 1}
    way = find_way(plain(), status(faults=[hang]), Clues(), "client", "server")
    assert (way.cables, way.ends_at) == (THERE[:2], "fw1/inside/1")


def test_a_cable_that_loses_some_packets_is_still_a_way() -> None:
    loss = {**PULLED, "kind": "loss"}
    assert find_way(plain(), status(faults=[loss]), Clues(), "client", "server") == Way(THERE)


def test_of_two_masters_the_last_to_advertise_gets_the_packets() -> None:
    both = with_state(status(), "fw2", "inside", "MASTER")
    clues = Clues(advertised_s={("fw1/inside/1", 2): 1.0, ("fw2/inside/1", 2): 1.4})
    assert find_way(plain(), both, clues, "client", "server").cables[1] == "fw2/inside/1"
    clues.advertised_s["fw1/inside/1", 2] = 2.0
    assert find_way(plain(), both, clues, "client", "server").cables[1] == "fw1/inside/1"


@pytest.mark.parametrize(
    ("direction", "router"), [("both", "fw2"), ("from_host", "fw2"), ("to_host", "fw1")]
)
def test_a_master_that_nobody_sees_gets_no_packets(direction: str, router: str) -> None:
    hole = {**PULLED, "kind": "blackhole", "segment": "inside", "detail": direction}
    both = with_state(status(faults=[hole]), "fw2", "inside", "MASTER")
    clues = Clues(advertised_s={("fw1/inside/1", 2): 2.0, ("fw2/inside/1", 2): 1.4})
    way = find_way(plain(), both, clues, "client", "server")
    assert way.cables[1] == f"{router}/inside/1"


def test_balancing_sends_a_host_to_the_virtual_host_it_was_given() -> None:
    network = firewall_pair(design=BALANCED)
    clues = Clues(vhids={"client2": 4})
    ways = [
        find_way(as_plain(network), status(network), clues, host, "server").cables[1]
        for host in ("client", "client2")
    ]
    assert ways == ["fw1/inside/1", "fw2/inside/1"]


def test_a_failover_set_works_through_its_port() -> None:
    network = firewall_pair(design=GROUPED_FAILOVER)
    clues = Clues(ports={("fw1", "outside"): 2})
    there = find_way(as_plain(network), status(network), clues, "client", "server")
    back = find_way(as_plain(network), status(network), clues, "server", "client")
    assert there.cables[2] == back.cables[1] == "fw1/outside/2"


def test_a_way_leads_through_several_firewalls() -> None:
    network = chain()
    way = find_way(as_plain(network), status(network), Clues(), "client", "server")
    assert way == Way(
        ("client/a/1", "r1/a/1", "r1/b/1", "r2/b/1", "r2/c/1", "server/c/1")
    )
    back = find_way(as_plain(network), status(network), Clues(), "server", "client")
    assert back.cables[0] == "server/c/1"

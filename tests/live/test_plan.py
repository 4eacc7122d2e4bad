from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from carplab.live.plan import make_plan, segment_layers
from carplab.network import (
    Host,
    Interface,
    Network,
    Router,
    Segment,
    VirtualHost,
    as_plain,
    with_sync_link,
)
from tests.live.scenes import plain
from topo.firewall_pair import BALANCED, DESIGNS, GROUPED_FAILOVER, firewall_pair


def boxes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [*plan["segments"], *plan["hosts"], *plan["routers"]]


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return not (
        one["x"] + one["width"] <= other["x"]
        or other["x"] + other["width"] <= one["x"]
        or one["y"] + one["height"] <= other["y"]
        or other["y"] + other["height"] <= one["y"]
    )


def chain() -> Network:
    """Return client - a - r1 - b - r2 - c - server, with a third host in the middle."""
    names = ("a", "b", "c")

    def interface(index: int, number: int) -> Interface:
        virtual_host = VirtualHost(number, (ip_address(f"10.0.{index}.{number - 10}"),))
        own = (ip_interface(f"10.0.{index}.{number}/24"),)
        return Interface(names[index], own, (virtual_host,))

    return Network(
        "chain",
        tuple(Segment(name, (ip_network(f"10.0.{i}.0/24"),)) for i, name in enumerate(names)),
        (
            Router("r1", (interface(0, 11), interface(1, 11))),
            Router("r2", (interface(1, 12), interface(2, 12))),
        ),
        tuple(
            Host(host, names[i], (ip_interface(f"10.0.{i}.100/24"),))
            for i, host in enumerate(("client", "middle", "server"))
        ),
    )


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("firewalls", [2, 3])
def test_nothing_stands_on_anything_else_or_outside(design: str, firewalls: int) -> None:
    plan = make_plan(plain(firewalls, design), "client")
    placed = boxes(plan)
    for index, one in enumerate(placed):
        assert one["x"] >= 0 and one["x"] + one["width"] <= plan["width"]
        assert one["y"] >= 0 and one["y"] + one["height"] <= plan["height"]
        assert not any(overlap(one, other) for other in placed[index + 1 :])


@pytest.mark.parametrize("design", DESIGNS)
def test_badges_are_within_their_firewall_and_apart(design: str) -> None:
    for router in make_plan(plain(2, design), "client")["routers"]:
        for index, badge in enumerate(router["badges"]):
            assert router["x"] <= badge["x"] < badge["x"] + badge["width"] <= router["x"] + 306
            assert badge["y"] + badge["height"] <= router["y"] + router["height"]
            assert not any(overlap(badge, other) for other in router["badges"][index + 1 :])


def test_the_client_stands_left_and_the_server_right() -> None:
    plan = make_plan(plain(), "client")
    left = {each["name"]: each["x"] for each in boxes(plan)}
    assert left["client"] < left["inside"] < left["fw1"] < left["outside"] < left["server"]
    assert left["fw1"] == left["fw2"]


def test_each_cable_and_each_virtual_host_is_drawn() -> None:
    network = firewall_pair(3, design=BALANCED)
    plan = make_plan(as_plain(network), "client")
    assert [each["id"] for each in plan["cables"]] == [
        f"{machine}/{segment}/{cable}" for machine, segment, cable in network.attachments()
    ]
    assert sum(len(router["badges"]) for router in plan["routers"]) == 18


def test_cables_join_a_machines_side_and_its_segment() -> None:
    plan = make_plan(plain(), "client")
    placed = {each["name"]: each for each in boxes(plan)}
    for cable in plan["cables"]:
        machine, bar = placed[cable["machine"]], placed[cable["segment"]]
        assert cable["x1"] in (machine["x"], machine["x"] + machine["width"])
        assert cable["x2"] in (bar["x"], bar["x"] + bar["width"])
        assert bar["y"] <= cable["y2"] <= bar["y"] + bar["height"]


def test_a_failover_set_has_one_badge_for_its_cables() -> None:
    fw1 = make_plan(plain(2, GROUPED_FAILOVER), "client")["routers"][0]
    outside, inside = fw1["badges"]
    assert outside["height"] == inside["height"] > fw1["height"] / 2


def test_a_link_joins_the_two_firewalls() -> None:
    plan = make_plan(as_plain(with_sync_link(firewall_pair())), "client")
    fw1, fw2 = plan["routers"]
    (link,) = plan["links"]
    assert (link["y1"], link["y2"]) == (fw1["y"] + fw1["height"], fw2["y"])


def test_a_chain_of_firewalls_stands_in_its_order() -> None:
    network = as_plain(chain())
    assert segment_layers(network, "client") == {"a": 0, "b": 1, "c": 2}
    plan = make_plan(network, "client")
    left = {each["name"]: each["x"] for each in boxes(plan)}
    assert left["client"] < left["a"] < left["r1"] < left["b"] < left["r2"] < left["c"]
    assert left["c"] < left["server"]


def test_a_segment_that_no_way_leads_to_is_drawn_all_the_same() -> None:
    network = chain()
    alone = replace(network, routers=network.routers[:1])
    assert segment_layers(as_plain(alone), "client") == {"a": 0, "b": 1, "c": 0}
    assert len(make_plan(as_plain(alone), "client")["segments"]) == 3

"""What fault requests mean and what they ask of a port, without a switch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controllers.faults import (
    FaultBook,
    FaultSpec,
    Port,
    PortDemand,
    RefusedError,
    Switch,
    host_of_port,
    read_request,
)

OUTSIDE = Switch(
    1,
    "outside",
    (
        Port(1, "outside-fw1", "fw1", "02:00:00:00:00:01", link_up=True),
        Port(2, "outside-fw2", "fw2", "02:00:00:00:00:02", link_up=True),
        Port(3, "uplink", None, "02:00:00:00:00:03", link_up=True),
    ),
)
INSIDE = Switch(2, "inside", (Port(1, "inside-fw1", "fw1", "02:00:00:00:00:04", link_up=True),))
SWITCHES = (OUTSIDE, INSIDE)
LINK_DOWN = {"kind": "link_down", "switch": "outside", "host": "fw1"}
FLAP = {"kind": "flap", "switch": "outside", "host": "fw1", "period_s": 1, "count": 3}


def blackhole(direction: str) -> dict[str, Any]:
    return {"kind": "blackhole", "switch": "outside", "host": "fw1", "direction": direction}


def loss(percent: Any) -> dict[str, Any]:
    return {"kind": "loss", "switch": "outside", "host": "fw1", "percent": percent}


def read(request: object) -> FaultSpec:
    return read_request(request, SWITCHES)


@pytest.mark.parametrize(
    ("port", "host"),
    [
        ("outside-fw1", "fw1"),
        ("outside-web-1", "web-1"),
        ("outside-eth1", None),
        ("inside-fw1", None),
        ("outside-", None),
        ("outside", None),
    ],
)
def test_host_is_read_from_the_port_name(port: str, host: str | None) -> None:
    assert host_of_port("outside", port) == host


@pytest.mark.parametrize("where", [{"host": "fw2"}, {"port": "outside-fw2"}, {"port": 2}])
@pytest.mark.parametrize("switch", ["outside", 1])
def test_port_is_named_in_three_ways_and_switch_in_two(where: dict[str, Any], switch: Any) -> None:
    spec = read({"kind": "link_down", "switch": switch, **where})
    assert (spec.switch, spec.dpid, spec.port) == ("outside", 1, 2)
    assert (spec.port_name, spec.host) == ("outside-fw2", "fw2")


def test_same_host_is_on_two_switches() -> None:
    assert read({**LINK_DOWN, "switch": "inside"}).port_name == "inside-fw1"


@pytest.mark.parametrize(
    ("request_body", "status", "named"),
    [
        ([], 400, "JSON object"),
        (None, 400, "JSON object"),
        ("link_down", 400, "JSON object"),
        ({}, 400, "kind"),
        ({**LINK_DOWN, "kind": "meteor"}, 400, "'meteor'"),
        ({**LINK_DOWN, "kind": ["link_down"]}, 400, "kind"),
        ({**LINK_DOWN, "switch": "middle"}, 404, "'middle'"),
        ({**LINK_DOWN, "switch": 7}, 404, "7"),
        ({**LINK_DOWN, "switch": True}, 400, "True"),
        ({**LINK_DOWN, "switch": {}}, 400, "switch"),
        ({"kind": "link_down", "host": "fw1"}, 400, "switch"),
        ({**LINK_DOWN, "host": "fw3"}, 404, "'fw3'"),
        ({**LINK_DOWN, "host": None}, 400, "host"),
        ({"kind": "link_down", "switch": "outside"}, 400, "host"),
        ({**LINK_DOWN, "port": 1}, 400, "either"),
        ({"kind": "link_down", "switch": "outside", "port": 9}, 404, "9"),
        ({"kind": "link_down", "switch": "outside", "port": "inside-fw1"}, 404, "'inside-fw1'"),
        ({"kind": "link_down", "switch": "outside", "port": 1.5}, 400, "1.5"),
        ({"kind": "link_down", "switch": "outside", "port": True}, 400, "True"),
        ({**LINK_DOWN, "percent": 3}, 400, "'percent'"),
        ({**LINK_DOWN, "direction": "both"}, 400, "'direction'"),
        (blackhole("up"), 400, "'up'"),
        ({**LINK_DOWN, "kind": "blackhole"}, 400, "direction"),
        (loss(0), 400, "0"),
        (loss(-5), 400, "-5"),
        (loss(100.5), 400, "100.5"),
        (loss("10"), 400, "'10'"),
        (loss(True), 400, "True"),
        (loss(None), 400, "percent"),
        (loss(float("nan")), 400, "nan"),
        (loss(10**400), 400, "percent"),
        ({**FLAP, "count": 0}, 400, "count"),
        ({**FLAP, "count": 2.0}, 400, "2.0"),
        ({**FLAP, "count": True}, 400, "True"),
        ({**FLAP, "count": 10_001}, 400, "10001"),
        ({**FLAP, "period_s": 0}, 400, "period_s"),
        ({**FLAP, "period_s": 4000}, 400, "4000"),
        ({**FLAP, "period_s": "1"}, 400, "'1'"),
    ],
)
def test_bad_request_is_refused_in_one_sentence(
    request_body: object, status: int, named: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        read(request_body)
    assert refused.value.status == status
    assert named in refused.value.sentence
    assert refused.value.sentence.endswith(".")
    assert "\n" not in refused.value.sentence
    assert len(refused.value.sentence) < 250


@pytest.mark.parametrize(
    ("request_body", "demand"),
    [
        (LINK_DOWN, PortDemand(down=True)),
        (FLAP, PortDemand(down=True)),
        (blackhole("from_host"), PortDemand(drop_from_host=True)),
        (blackhole("to_host"), PortDemand(drop_to_host=True)),
        (blackhole("both"), PortDemand(drop_from_host=True, drop_to_host=True)),
        (loss(12.5), PortDemand(loss_percent=12.5)),
    ],
)
def test_fault_demands_and_its_end_demands_nothing(
    request_body: dict[str, Any], demand: PortDemand
) -> None:
    book = FaultBook()
    fault = book.add(read(request_body))
    assert book.demand((1, "outside-fw1")) == demand
    assert book.demand((1, "outside-fw2")) == PortDemand()
    assert book.demand((2, "inside-fw1")) == PortDemand()
    book.remove(fault)
    assert book.demand((1, "outside-fw1")) == PortDemand()


def test_faults_of_one_port_add_up_and_leave_each_other_alone() -> None:
    book = FaultBook()
    both = PortDemand(down=True, drop_from_host=True, drop_to_host=True, loss_percent=5)
    faults = [
        book.add(read(request))
        for request in (LINK_DOWN, blackhole("from_host"), blackhole("to_host"), loss(5))
    ]
    assert book.demand((1, "outside-fw1")) == both
    book.remove(faults[1])
    assert book.demand((1, "outside-fw1")) == PortDemand(
        down=True, drop_to_host=True, loss_percent=5
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LINK_DOWN, LINK_DOWN),
        (LINK_DOWN, FLAP),
        (FLAP, LINK_DOWN),
        (FLAP, {**FLAP, "count": 5}),
        (blackhole("both"), blackhole("from_host")),
        (blackhole("to_host"), blackhole("both")),
        (blackhole("to_host"), blackhole("to_host")),
        (loss(5), loss(10)),
    ],
)
def test_fault_that_is_there_or_contradicts_is_refused(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    book = FaultBook()
    existing = book.add(read(first))
    with pytest.raises(RefusedError, match=f"fault {existing.number}") as refused:
        book.add(read(second))
    assert refused.value.status == 409
    assert book.list() == (existing,)
    book.remove(existing)
    assert book.add(read(second)).number == existing.number + 1


def test_flap_excludes_nothing_once_it_is_over() -> None:
    book = FaultBook()
    flap = book.add(read(FLAP))
    flap.link_up = True
    assert not book.demand((1, "outside-fw1")).down
    flap.finished = True
    book.add(read(LINK_DOWN))
    assert book.demand((1, "outside-fw1")).down


def test_unknown_fault_is_refused() -> None:
    with pytest.raises(RefusedError, match="no fault 4") as refused:
        FaultBook().find(4)
    assert refused.value.status == 404


def test_fault_that_could_not_be_lifted_returns_to_its_place() -> None:
    book = FaultBook()
    first = book.add(read(LINK_DOWN))
    second = book.add(read(loss(5)))
    book.remove(first)
    assert not book.has(first)
    book.restore(first)
    assert book.list() == (first, second)


def test_fault_is_shown_with_the_options_of_its_kind_only() -> None:
    book = FaultBook()
    assert json.loads(json.dumps(book.add(read(loss(12.5))).to_json())) == {
        "id": 1,
        "kind": "loss",
        "switch": "outside",
        "dpid": 1,
        "port": 1,
        "port_name": "outside-fw1",
        "host": "fw1",
        "percent": 12.5,
        "effective_monotonic_s": None,
    }
    flap = book.add(read(FLAP)).to_json()
    assert (flap["period_s"], flap["count"]) == (1.0, 3)
    assert (flap["edges"], flap["finished"]) == ([], False)

"""The fault injector and a real Open vSwitch, on both frameworks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.controllers.bench import (
    BRIDGE,
    BROADCAST,
    CARP_GROUP,
    DPID,
    VIRTUAL_MAC,
    Bench,
    Controller,
    Host,
    run,
    wait_for,
    watch_carrier,
)

pytestmark = pytest.mark.mininet

FRAMEWORKS = ("ryu", "os-ken")
SETTLE_S = 0.05
"""How long after the last frame of a count another one may come."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.fixture(scope="module", params=FRAMEWORKS)
def running(request: pytest.FixtureRequest, bench: Bench) -> Iterator[Controller]:
    with Controller(request.param) as started:
        bench.connect(started)
        yield started


@pytest.fixture
def controller(running: Controller, bench: Bench) -> Iterator[Controller]:
    """The controller, with no faults before and after, and every host's MAC known."""
    for host in bench.hosts:
        host.wait_for_carrier(up=True)
        wait_for("its MAC is known", partial(becomes_known, bench, host))
    for host in bench.hosts:
        host.drain()
    yield running
    assert running.request("DELETE", "/v1/faults").status == 200


def becomes_known(bench: Bench, host: Host) -> bool:
    host.send(BROADCAST)
    return knows(bench, host)


def knows(bench: Bench, host: Host) -> bool:
    return f"dl_dst={host.mac}" in bench.flows()


def hears(sender: Host, receiver: Host, destination: str, source: str | None = None) -> bool:
    """Whether a frame gets through, sent again and again for 30 ms."""
    receiver.drain()
    end_s = time.monotonic() + 0.03
    while time.monotonic() < end_s:
        sender.send(destination, source, b"probe")
        if receiver.receive(0.003) == b"probe":
            return True
    return False


def wait_passage(
    sender: Host, receiver: Host, destination: str, passes: bool, source: str | None = None
) -> None:
    """Wait until frames pass, or do not any more.

    Open vSwitch carries a change into its datapath after the barrier's reply: 1 to 2 ms on a quiet
    machine, more on a busy one.
    """
    what = f"{destination} from {sender.name} to {receiver.name}, passing: {passes}"
    wait_for(what, lambda: hears(sender, receiver, destination, source) is passes)


def test_switch_is_listed_with_its_hosts(controller: Controller) -> None:
    (switch,) = controller.get("/v1/switches")["switches"]
    assert (switch["dpid"], switch["name"]) == (DPID, BRIDGE)
    shown = [(port["name"], port["host"], port["link_up"]) for port in switch["ports"]]
    assert shown == [(f"{BRIDGE}-{host}", host, True) for host in "abc"]


def test_no_frame_is_lost_or_doubled_while_a_mac_is_learned(
    controller: Controller, bench: Bench
) -> None:
    sent = [b"%d" % number for number in range(200)]
    for text in sent:
        bench.a.send(bench.b.mac, source="02:00:00:00:01:01", text=text)
    received = bench.b.collect(len(sent))
    time.sleep(SETTLE_S)
    assert received + bench.b.drain() == sent


def test_known_destination_is_not_flooded(controller: Controller, bench: Bench) -> None:
    assert hears(bench.a, bench.b, bench.b.mac)
    assert bench.c.drain() == []
    assert hears(bench.a, bench.b, CARP_GROUP)
    assert hears(bench.a, bench.c, CARP_GROUP)


def test_traffic_follows_a_virtual_mac_at_once_each_time_it_moves(
    controller: Controller, bench: Bench
) -> None:
    """Back and forth, within the 10 s for which the datapath remembers the frames of before."""
    bench.a.send(CARP_GROUP, source=VIRTUAL_MAC)
    wait_for("flooding is over", lambda: not hears(bench.c, bench.b, VIRTUAL_MAC))
    delays_s = []
    for new, old in itertools.islice(itertools.cycle([(bench.b, bench.a), (bench.a, bench.b)]), 10):
        assert hears(bench.c, old, VIRTUAL_MAC)
        new.drain()
        moved_s = time.monotonic()
        new.send(CARP_GROUP, source=VIRTUAL_MAC)
        assert wait_for("traffic follows", partial(follows, bench.c, new))
        delays_s.append(time.monotonic() - moved_s)
        wait_passage(bench.c, old, VIRTUAL_MAC, passes=False)
    assert max(delays_s) < 2, delays_s


def follows(sender: Host, receiver: Host) -> bool:
    sender.send(VIRTUAL_MAC, text=b"to the master")
    return receiver.receive(0.001) == b"to the master"


def test_link_down_takes_the_carrier_and_gives_it_back(
    controller: Controller, bench: Bench
) -> None:
    with watch_carrier(bench.a) as changes:
        fault = controller.inject("a", "link_down")
        wait_for("carrier is lost", lambda: changes)
        wait_passage(bench.a, bench.b, BROADCAST, passes=False)
        (switch,) = controller.get("/v1/switches")["switches"]
        assert [port["link_up"] for port in switch["ports"]] == [False, True, True]
        lifted = controller.lift(fault)
        wait_for("carrier is back", lambda: len(changes) == 2)
    assert [up for _when_s, up in changes] == [False, True]
    assert abs(changes[0][0] - fault["effective_monotonic_s"]) < 0.05
    assert abs(changes[1][0] - lifted["lifted_monotonic_s"]) < 0.05
    # It needs no learning anew, for which each frame would go to the controller until it is done.
    assert knows(bench, bench.a)
    assert hears(bench.a, bench.b, bench.b.mac)
    assert hears(bench.b, bench.a, bench.a.mac)
    assert controller.get("/v1/faults") == {"faults": []}


@pytest.mark.parametrize("direction", ["from_host", "to_host", "both"])
def test_blackhole_swallows_its_direction_and_no_other(
    controller: Controller, bench: Bench, direction: str
) -> None:
    bench.a.send(CARP_GROUP, source=VIRTUAL_MAC)
    bench.a.send(BROADCAST)
    from_host_passes = direction == "to_host"
    to_host_passes = direction == "from_host"
    fault = controller.inject("a", "blackhole", direction=direction)
    wait_passage(bench.a, bench.b, bench.b.mac, from_host_passes)
    wait_passage(bench.a, bench.b, BROADCAST, from_host_passes)
    wait_passage(bench.a, bench.b, CARP_GROUP, from_host_passes, source=VIRTUAL_MAC)
    for destination in (bench.a.mac, BROADCAST, CARP_GROUP, VIRTUAL_MAC):
        wait_passage(bench.b, bench.a, destination, to_host_passes)
    # By now the cut is in force: what has to pass passes nevertheless.
    assert hears(bench.a, bench.b, BROADCAST) is from_host_passes
    assert hears(bench.b, bench.a, BROADCAST) is to_host_passes
    assert hears(bench.b, bench.c, bench.c.mac)
    assert bench.a.has_carrier
    controller.lift(fault)
    for destination in (bench.a.mac, BROADCAST, CARP_GROUP, VIRTUAL_MAC):
        wait_passage(bench.b, bench.a, destination, passes=True)
    wait_passage(bench.a, bench.b, CARP_GROUP, passes=True, source=VIRTUAL_MAC)


def test_loss_loses_about_the_asked_percentage_towards_the_host(
    controller: Controller, bench: Bench
) -> None:
    """Of 3000 frames 30 % are 900; six standard deviations (25.1) on either side are allowed."""
    fault = controller.inject("b", "loss", percent=30)
    received = count_received(bench.a, bench.b, bench.c, 3000)
    assert abs(received - 2100) < 151
    assert count_received(bench.b, bench.a, bench.c, 300) == 300
    controller.lift(fault)
    assert count_received(bench.a, bench.b, bench.c, 300) == 300
    assert "carplab_loss" not in run("nft list tables")


def count_received(sender: Host, receiver: Host, witness: Host, number: int) -> int:
    """How many of `number` broadcasts arrive; `witness` loses none and tells when all are past."""
    receiver.drain()
    count = 0
    for _ in range(0, number, 50):
        witness.drain()
        for _ in range(50):
            sender.send(BROADCAST, text=b"counted")
        witness.collect(50)
        count += len(receiver.drain())
    time.sleep(SETTLE_S)
    return count + len(receiver.drain())


def test_flap_takes_its_turns_and_ends_with_the_link_up(
    controller: Controller, bench: Bench
) -> None:
    period_s = 0.2
    with watch_carrier(bench.a) as changes:
        fault = controller.inject("a", "flap", period_s=period_s, count=3)
        wait_for("the flap is over", lambda: shown(controller, fault)["finished"])
        wait_for("carrier is back", lambda: len(changes) == 6)
    edges = shown(controller, fault)["edges"]
    assert [edge["up"] for edge in edges] == [up for _when, up in changes] == [False, True] * 3
    assert edges[0]["monotonic_s"] == fault["effective_monotonic_s"]
    for number, (edge, (changed_s, _up)) in enumerate(zip(edges, changes, strict=True)):
        due_s = fault["effective_monotonic_s"] + number * period_s / 2
        assert 0 <= edge["monotonic_s"] - due_s < 0.05
        assert abs(changed_s - edge["monotonic_s"]) < 0.05
    later = controller.inject("a", "link_down")
    controller.lift(later)
    assert len(controller.lift(fault)["edges"]) == 6


def test_flap_that_is_lifted_leaves_the_link_up(controller: Controller, bench: Bench) -> None:
    fault = controller.inject("a", "flap", period_s=60, count=5)
    bench.a.wait_for_carrier(up=False)
    assert [edge["up"] for edge in controller.lift(fault)["edges"]] == [False]
    bench.a.wait_for_carrier(up=True)
    assert bench.port_config(bench.a) == "0"


def shown(controller: Controller, fault: Any) -> Any:
    faults = controller.get("/v1/faults")["faults"]
    return next(each for each in faults if each["id"] == fault["id"])


def test_refused_requests_change_nothing(controller: Controller, bench: Bench) -> None:
    controller.inject("a", "link_down")
    controller.inject("b", "blackhole", direction="both")
    before = state(controller, bench)
    on_a = {"switch": BRIDGE, "host": "a"}
    on_b = {"switch": BRIDGE, "host": "b"}
    for body, status in (
        ({"kind": "link_down", **on_a}, 409),
        ({"kind": "flap", **on_a, "period_s": 1, "count": 1}, 409),
        ({"kind": "blackhole", **on_b, "direction": "to_host"}, 409),
        ({"kind": "meteor", **on_a}, 400),
        ({"kind": "loss", **on_a, "percent": 101}, 400),
        ({"kind": "link_down", "switch": "nowhere", "host": "a"}, 404),
        ({"kind": "link_down", "switch": BRIDGE, "port": f"{BRIDGE}-z"}, 404),
        ({"kind": "link_down", "switch": BRIDGE, "port": 0xFFFFFFFE}, 404),
    ):
        check_refusal(controller.request("POST", "/v1/faults", body), status)
    for method, path, status in (
        ("DELETE", "/v1/faults/999999", 404),
        ("PUT", "/v1/faults", 405),
        ("GET", "/v1/nothing", 404),
    ):
        check_refusal(controller.request(method, path), status)
    check_refusal(controller.request("POST", "/v1/faults", raw_body=b"{"), 400)
    check_refusal(controller.request("POST", "/v1/faults", raw_body=b" " * 70_000), 413)
    foreign = {"Origin": "http://example.net"}
    check_refusal(controller.request("DELETE", "/v1/faults", headers=foreign), 403)
    assert state(controller, bench) == before


def check_refusal(reply: Any, status: int) -> None:
    assert reply.status == status, reply
    assert list(reply.content) == ["error"]


def state(controller: Controller, bench: Bench) -> Any:
    """What the API shows and what the switch has, apart from counters and what is learned."""
    fault_flows = [
        line.split("priority")[1] for line in bench.flows().splitlines() if "ca02" in line
    ]
    return controller.state(), fault_flows, [bench.port_config(host) for host in bench.hosts]


def test_port_that_somebody_else_took_down_is_left_alone(
    controller: Controller, bench: Bench
) -> None:
    run(f"ovs-ofctl -O OpenFlow13 mod-port {BRIDGE} {bench.a.switch_port} down")
    before = state(controller, bench)
    body = {"kind": "link_down", "switch": BRIDGE, "host": "a"}
    reply = controller.request("POST", "/v1/faults", body)
    check_refusal(reply, 409)
    assert "somebody else" in reply.content["error"]
    assert state(controller, bench)[1:] == before[1:]
    run(f"ovs-ofctl -O OpenFlow13 mod-port {BRIDGE} {bench.a.switch_port} up")


def test_faults_survive_a_lost_connection(controller: Controller, bench: Bench) -> None:
    """The switch comes back as one that has been restarted: no flows, every port up."""
    faults = [
        controller.inject("a", "link_down"),
        controller.inject("b", "blackhole", direction="both"),
    ]
    run(f"ovs-vsctl del-controller {BRIDGE}")
    wait_for("the switch is gone", lambda: not controller.get("/v1/switches")["switches"])
    check_refusal(controller.request("DELETE", f"/v1/faults/{faults[0]['id']}"), 424)
    run(f"ovs-ofctl -O OpenFlow13 del-flows {BRIDGE}")
    run(f"ovs-ofctl -O OpenFlow13 mod-port {BRIDGE} {bench.a.switch_port} up")
    run(f"ovs-ofctl -O OpenFlow13 mod-port {BRIDGE} {bench.b.switch_port} forward")
    bench.connect(controller)
    assert controller.get("/v1/faults") == {"faults": faults}
    bench.a.wait_for_carrier(up=False)
    wait_passage(bench.b, bench.c, BROADCAST, passes=False)
    wait_passage(bench.c, bench.b, BROADCAST, passes=False)


def test_fault_of_a_port_that_goes_is_dropped(controller: Controller, bench: Bench) -> None:
    controller.inject("c", "loss", percent=50)
    controller.inject("c", "blackhole", direction="to_host")
    run(f"ovs-vsctl del-port {BRIDGE} {bench.c.switch_port}")
    wait_for("the faults are gone", lambda: not controller.get("/v1/faults")["faults"])
    assert "carplab_loss" not in run("nft list tables")
    run(f"ovs-vsctl add-port {BRIDGE} {bench.c.switch_port}")
    wait_for("frames pass again", lambda: hears(bench.a, bench.c, BROADCAST))


def test_loss_without_nft_is_refused(bench: Bench, tmp_path: Any) -> None:
    with Controller("os-ken", path=tmp_path) as running:
        bench.connect(running)
        body = {"kind": "loss", "switch": BRIDGE, "host": "a", "percent": 10}
        reply = running.request("POST", "/v1/faults", body)
        check_refusal(reply, 424)
        assert "nftables" in reply.content["error"]
        assert running.get("/v1/faults") == {"faults": []}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_signal_lifts_everything(bench: Bench, framework: str) -> None:
    with Controller(framework) as running:
        bench.connect(running)
        running.inject("a", "flap", period_s=60, count=2)
        running.inject("b", "blackhole", direction="both")
        running.inject("c", "loss", percent=50)
        running.inject("c", "link_down")
        assert running.stop() == (0, "")
    assert [bench.port_config(host) for host in bench.hosts] == ["0"] * 3
    assert "ca02" not in bench.flows()
    assert "carplab_loss" not in run("nft list tables")
    for host in bench.hosts:
        host.wait_for_carrier(up=True)


def test_frames_pass_when_the_controller_has_died(bench: Bench) -> None:
    with Controller("os-ken") as running:
        bench.connect(running)
        assert hears(bench.a, bench.b, BROADCAST)
        running.process.kill()
    assert hears(bench.a, bench.b, BROADCAST)
    assert hears(bench.b, bench.c, bench.c.mac)

from __future__ import annotations

import pytest

from carplab.live.feed import Feed
from carplab.live.sources import Message
from carplab.network import as_plain
from tests.live.scenes import PULLED, event, plain, probes, scene, status, with_state
from topo.firewall_pair import BALANCED, GROUPED_FAILOVER, firewall_pair


@pytest.fixture
def feed() -> Feed:
    return Feed(scene(plain()))


def kinds(messages: list[Message]) -> list[str]:
    return [message["kind"] for message in messages]


def test_a_status_says_who_is_master_in_words(feed: Feed) -> None:
    whole, _ = feed.take(status())
    assert (whole["whole"], whole["masters"]) == (True, "fw1 is MASTER everywhere")
    split, *_ = feed.take(with_state(status(t_s=1.0), "fw1", "outside", "INIT"))
    assert (split["whole"], split["masters"]) == (False, "outside none, inside fw1")


def test_a_fault_says_its_kind_once(feed: Feed) -> None:
    loss = {**PULLED, "kind": "loss", "detail": "loss 30 %"}
    said, _ = feed.take(status(faults=[loss]))
    assert said["faults"] == [{**loss, "detail": "30 %"}]


def test_balanced_firewalls_are_whole_each_with_its_own_vhids() -> None:
    network = firewall_pair(design=BALANCED)
    said, _ = Feed(scene(as_plain(network))).take(status(network))
    assert (said["whole"], said["masters"]) == (True, "fw1: vhid 1, 2; fw2: vhid 3, 4")


@pytest.mark.parametrize(
    ("carpd", "state"),
    [
        ("running", "MASTER"),
        ("frozen", "hung"),
        ("down", "not running"),
        ("failed: no such interface", "not running"),
    ],
)
def test_a_virtual_host_is_what_its_carpd_lets_it_be(feed: Feed, carpd: str, state: str) -> None:
    message = status()
    message["carpd"]["fw1"] = carpd
    said, *_ = feed.take(message)
    assert {each["state"] for each in said["virtual_hosts"] if each["router"] == "fw1"} == {state}


def test_the_way_is_told_when_it_changes(feed: Feed) -> None:
    assert kinds(feed.take(status())) == ["status", "path"]
    assert kinds(feed.take(status(t_s=1.0))) == ["status"]
    _, path = feed.take(status(t_s=2.0, faults=[PULLED]))
    assert (path["t_s"], path["there"]["ends_at"]) == (2.0, "fw1/outside/1")


def test_a_hosts_neighbour_says_which_virtual_host_it_uses() -> None:
    network = firewall_pair(design=BALANCED)
    feed = Feed(scene(as_plain(network)))
    _, path = feed.take(status(network))
    assert path["there"]["cables"][1] == "fw1/inside/1"
    said = feed.take(event(1.0, "client", "neighbour", detail="10.0.2.1 is 00:00:5e:00:01:04"))
    assert kinds(said) == ["event", "path"]
    assert said[1]["there"]["cables"][1] == "fw2/inside/1"


def test_an_answered_arp_request_says_it_too() -> None:
    network = firewall_pair(design=BALANCED)
    feed = Feed(scene(as_plain(network)))
    feed.take(status(network))
    said = feed.take(event(1.0, "fw2", "arp", "inside", 4, "10.0.2.100 asks for 10.0.2.1"))
    assert said[1]["there"]["cables"][1] == "fw2/inside/1"


def test_an_advertisement_of_a_failover_set_takes_the_cable_that_works() -> None:
    network = firewall_pair(design=GROUPED_FAILOVER)
    feed = Feed(scene(as_plain(network)))
    feed.take(status(network))
    (before,) = feed.take(event(1.0, "fw1", "sent", "outside", 1, "advbase 1"))
    feed.take(event(1.5, "fw1", "port", "outside/2", detail="fw1-outside-set"))
    (after,) = feed.take(event(2.0, "fw1", "sent", "outside", 1, "advbase 1"))
    assert (before["cable"], after["cable"]) == ("fw1/outside/1", "fw1/outside/2")


def test_probes_are_counted_and_few_of_them_drawn(feed: Feed) -> None:
    said = feed.take(probes(*((n / 100, n / 100 + 0.001) for n in range(50))))
    assert kinds(said) == ["packet"] * 3 + ["probe"]
    assert [each["t_s"] for each in said[:-1]] == [0.0, 0.2, 0.4]
    assert said[-1] == {
        "kind": "probe", "t_s": 0.491, "sent": 50, "lost": 0, "last_s": 0.491,
    }  # fmt: skip


def test_lost_probes_are_counted_and_drawn_too(feed: Feed) -> None:
    feed.take(probes((0.0, 0.001)))
    said = feed.take(probes((0.01, None), (0.02, None), (0.3, None)))
    assert [each["t_s"] for each in said if each["kind"] == "packet"] == [0.01, 0.3]
    assert (said[-1]["sent"], said[-1]["lost"], said[-1]["last_s"]) == (4, 3, 0.001)


def outages(messages: list[Message]) -> list[tuple[float, float]]:
    return [(each["start_s"], each["t_s"]) for each in messages if each["kind"] == "outage"]


def test_a_gap_with_losses_is_an_outage_when_it_is_over(feed: Feed) -> None:
    said = feed.take(probes((0.0, 0.001), (0.08, 0.081), (0.1, None), (1.0, None)))
    assert outages(said) == []
    assert outages(feed.take(probes((2.5, 2.501)))) == [(0.081, 2.501)]


def test_of_a_short_gap_it_is_known_later_that_packets_were_lost(feed: Feed) -> None:
    assert outages(feed.take(probes((0.0, 0.001), (0.3, 0.301), (0.6, 0.601)))) == []
    assert outages(feed.take(probes((0.2, None), (0.7, 0.702)))) == [(0.001, 0.301)]


def test_a_gap_without_losses_is_none(feed: Feed) -> None:
    assert outages(feed.take(probes((0.0, 0.001), (0.3, 0.301), (9.0, 9.001), (9.1, None)))) == []


def test_pings_of_a_batch_become_the_slowest(feed: Feed) -> None:
    said = feed.take({"kind": "ping", "rows": [[1, 0.0, 0.4], [2, 0.1, None], [3, 0.2, 0.9]]})
    assert said == [{"kind": "ping", "t_s": 0.2, "rtt_ms": 0.9, "lost": 1}]
    (lost,) = feed.take({"kind": "ping", "rows": [[4, 0.3, None]]})
    assert (lost["rtt_ms"], lost["lost"]) == (None, 1)


def test_it_says_what_it_has_missed(feed: Feed) -> None:
    feed.take(status(t_s=4.0))
    (missed,) = feed.take({"kind": "dropped", "number": 3})
    assert (missed["t_s"], missed["event"]) == (4.0, "missed")
    assert missed["detail"] == "3 messages of the session"


def test_the_present_is_the_last_of_what_holds(feed: Feed) -> None:
    for message in (status(), status(t_s=3.0), probes((0.0, 0.1)), event(1.0, "fw1", "process")):
        feed.take(message)
    assert [(each["kind"], each["t_s"]) for each in feed.present()] == [
        ("status", 3.0), ("path", 0.0), ("probe", 0.1),
    ]  # fmt: skip

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carplab.analysis.outages import Outage, find_outages, find_quality

TRAVEL_S = 0.0004


def probe(count: int, lost: set[int] = frozenset()) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[assignment]
    """A probe each millisecond from t = 0."""
    sent_s = np.arange(count) / 1000
    delivered_s = sent_s + TRAVEL_S
    delivered_s[list(lost)] = np.nan
    return sent_s, delivered_s


def test_from_the_last_delivery_to_the_next() -> None:
    sent_s, delivered_s = probe(5000, set(range(1000, 3500)))
    (outage,) = find_outages(sent_s, delivered_s)
    assert outage.start_s == pytest.approx(0.999 + TRAVEL_S, abs=1e-9)
    assert outage.end_s == pytest.approx(3.500 + TRAVEL_S, abs=1e-9)
    assert outage.length_s == pytest.approx(2.501, abs=1e-9)
    assert outage.lost == 2500
    assert outage.certain_s == pytest.approx(2.499, abs=1e-9)
    assert outage.interruption_s == pytest.approx(2.5, abs=1e-9)
    assert outage.uncertainty_s == pytest.approx(0.001, abs=1e-9)
    assert not outage.open_start
    assert not outage.open_end


def test_nothing_lost_is_no_outage() -> None:
    assert find_outages(*probe(1000)) == []


def test_no_probe_is_no_outage() -> None:
    assert find_outages(np.array([]), np.array([])) == []


@pytest.mark.parametrize(("lost", "outages"), [({500}, 0), ({500, 501}, 1), ({500, 502, 504}, 0)])
def test_single_lost_probes_are_noise(lost: set[int], outages: int) -> None:
    sent_s, delivered_s = probe(1000, lost)
    found = find_outages(sent_s, delivered_s)
    assert len(found) == outages
    quality = find_quality(sent_s, delivered_s, found)
    assert quality.lost == len(lost)
    assert quality.lost_alone == (0 if outages else len(lost))


def test_a_stall_without_loss_is_no_outage_but_is_reported() -> None:
    sent_s, delivered_s = probe(1000)
    delivered_s[300:400] = delivered_s[400]
    assert find_outages(sent_s, delivered_s) == []
    assert find_quality(sent_s, delivered_s, []).longest_stall_s == pytest.approx(0.101)


def test_a_pause_of_the_sender_is_no_outage_but_is_reported() -> None:
    sent_s, _ = probe(1000)
    sent_s[500:] += 0.25
    assert find_outages(sent_s, sent_s + TRAVEL_S) == []
    assert find_quality(sent_s, sent_s + TRAVEL_S, []).longest_pause_s == pytest.approx(0.251)


def test_a_packet_that_waited_in_a_queue_does_not_hide_the_outage() -> None:
    sent_s, delivered_s = probe(3000, set(range(1000, 2000)))
    delivered_s[1000] = delivered_s[2000] - 0.0001
    (outage,) = find_outages(sent_s, delivered_s)
    assert outage.start_s == pytest.approx(0.999 + TRAVEL_S)
    assert outage.end_s == pytest.approx(2.0 + TRAVEL_S - 0.0001)
    assert outage.lost == 999


def test_a_packet_that_others_overtook_does_not_shift_the_outage() -> None:
    sent_s, delivered_s = probe(3000, set(range(1000, 2000)))
    delivered_s[998] = delivered_s[2000] + 0.0002
    (outage,) = find_outages(sent_s, delivered_s)
    assert (outage.start_s, outage.end_s) == pytest.approx((0.999 + TRAVEL_S, 2.0 + TRAVEL_S))


def test_a_packet_that_came_through_divides_an_outage() -> None:
    sent_s, delivered_s = probe(3000, set(range(1000, 2000)) - {1500})
    first, second = find_outages(sent_s, delivered_s)
    assert first.end_s == second.start_s == pytest.approx(1.5 + TRAVEL_S)


def test_travel_times_longer_than_the_spacing() -> None:
    sent_s, _ = probe(3000)
    delivered_s = sent_s + 0.0205
    delivered_s[1000:2000] = np.nan
    (outage,) = find_outages(sent_s, delivered_s)
    assert (outage.start_s, outage.end_s) == pytest.approx((1.0195, 2.0205))
    assert outage.lost == 1000


def test_an_outage_not_over_at_the_end_is_open() -> None:
    sent_s, delivered_s = probe(2000, set(range(1000, 2000)))
    (outage,) = find_outages(sent_s, delivered_s)
    assert outage.open_end
    assert outage.end_s == sent_s[-1]
    assert outage.length_s == pytest.approx(1.999 - 0.9994)


def test_probes_still_on_their_way_at_the_end_are_not_lost() -> None:
    sent_s, delivered_s = probe(2000, set(range(1950, 2000)))
    assert find_outages(sent_s, delivered_s) == []
    assert find_quality(sent_s, delivered_s, []).lost == 0


def test_an_outage_from_before_the_record_is_open() -> None:
    sent_s, delivered_s = probe(2000, set(range(300)))
    assert find_outages(sent_s, delivered_s) == [
        Outage(0.0, pytest.approx(0.3004), 300, pytest.approx(0.299), open_start=True)
    ]


def test_nothing_delivered_at_all() -> None:
    (outage,) = find_outages(*probe(2000, set(range(2000))))
    assert outage.open_start
    assert outage.open_end
    assert outage.length_s == pytest.approx(1.999)


@given(st.floats(0.1, 0.2), st.floats(0.01, 0.5))
def test_the_interruption_is_known_within_its_uncertainty(begin_s: float, length_s: float) -> None:
    sent_s, delivered_s = probe(1000)
    delivered_s[(sent_s >= begin_s) & (sent_s < begin_s + length_s)] = np.nan
    (outage,) = find_outages(sent_s, delivered_s)
    assert abs(outage.interruption_s - length_s) <= outage.uncertainty_s + 1e-9
    assert outage.uncertainty_s == pytest.approx(0.001)


@st.composite
def losses(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Times without delivery, in probes: two or more each, with deliveries between them."""
    found = []
    at = draw(st.integers(1, 50))
    for _ in range(draw(st.integers(0, 5))):
        length = draw(st.integers(2, 300))
        found.append((at, at + length))
        at += length + draw(st.integers(2, 100))
    return found


@given(losses(), st.floats(0.00001, 0.05))
def test_finds_exactly_the_times_without_delivery(
    gone: list[tuple[int, int]], travel_s: float
) -> None:
    sent_s, _ = probe(2500)
    delivered_s = sent_s + travel_s
    for low, high in gone:
        delivered_s[low:high] = np.nan
    found = [(each.start_s, each.end_s, each.lost) for each in find_outages(sent_s, delivered_s)]
    assert found == [
        (
            pytest.approx(sent_s[low - 1] + travel_s),
            pytest.approx(sent_s[high] + travel_s),
            high - low,
        )
        for low, high in gone
    ]


def test_ten_minutes_of_probes_take_well_under_a_second() -> None:
    sent_s, delivered_s = probe(600_000, set(range(100_000, 103_000)) | set(range(5, 600_000, 97)))
    begin_s = time.process_time()
    (outage,) = find_outages(sent_s, delivered_s)
    find_quality(sent_s, delivered_s, [outage])
    assert time.process_time() - begin_s < 1.0
    assert outage.lost in (3000, 3001)

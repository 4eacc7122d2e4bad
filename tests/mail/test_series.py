"""The series: each can be built, in each of its dialects, and leaves time for what it looks at."""

from __future__ import annotations

import pytest

from carplab.emulation.experiment import Options, find_experiment
from carplab.errors import UsageError
from carplab.mail.claims import CLAIMS
from carplab.mail.series import BY_NAME, SERIES, Series

SLOW = {*(f"segment.outside={kind}" for kind in ("stp", "ryu-stp", "loop")), "bulk_hold=30"}
CASES = [
    pytest.param(series, dialect, id=f"{series.name}-{dialect}")
    for series in SERIES
    for dialect in series.dialects
]


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(SERIES)


@pytest.mark.parametrize(("series", "dialect"), CASES)
def test_series_can_be_built_and_has_time(series: Series, dialect: str) -> None:
    built = series.scenario("mail-x", dialect)
    assert {router.dialect for router in built.network.routers} == {dialect}
    # A fault and a repair come up to two intervals after their time, for their phase.
    network = built.network
    latest_fault_s = series.before_s + 2 * network.interval_s()
    repair_s = series.before_s + series.broken_s
    assert latest_fault_s + network.master_down_s() <= repair_s + 0.5
    assert repair_s + 4 * network.interval_s() <= built.duration_s


def test_what_lasts_thirty_seconds_is_seen_to_its_end() -> None:
    slow = [series for series in SERIES if SLOW & set(series.settings)]
    assert len(slow) >= 12
    for series in slow:
        interval_s = series.network(series.dialects[-1]).interval_s()
        assert series.after_s - 2 * interval_s > 34, series.name


def test_dialect_that_lacks_what_the_series_needs_is_refused() -> None:
    with pytest.raises(UsageError, match=r"not there for freebsd: take openbsd-3\.8 or "):
        BY_NAME["c5-plain"].scenario("mail-x", "freebsd")
    with pytest.raises(UsageError, match="unknown dialect 'netbsd'"):
        BY_NAME["c5-plain"].scenario("mail-x", "netbsd")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_experiment_of_a_claim_has_its_conditions(claim: object) -> None:
    chosen = next(each for each in CLAIMS if each is claim)
    experiment = find_experiment(chosen.experiment)
    assert experiment.conditions == tuple(chosen.conditions) and experiment.judge
    for condition in experiment.conditions:
        series = chosen.series(condition)
        dialect = series.dialects[0]
        options = Options(condition=condition, dialect=dialect, settings=("fw2.advskew=90",))
        assert experiment.build(options) == series.scenario(
            chosen.experiment, dialect, ("fw2.advskew=90",)
        )

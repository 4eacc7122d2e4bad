"""What each flow of a run lost: the main probe's and the further ones'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from carplab.analysis.causes import NO_CAUSE, Cause, cause_of
from carplab.analysis.load import Flow, Run
from carplab.analysis.outages import find_lost, find_outages

WHOLE_RUN = "all"


@dataclass(frozen=True)
class FlowRow:
    """One row of flows.csv: a flow in the time from a cause to the next one, or in the whole run.

    `outage_s` sums the outages that belong to the cause, `sent` and `lost` count the probes sent in
    that time; what was lost in an outage that goes on past the next cause counts there.
    """

    client: str
    server: str
    cause: str
    outage_s: float
    sent: int
    lost: int


def find_flows(run: Run, causes: Sequence[Cause], begin_s: float, end_s: float) -> list[FlowRow]:
    """Return the rows of every flow that recorded anything, the main one's first."""
    rows: list[FlowRow] = []
    for flow, probe in {run.flow: run.probe, **run.further_probes}.items():
        rows += _rows(flow, probe[probe["sent_t_s"].between(begin_s, end_s)], causes)
    return rows


def _rows(flow: Flow, probe: pd.DataFrame, causes: Sequence[Cause]) -> Iterator[FlowRow]:
    if probe.empty:
        return
    sent_s, returned_s = probe["sent_t_s"].to_numpy(), probe["returned_t_s"].to_numpy()
    outages = find_outages(sent_s, returned_s)
    lost = find_lost(sent_s, returned_s, outages)
    total_s = sum(outage.length_s for outage in outages)
    yield FlowRow(*flow, WHOLE_RUN, total_s, int(sent_s.size), int(lost.size))
    since_s = [float("-inf"), *(cause.t_s for cause in causes), float("inf")]
    sent_in, lost_in = (np.histogram(times_s, since_s)[0].tolist() for times_s in (sent_s, lost))
    for number, cause in enumerate((None, *causes)):
        out_s = sum(
            outage.length_s
            for outage in outages
            if cause_of(outage.start_s, outage.end_s, causes) == cause
        )
        name = cause.name if cause else NO_CAUSE
        yield FlowRow(*flow, name, out_s, sent_in[number], lost_in[number])

"""A TCP connection through the firewalls' NAT while its MASTER dies.

The conditions: no NAT, NAT of each firewall by itself (static), NAT with states shared by
conntrackd (synced); a crash or a pulled cable; who sends; and Linux's nf_conntrack_tcp_loose.

    sudo .venv/bin/carplab run mail-c0-nat --condition synced-crash --dialect openbsd-3.8
"""

from __future__ import annotations

from functools import partial

from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.mail.claims import claim
from carplab.mail.judge import judge as judge_claim
from carplab.scenario import Scenario

CLAIM = claim("C0")
CONDITIONS = tuple(CLAIM.conditions)
judge = partial(judge_claim, CLAIM.id)


def build(options: Options) -> Scenario:
    series = CLAIM.series(options.condition or CONDITIONS[0])
    return series.scenario(CLAIM.experiment, options.dialect, options.settings)


if __name__ == "__main__":
    run_experiment(build)

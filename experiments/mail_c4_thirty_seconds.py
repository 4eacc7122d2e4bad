"""The same cable pull: how long until everything is on one firewall again?

The conditions are those of mail-c3-restored, and so are the runs.

    sudo .venv/bin/carplab run mail-c4-thirty-seconds --condition stp --dialect openbsd-3.8
"""

from __future__ import annotations

from functools import partial

from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.mail.claims import claim
from carplab.mail.judge import judge as judge_claim
from carplab.scenario import Scenario

CLAIM = claim("C4")
CONDITIONS = tuple(CLAIM.conditions)
judge = partial(judge_claim, CLAIM.id)


def build(options: Options) -> Scenario:
    series = CLAIM.series(options.condition or CONDITIONS[0])
    return series.scenario(CLAIM.experiment, options.dialect, options.settings)


if __name__ == "__main__":
    run_experiment(build)

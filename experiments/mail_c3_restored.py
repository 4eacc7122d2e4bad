"""The pulled cable is put back: which interface is MASTER again when?

The conditions are the suspects for the mail's thirty seconds, one at a time.

    sudo .venv/bin/carplab run mail-c3-restored --condition stp --dialect openbsd-3.8
"""

from __future__ import annotations

from functools import partial

from carplab.emulation.experiment import Options
from carplab.emulation.script import run_experiment
from carplab.mail.claims import claim
from carplab.mail.judge import judge as judge_claim
from carplab.scenario import Scenario

CLAIM = claim("C3")
CONDITIONS = tuple(CLAIM.conditions)
judge = partial(judge_claim, CLAIM.id)


def build(options: Options) -> Scenario:
    series = CLAIM.series(options.condition or CONDITIONS[0])
    return series.scenario(CLAIM.experiment, options.dialect, options.settings)


if __name__ == "__main__":
    run_experiment(build)

"""Tests marked `root` or `mininet` are skipped for a plain user, and for nobody else."""

from __future__ import annotations

import importlib.util
import os

import pytest

from carplab.emulation import openvswitch

# Mininet is a package of the distribution's own Python: with another one (`make test-pythons`) what
# imports it cannot even be collected.
WITH_MININET = ["emulation/test_nat.py", "emulation/test_segments.py"]
collect_ignore = [] if importlib.util.find_spec("mininet") else WITH_MININET


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    needs_root = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("root") or item.get_closest_marker("mininet"):
            item.add_marker(needs_root)


@pytest.fixture(scope="session", autouse=True)
def open_vswitch(request: pytest.FixtureRequest) -> None:
    """Start Open vSwitch where the distribution has not, as `carplab run` does."""
    is_wanted = any(item.get_closest_marker("mininet") for item in request.session.items)
    if is_wanted and os.geteuid() == 0:
        openvswitch.ensure_running()

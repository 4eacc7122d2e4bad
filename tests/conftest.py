"""Tests marked `root` or `mininet` are skipped for a plain user, and for nobody else."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    needs_root = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("root") or item.get_closest_marker("mininet"):
            item.add_marker(needs_root)

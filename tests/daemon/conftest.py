from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.lab import REPOSITORY, Lab, open_lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An empty segment; hosts and processes are added by the test and removed after it."""
    with open_lab(tmp_path) as created:
        yield created


@pytest.fixture
def carpd_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `carpd` with arguments, as a user would type them."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "carplab.daemon.main", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=REPOSITORY,
        )

    return run

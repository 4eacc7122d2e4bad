from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from carplab.daemon.instance import Instance
from carplab.errors import CarplabError
from tests.daemon.lab import REPOSITORY


def test_a_second_one_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    first = Instance(tmp_path / "run", "fw1")
    with pytest.raises(CarplabError, match=rf"named fw1 runs already, its pid is {os.getpid()}$"):
        Instance(tmp_path / "run", "fw1")
    Instance(tmp_path / "run", "fw2").release()
    first.release()
    assert list((tmp_path / "run").iterdir()) == []
    Instance(tmp_path / "run", "fw1").release()


def test_a_killed_one_keeps_nobody_out(tmp_path: Path) -> None:
    program = (
        "import os, pathlib; from carplab.daemon.instance import Instance; "
        f"i = Instance(pathlib.Path({str(tmp_path)!r}), 'fw1'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False)
    assert killed.returncode == -9
    assert (tmp_path / "fw1.pid").exists()
    Instance(tmp_path, "fw1").release()


def test_a_run_dir_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CarplabError, match=r"run_dir .*/file/run: Not a directory"):
        Instance(tmp_path / "file" / "run", "fw1")

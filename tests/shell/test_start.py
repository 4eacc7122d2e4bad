"""`carplab shell` where no network is up: it starts one, and takes it down."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from carplab.cli import main
from tests.emulation.lab import DEADLINE_S, PROJECT, command, left_behind, write_experiment


def test_plain_user_is_told_to_use_sudo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["shell", "-c", "carp"]) == 1
    assert "run it with sudo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--design", "x"], "unknown design 'x'"),
        (["nonsense"], "unknown experiment 'nonsense'"),
        (["cable-pull", "--condition", "x"], "cable-pull has no conditions"),
        (["--framework", "x"], "unknown framework 'x'"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_touched(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shell", *words, "-c", "carp"]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.mininet
def test_network_of_an_experiment_is_up_as_long_as_the_shell(tmp_path: Path) -> None:
    experiment, out = write_experiment(tmp_path), tmp_path / "results"
    words = ["shell", str(experiment), "--firewalls", "3", "--out", str(out)]
    for setting in ("advbase=0", "fw1.advskew=32", "fw2.advskew=200", "fw3.advskew=230"):
        words += ["--set", setting]
    done = subprocess.run(
        command(*words, "-c", "carp", "-c", "fw3 carpd status"),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    assert "MASTER advbase 0 advskew 32" in done.stdout and "fw3: pid" in done.stdout
    assert "it is up, and ends with this shell" in done.stderr
    assert left_behind() == []
    (run,) = out.glob("session/*/run.json")
    assert f"what was recorded is in {run.parent}" in done.stderr
    assert json.loads(run.read_text())["outcome"] == "finished"

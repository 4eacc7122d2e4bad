"""The nft script that loses frames, without nft."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controllers import packet_loss
from controllers.faults import RefusedError


@pytest.mark.parametrize(
    ("percent", "threshold"), [(0.01, 1), (0.29, 29), (12.5, 1250), (57.0, 5700), (100.0, 10_000)]
)
def test_percent_is_drawn_in_hundredths(percent: float, threshold: int) -> None:
    script = packet_loss.ruleset("table1", "outside-fw1", percent)
    assert f"numgen random mod 10000 < {threshold} fwd to" in script
    assert 'device "outside-fw1"' in script
    assert "drop" not in script


def test_table_is_named_after_the_process_and_the_port() -> None:
    assert packet_loss.table_name(0xBE, 3) == f"carplab_loss_{os.getpid()}_be_3"


def make_nft(folder: Path, script: str) -> None:
    program = folder / "nft"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_nft_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match="package nftables") as refused:
        packet_loss.start("table1", "outside-fw1", 10)
    assert refused.value.status == 424


def test_nft_that_refuses_is_quoted_by_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_nft(tmp_path, "echo 'Error: no such device' >&2; echo '  ^^^' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError) as refused:
        packet_loss.stop("table1")
    assert refused.value.sentence == "nft refused the loss rule: Error: no such device."

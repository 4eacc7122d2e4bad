"""Runs from end to end on Mininet: what is measured and recorded, and what nothing is left of."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from carplab.cli import main
from carplab.emulation import openvswitch
from tests.emulation.lab import (
    FAST_TIMERS,
    PROJECT,
    SHORT_EXPERIMENT,
    command,
    left_behind,
    only_run,
    recorded_pid,
    running,
    write_experiment,
)

pytestmark = [pytest.mark.root, pytest.mark.mininet]

FAULTS = '''
"""One fault after the other."""

from carplab.scenario import Fault, scenario
from topo.firewall_pair import firewall_pair


def build(options):
    network = options.network(firewall_pair(sync=True))
    faults = [
        Fault("hang", "fw1", 0.5, 1.5),
        Fault("daemon_kill", "fw1", 4, 1.5),
        Fault("flap", "fw1", 8, 1.5, segment="inside", period_s=0.5, count=2),
        Fault("loss", "fw1", 11, 1, segment="outside", percent=50),
        Fault("reboot", "fw1", 13, 1.5),
        Fault("crash", "fw1", 16.5, 1.5),
    ]
    return scenario("faults", network, faults, 20.5, options.traffic())
'''


def read_table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


def windows(folder: Path, window: str, cause: str) -> list[float]:
    rows = read_table(folder, "windows.csv")
    return [float(r["length_s"]) for r in rows if (r["window"], r["cause"]) == (window, cause)]


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    return write_experiment(tmp_path)


def test_series_of_an_own_experiment(experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    words = [
        "run",
        experiment,
        "--repeat",
        "2",
        "--seed",
        "7",
        "--out",
        out,
        "--pcap",
        *FAST_TIMERS,
    ]
    with running(*words) as cli:
        assert cli.wait() == 0, cli.output
    assert left_behind() == []
    (series,) = out.glob("short/*")
    names = {path.name for path in series.iterdir()}
    assert {"01", "02", "series.json", "windows.csv", "distribution.png", "report.html"} <= names
    for number in ("01", "02"):
        folder = series / number
        files = {path.name for path in folder.iterdir()}
        assert {"events.csv", "ping.csv", "iperf.csv", "probe.csv.gz", "windows.csv"} <= files
        assert {"timeline.png", "timeline.svg", "report.html", "fw2-outside.pcap"} <= files
        # 3 x advbase + skew, less at most one interval of the MASTER: 0.625 to 0.75 s. Above that
        # only what a busy machine takes to act.
        (failover, *_) = windows(folder, "failover", "fault 1")
        assert 0.62 < failover < 0.95
        (recovery, *_) = windows(folder, "recovery", "repair 1")
        assert 0 < recovery < 1.0
        run = json.loads((folder / "run.json").read_text())
        assert run["outcome"] == "finished" and run["seed"] == 7
        assert run["question"] == ["A cable is out for a second and a half."]
        assert "--seed 7" in run["command"] and "advbase=0" in run["command"]
    events = read_table(series / "01", "events.csv")
    kinds = [(row["source"], row["kind"], row["detail"]) for row in events]
    assert kinds.index(("fw1", "carrier", "down")) < kinds.index(("fw1", "carrier", "up"))
    assert ("runner", "phase", "settled") in kinds and ("runner", "phase", "end") in kinds


def test_every_fault_of_machines_and_network(tmp_path: Path) -> None:
    out = tmp_path / "results"
    path = write_experiment(tmp_path, FAULTS)
    with running("run", path, "--out", out, "--seed", "1", *FAST_TIMERS) as cli:
        assert cli.wait() == 0, cli.output
    assert left_behind() == []
    (folder,) = out.glob("faults/*")
    events = read_table(folder, "events.csv")
    faults = [row["detail"].split()[0] for row in events if row["kind"] == "fault"]
    assert faults == ["hang", "daemon_kill", "flap", "loss", "reboot", "crash"]
    assert [row["detail"].split()[0] for row in events if row["kind"] == "repair"] == faults
    said = [row["detail"].rsplit(" (", 1)[0] for row in events if row["kind"] == "process"]
    assert said == ["carpd started"] * 2 + [
        "carpd frozen",
        "carpd continued",
        "carpd killed",
        "carpd started",
        "carpd ended",
        "carpd started",
        "carpd killed",
        "carpd started",
    ]
    carrier = [r["detail"] for r in events if (r["kind"], r["segment"]) == ("carrier", "inside")]
    assert carrier == ["down", "up"] * 4  # twice flapping, a reboot, a crash
    for number in (1, 6):
        (failover, *_) = windows(folder, "failover", f"fault {number}")
        # Theory: 0.625 to 0.75 s. A stamp may come some milliseconds late on a busy machine.
        assert 0.6 < failover < 0.95, number
    # The dead daemon's addresses go on answering: no outage, though fw2 takes over after 0.75 s.
    assert windows(folder, "outage", "fault 2")[0] < 0.1
    # A reboot bows out: nobody waits for the master-down time.
    assert windows(folder, "detection", "fault 5")[0] < 0.3


@pytest.mark.parametrize(
    ("number", "step", "phase"),
    [
        (signal.SIGINT, "building the network", "setup"),
        (signal.SIGTERM, "waiting until", "settle"),
        (signal.SIGINT, "measuring", "measure"),
        (signal.SIGTERM, "link_down of fw1", "fault"),
        (signal.SIGINT, "drawing", "analyse"),
    ],
)
def test_signal_in_any_phase(
    experiment: Path, tmp_path: Path, number: signal.Signals, step: str, phase: str
) -> None:
    out = tmp_path / "results"
    with running("run", experiment, "--out", out, *FAST_TIMERS) as cli:
        cli.wait_for(step)
        cli.process.send_signal(number)
        assert cli.wait() == 1
    assert f"interrupted by {number.name}" in cli.lines[-1] and str(out) in cli.lines[-1]
    assert left_behind() == []
    run = only_run(out)
    assert (run["outcome"], run["phase"]) == ("interrupted", phase)
    assert run["reason"] == f"interrupted by {number.name}"
    (folder,) = out.glob("short/*")
    assert (folder / "events.csv").exists()
    if phase in ("measure", "fault", "analyse"):
        assert (folder / "probe.csv.gz").exists() and (folder / "iperf.csv").exists()


def test_second_run_is_refused_and_killed_one_is_cleaned_up(
    experiment: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    with running("run", experiment, "--out", out, *FAST_TIMERS) as cli:
        cli.wait_for("measuring")
        for words in (["run", "crash", "--out", str(out)], ["clean"]):
            second = subprocess.run(command(*words), cwd=PROJECT, capture_output=True, text=True)
            assert second.returncode == 1
            assert (
                f"another carplab run is going on (short, pid {cli.process.pid})" in second.stderr
            )
        cli.process.kill()
        cli.process.wait()
        assert "bridge outside" in left_behind()
        stranger = subprocess.Popen(["ip", "-t", "monitor"], stdout=subprocess.DEVNULL)
        try:
            clean = subprocess.run(command("clean"), cwd=PROJECT, capture_output=True, text=True)
            assert clean.returncode == 0, clean.stderr
            assert "removed switch outside" in clean.stdout and "carpd on fw1" in clean.stdout
            assert left_behind() == []
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()
    run = only_run(out)
    assert (run["outcome"], run["reason"]) == ("interrupted", "the runner was killed")


def test_next_run_cleans_up_after_a_killed_one(experiment: Path, tmp_path: Path) -> None:
    with running("run", experiment, "--out", tmp_path / "first", *FAST_TIMERS) as cli:
        cli.wait_for("measuring")
        cli.process.kill()
        cli.process.wait()
        words = ["run", experiment, "--out", tmp_path / "second", "--iperf", "none", *FAST_TIMERS]
        with running(*words) as following:
            assert following.wait() == 0, following.output
    assert "removed what a killed run had left: switch outside" in following.output
    assert left_behind() == []
    assert only_run(tmp_path / "second")["outcome"] == "finished"


@pytest.mark.parametrize(
    ("victim", "sentence"),
    [
        ("iperf3 server", "iperf3 server on server ended"),
        ("controller", "the controller ended in the middle of the run"),
        ("carpd on fw2", "carpd on fw2 ended in the middle of the run"),
    ],
)
def test_process_that_dies_in_the_middle_is_named(
    experiment: Path, tmp_path: Path, victim: str, sentence: str
) -> None:
    out = tmp_path / "results"
    with running("run", experiment, "--out", out, *FAST_TIMERS) as cli:
        cli.wait_for("measuring")
        os.kill(recorded_pid(victim), signal.SIGKILL)
        assert cli.wait() == 1, cli.output
    assert sentence in cli.lines[-1]
    assert left_behind() == []
    run = only_run(out)
    assert run["outcome"] == "failed" and sentence in run["reason"]
    assert next(out.glob("short/*/probe.csv.gz")).stat().st_size > 0


def test_full_disk(experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    out.mkdir()
    mount = f'mount -t tmpfs -o size=300k none "{out}"'
    script = f'{mount} && "$@"; code=$?; cat {out}/*/*/run.json; exit $code'
    before = ("unshare", "--mount", "sh", "-c", script, "sh")
    with running("run", experiment, "--out", out, *FAST_TIMERS, before=before) as cli:
        assert cli.wait() == 1, cli.output
    assert "the disk is full" in cli.output and "Traceback" not in cli.output
    assert '"outcome": "failed"' in cli.output
    assert left_behind() == []


def test_results_folder_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "results"
    out.write_text("a file, no folder")
    assert main(["run", "cable-pull", "--out", str(out), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert f"cannot write {out}" in said and said.count("\n") == 1
    assert left_behind() == []


def test_open_vswitch_that_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(openvswitch, "is_installed", lambda: False)
    assert main(["run", "cable-pull", "--out", str(tmp_path), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "Open vSwitch is not installed: run `make setup`" in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_port_that_is_taken(experiment: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        words = ["run", experiment, "--out", tmp_path / "results", "--ofp-port", str(port)]
        with running(*words) as cli:
            assert cli.wait() == 1
    assert f"Port {port} is taken" in cli.lines[-1] and str(os.getpid()) in cli.lines[-1]
    assert left_behind() == []


def test_switch_of_somebody_else_is_left_alone(experiment: Path, tmp_path: Path) -> None:
    # The userspace datapath works with and without the kernel's module.
    userspace = ["--", "set", "bridge", "outside", "datapath_type=netdev"]
    subprocess.run(["ovs-vsctl", "add-br", "outside", *userspace], check=True)
    try:
        with running("run", experiment, "--out", tmp_path / "results") as cli:
            assert cli.wait() == 1
        assert "there is already a switch 'outside' that is not of this run" in cli.lines[-1]
        assert left_behind() == ["bridge outside", "interface outside"]
    finally:
        subprocess.run(["ovs-vsctl", "del-br", "outside"], check=True)


def test_network_that_does_not_settle(tmp_path: Path) -> None:
    # With different passwords each believes that it is alone.
    path = write_experiment(tmp_path, SHORT_EXPERIMENT)
    words = [
        "run",
        path,
        "--out",
        tmp_path / "results",
        "--set",
        "fw2.password=other",
        *FAST_TIMERS,
    ]
    with running(*words) as cli:
        assert cli.wait() == 1
    assert "has not settled, which is when fw1 is MASTER everywhere" in cli.lines[-1]
    assert "fw2 MASTER on outside" in cli.lines[-1]
    assert left_behind() == []

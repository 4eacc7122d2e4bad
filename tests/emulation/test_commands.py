"""`carplab run`, `list`, `clean`: what is refused before anything is touched, in which words."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from carplab.cli import main
from carplab.emulation import machine
from carplab.emulation.experiment import (
    Options,
    add_options,
    find_experiment,
    options_from,
)
from carplab.errors import UsageError
from carplab.scenario import scenario
from carplab.settings import apply_settings
from topo.firewall_pair import firewall_pair


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command that must be refused; its exit code and its one sentence."""
    code = main(list(words))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return code, captured.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nonsense"], "unknown experiment 'nonsense': known are cable-pull, crash, mail-c0-nat"),
        (["./nowhere.py"], "there is no experiment at ./nowhere.py"),
        (["crash", "--dialect", "netbsd"], "unknown dialect 'netbsd': known are openbsd-3.8, "),
        (["crash", "--set", "advskw=1"], "unknown setting 'advskw'"),
        (["crash", "--set", "fw7.advskew=1"], "'fw7' in 'fw7.advskew=1' is no firewall"),
        (["crash", "--set", "advskew=255"], "fw1 on outside: advskew 255 is not in 0 to 254"),
        (["crash", "--set", "vhid=0"], "vhid 0 is not in 1 to 255"),
        (["crash", "--set", "vhid=256"], "vhid 256 is not in"),
        (["crash", "--set", "advbase=256"], "advbase 256 is not in"),
        (["crash", "--set", "password=" + 21 * "x"], "has 21 bytes, CARP takes at most 20"),
        (["crash", "--set", "fw1.outside.address=10.9.9.9/24"], "outside the segment outside"),
        (["crash", "--host", "fw3"], "no firewall called 'fw3': there are fw1, fw2"),
        (["crash", "--segment", "outside"], "crash strikes a whole machine"),
        (["cable-pull", "--segment", "dmz"], "no segment called 'dmz': there are outside, inside"),
        (["cable-pull", "--host", "client"], "client is not on outside: it is on inside"),
        (["cable-pull", "--repeat", "0"], "--repeat 0 is out of range"),
        (["cable-pull", "--repeat", "many"], "invalid int value: 'many'"),
        (["cable-pull", "--iperf", "netperf"], "unknown traffic tool 'netperf': known are iperf3"),
        (["cable-pull", "--bandwidth", "0"], "bandwidth of 0 Mbit/s is out of range"),
        (["cable-pull", "--probe-interval", "0.1"], "0.1 ms is out of range: 1 to 100"),
        (["cable-pull", "--ofp-port", "70000"], "--ofp-port 70000 is out of range"),
        (["cable-pull", "--framework", "pox"], "unknown framework 'pox': known are ryu, os-ken"),
        (["cable-pull", "--firewalls", "1"], "1 firewalls are not possible: 2 to 80"),
        (["cable-pull", "--design", "pair"], "unknown design 'pair': known are single, balanced"),
        (["cable-pull", "--family", "ipx"], "unknown family 'ipx': known are ipv4, ipv6, both"),
        (
            ["cable-pull", "--design", "balanced", "--dialect", "freebsd"],
            "arp_balance does not go with dialect freebsd",
        ),
        (["cable-pull", "--cable", "2"], "fw1 is not on outside/2: it is on outside, inside"),
        (["crash", "--cable", "2"], "crash strikes a whole machine"),
        (["cable-pull", "--set", "nat=synced", "--firewalls", "3"], "exactly two firewalls"),
        (["cable-pull", "--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, said = refused(capsys, "run", *words)
    assert code == 2 and sentence in said


def test_plain_user_is_told_to_use_sudo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for words in (["clean"], ["run", "cable-pull"]):
        code, said = refused(capsys, *words)
        assert code == 1 and "sudo" in said


@pytest.mark.parametrize("words", [("run", "cable-pull"), ("shell", "-c", "carp")])
def test_python_without_mininet_is_told_what_mends_it(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "sees_mininet", lambda: False)
    code, said = refused(capsys, *words)
    assert code == 1 and "does not see Mininet" in said and "make setup" in said


def test_script_without_build_or_with_an_error_is_no_experiment(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("x = 1\n")
    with pytest.raises(UsageError, match=r"has no function build\(options\)"):
        find_experiment(str(path))
    path.write_text("import nothing_of_this_name\n")
    with pytest.raises(UsageError, match="cannot be loaded: ModuleNotFoundError"):
        find_experiment(str(path))


CONDITIONED = '''
from carplab.emulation.experiment import Options
CONDITIONS = ("sun", "rain")
def build(options: Options) -> None: ...
'''


def test_the_first_condition_counts_where_none_is_given(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(CONDITIONED)
    experiment = find_experiment(str(path))
    assert experiment.choose(Options()) == Options(condition="sun")
    assert experiment.choose(Options(condition="rain")) == Options(condition="rain")
    assert find_experiment("crash").choose(Options()) == Options()


def test_unknown_condition_names_those_there_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(CONDITIONED)
    code, said = refused(capsys, "run", str(path), "--condition", "snow")
    assert code == 2 and "mine has no condition 'snow': there are sun, rain" in said
    code, said = refused(capsys, "run", "crash", "--condition", "snow")
    assert code == 2 and "crash has no conditions: leave --condition snow out" in said


def test_what_a_condition_decides_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(CONDITIONED)
    code, said = refused(capsys, "run", str(path), "--bandwidth", "3")
    assert code == 2 and "mine has conditions, which decide --bandwidth: leave it out" in said


def test_a_script_s_description_is_its_question_without_the_commands() -> None:
    question = find_experiment("crash").question
    assert question[0] == "Crash the preferred firewall, and boot it again."
    assert len(question) == 2
    assert not any("sudo" in paragraph or "\n" in paragraph for paragraph in question)


def test_list_shows_experiments_topologies_and_no_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["list", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for expected in ("cable-pull", "crash", "reboot", "firewall_pair", f"{tmp_path}: none"):
        assert expected in said


def parse(words: list[str]) -> Options:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return options_from(parser.parse_args(words))


def test_recorded_command_asks_for_the_same_again() -> None:
    words = "--dialect freebsd --set advbase=2 --set 'fw1.password=a b' --repeat 3 --quick --pcap"
    options = parse([*shlex.split(words), "--bandwidth", "5", "--iperf", "iperf"])
    assert options.settings == ("advbase=2", "fw1.password=a b")
    head, *again = shlex.split(options.command("cable-pull", seed=7))[2:]
    assert head == "cable-pull"
    assert parse(again) == parse(
        [*shlex.split(words), "--bandwidth", "5", "--iperf", "iperf", "--seed", "7"]
    )


def test_probe_interval_is_asked_for_in_milliseconds_and_recorded() -> None:
    options = parse(["--probe-interval", "5"])
    assert options.traffic().probe_interval_s == 0.005
    assert "--probe-interval 5.0" in options.command("crash", seed=7)


@pytest.mark.parametrize("setting", ["advbase=1", "advbase=10", "advbase=254", "fw2.advskew=254"])
@pytest.mark.parametrize("quick", [False, True])
def test_times_leave_room_for_failover_and_recovery(setting: str, quick: bool) -> None:
    network = apply_settings(firewall_pair(), [setting])
    times = Options(quick=quick).times(network)
    latest_fault_s = times.fault_s + 2 * network.interval_s()
    repair_s = times.fault_s + times.broken_s
    assert latest_fault_s + network.master_down_s() <= repair_s
    assert repair_s + 4 * network.interval_s() <= times.duration_s


def test_options_choose_the_design() -> None:
    options = parse(shlex.split("--design grouped-demotion --family both --firewalls 3 --cable 2"))
    assert options.build_network() == firewall_pair(3, design="grouped-demotion", family="both")
    (cut,) = find_experiment("cable-pull").build(options).faults
    assert (cut.segment, cut.cable) == ("outside", 2)
    _, _, *again = shlex.split(options.command("cable-pull", seed=7))
    assert parse(again[1:]) == replace(options, seed=7)


def test_times_wait_for_held_interfaces() -> None:
    network = apply_settings(firewall_pair(), ["bulk_hold=30", "link_up_delay=2"])
    times = Options(quick=True).times(network)
    repair_s = times.fault_s + times.broken_s
    assert repair_s + 32 + 4 * network.interval_s() <= times.duration_s


def test_times_wait_for_spanning_tree() -> None:
    network = apply_settings(firewall_pair(), ["segment.outside=stp"])
    times = Options(quick=True).times(network)
    repair_s = times.fault_s + times.broken_s
    assert repair_s + 30 + 4 * network.interval_s() <= times.duration_s


def test_default_scenario_takes_25_seconds() -> None:
    assert Options().times(firewall_pair()).duration_s == 25
    built = find_experiment("cable-pull").build(Options())
    assert built == scenario("cable-pull", built.network, built.faults, 25, Options().traffic())
    (cut,) = built.faults
    assert (cut.kind, cut.host, cut.segment) == ("link_down", "fw1", "outside")

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.daemon import main as command
from carplab.daemon import status


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = command.main(arguments)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("run",),
        ("demote", "3"),
        ("demote", "+x"),
        ("down", "0"),
        ("down", "256"),
        ("up", "1@"),
        ("force", "init", "1"),
        ("--name", "a", "--socket", "b", "status"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, said = run(capsys, *arguments)
    assert code == 2
    assert said.startswith("carpd: ")
    assert said.count("\n") == 1


def test_socket_of_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARPD_SOCKET", str(tmp_path / "y.sock"))
    assert run(capsys, "status") == (1, f"carpd: no carpd is running at {tmp_path}/y.sock\n")
    _, said = run(capsys, "--socket", str(tmp_path / "x.sock"), "status")
    assert f"{tmp_path}/x.sock" in said
    _, said = run(capsys, "--name", "nobody", "status")
    assert "/run/carpd/nobody.sock" in said


def test_nobody_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = run(capsys, "--socket", str(tmp_path / "x.sock"), "status")
    assert (code, said) == (1, f"carpd: no carpd is running at {tmp_path}/x.sock\n")


def test_a_wrong_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = run(capsys, "run", str(tmp_path / "x.toml"))
    assert code == 2
    assert said == f"carpd: {tmp_path}/x.toml: cannot be read (No such file or directory)\n"


def test_carpd_needs_root(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "x.toml"
    config.write_text('[[virtual_host]]\ninterface="e"\nvhid=1\naddresses=["10.0.0.1"]')
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    code, said = run(capsys, "run", str(config))
    assert code == 1
    assert said.startswith("carpd: `run` needs root")


def test_the_status_table() -> None:
    host = {
        "interface": "eth0",
        "vhid": 1,
        "state": "MASTER",
        "enabled": True,
        "interface_up": True,
        "advbase": 1,
        "advskew": 0,
        "effective_advskew": 0,
        "addresses": ["10.0.1.1", "fd00:1::1"],
        "groups": ["carp"],
        "demotion": 240,
    }
    second = {**host, "vhid": 2, "state": "BACKUP", "advskew": 100, "effective_advskew": 240}
    second |= {"groups": ["carp", "outside"]}
    other = {**host, "interface": "eth1", "state": "INIT", "interface_up": False, "enabled": False}
    report = {
        "name": "fw1",
        "pid": 7,
        "dialect": "freebsd",
        "preempt": True,
        "demotions": {"carp": 240},
        "ports": {"eth0": "eth2"},
        "virtual_hosts": [host, second, other],
        "statistics": {"ipackets": 3, "badauth": 0, "opackets": 12},
    }
    assert status.table(report).replace("\t", "    ").splitlines() == [
        "fw1: pid 7 dialect freebsd preempt on demotion carp 240",
        "eth0: up through eth2",
        "    carp: MASTER vhid 1 advbase 1 advskew 0",
        "        inet 10.0.1.1",
        "        inet6 fd00:1::1",
        "    carp: BACKUP vhid 2 advbase 1 advskew 100 (demoted to 240)",
        "        groups carp, outside demotion 240",
        "        inet 10.0.1.1",
        "        inet6 fd00:1::1",
        "eth1: no carrier",
        "    carp: INIT vhid 1 advbase 1 advskew 0 (down)",
        "        inet 10.0.1.1",
        "        inet6 fd00:1::1",
        "statistics: ipackets 3, opackets 12",
    ]

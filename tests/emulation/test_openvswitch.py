"""Starting Open vSwitch: in a container of its own, beside the machine's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from carplab.emulation import openvswitch
from carplab.errors import CarplabError

# A machine on which nothing has started Open vSwitch: its own processes, network and folders.
CONTAINER = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
START = """
set -e
for folder in /run/openvswitch /etc/openvswitch /var/log/openvswitch; do
  mkdir -p $folder
  mount -t tmpfs tmpfs $folder
done
if [ -n "$2" ]; then mount --bind "$2" /usr/share/openvswitch/scripts/ovs-kmod-ctl; fi
exec "$1" -c '
from pathlib import Path
from carplab.emulation import openvswitch
openvswitch.SYSTEMD_RUNS = Path("/no-systemd-here")
for _ in range(2):
    print(openvswitch.is_running(), openvswitch.was_started_here(), openvswitch.ensure_running())
'
"""
# On each line: did it run, was it carplab that started it, did this call start it?
STARTED_ONCE = "False False True\nTrue True False\n"


def start_in_container(broken_script: str) -> str:
    completed = subprocess.run(
        [*CONTAINER, "sh", "-c", START, "sh", sys.executable, broken_script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return completed.stdout or completed.stderr


@pytest.mark.mininet
def test_starts_where_nothing_has_and_only_once() -> None:
    assert start_in_container("") == STARTED_ONCE


@pytest.mark.mininet
def test_starts_where_the_kernel_module_cannot_be_loaded(tmp_path: Path) -> None:
    script = tmp_path / "ovs-kmod-ctl"
    script.write_text("#!/bin/sh\necho no module here\nexit 1\n")
    script.chmod(0o755)
    assert start_in_container(str(script)) == STARTED_ONCE


def test_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvswitch, "search_path", lambda: "/nowhere")
    assert not openvswitch.is_installed()
    assert not openvswitch.is_running()
    with pytest.raises(CarplabError, match=r"^Open vSwitch is not installed: run `make setup`"):
        openvswitch.ensure_running()


def test_a_plain_user_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvswitch, "is_installed", lambda: True)
    monkeypatch.setattr(openvswitch.os, "geteuid", lambda: 1000)
    with pytest.raises(CarplabError, match="use sudo"):
        openvswitch.ensure_running()


def test_one_that_does_not_start_says_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvswitch, "is_installed", lambda: True)
    monkeypatch.setattr(openvswitch, "is_running", lambda: False)
    monkeypatch.setattr(openvswitch, "_start_service", lambda: "Unit not found.")
    monkeypatch.setattr(openvswitch, "SYSTEMD_RUNS", Path("/"))
    monkeypatch.setattr(openvswitch, "START_TIMEOUT_S", 0.1)
    monkeypatch.setattr(openvswitch.os, "geteuid", lambda: 0)
    with pytest.raises(CarplabError, match=r"does not start: Unit not found\.$"):
        openvswitch.ensure_running()


@pytest.mark.parametrize(
    ("systemd", "command"),
    [("/", "systemctl start openvswitch-switch"), ("/nowhere", "ovs-ctl start")],
)
def test_start_command_suits_the_machine(
    systemd: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvswitch, "SYSTEMD_RUNS", Path(systemd))
    assert command in openvswitch.start_command()

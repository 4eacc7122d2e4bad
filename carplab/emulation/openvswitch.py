"""Starts Open vSwitch where nothing has started it: containers, and machines without systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from carplab.errors import CarplabError

SYSTEMD_RUNS = Path("/run/systemd/system")  # sd_booted(3)
OVS_CTL = Path("/usr/share/openvswitch/scripts/ovs-ctl")  # ovs-ctl(8)
RUN_DIR = Path("/var/run/openvswitch")
SERVICE = "openvswitch-switch"
NOTE = RUN_DIR / "started-by-carplab"  # holds the pid of the daemon that was started
START_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 5
INSTALL = "run `make setup`, or `sudo apt-get install openvswitch-switch`"


def is_installed() -> bool:
    """Whether the daemons and their tools are on this machine."""
    return all(shutil.which(name, path=search_path()) for name in ("ovs-vswitchd", "ovs-vsctl"))


def is_running() -> bool:
    """Whether both daemons answer; only root may ask."""
    return is_installed() and _database_answers() and _switch_answers()


def ensure_running() -> bool:
    """Start Open vSwitch unless it runs; return whether this call started it.

    It is left running afterwards, as a service of the distribution would be.

    Raises:
        CarplabError: it is not installed, this is not root, or it did not start.
    """
    if not is_installed():
        raise CarplabError(f"Open vSwitch is not installed: {INSTALL}")
    if os.geteuid() != 0:
        raise CarplabError("only root can ask Open vSwitch whether it runs: use sudo")
    if is_running():
        return False
    said = _start_service() if SYSTEMD_RUNS.is_dir() else _start_daemons()
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not is_running():
        if time.monotonic() > deadline_s:
            raise CarplabError(f"Open vSwitch does not start: {said or 'it says nothing'}")
        time.sleep(0.05)
    NOTE.write_text(_switch_pid())
    return True


def was_started_here() -> bool:
    """Whether the daemon that runs now was started by `ensure_running`, of any run."""
    return NOTE.exists() and NOTE.read_text() == _switch_pid()


def start_command() -> str:
    """The command with which a user starts Open vSwitch on this machine."""
    if SYSTEMD_RUNS.is_dir():
        return f"sudo systemctl start {SERVICE}"
    return f"sudo {OVS_CTL} start --system-id=random"


def _switch_pid() -> str:
    return (RUN_DIR / "ovs-vswitchd.pid").read_text().strip()


def _start_service() -> str:
    return _run(["systemctl", "start", SERVICE])


def _start_daemons() -> str:
    said = _run([str(OVS_CTL), "start", "--system-id=random"])
    if _database_answers() and not _switch_answers():
        # ovs-ctl gives up where the kernel module cannot be loaded, which `user` does not need.
        said += _run(
            [
                "ovs-vswitchd",
                f"unix:{RUN_DIR}/db.sock",
                "--pidfile",
                "--detach",
                "--monitor",
                "--no-chdir",
                "--log-file",
                "-vconsole:off",
            ]
        )
    return said


def _database_answers() -> bool:
    return _succeeds(["ovs-vsctl", "--no-wait", f"--timeout={ANSWER_TIMEOUT_S}", "show"])


def _switch_answers() -> bool:
    timeout = f"--timeout={ANSWER_TIMEOUT_S}"
    return _succeeds(["ovs-appctl", timeout, "-t", "ovs-vswitchd", "version"])


def _succeeds(command: list[str]) -> bool:
    completed = subprocess.run(command, env=_environment(), capture_output=True, check=False)
    return completed.returncode == 0


def _run(command: list[str]) -> str:
    """Run the command and return the last line that it wrote, for an error message.

    Its output goes to a file, for the daemons that it leaves behind would hold a pipe open.
    """
    with open(os.memfd_create("output"), "w+b") as output:
        try:
            subprocess.run(
                command,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                timeout=START_TIMEOUT_S,
                check=False,
            )
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        except subprocess.TimeoutExpired:
            return f"{command[0]} did not end within {START_TIMEOUT_S:.0f} s"
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": search_path()}


def search_path() -> str:
    """Where programs are looked for: a plain user's path may lack sbin, where daemons live."""
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"

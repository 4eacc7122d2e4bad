"""A lane: a private world in which one run after another builds its network.

It has its own network, mounts and process ids (unshare(1)), with nothing running in it and empty
folders where Open vSwitch and carplab keep what there is one of on a machine: so that several runs
side by side do not meet. Results are written to the same disk as ever.

A lane is gone, with everything in it, when it is closed or its owner has died: its first process
lives as long as the pipe from there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from carplab.errors import CarplabError

READY = b"ready\n"
KILLED_DEADLINE_S = 10.0

#: Runs as the lane's process 1. /sys shows the network that its mounter is in, so it needs a mount
#: of its own. The last line is there so that the shell stays, to bury the orphans.
_SETUP = """
set -e
ip link set lo up
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/openvswitch /run/lock /run/netns
for folder in /etc/openvswitch /var/log/openvswitch /var/lib/openvswitch; do
  [ ! -d $folder ] || mount -t tmpfs tmpfs $folder
done
echo ready
cat > /dev/null
exit
"""


class Lane:
    """A private world; CarplabError when this machine cannot make one."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise CarplabError("lanes need root, for namespaces: run it with sudo")
        options = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._keeper = subprocess.Popen(
            ["unshare", *options, "--propagation", "private", "sh", "-c", _SETUP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the owner, who then closes the lane
        )
        assert self._keeper.stdout and self._keeper.stderr
        if self._keeper.stdout.readline() != READY:
            said = self._keeper.stderr.read().decode(errors="replace").strip()
            self.close()
            raise CarplabError(f"cannot make a lane: {said or 'unshare ended without a word'}")

    def run(self, command: Sequence[str], log: Path, timeout_s: float) -> int | None:
        """Run a command in it, its output in `log`; return its exit code, None if out of time.

        After that the lane is of no use: what was running in it goes on until it is closed.
        """
        pid = self._keeper.pid
        enter = ["nsenter", "--net", "--mount", f"--target={pid}"]
        enter.append(f"--pid=/proc/{pid}/ns/pid_for_children")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*enter, "--", "env", f"--chdir={os.getcwd()}", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return None

    def close(self) -> None:
        """End everything in it."""
        self._keeper.kill()
        self._keeper.wait(KILLED_DEADLINE_S)
        for pipe in (self._keeper.stdin, self._keeper.stdout, self._keeper.stderr):
            if pipe:
                pipe.close()

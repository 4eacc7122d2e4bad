#!/usr/bin/python3
"""as_root.py COMMAND ARGUMENT...: runs COMMAND in the checkout as root, by sudo where needed.

What root made in a user's checkout goes to that user afterwards. Returns COMMAND's exit code.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def main() -> int:
    os.chdir(CHECKOUT)
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            print("this needs root, and there is no sudo: run it as root", file=sys.stderr)
            return 1
        os.execvp("sudo", ["sudo", sys.executable, __file__, *sys.argv[1:]])
    code = run(sys.argv[1:])
    give_back()
    return code


def run(command: list[str]) -> int:
    """Run the command to its end; Ctrl-C reaches it by itself, SIGTERM is passed on."""
    signal.signal(signal.SIGINT, lambda number, frame: None)
    with subprocess.Popen(command) as process:
        signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
        code = process.wait()
    return code if code >= 0 else 128 - code


def give_back() -> None:
    """Give the files in the checkout that belong to root to the checkout's owner."""
    owner = CHECKOUT.stat()
    if owner.st_uid == 0:
        return
    for folder, folders, files in os.walk(CHECKOUT):
        if Path(folder) == CHECKOUT:
            folders[:] = [name for name in folders if name not in (".git", ".venv")]
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.lstat().st_uid == 0:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())

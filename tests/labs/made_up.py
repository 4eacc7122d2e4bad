"""A small lab for tests, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

LAB_TOML = """\
title = "Made up"
minutes = 5

[draw]
site = { from = 7, to = 7 }
advskew = { choice = [128] }
culprit = { choice = ["fw2"], hidden = true }

[derived]
longest_s = "(3 + advskew / 256) | round(2)"

[network]
site = "{{ site }}"
settings = ["fw2.advskew={{ advskew }}", "segment.outside=stp"]
"""
FW1 = """\
# {{ student }}'s fw1
[[virtual_host]]
interface = "fw1-outside"
vhid = 1
addresses = ["{{ virtual("outside") }}"]
"""
FILES = {
    "lab.toml": LAB_TOML,
    "README.md": "# Lab {{ lab }}: {{ own('client', 'inside') }}, {{ prefix('inside') }}\n",
    "check.py": "def check(lab):\n    yield from ()\n",
    "start/fw1.toml.j2": FW1,
    "start/network.toml.j2": 'segment.outside = "stp"\n',
    "start/answers.toml.j2": 'outage_s = "?"\n',
    "start/client.sh.j2": "true\n",
    "solution/network.toml.j2": 'segment.outside = "stp-edge"\n',
}


def write_lab(labs: Path, name: str = "07-made-up", **changed: str) -> Path:
    """Write the lab; `changed` are files with another text, `.` in their names as `_`."""
    for file, text in FILES.items():
        path = labs / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.name.replace(".", "_"), text))
    return labs / name

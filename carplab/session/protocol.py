"""How a session is talked to: JSON, a line each, over a Unix socket.

    {"command": "inject", "kind": "link_down", "host": "fw1", "segment": "outside"}
    {"ok": true, "result": {"id": 1, "t_s": 12.5}}
    {"ok": false, "error": "...", "usage": true}

"follow" is answered like every command; after that the session sends its messages until the
connection ends.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from carplab.emulation import registry

SOCKET = "session.sock"


def socket_path(run_dir: Path) -> Path:
    """Return the socket of the session whose files are in this directory of the registry."""
    return run_dir / SOCKET


def find_socket(root: Path = registry.ROOT) -> Path | None:
    """Return the socket of the session that is running, if one is."""
    record = registry.read_record(root)
    if record is None:
        return None
    path = socket_path(root / record.mark)
    return path if path.exists() else None


def encode(message: Any) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, separators=(",", ":"), default=str).encode() + b"\n"

"""Ryu's own ryu-manager with today's eventlet: `python -m controllers.ryu_manager APPLICATION ...`.

The `ryu-manager` that Ryu installs ends in an ImportError beside eventlet 0.30.3 and later.
"""

from __future__ import annotations

from controllers.eventlet_shim import prepare_for_ryu


def main() -> None:
    """Run ryu-manager on the command line's arguments."""
    prepare_for_ryu()
    from ryu.cmd import manager

    manager.main()


if __name__ == "__main__":
    main()

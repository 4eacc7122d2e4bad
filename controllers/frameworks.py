"""The one place that names Ryu or os-ken; everything else imports its names from here.

os-ken is the fork of Ryu that is still maintained and kept Ryu's classes under other names.
Whichever of the two has been imported already is used, so `ryu-manager` and the launcher decide by
importing theirs first; if neither was, Ryu is.

What differs and matters to the callers: Ryu runs green threads (eventlet), os-ken 4 runs native
ones. So they use the queues, semaphores and threads of `hub`, and lock what two threads may touch.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

if "os_ken" in sys.modules:
    from os_ken import cfg
    from os_ken.base.app_manager import AppManager
    from os_ken.base.app_manager import OSKenApp as Application
    from os_ken.controller import ofp_event
    from os_ken.controller.controller import Datapath
    from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from os_ken.lib import hub
    from os_ken.ofproto import ofproto_v1_3, ofproto_v1_3_parser

    DISTRIBUTION = "os-ken"
    _receive = Datapath._recv_loop

    def _receive_and_release_sender(datapath: Datapath) -> None:
        """os-ken 4.2 kills the sender of a lost connection, and native threads cannot be killed.

        So it waits for the sender for ever, and tells nobody that the switch is gone. A last
        message makes the sender look at its socket, and return.
        """
        try:
            _receive(datapath)
        finally:
            datapath.send(b"", close_socket=True)

    Datapath._recv_loop = _receive_and_release_sender
else:
    from ryu import cfg
    from ryu.base.app_manager import AppManager
    from ryu.base.app_manager import RyuApp as Application
    from ryu.controller import ofp_event
    from ryu.controller.controller import Datapath
    from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from ryu.lib import hub
    from ryu.ofproto import ofproto_v1_3, ofproto_v1_3_parser

    DISTRIBUTION = "ryu"

def load_stplib() -> Any:
    """Ryu's spanning tree; it takes its time to load and is not always wanted."""
    return importlib.import_module("ryu.lib.stplib")


__all__ = [
    "DEAD_DISPATCHER",
    "DISTRIBUTION",
    "MAIN_DISPATCHER",
    "AppManager",
    "Application",
    "Datapath",
    "cfg",
    "hub",
    "load_stplib",
    "ofp_event",
    "ofproto_v1_3",
    "ofproto_v1_3_parser",
    "set_ev_cls",
]

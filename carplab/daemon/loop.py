"""carpd's event loop: it drives the pure protocol core with what the kernel and the user tell.

The loop waits for three things at once: sockets, the core's next timer, signals. After each call
into the core it performs the actions that follow, in order. select(2) is enough for a handful of
sockets and waits with microseconds, where epoll_wait(2) rounds to milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from carplab import __version__
from carplab.carp.actions import (
    Action,
    Announce,
    ReleaseAddresses,
    SendAdvertisement,
    TakeAddresses,
    Transition,
    VirtualHostKey,
)
from carplab.carp.frames import ArpRequest, FrameError, parse_ip
from carplab.carp.node import Node, TransitionError
from carplab.daemon import status, vmac
from carplab.daemon.carpdev import Carpdev
from carplab.daemon.config import DaemonConfig, check_addresses
from carplab.daemon.control_server import ControlServer
from carplab.daemon.hooks import Hooks
from carplab.daemon.instance import Instance
from carplab.daemon.interfaces import Interfaces
from carplab.daemon.netlink import Interface, RouteSocket
from carplab.daemon.orders import obey
from carplab.daemon.reporter import Reporter, log
from carplab.daemon.undo import Journal, clean_up_remains, this_place
from carplab.errors import CarplabError

# read so many frames of one interface, then look at the timers: a flood must not stop them
_FRAMES_AT_ONCE = 64

# select(2) may be late by a thousandth of its timeout (select_estimate_accuracy() in Linux's
# fs/select.c), so the end of a long wait is waited for on its own
_EXACT_WAIT_S = 0.05


def run(config: DaemonConfig) -> None:
    """Be carpd until SIGTERM, SIGINT or SIGHUP. Raises CarplabError when it cannot start."""
    with contextlib.ExitStack() as stack:
        stop_signal = stack.enter_context(_stop_signals())
        try:
            daemon = _start(config, stack)
        except OSError as error:
            raise CarplabError(f"cannot start: {error}") from None
        daemon.serve(stop_signal)
        daemon.stop()


def _start(config: DaemonConfig, stack: contextlib.ExitStack) -> Daemon:
    """A running daemon; `stack` gets what takes everything back, also when this fails."""
    instance = Instance(config.run_dir, config.name)
    stack.callback(instance.release)
    netlink = RouteSocket()
    stack.callback(netlink.close)
    place = this_place()
    clean_up_remains(instance.state_path, place, netlink, log)
    ports = [port for interface in config.interfaces for port in config.ports(interface)]
    check_addresses(config, {port: _own_addresses(netlink, port) for port in ports})
    journal = Journal(instance.state_path, place)
    stack.callback(journal.take_back, netlink)
    journal.set_sysctls(vmac.HOST_SYSCTLS)
    daemon = Daemon(config, netlink, journal)
    stack.callback(daemon.close)
    daemon.start(instance.socket_path)
    return daemon


class Daemon:
    """Joins the core to its interfaces, its timers and its control socket."""

    def __init__(self, config: DaemonConfig, netlink: RouteSocket, journal: Journal) -> None:
        self._config = config
        self._node = Node(config.node, lambda: int.from_bytes(os.urandom(8), "big"))
        self._reporter = Reporter()
        self._selector = selectors.SelectSelector()
        self._hooks = Hooks(config.name, config.hooks, self._selector, self._reporter.hook)
        self._interfaces = Interfaces(
            config,
            netlink,
            journal,
            self._reporter,
            self._selector,
            self._link_changed,
            self._moved,
            self._receive,
            self._receive_arp,
        )
        self._control: ControlServer | None = None

    # Life

    def start(self, socket_path: Path) -> None:
        """Make what the virtual hosts need, then let them run. Raises CarplabError."""
        self._interfaces.attach_all()
        self._control = ControlServer(
            socket_path, self._selector, self._handle, self._reporter.events
        )
        self._reporter.life(
            "start",
            f"{self._config.name} runs: carpd {__version__}, pid {os.getpid()}, "
            f"control socket {socket_path}",
        )
        self._interfaces.tell_all()

    def serve(self, stop_signal: socket.socket) -> None:
        """Work until something can be read from `stop_signal`."""
        stopping = False

        def stop(_: int) -> None:
            nonlocal stopping
            stopping = True

        self._selector.register(stop_signal, selectors.EVENT_READ, stop)
        while not stopping:
            self._serve_ready(self._patience_s())
            if self._timer_is_due():
                # A BACKUP that was paused must see that the MASTER lives before it concludes that
                # it does not: a wait that timed out has not looked at the sockets again.
                self._serve_ready(0.0)
                self._handle_timers()

    def stop(self) -> None:
        """Bow out, and give the addresses back."""
        self._node.stop(time.monotonic())
        self._perform_actions()
        self._reporter.life("stop", f"{self._config.name} ends")

    def close(self) -> None:
        """Let go of everything but what the journal takes back."""
        self._hooks.close()
        if self._control is not None:
            self._control.close()
        self._interfaces.close()
        self._selector.close()

    def _serve_ready(self, patience_s: float | None) -> None:
        for key, mask in self._selector.select(patience_s):
            key.data(mask)

    # Timers

    def _patience_s(self) -> float | None:
        """How long to wait at most, in seconds; None is forever."""
        timer = self._next_timer()
        if timer is None:
            return None
        left_s = max(0.0, timer - time.monotonic())
        return left_s if left_s < _EXACT_WAIT_S else 0.99 * left_s

    def _next_timer(self) -> float | None:
        timers = (self._node.get_timer(), self._interfaces.get_timer())
        return min((timer for timer in timers if timer is not None), default=None)

    def _timer_is_due(self) -> bool:
        timer = self._next_timer()
        return timer is not None and timer <= time.monotonic()

    def _handle_timers(self) -> None:
        self._interfaces.handle_timer(time.monotonic())
        self._node.handle_timer(time.monotonic())
        self._perform_actions()

    # What arrives

    def _link_changed(self, name: str, up: bool) -> None:
        now = time.monotonic()
        self._reporter.carrier(name, up, now)
        self._node.link_changed(name, up, now)
        self._perform_actions()

    def _moved(self, name: str, left: Carpdev) -> None:
        """A failover set went on to another port: its MASTERs move from the port that was left."""
        held = left.held
        for vhid in held:
            self._take(VirtualHostKey(name, vhid))
        self._node.link_moved(name, time.monotonic())
        self._perform_actions()
        # last, because it takes longest and nobody waits for it
        for vhid in held:
            self._release(VirtualHostKey(name, vhid), left)

    def _receive(self, name: str, carpdev: Carpdev) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            packet = carpdev.socket.receive()
            if packet is None:
                return
            # the other ports of a failover set are on the same segment and hear everything too
            if carpdev is self._interfaces.get(name):
                self._receive_packet(name, packet)

    def _receive_packet(self, name: str, packet: bytes) -> None:
        now = time.monotonic()
        try:
            datagram = parse_ip(packet)
        except FrameError:
            self._node.reject(name, "hdrops", None, now)
        else:
            # what left through the other port just before the set moved is no other MASTER's
            if self._interfaces.sent_by_another_port(name, datagram.source):
                return
            self._node.receive_datagram(name, datagram, now)
        self._perform_actions()

    def _receive_arp(self, name: str, carpdev: Carpdev) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            request = carpdev.hear_arp()
            if request is None:
                return
            key = self._answering(name, carpdev, request)
            if key is not None:
                self._answer_arp(key, carpdev, request)

    def _answering(self, name: str, carpdev: Carpdev, request: ArpRequest) -> VirtualHostKey | None:
        """The virtual host that answers a request; None: it is another machine's, or nobody's."""
        if carpdev is not self._interfaces.get(name):
            return None
        if self._config.node.balances(name, request.target):
            return self._node.answer_arp(
                name, request.requester, request.requester_mac, request.target
            )
        vhid = carpdev.silent_holder(request.target)
        return None if vhid is None else VirtualHostKey(name, vhid)

    def _answer_arp(self, key: VirtualHostKey, carpdev: Carpdev, request: ArpRequest) -> None:
        # as with every answer: one that cannot be sent now is asked for again
        with contextlib.suppress(OSError):
            carpdev.answer_arp(key.vhid, request)
            self._reporter.arp(key, request, time.monotonic())

    def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a client of the control socket. Raises ValueError with a sentence."""
        now = time.monotonic()
        if request.get("command") == "status":
            ports = self._interfaces.ports_of_sets()
            return status.report(self._config.name, self._node.status(), ports, now)
        obey(self._node, request, now)
        self._perform_actions()
        return {}

    # What follows

    def _perform_actions(self) -> None:
        while (action := self._node.next_action()) is not None:
            self._perform(action)
        self._hooks.start_waiting()

    def _perform(self, action: Action) -> None:
        if isinstance(action, SendAdvertisement):
            self._send(action)
        elif isinstance(action, TakeAddresses):
            self._take(action.key)
        elif isinstance(action, ReleaseAddresses):
            self._release(action.key, self._interfaces.get(action.key.interface))
        elif isinstance(action, Announce):
            self._announce(action)
        else:
            self._reporter.noted(action)
            if isinstance(action, Transition):
                self._hooks.note(action)

    def _send(self, action: SendAdvertisement) -> None:
        carpdev = self._interfaces.get(action.key.interface)
        ok = False
        if carpdev is not None:
            with contextlib.suppress(OSError):
                carpdev.advertise(action)
                ok = True
        now = time.monotonic()
        self._node.sent(action.key, ok, now)
        self._reporter.sent(action, ok, now)

    def _take(self, key: VirtualHostKey) -> None:
        carpdev = self._interfaces.get(key.interface)
        if carpdev is None or self._try(key, "take", lambda: carpdev.take(key.vhid)):
            return
        # a MASTER without its addresses would keep everybody else from serving them
        with contextlib.suppress(TransitionError):
            self._node.disable(key, time.monotonic())

    def _release(self, key: VirtualHostKey, carpdev: Carpdev | None) -> None:
        if carpdev is not None:
            self._try(key, "release", lambda: carpdev.release(key.vhid))

    def _announce(self, action: Announce) -> None:
        carpdev = self._interfaces.get(action.key.interface)
        if carpdev is not None:
            self._try(action.key, "announce", lambda: carpdev.announce(action))

    def _try(self, key: VirtualHostKey, what: str, attempt: Callable[[], None]) -> bool:
        """Whether it worked for the virtual host."""
        try:
            attempt()
        except (OSError, CarplabError) as error:
            why = vmac.explain(error) if isinstance(error, OSError) else str(error)
            self._reporter.error(key, f"cannot {what} the addresses: {why}")
            return False
        return True


@contextlib.contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """A socket that becomes readable with a signal to end, which does nothing else meanwhile."""
    readable, written = socket.socketpair()
    written.setblocking(False)
    signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        yield readable
    finally:
        signal.set_wakeup_fd(-1)
        readable.close()
        written.close()


def _own_addresses(netlink: RouteSocket, name: str) -> list[Interface] | None:
    link = netlink.link(name)
    return None if link is None else [entry.interface for entry in netlink.addresses(link.index)]

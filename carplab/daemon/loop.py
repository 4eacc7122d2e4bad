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
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from carplab import __version__
from carplab.carp.actions import (
    Action,
    Announce,
    DemotionChanged,
    Heard,
    Rejected,
    ReleaseAddresses,
    SendAdvertisement,
    TakeAddresses,
    Transition,
    VirtualHostKey,
)
from carplab.carp.frames import FrameError, parse_ip
from carplab.carp.node import Node, TransitionError
from carplab.carp.packet import Advertisement
from carplab.carp.virtual_host import State
from carplab.daemon import status, vmac
from carplab.daemon.carpdev import Carpdev
from carplab.daemon.config import DaemonConfig, check_addresses
from carplab.daemon.control_server import ControlServer
from carplab.daemon.events import EventLog
from carplab.daemon.instance import Instance
from carplab.daemon.netlink import (
    AddressesChanged,
    Interface,
    Link,
    LinkRemoved,
    News,
    NewsLost,
    RouteSocket,
    RouteWatch,
)
from carplab.daemon.undo import Journal, clean_up_remains, this_place
from carplab.errors import CarplabError

# read so many frames of one interface, then look at the timers: a flood must not stop them
_FRAMES_AT_ONCE = 64

# select(2) may be late by a thousandth of its timeout (select_estimate_accuracy() in Linux's
# fs/select.c), so the end of a long wait is waited for on its own
_EXACT_WAIT_S = 0.05


def log(sentence: str) -> None:
    """One line on standard error. That nobody reads it is no reason to stop."""
    with contextlib.suppress(OSError):
        print(f"carpd: {sentence}", file=sys.stderr, flush=True)


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
    check_addresses(config, {name: _own_addresses(netlink, name) for name in config.interfaces})
    journal = Journal(instance.state_path, place)
    stack.callback(journal.take_back, netlink)
    daemon = Daemon(config, netlink, journal)
    stack.callback(daemon.close)
    daemon.start(instance.socket_path)
    return daemon


class Daemon:
    """The core, its interfaces and its control socket."""

    def __init__(self, config: DaemonConfig, netlink: RouteSocket, journal: Journal) -> None:
        self._config = config
        self._node = Node(config.node, lambda: int.from_bytes(os.urandom(8), "big"))
        self._netlink = netlink
        self._journal = journal
        self._events = EventLog()
        self._selector = selectors.SelectSelector()
        self._watch = RouteWatch()
        self._carpdevs: dict[str, Carpdev] = {}
        self._carriers: dict[str, bool] = {}
        self._control: ControlServer | None = None

    # Life

    def start(self, socket_path: Path) -> None:
        """Make what the virtual hosts need, then let them run. Raises CarplabError."""
        self._selector.register(self._watch, selectors.EVENT_READ, self._read_news)
        self._journal.set_sysctls(vmac.HOST_SYSCTLS)
        links = {link.name: link for link in self._netlink.links()}
        for name in self._config.interfaces:
            self._attach(links[name])
        self._control = ControlServer(socket_path, self._selector, self._handle, self._events)
        self._events.add(
            "start", time.monotonic(), reason=f"carpd {__version__}, pid {os.getpid()}"
        )
        log(f"{self._config.name} runs, pid {os.getpid()}, control socket {socket_path}")
        for name in self._config.interfaces:
            self._link_changed(name, links[name].is_up)

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

    def _serve_ready(self, patience_s: float | None) -> None:
        for key, mask in self._selector.select(patience_s):
            key.data(mask)

    def stop(self) -> None:
        """Bow out, and give the addresses back."""
        self._node.stop(time.monotonic())
        self._perform_actions()
        self._events.add("stop", time.monotonic(), reason=f"pid {os.getpid()}")
        log(f"{self._config.name} ends")

    def close(self) -> None:
        """Let go of everything but what the journal takes back."""
        if self._control is not None:
            self._control.close()
        for carpdev in self._carpdevs.values():
            carpdev.close()
        self._watch.close()
        self._selector.close()

    # Timers

    def _patience_s(self) -> float | None:
        """How long to wait at most, in seconds; None is forever."""
        timer = self._node.get_timer()
        if timer is None:
            return None
        left_s = max(0.0, timer - time.monotonic())
        return left_s if left_s < _EXACT_WAIT_S else 0.99 * left_s

    def _timer_is_due(self) -> bool:
        timer = self._node.get_timer()
        return timer is not None and timer <= time.monotonic()

    def _handle_timers(self) -> None:
        self._node.handle_timer(time.monotonic())
        self._perform_actions()

    # Interfaces

    def _attach(self, link: Link) -> None:
        """Set up an interface that exists. Raises CarplabError."""
        try:
            carpdev = Carpdev(link, self._config.virtual_hosts_on(link.name), self._netlink)
            self._carpdevs[link.name] = carpdev
            self._selector.register(
                carpdev.socket, selectors.EVENT_READ, lambda _: self._receive(link.name, carpdev)
            )
            carpdev.create_macvlans(self._journal)
        except OSError as error:
            raise CarplabError(f"interface {link.name}: {vmac.explain(error)}") from None

    def _detach(self, name: str) -> None:
        carpdev = self._carpdevs.pop(name, None)
        if carpdev is not None:
            self._selector.unregister(carpdev.socket)
            carpdev.close()

    def _read_news(self, _: int) -> None:
        for news in self._watch.read():
            self._take_note(news)

    def _take_note(self, news: News) -> None:
        if isinstance(news, NewsLost):
            self._look_again()
        elif isinstance(news, Link):
            self._link_news(news)
        elif isinstance(news, LinkRemoved):
            for name in self._names_of(news.index):
                self._interface_gone(name)
        elif isinstance(news, AddressesChanged):
            for name in self._names_of(news.index):
                self._carpdevs[name].read_addresses()

    def _names_of(self, index: int) -> list[str]:
        return [name for name, carpdev in self._carpdevs.items() if carpdev.link.index == index]

    def _look_again(self) -> None:
        links = self._netlink.links()
        present = {link.index for link in links}
        for name, carpdev in tuple(self._carpdevs.items()):
            if carpdev.link.index not in present:
                self._interface_gone(name)
        for link in links:
            self._link_news(link)
        for carpdev in self._carpdevs.values():
            carpdev.read_addresses()

    def _link_news(self, link: Link) -> None:
        for name in self._names_of(link.index):
            if name != link.name:
                self._interface_gone(name)
        if link.name not in self._config.interfaces:
            return
        carpdev = self._carpdevs.get(link.name)
        if carpdev is not None and carpdev.link.index != link.index:
            self._interface_gone(link.name)
            carpdev = None
        if carpdev is None:
            if not self._attach_again(link):
                return
        else:
            carpdev.link = link
        self._link_changed(link.name, link.is_up)

    def _attach_again(self, link: Link) -> bool:
        try:
            self._attach(link)
        except CarplabError as error:
            self._detach(link.name)
            self._report_error(link.name, None, str(error))
            return False
        log(f"{link.name} is back")
        return True

    def _interface_gone(self, name: str) -> None:
        self._link_changed(name, False)
        self._detach(name)
        log(f"{name} is gone")

    def _link_changed(self, name: str, up: bool) -> None:
        if self._carriers.get(name) == up:
            return
        self._carriers[name] = up
        now = time.monotonic()
        self._events.add("carrier", now, interface=name, new="up" if up else "down")
        self._node.link_changed(name, up, now)
        self._perform_actions()

    # Frames

    def _receive(self, name: str, carpdev: Carpdev) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            packet = carpdev.socket.receive()
            if packet is None:
                return
            now = time.monotonic()
            try:
                datagram = parse_ip(packet)
            except FrameError:
                self._node.reject(name, "hdrops", None, now)
            else:
                self._node.receive_datagram(name, datagram, now)
            self._perform_actions()

    # Actions

    def _perform_actions(self) -> None:
        while (action := self._node.next_action()) is not None:
            self._perform(action)

    def _perform(self, action: Action) -> None:
        if isinstance(action, SendAdvertisement):
            self._send(action)
        elif isinstance(action, TakeAddresses):
            self._take(action.key)
        elif isinstance(action, ReleaseAddresses):
            self._try(action.key, "release", lambda carpdev: carpdev.release(action.key.vhid))
        elif isinstance(action, Announce):
            self._try(action.key, "announce", lambda carpdev: carpdev.announce(action.key.vhid))
        else:
            self._record(action)

    def _send(self, action: SendAdvertisement) -> None:
        carpdev = self._carpdevs.get(action.key.interface)
        ok = False
        if carpdev is not None:
            with contextlib.suppress(OSError):
                carpdev.advertise(action)
                ok = True
        now = time.monotonic()
        self._node.sent(action.key, ok, now)
        self._events.add(
            "sent",
            now,
            **_key_fields(action.key),
            family=action.family,
            ok=ok,
            **_advertisement_fields(action.advertisement),
        )

    def _take(self, key: VirtualHostKey) -> None:
        if self._try(key, "take", lambda carpdev: carpdev.take(key.vhid)):
            return
        # a MASTER without its addresses would keep everybody else from serving them
        with contextlib.suppress(TransitionError):
            self._node.disable(key, time.monotonic())

    def _try(self, key: VirtualHostKey, what: str, attempt: Callable[[Carpdev], None]) -> bool:
        carpdev = self._carpdevs.get(key.interface)
        if carpdev is None:
            return False
        try:
            attempt(carpdev)
        except (OSError, CarplabError) as error:
            why = vmac.explain(error) if isinstance(error, OSError) else str(error)
            self._report_error(key.interface, key.vhid, f"cannot {what} the addresses: {why}")
            return False
        return True

    def _report_error(self, interface: str, vhid: int | None, reason: str) -> None:
        log(f"{interface if vhid is None else VirtualHostKey(interface, vhid)}: {reason}")
        self._events.add("error", time.monotonic(), interface=interface, vhid=vhid, reason=reason)

    def _record(self, action: Transition | DemotionChanged | Heard | Rejected) -> None:
        if isinstance(action, Transition):
            log(f"{action.key}: {action.old} -> {action.new} ({action.reason})")
            self._events.add(
                "transition",
                action.at_s,
                **_key_fields(action.key),
                old=action.old,
                new=action.new,
                reason=action.reason,
            )
        elif isinstance(action, DemotionChanged):
            log(f"demotion {action.old} -> {action.new} ({action.reason})")
            self._events.add(
                "demotion", action.at_s, old=action.old, new=action.new, reason=action.reason
            )
        elif isinstance(action, Heard):
            self._events.add(
                "heard",
                action.at_s,
                **_key_fields(action.key),
                source=str(action.source),
                **_advertisement_fields(action.advertisement),
            )
        else:
            source = None if action.source is None else str(action.source)
            self._events.add_rejected(action.interface, source, action.statistic, action.at_s)

    # Orders

    def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a client of the control socket asks for. Raises ValueError with a sentence."""
        if request.get("command") == "status":
            return status.report(self._config, self._node.status(), time.monotonic())
        try:
            self._obey(request, time.monotonic())
        except TransitionError as error:
            raise ValueError(str(error)) from None
        self._perform_actions()
        return {}

    def _obey(self, request: dict[str, Any], now: float) -> None:
        command = request.get("command")
        if command == "demote":
            self._node.demote(_whole_number(request, "delta"), "carpd demote", now)
        elif command == "down":
            self._node.disable(self._key(request), now)
        elif command == "up":
            self._node.enable(self._key(request), now)
        elif command == "force":
            self._node.force(self._key(request), _forced_state(request), now)
        else:
            raise ValueError(f"unknown command {command!r}")

    def _key(self, request: dict[str, Any]) -> VirtualHostKey:
        vhid = _whole_number(request, "vhid")
        interface = request.get("interface")
        hosts = self._config.node.virtual_hosts
        keys = [host.key for host in hosts if host.vhid == vhid]
        if interface is not None:
            keys = [key for key in keys if key.interface == interface]
        if not keys:
            where = "" if interface is None else f" on {interface}"
            there = ", ".join(str(host.key) for host in hosts)
            raise ValueError(f"there is no vhid {vhid}{where} here, only {there}")
        if len(keys) > 1:
            raise ValueError(f"vhid {vhid} is ambiguous: say {' or '.join(map(str, keys))}")
        return keys[0]


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


def _key_fields(key: VirtualHostKey) -> dict[str, Any]:
    return {"interface": key.interface, "vhid": key.vhid}


def _advertisement_fields(advertisement: Advertisement) -> dict[str, Any]:
    return {
        "advbase": advertisement.advbase,
        "advskew": advertisement.advskew,
        "demote": advertisement.demote,
    }


def _whole_number(request: dict[str, Any], key: str) -> int:
    value = request.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} {value!r} is not a whole number")
    return value


def _forced_state(request: dict[str, Any]) -> State:
    name = request.get("state")
    if name not in (State.MASTER.value, State.BACKUP.value):
        raise ValueError(f"state {name!r} cannot be forced, only MASTER and BACKUP can")
    return State(name)

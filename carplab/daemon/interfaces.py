"""The interfaces that carry virtual hosts: they come and go, and carpd follows.

Two sorts of names meet here. A port is an interface of the kernel's. What a virtual host calls its
interface is either a port or a failover set, which works through one of its ports at a time: the
first, in the order of the configuration, that has its carrier. With a link_up_delay a port whose
carrier has just come is passed over for that long, as long as another one has its carrier: the
switch may not let its frames through yet.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from carplab.carp.packet import Address
from carplab.daemon import vmac
from carplab.daemon.carpdev import Carpdev
from carplab.daemon.config import DaemonConfig
from carplab.daemon.netlink import (
    AddressesChanged,
    Link,
    LinkRemoved,
    News,
    NewsLost,
    RouteSocket,
    RouteWatch,
)
from carplab.daemon.reporter import Reporter, log
from carplab.daemon.undo import Journal
from carplab.errors import CarplabError


class Interfaces:
    """Follows the configured interfaces, and chooses the port of each failover set.

    `link_changed` is called with an interface's name and whether frames can pass, at first and at
    each change; `moved` when a set that can pass frames went on to another port, with the port it
    left; `frames_arrived` when something can be read from a port's socket, and `arp_arrived` when
    it can from its socket for ARP.
    """

    def __init__(
        self,
        config: DaemonConfig,
        netlink: RouteSocket,
        journal: Journal,
        reporter: Reporter,
        selector: selectors.BaseSelector,
        link_changed: Callable[[str, bool], None],
        moved: Callable[[str, Carpdev], None],
        frames_arrived: Callable[[str, Carpdev], None],
        arp_arrived: Callable[[str, Carpdev], None],
    ) -> None:
        self._config = config
        self._netlink = netlink
        self._journal = journal
        self._reporter = reporter
        self._selector = selector
        self._link_changed = link_changed
        self._moved = moved
        self._frames_arrived = frames_arrived
        self._arp_arrived = arp_arrived
        self._owners = {
            port: interface for interface in config.interfaces for port in config.ports(interface)
        }
        self._present: dict[str, Carpdev] = {}  # by port
        self._used: dict[str, Carpdev] = {}  # by interface
        self._up: dict[str, bool] = {}  # by interface
        self._held_until_s: dict[str, float] = {}  # by port of a set, monotonic
        # it listens before anything is looked at, so that no change falls in between
        self._watch = RouteWatch()
        selector.register(self._watch, selectors.EVENT_READ, self._read_news)

    def get(self, name: str) -> Carpdev | None:
        """The port an interface works through, or worked through last; None while there is none."""
        return self._used.get(name)

    def ports_of_sets(self) -> dict[str, str]:
        """The port that each failover set works through, or worked through last."""
        return {
            name: carpdev.link.name
            for name, carpdev in self._used.items()
            if name in self._config.failover
        }

    def sent_by_another_port(self, name: str, source: Address) -> bool:
        """Whether an advertisement that arrived was sent by this machine, through a port of the
        same set that is not in use now.
        """
        return any(
            source in carpdev.sources
            for port in self._config.ports(name)
            if (carpdev := self._present.get(port)) is not None and carpdev is not self.get(name)
        )

    def attach_all(self) -> None:
        """Set up every port; all must exist. Raises CarplabError."""
        for link in self._netlink.links():
            if link.name in self._owners:
                self._attach(link)

    def tell_all(self) -> None:
        """Tell for the first time which of them are up."""
        for name in self._config.interfaces:
            self._choose_port(name)

    def close(self) -> None:
        for port in tuple(self._present):
            self._detach(port)
        self._watch.close()

    # Timers

    def get_timer(self) -> float | None:
        """When handle_timer() is due, monotonic seconds, or None."""
        return min(self._held_until_s.values(), default=None)

    def handle_timer(self, now: float) -> None:
        """Let the sets work through the ports that have been held back long enough."""
        for port in [port for port, due_s in self._held_until_s.items() if due_s <= now]:
            del self._held_until_s[port]
            self._choose_port(self._owners[port])

    # News

    def _read_news(self, _: int) -> None:
        for news in self._watch.read():
            self._take_note(news)

    def _take_note(self, news: News) -> None:
        if isinstance(news, NewsLost):
            self._look_again()
        elif isinstance(news, Link):
            self._link_news(news)
        elif isinstance(news, LinkRemoved):
            for port in self._ports_of(news.index):
                self._gone(port)
        elif isinstance(news, AddressesChanged):
            for port in self._ports_of(news.index):
                self._present[port].read_addresses()

    def _look_again(self) -> None:
        links = self._netlink.links()
        present = {link.index for link in links}
        for port, carpdev in tuple(self._present.items()):
            if carpdev.link.index not in present:
                self._gone(port)
        for link in links:
            self._link_news(link)
        for carpdev in self._present.values():
            carpdev.read_addresses()

    def _link_news(self, link: Link) -> None:
        for port in self._ports_of(link.index):
            if port != link.name:
                self._gone(port)
        if link.name not in self._owners:
            return
        carpdev = self._present.get(link.name)
        if carpdev is not None and carpdev.link.index != link.index:
            self._gone(link.name)
            carpdev = None
        was_up = carpdev is not None and carpdev.link.is_up
        if carpdev is not None:
            carpdev.link = link
        elif not self._came_back(link):
            return
        self._hold_back(link, was_up)
        self._choose_port(self._owners[link.name])

    def _hold_back(self, link: Link, was_up: bool) -> None:
        delay_s = self._config.node.extensions.link_up_delay_s
        if not link.is_up:
            self._held_until_s.pop(link.name, None)
        elif not was_up and delay_s > 0 and self._owners[link.name] in self._config.failover:
            self._held_until_s[link.name] = time.monotonic() + delay_s

    def _ports_of(self, index: int) -> list[str]:
        return [port for port, carpdev in self._present.items() if carpdev.link.index == index]

    # Coming and going

    def _attach(self, link: Link) -> None:
        interface = self._owners[link.name]
        try:
            carpdev = Carpdev(
                link,
                self._config.virtual_hosts_on(interface),
                self._config.sharing_on(interface),
                self._netlink,
            )
            self._present[link.name] = carpdev
            self._listen(interface, carpdev)
            carpdev.create_macvlans(self._journal)
        except OSError as error:
            raise CarplabError(f"interface {link.name}: {vmac.explain(error)}") from None

    def _listen(self, interface: str, carpdev: Carpdev) -> None:
        def frames(_: int) -> None:
            self._frames_arrived(interface, carpdev)

        def arp(_: int) -> None:
            self._arp_arrived(interface, carpdev)

        self._selector.register(carpdev.socket, selectors.EVENT_READ, frames)
        if carpdev.arp_socket is not None:
            self._selector.register(carpdev.arp_socket, selectors.EVENT_READ, arp)

    def _detach(self, port: str) -> None:
        carpdev = self._present.pop(port, None)
        if carpdev is None:
            return
        if self.get(self._owners[port]) is carpdev:
            del self._used[self._owners[port]]
        self._selector.unregister(carpdev.socket)
        if carpdev.arp_socket is not None:
            self._selector.unregister(carpdev.arp_socket)
        carpdev.close()

    def _came_back(self, link: Link) -> bool:
        try:
            self._attach(link)
        except CarplabError as error:
            self._detach(link.name)
            self._reporter.error(link.name, str(error))
            return False
        log(f"{link.name} is back")
        return True

    def _gone(self, port: str) -> None:
        # those who let go of it need it once more
        self._held_until_s.pop(port, None)
        self._choose_port(self._owners[port], without=port)
        self._detach(port)
        log(f"{port} is gone")

    # Which port, and what to tell

    def _choose_port(self, name: str, without: str | None = None) -> None:
        """Work through the first port that may be, and tell what that changes."""
        chosen = self._first_usable(name, without)
        if chosen is None:
            self._tell(name, False)
            return
        left = self.get(name)
        if chosen is left:
            self._tell(name, True)
            return
        self._used[name] = chosen
        if name in self._config.failover:
            self._reporter.port(name, chosen.link.name)
        if left is not None and self._up.get(name):
            self._moved(name, left)
        else:
            self._tell(name, True)

    def _first_usable(self, name: str, without: str | None) -> Carpdev | None:
        up = [
            carpdev
            for port in self._config.ports(name)
            if (carpdev := self._present.get(port)) is not None
            and carpdev.link.is_up
            and port != without
        ]
        settled = [carpdev for carpdev in up if carpdev.link.name not in self._held_until_s]
        if not settled and self.get(name) in up:
            return self.get(name)
        return next(iter(settled or up), None)

    def _tell(self, name: str, up: bool) -> None:
        if self._up.get(name) != up:
            self._up[name] = up
            self._link_changed(name, up)

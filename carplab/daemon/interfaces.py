"""The interfaces that carry virtual hosts: they come and go, and carpd follows."""

from __future__ import annotations

import selectors
from collections.abc import Callable

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
    """Follows the configured interfaces.

    `link_changed` is called with a name and whether frames can pass, at first and at each change;
    `frames_arrived` when something can be read from an interface's socket.
    """

    def __init__(
        self,
        config: DaemonConfig,
        netlink: RouteSocket,
        journal: Journal,
        reporter: Reporter,
        selector: selectors.BaseSelector,
        link_changed: Callable[[str, bool], None],
        frames_arrived: Callable[[str, Carpdev], None],
    ) -> None:
        self._config = config
        self._netlink = netlink
        self._journal = journal
        self._reporter = reporter
        self._selector = selector
        self._link_changed = link_changed
        self._frames_arrived = frames_arrived
        self._present: dict[str, Carpdev] = {}
        self._up: dict[str, bool] = {}
        # it listens before anything is looked at, so that no change falls in between
        self._watch = RouteWatch()
        selector.register(self._watch, selectors.EVENT_READ, self._read_news)

    def get(self, name: str) -> Carpdev | None:
        """The interface of this name, or None while it does not exist."""
        return self._present.get(name)

    def attach_all(self) -> None:
        """Set up every interface; all must exist. Raises CarplabError."""
        for link in self._netlink.links():
            if link.name in self._config.interfaces:
                self._attach(link)

    def tell_all(self) -> None:
        """Tell for the first time which of them are up."""
        for name in self._config.interfaces:
            carpdev = self._present.get(name)
            self._tell(name, carpdev is not None and carpdev.link.is_up)

    def close(self) -> None:
        for name in tuple(self._present):
            self._detach(name)
        self._watch.close()

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
            for name in self._names_of(news.index):
                self._gone(name)
        elif isinstance(news, AddressesChanged):
            for name in self._names_of(news.index):
                self._present[name].read_addresses()

    def _look_again(self) -> None:
        links = self._netlink.links()
        present = {link.index for link in links}
        for name, carpdev in tuple(self._present.items()):
            if carpdev.link.index not in present:
                self._gone(name)
        for link in links:
            self._link_news(link)
        for carpdev in self._present.values():
            carpdev.read_addresses()

    def _link_news(self, link: Link) -> None:
        for name in self._names_of(link.index):
            if name != link.name:
                self._gone(name)
        if link.name not in self._config.interfaces:
            return
        carpdev = self._present.get(link.name)
        if carpdev is not None and carpdev.link.index != link.index:
            self._gone(link.name)
            carpdev = None
        if carpdev is not None:
            carpdev.link = link
        elif not self._came_back(link):
            return
        self._tell(link.name, link.is_up)

    def _names_of(self, index: int) -> list[str]:
        return [name for name, carpdev in self._present.items() if carpdev.link.index == index]

    # Coming and going

    def _attach(self, link: Link) -> None:
        try:
            carpdev = Carpdev(link, self._config.virtual_hosts_on(link.name), self._netlink)
            self._present[link.name] = carpdev
            self._selector.register(
                carpdev.socket,
                selectors.EVENT_READ,
                lambda _: self._frames_arrived(link.name, carpdev),
            )
            carpdev.create_macvlans(self._journal)
        except OSError as error:
            raise CarplabError(f"interface {link.name}: {vmac.explain(error)}") from None

    def _detach(self, name: str) -> None:
        carpdev = self._present.pop(name, None)
        if carpdev is not None:
            self._selector.unregister(carpdev.socket)
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

    def _gone(self, name: str) -> None:
        self._tell(name, False)
        self._detach(name)
        log(f"{name} is gone")

    def _tell(self, name: str, up: bool) -> None:
        if self._up.get(name) != up:
            self._up[name] = up
            self._link_changed(name, up)

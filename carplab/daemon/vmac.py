"""The virtual MAC of a virtual host: a macvlan that is up, with the addresses, only while MASTER.

What makes a macvlan answer like a BSD carp interface was found by measuring:

- arp_ignore 1: else the interface below answers for the virtual address too, with its own MAC;
- arp_announce 2: else the virtual address is announced with the real MAC;
- rp_filter 0: else what is sent to the virtual MAC is dropped: the route back is another interface;
- arp_ignore 8 on a macvlan with an address that several virtual hosts share: it answers nobody, for
  carpd itself does (carplab.daemon.carpdev);
- a macvlan that is down but still has the address keeps it local: a BACKUP would answer itself. So
  the addresses are removed first;
- the macvlan is made beforehand, because that takes longer than everything a promotion needs.

The settings are described in the kernel's Documentation/networking/ip-sysctl.rst.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from carplab.carp.packet import virtual_mac
from carplab.carp.virtual_host import VirtualHostConfig
from carplab.daemon import sysctl
from carplab.daemon.netlink import RouteSocket

HOST_SYSCTLS = {
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    "net/ipv4/conf/all/rp_filter": "0",
}


def interface_sysctls(interface: str) -> dict[str, str]:
    """What is to be set on the interface itself: of it and "all" the higher value counts."""
    return {f"net/ipv4/conf/{interface}/rp_filter": "0"}


def macvlan_name(vhid: int, parent: int) -> str:
    """The macvlan's name for a virtual host on the interface with index `parent`: "carp1-7"."""
    return f"carp{vhid}-{parent}"


class VirtualMac:
    """One virtual host's macvlan on the interface with index `parent`.

    With `answers_arp` false it answers no ARP request. Raises OSError with the kernel's
    errno where it refuses.
    """

    def __init__(
        self, netlink: RouteSocket, config: VirtualHostConfig, parent: int, answers_arp: bool
    ) -> None:
        self._netlink = netlink
        self._answers_arp = answers_arp
        self._addresses = config.addresses
        self._parent = parent
        self.name = macvlan_name(config.vhid, parent)
        self.mac = virtual_mac(config.vhid)
        self._index = self._create()

    def take(self) -> None:
        """Receive what is sent to the virtual MAC, and answer for the addresses."""
        try:
            self._netlink.set_up(self._index, True)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            # somebody deleted it
            self._index = self._create()
            self._netlink.set_up(self._index, True)
        for address in self._addresses:
            with contextlib.suppress(FileExistsError):
                self._netlink.add_address(self._index, address)

    def release(self) -> None:
        """The reverse. What is gone already, with its interface or by hand, is no error."""
        for address in self._addresses:
            with _missing_is_fine():
                self._netlink.delete_address(self._index, address)
        with _missing_is_fine():
            self._netlink.set_up(self._index, False)

    def delete(self) -> None:
        with _missing_is_fine():
            self._netlink.delete_link(self._index)

    def _create(self) -> int:
        index = self._netlink.create_macvlan(self.name, self._parent, self.mac)
        for setting, value in self._settings():
            # without IPv6 in the kernel there is nothing to set
            with contextlib.suppress(FileNotFoundError):
                sysctl.write(setting, value)
        return index

    def _settings(self) -> Iterator[tuple[str, str]]:
        yield f"net/ipv4/conf/{self.name}/rp_filter", "0"
        if not self._answers_arp:
            yield f"net/ipv4/conf/{self.name}/arp_ignore", "8"
        if all(address.version == 4 for address in self._addresses):
            yield f"net/ipv6/conf/{self.name}/disable_ipv6", "1"
            return
        # the link-local address of a virtual MAC would be the same on every host of the segment
        yield f"net/ipv6/conf/{self.name}/addr_gen_mode", "1"
        yield f"net/ipv6/conf/{self.name}/accept_ra", "0"


@contextlib.contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENXIO):
            raise


def explain(error: OSError) -> str:
    """What a refused macvlan means to the user."""
    if error.errno == errno.EOPNOTSUPP:
        return "this kernel has no macvlan (`modprobe macvlan`)"
    return error.strerror or os.strerror(error.errno or 0)

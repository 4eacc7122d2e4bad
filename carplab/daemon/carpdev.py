"""One port that carries virtual hosts: what carpd has on it while it exists.

ARP balancing: where several virtual hosts share an address the kernel must not answer for it, since
it would do so on every machine and for every requester. Their macvlans stay silent, and carpd hears
the requests on the port itself: those to everybody, and those to a MAC address that is here, with
which neighbours check an entry they have.

What a new MASTER announces of a shared address is the dialect's decision (`announces_shared`), as
carp_master_down() has it: in 2005 it sends its gratuitous ARP all the same, which turns every
neighbour to one virtual MAC; OpenBSD with `balancing arp` sends none. Switches need none: they find
the virtual MAC by the advertisements, whose Ethernet source it is. A neighbour's entry stays right
without one too, because the virtual MAC moves and not the address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from carplab.carp.actions import Announce, SendAdvertisement
from carplab.carp.frames import (
    BROADCAST_MAC,
    ArpRequest,
    arp_reply,
    gratuitous_arp,
    parse_arp_request,
    unsolicited_na,
)
from carplab.carp.packet import Address, virtual_mac
from carplab.carp.virtual_host import VirtualHostConfig
from carplab.daemon.netlink import IFA_F_DADFAILED, Link, LinkAddress, RouteSocket
from carplab.daemon.sockets import ArpSocket, CarpSocket
from carplab.daemon.undo import Journal
from carplab.daemon.vmac import VirtualMac, interface_sysctls, macvlan_name
from carplab.errors import CarplabError

# BSD's source where the interface has no address
_UNSPECIFIED: dict[int, Address] = {4: IPv4Address("0.0.0.0"), 6: IPv6Address("::")}


class Carpdev:
    """An existing interface with its sockets and its virtual hosts' macvlans.

    `sharing` are the vhids that share an address with another: for those carpd answers ARP.
    Raises OSError where the kernel refuses, CarplabError where something else is in the way.
    """

    def __init__(
        self,
        link: Link,
        hosts: tuple[VirtualHostConfig, ...],
        sharing: frozenset[int],
        netlink: RouteSocket,
    ) -> None:
        self.link = link
        self._hosts = {host.vhid: host for host in hosts}
        self._sharing = sharing
        self._netlink = netlink
        self._macs: dict[int, VirtualMac] = {}
        self._held: set[int] = set()
        self._sources: dict[int, Address] = {}
        families = {family for host in hosts for family in host.families}
        self.socket = CarpSocket(link.name, link.index, sorted(families))
        self.arp_socket = ArpSocket(link.name) if sharing else None
        self.read_addresses()

    @property
    def held(self) -> tuple[int, ...]:
        """The vhids whose addresses are here."""
        return tuple(sorted(self._held))

    @property
    def sources(self) -> tuple[Address, ...]:
        """The interface's own addresses that its advertisements come from."""
        return tuple(self._sources.values())

    def create_macvlans(self, journal: Journal) -> None:
        """Make the virtual MACs, written down first so that they can be taken back."""
        names = [macvlan_name(vhid, self.link.index) for vhid in self._hosts]
        self._refuse_existing(names)
        journal.note_macvlans(names)
        journal.set_sysctls(interface_sysctls(self.link.name))
        for vhid, host in self._hosts.items():
            answers_arp = vhid not in self._sharing
            self._macs[vhid] = VirtualMac(self._netlink, host, self.link.index, answers_arp)

    def _refuse_existing(self, names: list[str]) -> None:
        for name in names:
            if self._netlink.link(name) is not None:
                raise CarplabError(
                    f"an interface {name} exists already and is not this carpd's: another carpd "
                    f"may run here, else remove it with `ip link delete {name}`"
                )

    def close(self) -> None:
        """Close the sockets and delete the macvlans, as far as the interface has not taken them."""
        self.socket.close()
        if self.arp_socket is not None:
            self.arp_socket.close()
        for mac in self._macs.values():
            mac.delete()

    def read_addresses(self) -> None:
        """Note the addresses advertisements come from, after they may have changed."""
        addresses = self._netlink.addresses(self.link.index)
        self._sources = {
            family: source
            for family in (4, 6)
            if (source := source_address(addresses, family)) is not None
        }

    def advertise(self, action: SendAdvertisement) -> None:
        """Send an advertisement from the interface's own address. Raises OSError."""
        source = self._sources.get(action.family, _UNSPECIFIED[action.family])
        self.socket.advertise(
            virtual_mac(action.key.vhid), source, action.destination, action.payload
        )

    def take(self, vhid: int) -> None:
        self._held.add(vhid)
        self._macs[vhid].take()

    def release(self, vhid: int) -> None:
        self._held.discard(vhid)
        self._macs[vhid].release()

    def hear_arp(self) -> ArpRequest | None:
        """The next ARP request that one of the virtual hosts here may answer, or None for now."""
        assert self.arp_socket is not None
        while (frame := self.arp_socket.receive()) is not None:
            request = parse_arp_request(frame)
            if request is not None and self._concerns_us(request):
                return request
        return None

    def _concerns_us(self, request: ArpRequest) -> bool:
        # one's own address is asked for to announce it: no question
        here = (BROADCAST_MAC, self.link.mac, *map(virtual_mac, self._held))
        return request.destination_mac in here and request.requester != request.target

    def silent_holder(self, address: Address) -> int | None:
        """The vhid that holds an address here, and whose macvlan answers nobody."""
        found = (vhid for vhid in self._held if address in self._hosts[vhid].addresses)
        return next((vhid for vhid in found if vhid in self._sharing), None)

    def answer_arp(self, vhid: int, request: ArpRequest) -> None:
        """Answer a request with the virtual MAC. Raises OSError."""
        assert self.arp_socket is not None
        self.arp_socket.send(arp_reply(virtual_mac(vhid), request))

    def announce(self, action: Announce) -> None:
        """Tell the segment where the virtual addresses are now. Raises OSError."""
        # The Ethernet source is the virtual MAC too, where BSD has the real one: with unicast peers
        # no advertisement tells the switches that the virtual MAC has moved.
        mac = virtual_mac(action.key.vhid)
        for address in action.addresses:
            if address.version == 4:
                self.socket.send_frame(gratuitous_arp(mac, mac, address))
            else:
                self.socket.send_frame(unsolicited_na(mac, address))


def source_address(addresses: list[LinkAddress], family: int) -> Address | None:
    """The interface's first address; over IPv6 its first link-local one, as the group is."""
    usable = [
        entry.interface.ip
        for entry in addresses
        if entry.interface.version == family and not entry.flags & IFA_F_DADFAILED
    ]
    if family == 6:
        usable.sort(key=lambda address: not address.is_link_local)
    return usable[0] if usable else None

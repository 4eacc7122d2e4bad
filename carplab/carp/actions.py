"""What the protocol asks its driver to do, in the order in which it must be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from carplab.carp.packet import Address, Advertisement


class VirtualHostKey(NamedTuple):
    """Which virtual host of a machine: a vhid is unique on one interface only. Reads 1@em0."""

    interface: str
    vhid: int

    def __str__(self) -> str:
        return f"{self.vhid}@{self.interface}"


@dataclass(frozen=True, slots=True)
class SendAdvertisement:
    """Send `payload` (36 bytes) from the interface's own address and the virtual MAC.

    The driver reports the result with Node.sent().
    """

    key: VirtualHostKey
    family: int
    destination: Address
    payload: bytes
    advertisement: Advertisement


@dataclass(frozen=True, slots=True)
class TakeAddresses:
    """Answer for the virtual addresses, and receive what is sent to the virtual MAC."""

    key: VirtualHostKey


@dataclass(frozen=True, slots=True)
class ReleaseAddresses:
    """Stop answering for the virtual addresses, and stop receiving for the virtual MAC."""

    key: VirtualHostKey


@dataclass(frozen=True, slots=True)
class Announce:
    """Broadcast a gratuitous ARP request or neighbour advertisement for each of these addresses."""

    key: VirtualHostKey
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Transition:
    """For the log: a virtual host changed its state, and why in the BSD kernels' words."""

    key: VirtualHostKey
    old: str
    new: str
    reason: str
    at_s: float


@dataclass(frozen=True, slots=True)
class DemotionChanged:
    """For the log: the demotion of an interface group changed."""

    group: str
    old: int
    new: int
    reason: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """For the log: a valid advertisement for one of our virtual hosts arrived."""

    key: VirtualHostKey
    source: Address
    advertisement: Advertisement
    at_s: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """For the log: a datagram was dropped and counted under `statistic`.

    `source` is None where not even the IP header could be read.
    """

    interface: str
    statistic: str
    source: Address | None
    at_s: float


Action = (
    SendAdvertisement
    | TakeAddresses
    | ReleaseAddresses
    | Announce
    | Transition
    | DemotionChanged
    | Heard
    | Rejected
)

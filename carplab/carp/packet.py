"""CARP advertisements as they stand on the wire: encode, decode, checksum and digest.

There is no RFC; the layout is that of `struct carp_header` in the BSD kernels' netinet/ip_carp.h,
36 bytes, big-endian, the same over IPv4 and IPv6:

    offset 0   version (high nibble, 2) and type (low nibble, 1)
           1   vhid, 1 to 255
           2   advskew, 0 to 254; 255 only in a bow-out
           3   authlen: counter and digest in 32-bit words, 7
           4   0, or the sender's demotion count (OpenBSD 3.9 and later)
           5   advbase in seconds; 255 only in a bow-out
           6   Internet checksum (RFC 1071) over these 36 bytes, without a pseudo-header
           8   counter, 64 bits
          16   HMAC-SHA1 digest, 20 bytes

The digest covers neither advbase, advskew nor the demotion count.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

PROTOCOL = 112  # IP protocol number, shared with VRRP
TTL = 255
MULTICAST_GROUP: dict[int, Address] = {4: IPv4Address("224.0.0.18"), 6: IPv6Address("ff02::12")}
VERSION = 2
ADVERTISEMENT = 1
VERSION_TYPE = VERSION << 4 | ADVERTISEMENT
AUTHLEN = 7
SIZE = 36
BOW_OUT = 255  # advbase and advskew of a MASTER that resigns
MAX_PASSWORD_BYTES = 20
SHORTEST_INTERVAL_S = 1 / 256  # OpenBSD's, with advbase 0 and advskew 0

_HEADER = struct.Struct("!BBBBBBHQ20s")
_COUNTER_MASK = (1 << 64) - 1


class PacketError(ValueError):
    """A datagram of protocol 112 that is no advertisement for us.

    `statistic` names the counter it belongs to, in BSD's words: "badlen" or "badsum".
    """

    def __init__(self, statistic: str, message: str) -> None:
        super().__init__(message)
        self.statistic = statistic


@dataclass(frozen=True, slots=True)
class Advertisement:
    """One advertisement. `advbase` is in seconds, `advskew` in 1/256 s, `counter` has 64 bits."""

    vhid: int
    advbase: int
    advskew: int
    counter: int
    digest: bytes
    demote: int = 0
    version_type: int = VERSION_TYPE

    @property
    def interval_s(self) -> float:
        """Seconds until the sender's next advertisement, as the header promises."""
        return interval_s(self.advbase, self.advskew)

    @property
    def is_bow_out(self) -> bool:
        return self.advbase == BOW_OUT and self.advskew == BOW_OUT


def interval_s(advbase: int, advskew: int) -> float:
    """Seconds between two advertisements: advbase + advskew/256.

    With both 0 it is 1/256 s: OpenBSD allows advbase 0 and then never waits less than one step.
    """
    return advbase + (advskew or (0 if advbase else 1)) / 256


def timer_s(advbase: int, advskew: int) -> float:
    """Seconds a MASTER waits between two advertisements: at least one step, if both are 0."""
    return max(interval_s(advbase, advskew), SHORTEST_INTERVAL_S)


def master_down_s(advbase: int, advskew: int) -> float:
    """Seconds without an advertisement after which a BACKUP takes over."""
    if advbase == 0:
        return 3 * timer_s(0, advskew)
    return 3 * advbase + advskew / 256


def virtual_mac(vhid: int) -> str:
    """The MAC address of virtual host `vhid`, in VRRP's range (RFC 5798, section 7.3)."""
    return f"00:00:5e:00:01:{vhid:02x}"


def checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071: 0 when taken over data that holds a right one."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def digest(password: str, vhid: int, addresses: Sequence[Address], counter: int) -> bytes:
    """HMAC-SHA1 over version, type, vhid, the addresses in the order given and the counter.

    The key is the password zero-padded to 20 bytes. A link-local IPv6 address enters without its
    scope. Raises ValueError for a password of more than 20 bytes.
    """
    message = bytes((VERSION, ADVERTISEMENT, vhid))
    message += b"".join(address.packed for address in addresses)
    message += struct.pack("!Q", counter & _COUNTER_MASK)
    return hmac.new(_key(password), message, hashlib.sha1).digest()


def ascending(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """IPv4 before IPv6, each from smallest to largest: the digest's order since OpenBSD 3.9."""
    return tuple(sorted(addresses, key=lambda address: (address.version, int(address))))


def ipv4_first(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """IPv4 before IPv6, each in the order added: the digest's order in 2005."""
    return tuple(sorted(addresses, key=lambda address: address.version))


def without_link_local(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """The addresses less the IPv6 link-local ones, which OpenBSD leaves out of what it sends."""
    return tuple(a for a in addresses if not (a.version == 6 and a.is_link_local))


def encode(advertisement: Advertisement) -> bytes:
    """The 36 bytes of `advertisement`, checksum filled in."""
    unsummed = _pack(advertisement, 0)
    return _pack(advertisement, checksum(unsummed))


def decode(data: bytes) -> Advertisement:
    """The advertisement in `data`, the whole payload of an IP datagram of protocol 112.

    Checks length, then checksum, and raises PacketError. Version and digest are left to the caller:
    the kernels look for the vhid first, and the digest takes the password and the addresses.
    """
    if len(data) < SIZE:
        raise PacketError("badlen", f"{len(data)} bytes, an advertisement has {SIZE}")
    if data[3] != AUTHLEN or len(data) != SIZE:
        # VRRPv2 also says version 2, type 1: its length and authlen tell it apart.
        raise PacketError(
            "badlen", f"{len(data)} bytes with authlen {data[3]}, not {SIZE} and {AUTHLEN}"
        )
    if checksum(data) != 0:
        raise PacketError("badsum", "the checksum does not hold")
    version_type, vhid, advskew, _, demote, advbase, _, counter, mac = _HEADER.unpack(data)
    return Advertisement(vhid, advbase, advskew, counter, mac, demote, version_type)


def _pack(advertisement: Advertisement, checksum_value: int) -> bytes:
    return _HEADER.pack(
        advertisement.version_type,
        advertisement.vhid,
        advertisement.advskew,
        AUTHLEN,
        advertisement.demote,
        advertisement.advbase,
        checksum_value,
        advertisement.counter & _COUNTER_MASK,
        advertisement.digest,
    )


def _key(password: str) -> bytes:
    key = password.encode()
    if len(key) > MAX_PASSWORD_BYTES:
        raise ValueError(
            f"the password has {len(key)} bytes, CARP takes at most {MAX_PASSWORD_BYTES}"
        )
    return key.ljust(MAX_PASSWORD_BYTES, b"\0")

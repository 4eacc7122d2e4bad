"""`carplab decode`: the CARP advertisements of a capture file, one line each.

Scapy reads the capture (classic pcap and pcapng, any link type it knows) and finds the IP header;
the advertisement itself is read by carplab.carp, the code that carpd runs.
"""

from __future__ import annotations

import argparse
import hmac
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from carplab.carp.frames import FrameError, parse_ip
from carplab.carp.packet import (
    MAX_PASSWORD_BYTES,
    PROTOCOL,
    TTL,
    VERSION_TYPE,
    Address,
    Advertisement,
    PacketError,
    ascending,
    decode,
    digest,
    ipv4_first,
    without_link_local,
)
from carplab.errors import CarplabError, UsageError

OK, BAD, NOT_CHECKED = "ok", "bad", "not checked"


@dataclass(frozen=True, slots=True)
class Captured:
    """One IP datagram of protocol 112. `time_s` is seconds since 1970; `mac` may be unknown."""

    time_s: float
    mac: str | None
    ip: bytes


@dataclass(frozen=True, slots=True)
class Secret:
    """What it takes to check a digest."""

    password: str
    addresses: tuple[Address, ...]

    def judge(self, advertisement: Advertisement) -> str:
        """Whether the digest holds in any generation's way of covering the addresses."""
        ordered = (ascending(self.addresses), ipv4_first(self.addresses))
        ways = [*ordered, *(without_link_local(addresses) for addresses in ordered)]
        return OK if any(self._signs(advertisement, addresses) for addresses in ways) else BAD

    def _signs(self, advertisement: Advertisement, addresses: Sequence[Address]) -> bool:
        right = digest(self.password, advertisement.vhid, addresses, advertisement.counter)
        return hmac.compare_digest(right, advertisement.digest)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "decode",
        help="print the CARP advertisements of a capture file",
        description="Print each CARP advertisement of a pcap or pcapng file, with every field and "
        "whether its digest holds. The digest takes the password and all addresses of the virtual "
        "host; without them it is not checked.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.pcap")
    parser.add_argument("--password", metavar="P", help="the virtual host's password")
    parser.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="A",
        help="an address of the virtual host, IPv4 or IPv6; once for each",
    )
    parser.add_argument("--vhid", type=int, metavar="N", help="only this virtual host")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    secret = _secret(arguments.password, arguments.address)
    if arguments.vhid is not None and not 1 <= arguments.vhid <= 255:
        raise UsageError(f"--vhid {arguments.vhid}: a vhid is 1 to 255")
    count = 0
    for record in describe(read_capture(arguments.file), secret):
        if arguments.vhid in (None, record.get("vhid")):
            count += 1
            print(json.dumps(record) if arguments.json else _line(record))
    if count == 0 and not arguments.json:
        print(f"no CARP advertisement in {arguments.file}")
    return 0


def read_capture(path: Path) -> Iterator[Captured]:
    """The datagrams of protocol 112 in a capture, in its order.

    Raises CarplabError for a file that cannot be read or is no capture.
    """
    # Scapy warns about the machine's own routes and interfaces: none of that matters to a file.
    logging.getLogger("scapy").setLevel(logging.CRITICAL)
    from scapy.error import Scapy_Exception
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether
    from scapy.utils import PcapReader

    try:
        with PcapReader(str(path)) as reader:
            for packet in reader:
                ip = packet.getlayer(IP) or packet.getlayer(IPv6)
                if ip is None or getattr(ip, "proto", getattr(ip, "nh", None)) != PROTOCOL:
                    continue
                mac = packet[Ether].src if Ether in packet else None
                yield Captured(float(packet.time), mac, bytes(ip.original))
    except OSError as error:
        raise CarplabError(f"cannot read {path}: {error.strerror}") from error
    except Scapy_Exception as error:
        raise CarplabError(f"{path} is not a pcap or pcapng capture") from error


def describe(packets: Iterator[Captured], secret: Secret | None) -> Iterator[dict[str, Any]]:
    """One record a packet, with every field; `error` instead of the fields where it is no CARP."""
    first_s: float | None = None
    for packet in packets:
        first_s = packet.time_s if first_s is None else first_s
        since_first_s = round(packet.time_s - first_s, 6)
        record: dict[str, Any] = {"time_s": packet.time_s, "since_first_s": since_first_s}
        try:
            record |= _fields(packet, secret)
        except (FrameError, PacketError) as error:
            record["error"] = str(error)
        yield record


def _fields(packet: Captured, secret: Secret | None) -> dict[str, Any]:
    datagram = parse_ip(packet.ip)
    head = {
        "source_mac": packet.mac,
        "source": str(datagram.source),
        "destination": str(datagram.destination),
        "ttl": datagram.ttl,
    }
    try:
        advertisement = decode(datagram.payload)
    except PacketError as error:
        return head | {"error": f"no CARP advertisement: {error}"}
    return head | {
        "version": advertisement.version_type >> 4,
        "type": advertisement.version_type & 0x0F,
        "vhid": advertisement.vhid,
        "advbase": advertisement.advbase,
        "advskew": advertisement.advskew,
        "demote": advertisement.demote,
        "interval_s": advertisement.interval_s,
        "bow_out": advertisement.is_bow_out,
        "counter": f"{advertisement.counter:016x}",
        "digest": advertisement.digest.hex(),
        "digest_holds": secret.judge(advertisement) if secret else NOT_CHECKED,
    }


def _line(record: dict[str, Any]) -> str:
    time = f"{record['since_first_s']:11.6f}"
    if "source" not in record:
        return f"{time}  {record['error']}"
    route = f"{time}  {record['source']} > {record['destination']}"
    if "error" in record:
        return f"{route}  {record['error']}"
    skew = f"advbase {record['advbase']} advskew {record['advskew']} demote {record['demote']}"
    interval = "bow-out" if record["bow_out"] else f"each {record['interval_s']:.3f} s"
    return (
        f"{route}  vhid {record['vhid']} {skew} ({interval})"
        f"  counter {record['counter']}  digest {record['digest']} {record['digest_holds']}"
        f"  {record['source_mac'] or 'no MAC'}{_oddities(record)}"
    )


def _oddities(record: dict[str, Any]) -> str:
    """What a receiver would drop it for, digest apart."""
    odd = "" if record["ttl"] == TTL else f"  TTL {record['ttl']}, not {TTL}"
    if (record["version"] << 4 | record["type"]) != VERSION_TYPE:
        odd += f"  version {record['version']} type {record['type']}, not 2 and 1"
    return odd


def _secret(password: str | None, addresses: Sequence[str]) -> Secret | None:
    if password is None and not addresses:
        return None
    if password is None or not addresses:
        raise UsageError("checking digests takes --password and each --address of the virtual host")
    size = len(password.encode())
    if size > MAX_PASSWORD_BYTES:
        raise UsageError(f"--password has {size} bytes, CARP takes at most {MAX_PASSWORD_BYTES}")
    return Secret(password, tuple(_address(text) for text in addresses))


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise UsageError(f"--address {text} is not an IPv4 or IPv6 address") from None

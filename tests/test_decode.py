"""`carplab decode` on captures of real speakers, and on files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scapy.layers.l2 import CookedLinux, Ether
from scapy.utils import PcapNgWriter, PcapReader, PcapWriter

from carplab.cli import main

PCAPS = Path(__file__).parent / "data" / "pcaps"
UCARP = PCAPS / "ucarp-vhid1-ipv4.pcap"
SECRET = ["--password", "secret", "--address", "192.0.2.1"]


def decode(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["decode", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_line_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = decode(capsys, UCARP, *SECRET)
    assert code == 0
    first = out.splitlines()[0]
    for part in (
        "0.000000  192.0.2.202 > 224.0.0.18  vhid 1 advbase 1 advskew 0 demote 0 (each 1.000 s)",
        "counter 2bcc88441d3bf1e8",
        "digest c48f4d1017f759e040ccd8e3ea1426dc6c8986f6 ok",
        "00:00:5e:00:00:01",
    ):
        assert part in first


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ([], "not checked"),
        (SECRET, "ok"),
        (["--password", "wrong", "--address", "192.0.2.1"], "bad"),
        (["--password", "secret", "--address", "192.0.2.2"], "bad"),
    ],
)
def test_verdict_on_the_digest(
    capsys: pytest.CaptureFixture[str], options: list[str], verdict: str
) -> None:
    _, out, _ = decode(capsys, UCARP, "--json", *options)
    records = [json.loads(line) for line in out.splitlines()]
    assert len(records) >= 5
    assert {record["digest_holds"] for record in records} == {verdict}


def test_several_addresses_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--password", "correcthorse", "--address", "192.0.2.10", "--address", "192.0.2.9"]
    _, out, _ = decode(capsys, PCAPS / "freebsd9-vhid7-two-addresses.pcap", "--json", *options)
    assert {json.loads(line)["digest_holds"] for line in out.splitlines()} == {"ok"}


@pytest.mark.parametrize("link", ["ethernet-pcapng", "ethernet-vlan", "linux-cooked"])
def test_other_containers(tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str) -> None:
    from scapy.layers.l2 import Dot1Q

    copy = tmp_path / "copy"
    with PcapReader(str(UCARP)) as reader:
        packets = [packet for packet in reader if "IP" in packet and packet["IP"].proto == 112]
    if link == "ethernet-vlan":
        packets = [Ether(src=p.src, dst=p.dst) / Dot1Q(vlan=7) / p["IP"] for p in packets]
    if link == "linux-cooked":
        packets = [CookedLinux() / p["IP"] for p in packets]
    writer = PcapNgWriter if link == "ethernet-pcapng" else PcapWriter
    with writer(str(copy)) as file:
        for packet in packets:
            file.write(packet)
    code, out, _ = decode(capsys, copy, *SECRET)
    assert code == 0
    assert out.count(" ok ") == len(packets) >= 5


def test_only_one_vhid(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = decode(capsys, UCARP, "--vhid", 9)
    assert out == f"no CARP advertisement in {UCARP}\n"


def test_a_foreign_packet_of_the_protocol_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from scapy.layers.inet import IP

    copy = tmp_path / "vrrp.pcap"
    with PcapWriter(str(copy)) as file:
        file.write(Ether() / IP(dst="224.0.0.18", proto=112, ttl=255) / bytes.fromhex("2101640100"))
    code, out, _ = decode(capsys, copy)
    assert code == 0
    assert "no CARP advertisement: 5 bytes" in out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["/no/such/file"], 1, "cannot read /no/such/file: No such file or directory"),
        ([__file__], 1, "is not a pcap or pcapng capture"),
        ([UCARP, "--password", "x"], 2, "takes --password and each --address"),
        ([UCARP, "--password", "x" * 21, "--address", "1.2.3.4"], 2, "21 bytes"),
        ([UCARP, "--password", "x", "--address", "1.2.3"], 2, "--address 1.2.3 is not"),
        ([UCARP, "--vhid", "256"], 2, "--vhid 256: a vhid is 1 to 255"),
        ([UCARP, "--vhid", "one"], 2, "invalid int value: 'one'"),
        ([], 2, "FILE.pcap"),
    ],
)
def test_wrong_input_gets_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[object], code: int, sentence: str
) -> None:
    got, out, err = decode(capsys, *arguments)
    assert (got, out) == (code, "")
    assert sentence in err
    assert len(err.splitlines()) == 1

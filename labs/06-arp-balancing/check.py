"""Whether both firewalls carry clients at once, and each of them all when the other one crashes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import xor

from carplab.carp.packet import virtual_mac
from carplab.labs.checking import Line, RunningLab
from carplab.network import Host, interface_name, mac_address

SEGMENTS = ("outside", "inside")
FIREWALLS = ("fw1", "fw2")
SERVER = "server"
BY_ADDRESS = "openbsd-3.8"

Ways = dict[str, tuple[str, str]]  # machine -> its gateway's MAC address, who forwards its packets


def check(lab: RunningLab) -> Iterator[Line]:
    carried = [carry_both(lab, segment) for segment in SEGMENTS]
    yield from carried
    shared = all(line.passed for line in carried) and lab.wait_until(
        lambda: masters(lab) == wanted_masters(lab)
    )
    held = "; ".join(
        f"{who} is MASTER of {', '.join(map(str, vhids)) or 'none'}"
        for who, vhids in by_firewall(masters(lab)).items()
    )
    yield Line(
        shared,
        "each firewall is MASTER of one virtual host on each segment, as it was drawn",
        held,
        "advskew of each virtual host: whoever advertises more often is MASTER of that one",
    )
    clients = [host.name for host in lab.network.hosts if host.segment == "inside"]
    ways = {name: way_of(lab, lab.network.host(name)) for name in (*clients, SERVER)}
    both = [both_answer(lab, ways, clients), both_forward(ways, clients)]
    yield from both
    if shared and all(line.passed for line in both):
        for name in FIREWALLS:
            yield outlives(lab, name, clients)
    if shared:
        yield from answers(lab, ways, clients)


def vhids(lab: RunningLab, segment: str) -> tuple[int, int]:
    """Return the vhids of a segment; the first one is the lower."""
    lower = int(lab.values[f"vhid_{segment}"])
    return lower, lower + 100


def virtual_address(lab: RunningLab, segment: str) -> str:
    return str(lab.network.router("fw1").interface(segment).virtual_hosts[0].addresses[0])


def carry_both(lab: RunningLab, segment: str) -> Line:
    there = [
        (each.router, each.vhid, each.addresses) for each in lab.virtual_hosts(segment=segment)
    ]
    right = [
        (name, vhid, (virtual_address(lab, segment),))
        for name in FIREWALLS
        for vhid in vhids(lab, segment)
    ]
    seen = "; ".join(f"{name}: vhid {vhid} with {', '.join(own)}" for name, vhid, own in there)
    return Line(
        sorted(there) == right,
        f"both firewalls carry both virtual hosts of the {segment}, with one address",
        seen or "; ".join(lab.status()["carpd"].values()),
        f"the [[virtual_host]]s of the {segment} in each file: vhid and addresses",
    )


def masters(lab: RunningLab) -> dict[tuple[str, int], list[str]]:
    """Return the MASTERs of each segment and vhid."""
    found: dict[tuple[str, int], list[str]] = {}
    for each in lab.virtual_hosts():
        if each.state == "MASTER":
            found.setdefault((each.segment, each.vhid), []).append(each.router)
    return found


def wanted_masters(lab: RunningLab) -> dict[tuple[str, int], list[str]]:
    pair = (str(lab.values["first"]), str(lab.values["second"]))
    return {
        (segment, vhid): [name]
        for segment in SEGMENTS
        for vhid, name in zip(vhids(lab, segment), pair, strict=True)
    }


def by_firewall(found: dict[tuple[str, int], list[str]]) -> dict[str, list[int]]:
    return {name: [vhid for (_, vhid), who in found.items() if name in who] for name in FIREWALLS}


def way_of(lab: RunningLab, host: Host) -> tuple[str, str]:
    """Return the MAC address that a machine gets for its gateway, and who forwards its packets.

    It forgets its neighbours first. A packet that may pass no router comes back as "time exceeded",
    from the own address of the firewall that had to forward it.
    """
    interface = interface_name(host.name, host.segment)
    other = SERVER if host.segment == "inside" else "client"
    to = str(lab.network.host(other).addresses[0].ip)
    lab.run(host.name, "ip", "neigh", "flush", "dev", interface)
    said = lab.run(host.name, "ping", "-n", "-c", "1", "-W", "2", "-t", "1", to).stdout
    forwarders = [name for name in FIREWALLS if f"From {own(lab, name, host.segment)} " in said]
    gateway = virtual_address(lab, host.segment)
    words = lab.run(host.name, "ip", "neigh", "show", gateway).stdout.split()
    mac = words[words.index("lladdr") + 1] if "lladdr" in words else ""
    return mac, " and ".join(forwarders)


def own(lab: RunningLab, router: str, segment: str) -> str:
    return str(lab.network.router(router).interface(segment).addresses[0].ip)


def both_answer(lab: RunningLab, ways: Ways, clients: list[str]) -> Line:
    right = {virtual_mac(vhid) for vhid in vhids(lab, "inside")}
    return Line(
        {ways[name][0] for name in clients} == right,
        "some clients get the one virtual MAC address for their gateway, some the other",
        "; ".join(f"{name}: {ways[name][0] or 'no answer'}" for name in clients),
        "arping on the clients; arp_balance, and one address in both virtual hosts",
    )


def both_forward(ways: Ways, clients: list[str]) -> Line:
    return Line(
        {ways[name][1] for name in clients} == set(FIREWALLS),
        "both firewalls forward packets of the clients",
        "; ".join(f"{name} goes through {ways[name][1] or 'nobody'}" for name in clients),
        "ping -t 1 on the clients; who is MASTER of the virtual host that answers them?",
    )


def outlives(lab: RunningLab, name: str, clients: list[str]) -> Line:
    (other,) = set(FIREWALLS) - {name}
    server = str(lab.network.host(SERVER).addresses[0].ip)
    with lab.fault("crash", name):
        all_of_them = {key: [other] for key in wanted_masters(lab)}
        taken = lab.wait_until(lambda: masters(lab) == all_of_them)
        reached = [each for each in clients if get_through(lab, each, server)]
    lab.wait_until(lambda: masters(lab) == wanted_masters(lab))
    return Line(
        taken and reached == clients,
        f"when {name} crashes all clients reach the server over {other}",
        f"{other} is MASTER of {'all' if taken else 'some'}; "
        f"{', '.join(reached) or 'nobody'} got through",
        f"is {other} BACKUP of what {name} is MASTER of, with the same password and address?",
    )


def get_through(lab: RunningLab, client: str, server: str) -> bool:
    return lab.wait_until(lambda: lab.reaches(client, server))


def answers(lab: RunningLab, ways: Ways, clients: list[str]) -> Iterator[Line]:
    rule = "the rule of your dialect: whose number, modulo 2, and in which order?"
    back = ways[SERVER][1]
    yield lab.answer(
        "predicted_via_fw1",
        [name for name in clients if ways[name][1] == "fw1"],
        "prediction: the clients that go through fw1",
        rule,
        measured=True,
    )
    yield lab.answer(
        "predicted_server_via",
        back,
        "prediction: the way of the server's answers",
        rule,
        measured=True,
    )
    yield lab.answer(
        "newcomer_via", newcomer_via(lab), "question 1: the way of a fifth client", rule
    )
    yield lab.answer(
        "client2_gateway_mac",
        ways["client2"][0],
        "question 2: the gateway's MAC address for client2",
        "ip neigh on client2",
    )
    yield lab.answer(
        "both_firewalls",
        [name for name in clients if ways[name][1] != back],
        "question 3: whose answers come back another way",
        "ping -t 1 on the clients and on the server",
    )
    yield lab.answer(
        "macs_after_crash",
        len(vhids(lab, "inside")),
        "question 4: the MAC addresses after a crash",
        "arping on several clients while fw1 is gone",
    )


def newcomer_via(lab: RunningLab) -> str:
    """Return who would forward packets of the fifth client, by the dialect's rule."""
    neighbour = lab.network.host("client").addresses[0]
    address = type(neighbour)((neighbour.network[int(lab.values["newcomer"])], 24))
    if lab.values["dialect"] == BY_ADDRESS:
        number = int(address.ip)
    else:
        number = reduce(xor, bytes.fromhex(mac_address([address]).replace(":", "")))
    return str(lab.values["second" if number % 2 else "first"])

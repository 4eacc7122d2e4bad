"""Which MAC address is behind which port of one switch: pure decisions, no OpenFlow.

The application turns a `Learned` into flows. Two tables: table 0 knows sources by (port, MAC) and
hands what it does not know to the controller as well as on; table 1 knows destinations and floods
what it does not know. So no frame waits for the controller, and a known MAC that sends from another
port is always noticed, because table 0 does not know it there.

That is what a virtual MAC needs which comes back. Open vSwitch's own learning (OFPP_NORMAL) is
faster at a first move (0.5 ms), but while the former MASTER's advertisements still have an entry in
the datapath's cache (10 s after the last one), frames that hit it do not reach the learning before
the next round of revalidation: traffic followed a returning MAC after 151 ms (moves each 0.3 s) and
444 to 472 ms (each 3 s). These tables took 1.5 to 3.8 ms, on Ryu and os-ken alike.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Learned:
    """A MAC address is behind `port` now; `previous` is another port it was behind, or None."""

    mac: str
    port: int
    previous: int | None


def is_group_address(mac: str) -> bool:
    """Whether a MAC address is multicast or broadcast (IEEE 802: lowest bit of the first octet)."""
    return bool(int(mac[:2], 16) & 1)


class MacTable:
    """The MAC addresses of one switch."""

    def __init__(self) -> None:
        self._port_of: dict[str, int] = {}

    def port_of(self, mac: str) -> int | None:
        """The port a MAC address is behind, None if it is not known."""
        return self._port_of.get(mac)

    def learn(self, mac: str, port: int) -> Learned | None:
        """A frame from `mac` came in at `port` and the switch did not know it there.

        None for a group address, which can be no source. A MAC that is known at this very port is
        given again: the switch asked, so its flows are not there yet or no longer.
        """
        if is_group_address(mac):
            return None
        previous = self._port_of.get(mac)
        self._port_of[mac] = port
        return Learned(mac, port, None if previous == port else previous)

    def forget(self, mac: str, port: int) -> bool:
        """`mac` has been silent at `port` for long. False if it is not known there any more."""
        if self._port_of.get(mac) != port:
            return False
        del self._port_of[mac]
        return True

    def behind(self, port: int) -> list[str]:
        """The MAC addresses behind a port."""
        return [mac for mac, known_port in self._port_of.items() if known_port == port]

    def flush(self, port: int) -> list[str]:
        """`port` is gone: forget what was behind it."""
        macs = self.behind(port)
        for mac in macs:
            del self._port_of[mac]
        return macs

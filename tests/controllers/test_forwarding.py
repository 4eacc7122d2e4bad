"""Which MAC is behind which port, without a switch."""

from __future__ import annotations

import pytest

from controllers.forwarding import Learned, MacTable, is_group_address

HOST = "02:00:00:00:00:01"
VIRTUAL = "00:00:5e:00:01:07"


def test_first_frame_is_learned() -> None:
    table = MacTable()
    assert table.learn(HOST, 1) == Learned(HOST, 1, previous=None)
    assert table.port_of(HOST) == 1


def test_virtual_mac_moves_and_names_the_port_it_left() -> None:
    table = MacTable()
    table.learn(VIRTUAL, 1)
    assert table.learn(VIRTUAL, 2) == Learned(VIRTUAL, 2, previous=1)
    assert table.learn(VIRTUAL, 1) == Learned(VIRTUAL, 1, previous=2)


def test_switch_that_asks_again_is_told_again() -> None:
    table = MacTable()
    table.learn(HOST, 1)
    assert table.learn(HOST, 1) == Learned(HOST, 1, previous=None)


@pytest.mark.parametrize("mac", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:12", "33:33:00:00:00:12"])
def test_group_address_is_no_source(mac: str) -> None:
    table = MacTable()
    assert is_group_address(mac)
    assert table.learn(mac, 1) is None
    assert table.port_of(mac) is None


def test_port_that_is_gone_is_forgotten_and_no_other() -> None:
    table = MacTable()
    table.learn(HOST, 1)
    table.learn(VIRTUAL, 2)
    assert table.flush(1) == [HOST]
    assert table.port_of(HOST) is None
    assert table.port_of(VIRTUAL) == 2
    assert table.flush(1) == []


def test_mac_that_left_before_its_old_entry_aged_stays() -> None:
    table = MacTable()
    table.learn(VIRTUAL, 1)
    table.learn(VIRTUAL, 2)
    assert not table.forget(VIRTUAL, 1)
    assert table.port_of(VIRTUAL) == 2
    assert table.forget(VIRTUAL, 2)
    assert table.port_of(VIRTUAL) is None
    assert not table.forget(VIRTUAL, 2)


def test_what_is_behind_a_port() -> None:
    table = MacTable()
    table.learn("00:00:5e:00:01:01", 1)
    table.learn("00:00:5e:00:01:02", 1)
    table.learn("00:00:5e:00:01:02", 2)
    assert table.behind(1) == ["00:00:5e:00:01:01"]
    assert table.behind(2) == ["00:00:5e:00:01:02"]
    assert table.behind(3) == []

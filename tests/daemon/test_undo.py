from __future__ import annotations

import json
from pathlib import Path

import pytest

from carplab.daemon import sysctl, undo
from carplab.daemon.netlink import Link
from carplab.daemon.undo import Change, Changes, Journal, clean_up_remains, load, save

PLACE = "boot/namespace"


class FakeNetlink:
    """The links of a machine that has no kernel."""

    def __init__(self, *links: tuple[str, str]) -> None:
        self._links = {
            index: Link(index, name, 0, "", kind, 0) for index, (name, kind) in enumerate(links, 1)
        }

    def links(self) -> list[Link]:
        return list(self._links.values())

    def delete_link(self, index: int) -> None:
        del self._links[index]

    @property
    def names(self) -> list[str]:
        return [link.name for link in self.links()]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's settings, in a folder instead of /proc/sys."""
    folder = tmp_path / "sys"
    folder.mkdir()
    (folder / "arp_ignore").write_text("0\n")
    (folder / "rp_filter").write_text("2\n")
    (folder / "arp_announce").write_text("2\n")
    monkeypatch.setattr(sysctl, "ROOT", folder)
    return folder


def test_the_file_comes_back(tmp_path: Path) -> None:
    changes = Changes(PLACE, {"net/x": Change("0", "1")}, ["carp1-2"])
    save(tmp_path / "fw1.state", changes)
    assert load(tmp_path / "fw1.state") == changes
    assert [path.name for path in tmp_path.iterdir()] == ["fw1.state"]


def test_everything_is_taken_back(tmp_path: Path, settings: Path) -> None:
    netlink = FakeNetlink(("eth0", ""), ("carp1-1", "macvlan"))
    journal = Journal(tmp_path / "fw1.state", PLACE)
    journal.set_sysctls({"arp_ignore": "1", "rp_filter": "0", "arp_announce": "2"})
    journal.note_macvlans(["carp1-1"])
    assert sysctl.read("arp_ignore") == "1"
    assert sysctl.read("rp_filter") == "0"
    journal.take_back(netlink)  # type: ignore[arg-type]
    assert sysctl.read("arp_ignore") == "0"
    assert sysctl.read("rp_filter") == "2"
    assert netlink.names == ["eth0"]
    assert not (tmp_path / "fw1.state").exists()


def test_a_change_is_on_disk_before_it_is_made(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fw1.state"
    seen: list[object] = []
    monkeypatch.setattr(sysctl, "write", lambda name, value: seen.append(load(path).sysctls[name]))
    Journal(path, PLACE).set_sysctls({"arp_ignore": "1", "arp_announce": "2"})
    assert seen == [Change("0", "1")]


def test_what_somebody_else_set_meanwhile_stays(tmp_path: Path, settings: Path) -> None:
    journal = Journal(tmp_path / "fw1.state", PLACE)
    journal.set_sysctls({"rp_filter": "0"})
    sysctl.write("rp_filter", "1")
    journal.take_back(FakeNetlink())  # type: ignore[arg-type]
    assert sysctl.read("rp_filter") == "1"


def test_only_macvlans_are_deleted(tmp_path: Path, settings: Path) -> None:
    netlink = FakeNetlink(("carp1-1", "bridge"), ("carp2-1", "macvlan"), ("carp3-1", "macvlan"))
    undo.take_back(Changes(PLACE, {}, ["carp1-1", "carp2-1"]), netlink)  # type: ignore[arg-type]
    assert netlink.names == ["carp1-1", "carp3-1"]


def test_remains_of_a_killed_carpd(tmp_path: Path, settings: Path) -> None:
    path = tmp_path / "fw1.state"
    Journal(path, PLACE).set_sysctls({"arp_ignore": "1"})
    netlink = FakeNetlink(("carp1-1", "macvlan"))
    logged: list[str] = []
    clean_up_remains(path, PLACE, netlink, logged.append)  # type: ignore[arg-type]
    assert sysctl.read("arp_ignore") == "0"
    assert logged == ["took back what a killed carpd left (macvlans: 0, kernel settings: 1)"]
    assert not path.exists()
    clean_up_remains(path, PLACE, netlink, logged.append)  # type: ignore[arg-type]
    assert len(logged) == 1


def test_remains_of_another_namespace_are_gone_with_it(tmp_path: Path, settings: Path) -> None:
    path = tmp_path / "fw1.state"
    Journal(path, "boot/another").set_sysctls({"arp_ignore": "1"})
    clean_up_remains(path, PLACE, FakeNetlink(), lambda _: None)  # type: ignore[arg-type]
    assert sysctl.read("arp_ignore") == "1"
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", json.dumps({"format": 2}), json.dumps({"format": 1, "place": "x"})],
)
def test_a_damaged_file_is_reported(tmp_path: Path, content: str) -> None:
    path = tmp_path / "fw1.state"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"Expecting|unexpected content|format 2"):
        load(path)
    logged: list[str] = []
    clean_up_remains(path, PLACE, FakeNetlink(), logged.append)  # type: ignore[arg-type]
    assert "is damaged" in logged[0]


def test_a_place_stays_the_same() -> None:
    assert undo.this_place() == undo.this_place()

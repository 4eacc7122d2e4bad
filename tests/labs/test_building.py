"""Whether edited files take the network anew, or but carpd's restart."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from carplab.labs import course, workspace
from carplab.labs.building import changed_routers, needs_restart, session_spec
from carplab.labs.workspace import Workspace
from carplab.network import as_plain
from carplab.session.client import Session
from tests.labs.made_up import write_lab

SYNC = "Sync {\n    Mode FTFW { }\n}\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    labs = tmp_path / "labs"
    folder = write_lab(labs, network_toml_j2='segment.outside = "stp"\nnat = "static"\n')
    (folder / "start" / "fw2-sync.conf.j2").write_text(SYNC)
    monkeypatch.setattr(workspace, "find_lab", lambda name: course.find_lab(name, labs))
    return Workspace.prepare(tmp_path / "lab-07", "7", None)


@pytest.fixture
def session(own: Workspace) -> Session:
    """A session that runs the files as they were given."""
    spec = session_spec(own)
    assert spec.sync_sections == {"fw2": SYNC}
    about = {
        "network": as_plain(spec.configured_network()),
        "configurations": spec.configurations,
        "scripts": spec.scripts,
        "sync_sections": spec.sync_sections,
    }
    carpd = {"fw1": "running", "fw2": "running"}
    told = SimpleNamespace(describe=lambda: about, status=lambda: {"carpd": carpd})
    return cast(Session, told)


def test_unchanged_files_take_nothing(own: Workspace, session: Session) -> None:
    assert not needs_restart(session, own) and changed_routers(session, own) == {}


@pytest.mark.parametrize("new", ["vhid = 9", 'vhid = 1\npeers = ["10.7.1.12"]'])
def test_changed_configuration_takes_carpds_restart(
    own: Workspace, session: Session, new: str
) -> None:
    change(own, "fw1.toml", "vhid = 1", new)
    assert not needs_restart(session, own) and list(changed_routers(session, own)) == ["fw1"]


def test_changed_comment_takes_nothing(own: Workspace, session: Session) -> None:
    change(own, "fw1.toml", "vhid = 1", "vhid = 1  # mine")
    assert not needs_restart(session, own) and changed_routers(session, own) == {}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("network.toml", '"stp"', '"bridge"'),
        ("network.toml", '"static"', '"synced"'),
        ("fw2-sync.conf", "FTFW", "ALARM"),
        ("client.sh", "true", "false"),
    ],
)
def test_what_takes_the_network_anew(
    own: Workspace, session: Session, name: str, old: str, new: str
) -> None:
    change(own, name, old, new)
    assert needs_restart(session, own)


def test_no_carpd_takes_the_network_anew(own: Workspace, session: Session) -> None:
    (own.folder / "fw1.toml").write_text("# nothing runs here\n")
    assert needs_restart(session, own)


def change(own: Workspace, name: str, old: str, new: str) -> None:
    path = own.folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

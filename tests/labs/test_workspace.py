"""A student's folder: nothing that was edited is lost, nothing that is wrong is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.errors import UsageError
from carplab.labs import course, workspace
from carplab.labs.workspace import Workspace
from tests.labs.made_up import FW1, write_lab


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The made-up lab is the course."""
    folder = tmp_path / "labs"
    write_lab(folder)
    monkeypatch.setattr(workspace, "find_lab", lambda name: course.find_lab(name, folder))
    return folder


@pytest.fixture
def own(labs: Path, tmp_path: Path) -> Workspace:
    return Workspace.prepare(tmp_path / "lab-07", "7", "S1")


def change(own: Workspace, name: str, old: str, new: str) -> None:
    path = own.folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_missing_files_are_written_and_edited_ones_left(own: Workspace) -> None:
    names = ["README.md", "answers.toml", "client.sh", "fw1.toml", "network.toml", "student.toml"]
    assert sorted(path.name for path in own.folder.iterdir()) == names
    change(own, "fw1.toml", "vhid = 1", "vhid = 2")
    (own.folder / "client.sh").unlink()
    again = Workspace.prepare(own.folder, "07", None)
    assert again.handout.student == "s1"
    assert again.edited() == ["fw1.toml"] and again.scripts() == {"client": "true\n"}


def test_reset_keeps_what_was_edited(own: Workspace) -> None:
    change(own, "fw1.toml", "vhid = 1", "vhid = 2")
    (kept,) = own.reset().values()
    assert kept.startswith("fw1.toml.20") and "vhid = 2" in (own.folder / kept).read_text()
    assert own.edited() == [] and own.reset() == {}


def test_folder_belongs_to_one_student_and_lab(own: Workspace, labs: Path) -> None:
    write_lab(labs, "08-other")
    with pytest.raises(UsageError, match="is s1's, not s2's: name another with --dir"):
        Workspace.prepare(own.folder, "7", "s2")
    with pytest.raises(UsageError, match="is of lab 07-made-up: name another"):
        Workspace.prepare(own.folder, "8", "s1")
    with pytest.raises(UsageError, match=r"is no folder of a lab: it has no student.toml"):
        Workspace.open(labs)


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("fw1.toml", "vhid = 1", "vhid = 300", r"fw1.toml: virtual_host 1: vhid 300"),
        ("fw1.toml", "vhid = 1", "vhid = ", r"lab-07/fw1.toml: not valid TOML: .*line 4"),
        ("fw1.toml", "10.7.1.1", "10.8.1.1", r"lab-07/fw1.toml: vhid 1: address 10.8.1.1"),
        ("fw1.toml", "fw1-out", "fw2-out", "vhid 1: interface fw2-outside does not exist"),
        ("fw1.toml", "[[virt", 'on_master = ["sh"]\n[[virt', "on_master is not part of this lab"),
        ("network.toml", "outside", "inside", "segment.inside is not yours to set here"),
        ("network.toml", "stp", "st", "unknown kind 'st' of the segment outside"),
        ("answers.toml", '"?"', "", "answers.toml: not valid TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_sentence(
    own: Workspace, name: str, old: str, new: str, sentence: str
) -> None:
    change(own, name, old, new)
    with pytest.raises(UsageError, match=sentence):
        assert own.configurations() and own.network() and own.answers()


def test_student_sets_what_the_lab_leaves_to_him(own: Workspace) -> None:
    assert own.network().segment("outside").kind == "stp"
    change(own, "network.toml", 'segment.outside = "stp"', '[segment]\noutside = "bridge"')
    assert own.network().segment("outside").kind == "bridge"
    own.write_solution()
    assert own.network().segment("outside").kind == "stp-edge"


def test_file_without_a_setting_means_no_carpd(own: Workspace) -> None:
    assert own.configurations() == {"fw1": (own.folder / "fw1.toml").read_text()}
    (own.folder / "fw1.toml").write_text("# none\n")
    assert own.configurations() == {"fw1": ""}
    (own.folder / "fw2.toml").write_text(FW1.split("addresses")[0])
    with pytest.raises(UsageError, match=r"fw2.toml: .*addresses is missing"):
        own.configurations()


def test_only_the_labs_own_scripts_are_run(own: Workspace) -> None:
    (own.folder / "server.sh").write_text("halt\n")
    assert own.scripts() == {"client": "true\n"}

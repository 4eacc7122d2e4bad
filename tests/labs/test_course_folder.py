"""The folders of the labs: how they are found, and what is wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from carplab.errors import UsageError
from carplab.labs.course import find_lab, list_labs, read_lab
from carplab.labs.handout import Handout
from tests.labs.made_up import FW1, LAB_TOML, write_lab


def test_lab_is_found_by_number_or_name(tmp_path: Path) -> None:
    write_lab(tmp_path)
    write_lab(tmp_path, "10-other")
    (tmp_path / "notes").mkdir()
    assert [lab.name for lab in list_labs(tmp_path)] == ["07-made-up", "10-other"]
    for text in ("7", "07", "07-made-up"):
        assert find_lab(text, tmp_path).title == "Made up"
    with pytest.raises(UsageError, match="no lab '1': there are 07-made-up, 10-other"):
        find_lab("1", tmp_path)
    with pytest.raises(UsageError, match="there are none in"):
        find_lab("1", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("minutes = 5", "", "lab.toml: minutes is missing"),
        ("minutes = 5", 'minutes = "5"', "minutes '5' is not a whole number"),
        ("minutes = 5", "minuts = 5", "unknown key 'minuts'"),
        ("longest_s =", "lab =", "a value cannot be called 'lab'"),
        ("longest_s =", "site =", "a value cannot be called 'site'"),
        ("site = \"", "sit = \"", "network: unknown key 'sit'"),
        ("[network]", "[traffic]\nping = 1\n[network]", "traffic: unknown key 'ping'"),
        ("[draw]", "[draw", "lab.toml: not valid TOML"),
    ],
)
def test_what_is_wrong_in_a_lab_is_one_sentence(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert LAB_TOML.count(old) == 1
    with pytest.raises(UsageError, match=sentence):
        read_lab(write_lab(tmp_path, lab_toml=LAB_TOML.replace(old, new)))


def test_handout_has_the_values_of_its_student(tmp_path: Path) -> None:
    handout = Handout(read_lab(write_lab(tmp_path)), "s1")
    assert handout.values == {"site": 7, "advskew": 128, "culprit": "fw2", "longest_s": 3.5}
    assert "culprit" not in handout.shown
    assert handout.readme() == "# Lab 07: 10.7.2.100, 10.7.2.0/24\n"
    files = handout.start()
    assert files["fw1.toml"].startswith("# s1's fw1") and '["10.7.1.1"]' in files["fw1.toml"]
    assert handout.solution() == {**files, "network.toml": 'segment.outside = "stp-edge"\n'}
    network = handout.network(["segment.outside=bridge"])
    assert network.router("fw2").interface("inside").virtual_hosts[0].advskew == 128
    assert [segment.kind for segment in network.segments] == ["bridge", "openflow"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"fw1_toml_j2": FW1 + "{{ sight }}"}, r"fw1.toml.j2: 'sight' is undefined"),
        ({"fw1_toml_j2": FW1 + "{{ site"}, r"fw1.toml.j2 line 6: "),
        ({"README_md": "{{ own('fw1', 'left') }}"}, r"README.md: 'left'"),
        ({"lab_toml": LAB_TOML.replace("advskew /", "skew /")}, r"lab.toml: .*'skew' is undefined"),
        ({"lab_toml": LAB_TOML.replace("=stp", "=st")}, "unknown kind 'st' of the segment outside"),
    ],
)
def test_what_is_wrong_in_a_template_is_one_sentence(
    tmp_path: Path, changed: dict[str, str], sentence: str
) -> None:
    handout = Handout(read_lab(write_lab(tmp_path, **changed)), "s1")
    with pytest.raises(UsageError, match=sentence):
        assert handout.start() and handout.readme()

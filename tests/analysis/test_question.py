from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from carplab.analysis.analysed import AnalysedRun, read_run
from carplab.analysis.question import asked, drawn, not_reached, planned, struck, traffic
from carplab.network import as_plain
from carplab.scenario import MACHINE_FAULTS, NETWORK_FAULTS, Fault, Traffic
from tests.analysis.recorded import cable_pull, crash


def run_with(tmp_path: Path, faults: list[Fault], **fields: Any) -> AnalysedRun:
    """A recorded run whose run.json says something else."""
    folder = cable_pull().write(tmp_path)
    about = json.loads((folder / "run.json").read_text())
    about["scenario"]["faults"] = as_plain(faults)
    about |= fields
    (folder / "run.json").write_text(json.dumps(about))
    return read_run(folder)


def test_the_question_is_the_scripts_own_and_that_of_every_run(tmp_path: Path) -> None:
    analysed = run_with(
        tmp_path,
        [Fault("link_down", "fw1", 4.0, 11.0, "outside", cable=2)],
        question=["Pull a cable.", "What then?"],
        settings={"condition": "stp"},
    )
    assert asked(analysed.run) == [
        "Pull a cable.",
        "What then?",
        "When the cable of fw1 to outside/2 is pulled: how long is the traffic between client and "
        "server out, and who is MASTER of what, until all is as before?",
        "Condition: stp.",
    ]
    assert planned(analysed.run) == [
        "Fault 1, 4 s after the start: the cable of fw1 to outside/2 is pulled; "
        "put back 11 s later."
    ]
    assert drawn(analysed.run).endswith("with the seed 7.")


def test_a_run_without_a_plan_asks_about_what_happened(tmp_path: Path) -> None:
    analysed = run_with(tmp_path, [])
    causes = analysed.findings.causes
    assert asked(analysed.run, causes)[0].startswith("When link_down fw1 outside: how long")
    assert planned(analysed.run) == [] and drawn(analysed.run) == ""
    assert struck(analysed.run, causes) == [
        {"kind": "link_down", "host": "fw1", "segment": "outside", "cable": 1}
    ]


@pytest.mark.parametrize("kind", [*NETWORK_FAULTS, *MACHINE_FAULTS, "of another version"])
def test_every_kind_of_fault_is_a_sentence(tmp_path: Path, kind: str) -> None:
    segment = "outside" if kind in NETWORK_FAULTS else ""
    fault = Fault(kind, "fw1", 2.0, 3.0, segment, "from_host", 20.0, 0.5, 4)
    sentence = planned(run_with(tmp_path, [fault]).run)[0]
    assert "fw1" in sentence and "None" not in sentence and "{" not in sentence
    assert segment in sentence


def test_the_traffic_is_said_as_it_was_planned(tmp_path: Path) -> None:
    plan = Traffic(ping_interval_s=None, stream="server", flows=(("client2", "server"),))
    scenario = {"traffic": as_plain(plan)}
    assert traffic(run_with(tmp_path, [], scenario={**scenario, "faults": []}).run) == (
        "client to server: a UDP probe there and back each 1 ms, iperf3 at 20 Mbit/s, a TCP "
        "connection on which the server sends; further probes from client2 to server"
    )
    assert traffic(read_run(crash().write(tmp_path / "old")).run) == ""


def test_what_never_ended_was_not_reached(tmp_path: Path) -> None:
    recording = cable_pull()
    recording.end_s = 12.2
    recording.events = [row for row in recording.events if float(str(row[0])) < 12.2]
    said = not_reached(read_run(recording.write(tmp_path / "cut")).findings)
    assert any(each.startswith("Recovery after repair 1 never came to its end") for each in said)
    assert not_reached(read_run(cable_pull().write(tmp_path / "whole")).findings) == []

"""A session on a real network: what is done to it and what it tells."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carplab.analysis.analysed import read_run
from carplab.emulation import registry
from carplab.errors import CarplabError, UsageError
from carplab.lanes import Lane
from carplab.recording import read_run as read_about
from carplab.session.client import Session, find_session, start_session
from carplab.session.spec import SessionSpec
from topo.firewall_pair import firewall_pair

pytestmark = pytest.mark.mininet

PROJECT = Path(__file__).resolve().parents[2]

ONE_SIDE = """\
preempt = true
[[virtual_host]]
interface = "fw2-outside"
vhid = 1
advskew = {advskew}
password = "carplab"
addresses = ["10.0.1.1"]
"""


def wait_for(what: str, condition: Callable[[], Any], deadline_s: float = 20.0) -> Any:
    end_s = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.05)
    return found


def states(session: Session) -> dict[tuple[str, str], str]:
    hosts = session.status()["virtual_hosts"]
    return {(host["router"], host["segment"]): host["state"] for host in hosts}


def masters(session: Session) -> set[str]:
    return {router for (router, _), state in states(session).items() if state == "MASTER"}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    out = tmp_path_factory.mktemp("runs")
    with start_session(SessionSpec("test", firewall_pair(), out), lambda text: None) as started:
        yield started
        folder = Path(started.describe()["folder"])
        started.stop()
    assert read_about(folder)["outcome"] == "finished"
    assert len(read_run(folder).run.probe) > 100  # the tables are there, the raw files are not
    assert not (folder / "raw").exists()
    assert registry.read_record() is None


@pytest.fixture
def whole(session: Session) -> Iterator[Session]:
    wait_for("fw1 is MASTER", lambda: masters(session) == {"fw1"})
    yield session
    session.lift_all()


def test_it_says_what_it_is(session: Session) -> None:
    about = session.describe()
    assert set(about["machines"]) == {"fw1", "fw2", "client", "server"}
    assert [each["name"] for each in about["network"]["segments"]] == ["outside", "inside"]
    assert set(session.status()["carpd"].values()) == {"running"}
    assert session.run("client", "hostname", "-I").stdout.split() == ["10.0.2.100"]
    with pytest.raises(UsageError, match="no machine 'fw9': there are fw1, fw2"):
        session.run("fw9", "true")


def test_a_follower_sees_a_fault_and_its_repair(whole: Session) -> None:
    with following(whole) as messages:
        assert messages.get(timeout=10)["kind"] == "status"
        number = whole.inject("link_down", "fw1", "outside")["id"]
        seen = collect_until(messages, is_master("fw2", "outside"))
        (fault,) = whole.status()["faults"]
        assert (fault["id"], fault["kind"], fault["host"]) == (number, "link_down", "fw1")
        whole.lift(number)
        seen += collect_until(messages, is_master("fw1", "outside"))
        seen += collect_until(messages, lambda each: each["kind"] == "iperf")
    events = [(each["event"], each["source"]) for each in seen if each["kind"] == "event"]
    for expected in [("carrier", "fw1"), ("fault", "fw1"), ("repair", "fw1")]:
        assert expected in events
    probes = [row for each in seen if each["kind"] == "probe" for row in each["rows"]]
    assert any(row[3] is None for row in probes), "some packets were lost"
    assert any(row[3] is not None and row[1] < row[2] < row[3] for row in probes)
    assert {"ping", "iperf", "status"} <= {each["kind"] for each in seen}
    assert whole.status()["faults"] == []


def is_master(router: str, segment: str) -> Callable[[dict[str, Any]], bool]:
    def holds(message: dict[str, Any]) -> bool:
        return message["kind"] == "status" and any(
            (each["router"], each["segment"], each["state"]) == (router, segment, "MASTER")
            for each in message["virtual_hosts"]
        )

    return holds


@contextlib.contextmanager
def following(session: Session) -> Iterator[queue.Queue[dict[str, Any]]]:
    """The messages of a follower, which is a thread until the session ends."""
    messages: queue.Queue[dict[str, Any]] = queue.Queue()

    def follow() -> None:
        for message in session.follow():
            messages.put(message)

    threading.Thread(target=follow, daemon=True).start()
    yield messages


def collect_until(
    messages: queue.Queue[dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """The messages up to the one that is wanted."""
    collected = []
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        collected.append(messages.get(timeout=20))
        if wanted(collected[-1]):
            return collected
    raise AssertionError("the message did not come")


def test_faults_that_cannot_be_are_refused(whole: Session) -> None:
    with pytest.raises(UsageError, match="unknown fault 'fire'"):
        whole.inject("fire", "fw1")
    with pytest.raises(UsageError, match="no segment called 'nowhere'"):
        whole.inject("link_down", "fw1", "nowhere")
    with pytest.raises(UsageError, match="there is no fault 99"):
        whole.lift(99)
    number = whole.inject("loss", "fw1", "outside", percent=10)["id"]
    with pytest.raises(UsageError, match=rf"fw1 has a fault already .*: lift {number} first"):
        whole.inject("crash", "fw1")
    other = whole.inject("loss", "fw2", "outside", percent=10)["id"]
    assert whole.lift_all()["lifted"] == [other, number]


def test_a_crash_and_the_boot(whole: Session) -> None:
    number = whole.inject("crash", "fw1")["id"]
    assert whole.status()["carpd"]["fw1"] == "down"
    with pytest.raises(UsageError, match="fw1 is not up"):
        whole.configure("fw1", ONE_SIDE.replace("fw2", "fw1").format(advskew=0))
    wait_for("fw2 takes over", lambda: masters(whole) == {"fw2"})
    whole.lift(number)
    assert whole.status()["carpd"]["fw1"] == "running"
    wait_for("fw1 is back", lambda: masters(whole) == {"fw1"})


def test_an_export_is_a_run_that_the_analysis_reads(whole: Session, tmp_path: Path) -> None:
    whole.inject("link_down", "fw1", "outside")
    wait_for("fw2 takes over", lambda: masters(whole) == {"fw2"})
    with following(whole) as messages:  # until a packet has come through again
        collect_until(messages, lambda each: each["kind"] == "probe" and bool(each["rows"][-1][3]))
    analysed = read_run(whole.export(tmp_path, seconds=1))
    windows = {(window.window, window.cause) for window in analysed.windows}
    assert ("failover", "fault 1") in windows, "the window reaches back to the whole fault"
    assert not analysed.run.missing
    recorded = analysed.run.about["scenario"]["faults"]
    assert 0 < recorded[0]["at_s"] < 2.01
    assert recorded[-1]["kind"] == "link_down"


def test_carpd_is_configured_anew(whole: Session) -> None:
    before = whole.status()
    with pytest.raises(UsageError, match=r"fw2.toml: .*'fw2-otside'"):
        whole.configure("fw2", ONE_SIDE.format(advskew=0).replace("outside", "otside"))
    assert whole.status()["virtual_hosts"] == before["virtual_hosts"]
    whole.configure("fw2", ONE_SIDE.format(advskew=33))
    (host,) = [each for each in whole.status()["virtual_hosts"] if each["router"] == "fw2"]
    assert (host["vhid"], host["advskew"], host["segment"]) == (1, 33, "outside")
    wait_for("it runs", lambda: states(whole)["fw2", "outside"] == "BACKUP")


def test_processes_belong_to_the_session(session: Session) -> None:
    pid = session.spawn("server", ["sleep", "1000"], "sleeper")["pid"]
    with pytest.raises(UsageError, match="already a process 'sleeper'"):
        session.spawn("server", ["sleep", "1000"], "sleeper")
    assert Path(f"/proc/{pid}").exists()
    session.end("sleeper")
    wait_for("it is gone", lambda: not Path(f"/proc/{pid}").exists())


def test_one_network_at_a_time(session: Session, tmp_path: Path) -> None:
    with pytest.raises(CarplabError, match="another carplab run is going on"):
        start_session(SessionSpec("other", firewall_pair(), tmp_path), lambda text: None)
    with find_session() as second:
        assert second.describe()["title"] == "test"


BROKEN = """
import sys, time
from pathlib import Path
from carplab.session.client import start_session
from carplab.session.spec import SessionSpec
from carplab.settings import apply_settings
from topo.firewall_pair import firewall_pair
spec = SessionSpec(
    "broken",
    apply_settings(firewall_pair(), ["nat=synced"]),
    Path(sys.argv[1]),
    wait_settled=False,
    configurations={"fw1": "", "fw2": sys.argv[2]},
    scripts={"fw1": "sleep 1000 & echo hello"},
    sync_sections={"fw2": "Sync { Mode NONSENSE }"},
)
with start_session(spec, lambda text: None) as session:
    carpd = session.status()["carpd"]
    assert carpd["fw1"] == "running", carpd
    assert carpd["fw2"].startswith("failed: ") and "10.9.9.9" in carpd["fw2"], carpd
    conntrackd = session.status()["conntrackd"]
    assert list(conntrackd) == ["fw2"] and "ended by itself" in conntrackd["fw2"], conntrackd
    client = "conntrackd -C /run/carplab/*/fw1-conntrackd.conf "
    assert "current active connections" in session.run("fw1", "sh", "-c", client + "-s").stdout
    number = session.inject("crash", "fw1")["id"]
    assert session.status()["carpd"]["fw1"] == "down"
    session.lift(number)
    end_s = time.monotonic() + 10
    while session.status()["carpd"]["fw1"] != "running":
        assert time.monotonic() < end_s
        time.sleep(0.05)
    session.run("fw1", "sh", "-c", client + "-k")
    while "fw1" not in session.status()["conntrackd"]:
        assert time.monotonic() < end_s
        time.sleep(0.05)
    session.stop()
print("held")
"""


def test_a_network_that_does_not_work_is_held_too(tmp_path: Path) -> None:
    """In a lane: the session of the other tests is still running."""
    script, log = tmp_path / "broken.py", tmp_path / "log"
    script.write_text(BROKEN)
    wrong = ONE_SIDE.format(advskew=0).replace("10.0.1.1", "10.9.9.9")
    lane = Lane()
    try:
        command = [sys.executable, str(script), str(tmp_path / "runs"), wrong]
        code = lane.run(["env", f"PYTHONPATH={PROJECT}", *command], log, 120)
    finally:
        lane.close()
    assert (code, log.read_text()) == (0, "held\n")

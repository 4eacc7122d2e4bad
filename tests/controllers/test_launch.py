"""The launcher, and the controller's answers to switches that misbehave, on both frameworks."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from controllers import listening
from tests.controllers.bench import REPOSITORY, Controller, Reply, wait_for
from tests.controllers.fake_switch import FakeSwitch

MODULES = {"ryu": "ryu", "os-ken": "os_ken"}
LINK_DOWN = {"kind": "link_down", "switch": "outside", "host": "fw1"}
PORT_DOWN = 1


@pytest.fixture(scope="module", params=MODULES)
def framework(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(MODULES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def controller(framework: str) -> Iterator[Controller]:
    with Controller(framework) as running:
        yield running


@pytest.fixture
def switch(controller: Controller) -> Iterator[FakeSwitch]:
    with FakeSwitch(controller.ofp_port) as connected:
        wait_for("the switch is shown", lambda: controller.get("/v1/switches")["switches"])
        connected.port_mods.clear()
        yield connected
        connected.silent = connected.refuses = False
        controller.request("DELETE", "/v1/faults")
    wait_for("the switch is gone", lambda: not controller.get("/v1/switches")["switches"])


def test_ready_line_names_ports_and_framework(controller: Controller, framework: str) -> None:
    assert re.fullmatch(rf"{framework} \d+(\.\d+)+", controller.ready["framework"])
    for port in (controller.ofp_port, controller.api_port):
        assert [pid for pid, _name in listening.holders(port)] == [controller.process.pid]


@pytest.mark.parametrize("port", ["ofp_port", "api_port"])
def test_only_the_loopback_is_listened_on(controller: Controller, port: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", getattr(controller, port)))


def test_port_that_was_asked_for_is_had(framework: str) -> None:
    ofp_port, api_port = listening.choose_port(0), listening.choose_port(0)
    asked = (f"--ofp-port={ofp_port}", f"--api-port={api_port}")
    with Controller(framework, *asked) as running:
        assert (running.ofp_port, running.api_port) == (ofp_port, api_port)


@pytest.mark.parametrize("option", ["--ofp-port", "--api-port"])
def test_taken_port_is_named_with_its_holder(framework: str, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with Controller(framework, option, str(port)) as refused:
            code, complaint = refused.stop()
    assert code == 1
    assert complaint.count("\n") == 1
    assert f"Port {port} is taken" in complaint
    assert f"(pid {os.getpid()})" in complaint


@pytest.mark.parametrize("arguments", [["--ofp-port", "70000"], ["--framework", "nox"], ["now"]])
def test_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "controllers.launch", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_code_0_and_no_word(framework: str, number: signal.Signals) -> None:
    with Controller(framework) as running:
        assert running.stop(number) == (0, "")


def test_switch_that_falls_silent_leaves_no_fault(
    controller: Controller, switch: FakeSwitch
) -> None:
    switch.silent = True
    before = controller.state()
    reply = controller.request("POST", "/v1/faults", LINK_DOWN)
    assert reply.status == 424
    assert reply.content == {"error": "Switch outside did not answer; it is gone or stuck."}
    assert controller.state() == before
    wait_for("the port is set back", lambda: len(switch.port_mods) == 2)
    assert switch.port_mods == [(PORT_DOWN, PORT_DOWN), (0, PORT_DOWN)]


def test_fault_that_cannot_be_lifted_stays(controller: Controller, switch: FakeSwitch) -> None:
    fault = controller.request("POST", "/v1/faults", LINK_DOWN).content
    switch.silent = True
    assert controller.request("DELETE", f"/v1/faults/{fault['id']}").status == 424
    assert controller.get("/v1/faults")["faults"] == [fault]
    switch.silent = False
    assert controller.request("DELETE", f"/v1/faults/{fault['id']}").status == 200
    assert switch.port_mods[-1] == (0, PORT_DOWN)


def test_switch_that_refuses_is_quoted(controller: Controller, switch: FakeSwitch) -> None:
    switch.refuses = True
    before = controller.state()
    reply = controller.request("POST", "/v1/faults", LINK_DOWN)
    assert reply.status == 424
    assert "OFPPMFC_BAD_PORT" in reply.content["error"]
    assert controller.state() == before


def test_switch_that_hangs_up_is_set_right_when_it_returns(
    controller: Controller, switch: FakeSwitch
) -> None:
    switch.hangs_up = True
    assert controller.request("POST", "/v1/faults", LINK_DOWN).status == 424
    assert controller.get("/v1/faults")["faults"] == []
    with FakeSwitch(controller.ofp_port) as returned:
        wait_for("the port is set back", lambda: (0, PORT_DOWN) in _down_bits(returned))


def _down_bits(switch: FakeSwitch) -> list[tuple[int, int]]:
    return [(config & PORT_DOWN, mask & PORT_DOWN) for config, mask in switch.port_mods]


def test_of_equal_requests_at_once_one_is_carried_out(
    controller: Controller, switch: FakeSwitch
) -> None:
    with ThreadPoolExecutor(20) as clients:
        replies = list(clients.map(lambda _: post_link_down(controller), range(20)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 19
    (fault,) = controller.get("/v1/faults")["faults"]
    with ThreadPoolExecutor(20) as clients:
        paths = [f"/v1/faults/{fault['id']}"] * 20
        lifted = list(clients.map(lambda path: controller.request("DELETE", path), paths))
    assert sorted(reply.status for reply in lifted) == [200] + [404] * 19
    assert switch.port_mods == [(PORT_DOWN, PORT_DOWN), (0, PORT_DOWN)]


def post_link_down(controller: Controller) -> Reply:
    return controller.request("POST", "/v1/faults", LINK_DOWN)


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /v1/faults HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /v1/faults HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/faults HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET /v1/faults HTTP/1.1\r\nHost: " + b"y" * 70_000 + b"\r\n\r\n",
        b"POST /v1/faults HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n",
        b"POST /v1/faults HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/faults HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_malformed_request_is_answered_with_a_4xx(controller: Controller, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", controller.api_port), timeout=5) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(sent)
        answer = client.recv(4096)
    assert re.match(rb"HTTP/1\.1 4\d\d ", answer), answer
    assert b'{"error": "' in answer


def test_large_body_is_refused_after_it_was_sent(controller: Controller) -> None:
    reply = controller.request("POST", "/v1/faults", raw_body=b" " * 10_000_000)
    assert reply.status == 413
    assert "10000000 bytes" in reply.content["error"]


def test_client_that_goes_away_harms_nobody(controller: Controller) -> None:
    with socket.create_connection(("127.0.0.1", controller.api_port)) as client:
        client.sendall(
            b"POST /v1/faults HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"
        )
    assert controller.get("/v1/faults") == {"faults": []}


def test_idle_client_keeps_nobody_waiting(controller: Controller) -> None:
    with socket.create_connection(("127.0.0.1", controller.api_port)):
        assert controller.get("/v1/faults") == {"faults": []}


def test_ryu_manager_loads_the_application() -> None:
    if importlib.util.find_spec("ryu") is None:
        pytest.skip("ryu is not installed")
    api_port, ofp_port = listening.choose_port(0), listening.choose_port(0)
    arguments = ["--ofp-tcp-listen-port", str(ofp_port), "controllers/fault_injector.py"]
    environment = {**os.environ, "FAULT_INJECTOR_API_PORT": str(api_port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "controllers.ryu_manager", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    running: Any = Controller("ryu")
    running.api_port = api_port
    try:
        wait_for("the API answers", lambda: _answers(running), deadline_s=20)
        with FakeSwitch(ofp_port):
            wait_for("the switch is shown", lambda: running.get("/v1/switches")["switches"])
    finally:
        process.kill()
        process.wait()


def _answers(controller: Controller) -> bool:
    try:
        return bool(controller.request("GET", "/v1/faults").status == 200)
    except ConnectionRefusedError:
        return False

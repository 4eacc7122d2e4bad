"""The OpenFlow controller as a process of its own, and its HTTP API for faults of the network."""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carplab.emulation.priority import AHEAD_OF_TRAFFIC
from carplab.emulation.words import last_words
from carplab.errors import CarplabError
from carplab.network import OPENFLOW, Network, plug_name

START_DEADLINE_S = 20.0
CONNECT_DEADLINE_S = 15.0
STOP_DEADLINE_S = 3.0
REQUEST_DEADLINE_S = 20.0
POLL_S = 0.02


@dataclass(frozen=True)
class Effect:
    """When a fault took effect or was lifted, monotonic seconds, and the controller's answer."""

    monotonic_s: float
    answer: dict[str, Any]


class ControllerProcess:
    """`python -m controllers.launch`, started and ended here; its words go to a log file."""

    def __init__(self, log: Path, arguments: Sequence[str] = ()) -> None:
        self._log = log
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self.ofp_port = 0
        self.api_port = 0
        self.framework = ""

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the process; it takes about a second until `wait_ready` has something to read."""
        launcher = [sys.executable, "-m", "controllers.launch", *self._arguments]
        command = [*AHEAD_OF_TRAFFIC, *launcher]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when it listens for switches and requests; CarplabError with its words if not."""
        assert self._process and self._process.stdout
        readable, _, _ = select.select([self._process.stdout], [], [], START_DEADLINE_S)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            self.stop()
            words = last_words(self._log).removeprefix("controllers.launch: ").rstrip(".")
            raise CarplabError(f"the controller does not start: {words}")
        ready = json.loads(line)
        # The spanning tree has no HTTP API.
        self.ofp_port, self.api_port = ready["ofp_port"], ready.get("api_port", 0)
        self.framework = ready["framework"]

    def follow(self, on_line: Callable[[dict[str, Any]], None]) -> None:
        """Hand on each further line that it prints, from a thread that ends with the process."""
        assert self._process and self._process.stdout
        lines = self._process.stdout

        def read() -> None:
            for line in lines:
                on_line(json.loads(line))

        self._reader = threading.Thread(target=read, name="controller", daemon=True)
        self._reader.start()

    def check(self) -> None:
        """Raise CarplabError when the process has ended by itself."""
        if self._process is None or self._process.poll() is None:
            return
        raise CarplabError(
            "the controller ended in the middle of the run (exit code "
            f"{self._process.returncode}): "
            f"{last_words(self._log)}"
        )

    def stop(self) -> None:
        """End the process. Never raises."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader:
            self._reader.join()
        if process.stdout:
            process.stdout.close()


class ControllerClient:
    """Requests to the controller's HTTP API on the loopback; CarplabError carries its sentence."""

    def __init__(self, api_port: int) -> None:
        self._api_port = api_port

    def wait_connected(self, network: Network) -> None:
        """Return when every OpenFlow switch is connected with all its ports."""
        openflow = [segment.name for segment in network.segments if segment.kind == OPENFLOW]
        expected = {name: set[str]() for name in openflow}
        for machine, segment_name, cable in network.attachments():
            if segment_name in expected:
                expected[segment_name].add(plug_name(machine, cable))
        deadline_s = time.monotonic() + CONNECT_DEADLINE_S
        while True:
            switches = self._request("GET", "/v1/switches")["switches"]
            connected = {
                switch["name"]: {port.get("host") for port in switch["ports"]}
                for switch in switches
            }
            missing = [
                name for name in expected if not expected[name] <= connected.get(name, set())
            ]
            if not missing:
                return
            if time.monotonic() > deadline_s:
                raise CarplabError(
                    f"the switch {', '.join(missing)} does not connect to the controller with all "
                    "its "
                    "ports: is Open vSwitch running well ('carplab doctor')?"
                )
            time.sleep(POLL_S)

    def inject(self, kind: str, segment: str, host: str, **options: Any) -> Effect:
        """Put a fault on the cable between `segment` and `host`."""
        body = {"kind": kind, "switch": segment, "host": host, **options}
        answer = self._request("POST", "/v1/faults", body)
        return Effect(answer["effective_monotonic_s"], answer)

    def lift(self, identifier: int) -> Effect:
        """Take a fault away again."""
        answer = self._request("DELETE", f"/v1/faults/{identifier}")
        return Effect(answer["lifted_monotonic_s"], answer)

    def _request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._api_port, timeout=REQUEST_DEADLINE_S
        )
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CarplabError(
                f"the controller does not answer: {error or type(error).__name__}"
            ) from None
        finally:
            connection.close()
        if response.status >= 400:
            sentence = str(answer.get("error", response.reason)).rstrip(".")
            raise CarplabError(f"the controller refuses: {sentence}")
        return answer

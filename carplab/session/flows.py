"""The traffic of a session: tools that are started again when they have ended.

An iperf client gives up when the network cannot be reached, as in a lab whose firewalls do not work
yet; ping and the probe may end as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from carplab.emulation.generations import generation_dir, next_number, read_generations
from carplab.emulation.running_network import RunningNetwork
from carplab.emulation.tools import chosen_tools
from carplab.emulation.traffic import Traffic
from carplab.errors import CarplabError
from carplab.recording import Row, RunFolder
from carplab.scenario import Scenario
from carplab.session.tails import Tail, tail_of

RETRY_S = 3.0


class Flows:
    """All traffic of a session."""

    def __init__(self, running: RunningNetwork, folder: RunFolder, scenario: Scenario) -> None:
        self._folder = folder
        self._flows = [
            _Flow(running, folder.raw_dir, scenario, number)
            for number in range(len(chosen_tools(scenario)))
        ]

    def look_after(self, now_s: float) -> None:
        """Start what is not running, now and then."""
        for flow in self._flows:
            flow.look_after(now_s)

    def rows(self, now_s: float) -> Iterator[tuple[str, list[Row]]]:
        """Yield the kind and the new rows of each tool that has some; monotonic seconds."""
        for flow in self._flows:
            rows = flow.tail.rows(now_s) if flow.tail else []
            if flow.tail and rows:
                flow.note(rows)
                yield flow.tail.kind, rows

    def stop(self) -> None:
        """End everything."""
        for flow in self._flows:
            flow.stop()

    def collect(self) -> None:
        """Make the run's tables from the raw files, which are removed; for after `stop`."""
        folder = self._folder
        for flow in self._flows:
            rows = read_generations(flow.tool, folder.raw_dir, folder.origin.monotonic_s)
            folder.write_rows(flow.tool.table, rows, compress=flow.tool.compressed)
        self._folder.drop_raw()


class _Flow:
    """One tool between two hosts, through all its starts."""

    def __init__(
        self, running: RunningNetwork, raw_dir: Path, scenario: Scenario, number: int
    ) -> None:
        self._running = running
        self._raw_dir = raw_dir
        self._scenario = scenario
        self._number = number
        self._starts = 0
        self._is_up = False
        self._next_start_s = 0.0
        self._last_rows: list[Row] = []
        self.tool: Traffic = chosen_tools(scenario)[number][0]
        self.tail: Tail | None = None

    def look_after(self, now_s: float) -> None:
        if now_s < self._next_start_s:
            return
        if self._is_up:
            try:
                self.tool.check()
                return
            except CarplabError:
                self.stop()
        self._next_start_s = now_s + RETRY_S
        with contextlib.suppress(CarplabError):
            self._start()

    def note(self, rows: list[Row]) -> None:
        """Keep the last row: the next start counts on from it."""
        self._last_rows = [max(rows, key=lambda row: row[0] or 0)]

    def stop(self) -> None:
        self._is_up = False
        self.tool.stop()

    def _start(self) -> None:
        # A tool can be started once: each start has one of its own.
        self.tool, client, server = chosen_tools(self._scenario)[self._number]
        self._starts += 1
        raw_dir = generation_dir(self._raw_dir, self.tool, self._starts)
        raw_dir.mkdir(exist_ok=True)
        self.tail = tail_of(self.tool, raw_dir, next_number(self._last_rows, self.tool.table))
        ends = self._running.endpoint(client), self._running.endpoint(server)
        try:
            self.tool.start(*ends, raw_dir)
        except CarplabError:
            self.tool.stop()
            raise
        self._is_up = True
        for label, pid in self.tool.processes:
            self._running.registry.add_process(label, pid)

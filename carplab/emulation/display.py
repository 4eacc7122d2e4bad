"""What the user sees while a run goes on: a progress bar on a terminal, else lines, or nothing."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Display:
    """Shows which step a run is in. `console` prints what comes after it."""

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._quiet = quiet
        self._started_s = time.monotonic()
        self._title = ""
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Display:
        if not self._quiet and self.console.is_terminal:
            columns = (
                TextColumn("{task.fields[title]}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
            )
            # 4 times a second: the bar must not take the processor from what is measured.
            self._progress = Progress(
                *columns, console=self.console, refresh_per_second=4, transient=True
            )
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def begin(self, title: str, duration_s: float) -> None:
        """Begin a run that is measured for `duration_s` seconds."""
        self._title = title
        if self._progress:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task("", total=duration_s, title=title)

    def step(self, text: str) -> None:
        """Say what happens now."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, description=text)
        elif not self._quiet and self._progress is None:
            elapsed_s = time.monotonic() - self._started_s
            self.console.print(f"{elapsed_s:6.1f} s  {self._title}: {text}")

    def advance_to(self, measured_s: float) -> None:
        """Move the bar to this many seconds of the measurement."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=measured_s)

    def show(self, content: RenderableType) -> None:
        """Print below the bar, or where it was."""
        if not self._quiet:
            # A path must not be broken in two.
            self.console.print(content, soft_wrap=isinstance(content, str))

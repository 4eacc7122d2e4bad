"""A real browser for the tests of the page: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

START_DEADLINE_S = 90.0
DEADLINE_MS = 30_000
SCREEN: ViewportSize = {"width": 1280, "height": 720}
COLOURS = 256
expect.set_options(timeout=DEADLINE_MS)
PICTURES = os.environ.get("CARPLAB_PICTURES")  # a folder for the documents' screenshots


@contextlib.contextmanager
def live_view(*words: str) -> Iterator[str]:
    """Run `carplab live` with these words; its page's address."""
    command = [sys.executable, "-m", "carplab.cli", "live", "--port", "0", "--no-browser", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield _address(process)
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(START_DEADLINE_S)
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
    assert process.returncode == 0


def _address(process: subprocess.Popen[str]) -> str:
    said = []
    assert process.stdout
    for line in process.stdout:
        said.append(line)
        if line.startswith("live view: "):
            return line.split()[2]
    raise AssertionError(f"carplab live has ended: {''.join(said)}")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        executable = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """Open the page; whatever its scripts complain of fails the test."""
    troubles: list[str] = []
    page = browser.new_page(viewport=SCREEN, **options)
    page.set_default_timeout(DEADLINE_MS)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda said: troubles.append(said.text) if _is_trouble(said) else None)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    yield page
    page.close()
    assert not troubles


def _is_trouble(said: ConsoleMessage) -> bool:
    """Whether the browser complains; not that an order was refused, which the page itself says."""
    return said.type in ("error", "warning") and "/api/" not in said.location["url"]


def badge(router: str, segment: str, vhid: int, state: str, cable: int = 1) -> str:
    """Return the selector of a badge in a state."""
    return f'.badge[data-key="{router}/{segment}/{cable}/{vhid}"][data-state="{state}"]'


def wait_until(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Wait for something that no selector says."""
    deadline_s = time.monotonic() + DEADLINE_MS / 1000
    while not condition():
        assert time.monotonic() < deadline_s, what
        page.wait_for_timeout(50)


def clock_s(page: Page) -> float:
    """Return the time that the page shows."""
    return float(page.inner_text("#clock").removesuffix(" s"))


def take_picture(page: Page, name: str, at_s: float = 0.0, when: str = "body") -> None:
    """Take a screenshot for the documents, if there is a folder for them.

    It is taken when it is `at_s` and there is what the selector `when` says.
    """
    if PICTURES is None:
        return
    wait_until(page, lambda: clock_s(page) >= at_s, f"it is {at_s} s")
    page.wait_for_selector(when, state="attached")
    path = Path(PICTURES) / f"live-{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE)
    small.save(path, optimize=True)

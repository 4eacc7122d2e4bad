"""The page in a real browser, showing a network that runs: break it by click, heal it, export."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from carplab.analysis.load import load_run
from carplab.analysis.windows import find_windows
from carplab.network import SEGMENT_KINDS
from carplab.session.client import find_session
from tests.live.browser import badge, chromium, live_view, opened, take_picture, wait_until
from topo.firewall_pair import DESIGNS

pytestmark = [
    pytest.mark.mininet,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium"),
]


LOST = ".losses .lost[visibility=visible]"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def address(out: Path) -> Iterator[str]:
    with live_view("--out", str(out)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address) as page:
        yield page


def choose(page: Page, what: str, order: str) -> None:
    page.get_by_role("button", name=what).click()
    page.get_by_role("menuitem", name=order).click()


def step_to(page: Page, t_s: float) -> None:
    """Move the slider to a time."""
    page.evaluate(
        """t => {
          const slider = document.getElementById('slider');
          const shown = parseFloat(document.getElementById('clock').textContent);
          slider.value = Number(slider.value) + t - shown;
          slider.dispatchEvent(new Event('input'));
        }""",
        t_s,
    )


def wait_for_masters(page: Page, router: str) -> None:
    for segment, vhid in (("outside", 1), ("inside", 2)):
        page.wait_for_selector(badge(router, segment, vhid, "MASTER"))
    expect(page.locator("#whole")).to_have_text(f"{router} is MASTER everywhere")


def test_pull_a_cable_see_the_badge_move_heal_and_export(page: Page, out: Path) -> None:
    wait_for_masters(page, "fw1")
    assert page.get_by_text("carpd started").count() == 2  # long before the page was opened
    page.get_by_role("button", name="Cable of fw1 to outside").click()
    take_picture(page, "menu", at_s=20)
    page.get_by_role("menuitem", name="Pull the cable").click()
    page.wait_for_selector(badge("fw1", "outside", 1, "INIT"))
    expect(page.get_by_role("button", name="Cable of fw1 to outside: cable pulled")).to_be_visible()
    expect(page.locator(".sign[visibility=visible]")).to_have_text("pulled")
    take_picture(page, "outage", when=LOST)
    wait_for_masters(page, "fw2")
    page.keyboard.press("h")
    wait_for_masters(page, "fw1")
    expect(page.locator(".cable.faulty")).to_have_count(0)
    page.keyboard.press("e")
    expect(page.locator("#toast")).to_contain_text("Exported as a run: ")
    folder = Path(page.inner_text("#toast").removeprefix("Exported as a run: "))
    assert folder.is_relative_to(out)
    findings = find_windows(load_run(folder))
    assert [cause.where for cause in findings.causes] == ["link_down fw1 outside"] * 2
    failover = findings.first("failover", "fault 1")
    assert failover is not None and failover.length_s is not None
    assert failover.length_s > 1.0
    assert (folder / "report.html").exists()


def test_the_past_is_looked_at_and_left_again(page: Page) -> None:
    outage = page.locator("#log .outage", has_text=re.compile(r"outage of [2-9]\.")).last
    end_s = float(outage.locator("time").inner_text())
    page.keyboard.press("f")
    step_to(page, end_s - 0.5)
    expect(page.locator("#mode")).to_have_text("FROZEN")
    frozen = page.inner_text("#clock")
    expect(page.locator("#outage")).to_contain_text("OUTAGE")
    expect(page.locator("#whole")).to_have_text("Split: outside none, inside fw2")
    page.wait_for_selector(badge("fw1", "outside", 1, "INIT"))
    page.wait_for_selector(LOST, state="attached")
    choose(page, "Firewall fw2", "Back to now")
    expect(page.locator("#mode")).to_have_text("LIVE")
    expect(page.locator("#clock")).not_to_have_text(frozen)


def test_all_viewers_see_a_crash(page: Page, browser: Browser, address: str) -> None:
    with opened(browser, address) as other:
        choose(page, "Firewall fw1", "Crash")
        for each in (page, other):
            each.wait_for_selector(badge("fw1", "inside", 2, "not running"))
            expect(each.locator(".router.struck")).to_contain_text("CRASHED")
        wait_for_masters(other, "fw2")
        assert other.get_by_text("carpd killed").count() == 1
        take_picture(page, "crash")
        choose(other, "Firewall fw1: crash", "Heal: crash")
        wait_for_masters(page, "fw1")


def test_a_view_that_joins_a_network_leaves_it_as_it_is(browser: Browser) -> None:
    with live_view() as address, opened(browser, address) as page:
        page.wait_for_selector(badge("fw1", "outside", 1, "MASTER"))
        expect(page.locator("#start")).to_be_hidden()
    with find_session() as session:
        assert session.status()["carpd"] == {"fw1": "running", "fw2": "running"}


def test_another_network_is_started_in_its_place(page: Page) -> None:
    page.click("#start")
    for field, choices in (("design", DESIGNS), ("switch", SEGMENT_KINDS)):
        assert page.locator(f"#{field} option").all_inner_texts() == list(choices)
    page.select_option("#design", "balanced")
    page.select_option("#dialect", "freebsd")
    page.click("#start-now")
    expect(page.locator("#toast")).to_contain_text("arp_balance does not go with dialect freebsd")
    with find_session() as session:
        assert session.describe()["settings"]["design"] == "single"
    page.keyboard.press("n")
    page.select_option("#dialect", "openbsd")
    page.select_option("#switch", "bridge")
    page.click("#start-now")
    expect(page.locator("#notice")).to_be_visible()
    page.wait_for_selector(badge("fw2", "inside", 4, "MASTER"))
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#title")).to_contain_text("balanced")
    expect(page.locator(".segment").first).to_contain_text("Linux bridge")
    wait_until(page, lambda: page.inner_text("#mode") == "LIVE", "it is live again")
    take_picture(page, "balanced", at_s=12)

"""The page in a real browser, showing the reference run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import badge, chromium, clock_s, live_view, opened, take_picture, wait_until
from tests.live.test_replay import CABLE_PULL

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")

BROKEN_S = 7.0  # in the middle of the outage


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with live_view("--replay", str(CABLE_PULL)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def opened_page(browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address) as page:
        yield page


@pytest.fixture
def page(opened_page: Page) -> Page:
    opened_page.keyboard.press("l")
    return opened_page


def order(page: Page, **fields: float | bool) -> None:
    """Send the replay somewhere, as the page's own buttons do."""
    page.evaluate(
        "fields => import('/static/orders.js').then(({order}) => order('replay', fields))", fields
    )


def show(page: Page, at_s: float) -> None:
    """Let the replay stand still at a time."""
    order(page, paused=True, at_s=at_s)
    wait_until(page, lambda: clock_s(page) == at_s, f"the clock shows {at_s}")


def test_it_shows_what_was_recorded(page: Page) -> None:
    show(page, 3.0)
    page.wait_for_selector(badge("fw1", "outside", 1, "MASTER"))
    page.wait_for_selector(badge("fw2", "outside", 1, "BACKUP"))
    expect(page.locator("#whole")).to_have_text("fw1 is MASTER everywhere")
    show(page, BROKEN_S)
    page.wait_for_selector(badge("fw1", "outside", 1, "INIT"))
    page.wait_for_selector(badge("fw2", "inside", 2, "MASTER"))
    expect(page.locator("#outage")).to_contain_text("OUTAGE")
    expect(page.locator("#whole")).to_have_text("Split: outside none, inside fw2")
    expect(page.locator(".sign[visibility=visible]")).to_have_text("pulled")
    expect(page.locator("#log")).to_contain_text("cable pulled outside")
    take_picture(page, "replay")


def test_it_fits_a_projector_without_scrolling(page: Page) -> None:
    show(page, BROKEN_S)
    size = page.evaluate(
        "(({scrollWidth, scrollHeight}) => [scrollWidth, scrollHeight])(document.documentElement)"
    )
    assert size == [1280, 720]


def test_back_before_the_fault_everything_is_as_it_was_then(page: Page) -> None:
    show(page, BROKEN_S)
    page.wait_for_selector(badge("fw1", "outside", 1, "INIT"))
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.wait_for_selector(badge("fw1", "outside", 1, "MASTER"))
    expect(page.locator("#mode")).to_have_text("FROZEN")
    expect(page.locator("#clock")).to_have_text("3.0 s")
    expect(page.locator("#log")).not_to_contain_text("cable pulled")
    expect(page.locator("#ago")).to_contain_text("before now")
    page.keyboard.press("l")
    page.wait_for_selector(badge("fw1", "outside", 1, "INIT"))


def test_all_is_reached_by_keys(page: Page) -> None:
    show(page, BROKEN_S)
    found = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        found.add(page.evaluate("document.activeElement.ariaLabel || document.activeElement.id"))
    machines = {"Host client", "Host server", "Firewall fw1", "Firewall fw2"}
    cables = {f"Cable of {who} to {where}" for who in ("fw1", "fw2") for where in ("inside",)}
    assert machines | cables | {"freeze", "help", "Cable of fw1 to outside: cable pulled"} <= found


def test_the_keys_are_told(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.locator("#keys-dialog")).to_contain_text("freeze, go on")
    take_picture(page, "keys")
    page.keyboard.press("Escape")
    page.wait_for_selector("#keys-dialog", state="hidden")


def test_a_recorded_run_cannot_be_broken(page: Page) -> None:
    page.get_by_role("button", name="Firewall fw1").press("Enter")
    expect(page.locator("#menu")).to_contain_text("can be looked at, not changed")
    page.keyboard.press("Escape")
    page.wait_for_selector("#menu", state="hidden")
    assert page.evaluate("document.activeElement.ariaLabel") == "Firewall fw1"


def test_play_and_speed(page: Page) -> None:
    show(page, 3.0)
    page.click("#play")
    wait_until(page, lambda: clock_s(page) > 3.3, "it goes on")
    page.select_option("#speed", "0.05")
    expect(page.locator("#mode")).to_contain_text("REPLAY 0.05")
    page.select_option("#speed", "20")
    wait_until(page, lambda: clock_s(page) > 20, "it goes fast")
    page.keyboard.press("r")
    page.select_option("#speed", "1")
    wait_until(page, lambda: clock_s(page) < 3, "it begins anew")


def test_frames_move_along_the_path(page: Page) -> None:
    order(page, paused=False, speed=1, at_s=1.0)
    page.wait_for_selector(".moving .there[visibility=visible]", state="attached")
    page.wait_for_selector(".moving .advertisement[visibility=visible]", state="attached")


def test_where_motion_is_not_wanted_nothing_moves(browser: Browser, address: str) -> None:
    with opened(browser, address, reduced_motion="reduce") as page:
        order(page, paused=False, speed=1, at_s=1.0)
        page.wait_for_selector(".cable.used", state="attached")
        style = "getComputedStyle(document.querySelector('.moving')).display"
        assert page.evaluate(style) == "none"


def test_a_lost_packet_is_drawn_on_the_cable_that_loses_some(page: Page) -> None:
    lost = page.evaluate(
        """async () => {
          const { Buffer } = await import('/static/buffer.js');
          const { framesAt } = await import('/static/view.js');
          const cables = ['client/inside/1', 'fw1/inside/1', 'fw1/outside/1', 'server/outside/1'];
          const buffer = new Buffer();
          buffer.add([
            {kind: 'status', t_s: 0, faults: [{kind: 'loss', host: 'fw1', segment: 'outside',
                                               cable: 1}]},
            {kind: 'path', t_s: 0, there: {cables, ends_at: ''}, back: {cables, ends_at: ''}},
            {kind: 'packet', t_s: 2, server_s: null, back_s: null},
          ]);
          return [framesAt(buffer, 2.5), framesAt(buffer, 3.1).map(({at}) => at)];
        }"""
    )
    assert lost == [[], ["fw1/outside/1"]]


def test_what_is_seen_at_a_time_depends_on_nothing_else(page: Page) -> None:
    """The page's own functions, without its drawing: later messages do not change the past."""
    same = page.evaluate(
        """async () => {
          const { Buffer } = await import('/static/buffer.js');
          const { viewAt, framesAt, logAt } = await import('/static/view.js');
          const messages = [
            {kind: 'status', t_s: 0, faults: [], virtual_hosts: [], whole: true, masters: 'a'},
            {kind: 'probe', t_s: 1, sent: 10, lost: 0, last_s: 1},
            {kind: 'event', t_s: 1, source: 'fw1', event: 'fault', segment: '', vhid: null,
             detail: 'crash'},
          ];
          const later = [
            {kind: 'status', t_s: 2, faults: [], virtual_hosts: [], whole: false, masters: 'b'},
            {kind: 'probe', t_s: 3, sent: 30, lost: 5, last_s: 1},
            {kind: 'packet', t_s: 2.5, server_s: null, back_s: null},
          ];
          const buffer = new Buffer();
          buffer.add(messages);
          const see = () => JSON.stringify([viewAt(buffer, 1.2), framesAt(buffer, 1.2),
                                            logAt(buffer, 1.2)]);
          const before = see();
          buffer.add(later);
          return [before === see(), viewAt(buffer, 3).counters.lost, viewAt(buffer, -1).status];
        }"""
    )
    assert same == [True, 5, None]

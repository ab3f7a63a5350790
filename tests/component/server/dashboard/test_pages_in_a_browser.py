"""The pages as Chromium shows them: the policy lets our own style through, and everything is reachable by keyboard."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.async_api import Page, async_playwright, expect

from contexten.emulators.serving import serve_app
from contexten_core.db import Database, utc_now
from contexten_core.events.models import Conclusion, RunModel, RunStatus

MakeRun = Callable[..., Awaitable[RunModel]]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"NO BROWSER: {CHROMIUM} is absent; apt install chromium")


@pytest.fixture
async def base_url(app: FastAPI) -> AsyncIterator[str]:
    async with serve_app(app, host="127.0.0.1", port=0) as url:
        yield url


@pytest.fixture
async def browser_page(base_url: str) -> AsyncIterator[Page]:
    """A tab that fails its test when the browser complains, as it does of anything its policy forbids."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = await browser.new_page(base_url=base_url, viewport={"width": 1280, "height": 800})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        await browser.close()
    assert complaints == []


async def test_a_reader_finds_what_failed_from_the_first_page(browser_page: Page, make_story: MakeRun) -> None:
    run = await make_story(log="".join(f"line {number}\n" for number in range(400)) + "FAILED tests/a.py::test_b - x\n")
    await browser_page.goto("/")
    assert await browser_page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "1180px"
    await browser_page.get_by_role("link", name="acme/billing#7 synchronize").first.click()
    await expect(browser_page).to_have_title("failure: acme/billing#7 synchronize · Contexten")
    await browser_page.get_by_role("link", name="Jump to the failing line").click()
    await expect(browser_page.locator("#L401")).to_be_in_viewport()
    await browser_page.get_by_role("link", name="Round totals the way the bank does").click()
    await browser_page.get_by_text("Payload", exact=True).click()
    await expect(browser_page.get_by_role("region", name="Payload")).to_contain_text('"synchronize"')
    assert browser_page.url.endswith(f"/events/{run.event_id}")


async def test_the_keyboard_is_enough(browser_page: Page, make_story: MakeRun) -> None:
    run = await make_story()
    await browser_page.goto("/")
    await browser_page.keyboard.press("Tab")
    await expect(browser_page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await expect(browser_page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    await browser_page.keyboard.press("Enter")
    for _ in range(3):
        await browser_page.keyboard.press("Tab")
    await browser_page.keyboard.press("Enter")
    await browser_page.wait_for_url(f"**/runs/{run.id}")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_sticks_out_on_a_phone_or_a_desk(
    browser_page: Page, make_story: MakeRun, width: int, scheme: str
) -> None:
    run = await make_story(log="x" * 3_000 + "\n", name="acme/" + "long-" * 40)
    await browser_page.set_viewport_size({"width": width, "height": 800})
    await browser_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for path in ("/", f"/runs/{run.id}", f"/events/{run.event_id}"):
        await browser_page.goto(path)
        assert await browser_page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    background = await browser_page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(250, 249, 247)", "dark": "rgb(19, 20, 22)"}[scheme]


async def test_a_running_run_comes_up_to_date_by_itself(
    browser_page: Page, database: Database, make_run: MakeRun
) -> None:
    run = await make_run(status=RunStatus.RUNNING, conclusion=None, finished_at=None)
    await browser_page.goto(f"/runs/{run.id}")
    await expect(browser_page.get_by_text("Updates every 5 s")).to_be_visible()
    async with database.transaction() as session:
        stored = await session.get_one(RunModel, run.id)
        stored.status, stored.conclusion, stored.finished_at = RunStatus.COMPLETED, Conclusion.SUCCESS, utc_now()
    await expect(browser_page).to_have_title("success: acme/billing#7 synchronize · Contexten", timeout=10_000)
    await expect(browser_page.get_by_text("Updates every 5 s")).to_be_hidden()

"""A real browser in front of the pages: how to start it, and the checks that every page has to pass."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fake_backend import FakeBackend
from playwright.async_api import Browser, Page, async_playwright

from controller.web.app import make_app
from controller.web.serve import Pages
from drivers.clock import Clock

HERE = Path(__file__).parent
MOMENT = datetime(2023, 2, 6, 13, 12, tzinfo=UTC)
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SMALL_TARGETS = """() => [...document.querySelectorAll('a, button, summary, input:not([type=hidden]), select')]
  .filter((one) => one.checkVisibility() && !one.matches('.skip') && getComputedStyle(one).display !== 'inline')
  .map((one) => ({box: one.getBoundingClientRect(), command: one.matches('button, .button, input, select'),
                  text: one.textContent.trim().slice(0, 40)}))
  .filter(({box, command}) => box.height < (command ? 43.9 : 23.9) || box.width < (command ? 43.9 : 23.9))
  .map(({box, text}) => `${text}: ${box.width.toFixed(0)} x ${box.height.toFixed(0)}`)"""
EMPTY_CHARTS = """() => [...document.querySelectorAll('svg[role=img]')].filter((one) => one.checkVisibility())
  .filter((one) => ![...one.querySelectorAll('path, rect, circle')].some((part) => part.getBBox().width > 20))
  .map((one) => one.getAttribute('aria-label'))"""
AXE = """async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',
  'best-practice']})).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`)"""


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[str, FakeBackend, Pages]]:
    """The pages of the fake town hall on a free port: address, backend, server."""
    clock = Clock(MOMENT - timedelta(seconds=asyncio.get_running_loop().time()))
    backend = FakeBackend(clock)
    pages = Pages(make_app(backend, clock=clock), port=0)
    taken = pages.bind()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pages.run_until_stopped(taken), name="pages")
        try:
            yield pages.address, backend, pages
        finally:
            pages.stop()


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's own browser, so that nothing is downloaded."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise FileNotFoundError("chromium is missing; `./run test --servers` installs it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Watch:
    """What a page complained of and whom it asked."""

    def __init__(self, page: Page, address: str) -> None:
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._ask(request.url, address))

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def _ask(self, url: str, address: str) -> None:
        if not url.startswith((address + "/", "data:")):
            self.strangers.append(url)


def axe_script() -> str:
    """The checker's source, injected by the test because our own policy lets no page load it."""
    path = HERE / "node_modules/axe-core/axe.min.js"
    if not path.exists():
        raise FileNotFoundError("axe-core is missing; run `npm ci` in tests/browser, as `./run test --servers` does")
    return path.read_text()


async def faults(page: Page, axe: str) -> Mapping[str, Any]:
    """All that is wrong with the page shown now, by kind; empty = nothing."""
    await page.evaluate(axe)
    found = {
        "sideways": max(0, await page.evaluate(OVERFLOW)),
        "small targets": await page.evaluate(SMALL_TARGETS),
        "empty charts": await page.evaluate(EMPTY_CHARTS),
        "accessibility": await page.evaluate(AXE),
    }
    return {kind: what for kind, what in found.items() if what}

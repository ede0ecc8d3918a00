"""The pages in a real browser: reach, reflow, contrast, keyboard, no script, no network, live updates."""

import asyncio
import re

import pytest
from browsers import Watch, axe_script, chromium, faults, serving
from playwright.async_api import Page, Route, expect

pytestmark = [pytest.mark.servers, pytest.mark.real_time, pytest.mark.timeout(180)]
PATHS = (
    "/", "/plan", "/carbon", "/alarms", "/devices", "/points/townhall.registry.heating_setpoint", "/?wall=1",
    "/plan?wall=1", "/points/townhall.hall.temperature/history",
    "/points/townhall.hall.heating_setpoint/history?span=hour",
    "/points/townhall.hall.temperature/history?span=month&to=2023-02-01T00:00Z", "/attic",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
async def test_every_page_can_be_used_by_everybody(width: int, scheme: str) -> None:
    axe = axe_script()
    async with serving() as (address, backend, _), chromium() as browser:
        backend.broken = {"boiler"}
        context = await browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            reduced_motion="reduce",  # colours are measured at rest
        )
        wrong = {}
        for path in PATHS:
            page = await context.new_page()
            watch = Watch(page, address)
            await page.goto(address + path)
            for details in await page.locator("details").all():  # what opens has to hold as well
                await details.evaluate("(one) => { one.open = true }")
            found = dict(await faults(page, axe))
            if path != "/attic":  # its 404 is the point
                found |= {"complaints": watch.complaints} if watch.complaints else {}
            found |= {"strangers": watch.strangers} if watch.strangers else {}
            if found:
                wrong[path] = found
            await page.close()
        assert wrong == {}


async def test_without_a_script_one_can_read_override_and_stop() -> None:
    async with serving() as (address, backend, _), chromium() as browser:
        page = await (
            await browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
        ).new_page()
        await page.goto(address)
        card = page.locator("#zone-library")
        await expect(card).to_contain_text("Comfortable")
        await card.locator("summary").click()
        await card.get_by_label("Hold at (°C)").fill("22.5")
        await card.get_by_label("Why").fill("reading group")
        await card.get_by_role("button", name="Hold").click()
        await expect(page.get_by_text("ends by itself")).to_be_visible()
        await expect(card).to_contain_text("by a person here, until 15:12")
        await page.locator("#stop summary").click()
        await page.get_by_role("button", name="Stop and hand back now").click()
        await expect(page.locator("#strip")).to_contain_text("Released")
        await page.get_by_role("button", name="Resume control").click()
        await expect(page.locator("#strip")).to_contain_text("Optimising")
        assert [call[0] for call in backend.calls] == ["override", "stop", "resume"]
        await page.goto(address + "/plan")
        await page.locator("#twin-temperature summary").click()
        await expect(page.locator("#twin-temperature tbody tr").first).to_contain_text("Mon 6 Feb 01:00")


async def test_an_override_needs_only_a_keyboard() -> None:
    async with serving() as (address, backend, _), chromium() as browser:
        page = await (await browser.new_context(viewport={"width": 1280, "height": 800})).new_page()
        await page.goto(address)
        await page.keyboard.press("Tab")
        assert await focused(page) == "Skip to the content"
        await page.keyboard.press("Enter")
        await tab_until(page, r"^Change Main hall$")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Control+a")
        await page.keyboard.type("22.0")
        await page.keyboard.press("Tab")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Tab")
        await page.keyboard.type("concert")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("ends by itself")).to_be_visible()
        name, point, value, _, reason = backend.calls[0]
        assert (name, point, value, reason) == ("override", "townhall.hall.heating_setpoint", 22.0, "concert")


async def test_events_renew_the_page_and_leave_a_form_alone() -> None:
    async with serving() as (address, backend, _), chromium() as browser:
        page = await (await browser.new_context(viewport={"width": 1280, "height": 800})).new_page()
        watch = Watch(page, address)
        await page.goto(address)
        await expect(page.locator("#live")).to_have_text("Live.")
        await page.locator("#zone-hall summary").click()
        await page.locator("#zone-hall").get_by_label("Why").fill("half typed")
        await page.locator("#zone-hall summary").focus()
        await backend.stop("elsewhere")
        await expect(page.locator("#strip")).to_contain_text("Released")
        await expect(page.locator("#zone-library")).to_contain_text("the building's own schedule")
        await expect(page.locator("#zone-hall").get_by_label("Why")).to_have_value("half typed")
        assert await focused(page) == "Change Main hall"
        assert watch.complaints == []


async def test_a_pointer_on_a_chart_shows_its_values() -> None:
    async with serving() as (address, _, _), chromium() as browser:
        page = await (await browser.new_context(viewport={"width": 1280, "height": 900})).new_page()
        await page.goto(address + "/plan?zone=hall")
        box = await page.locator("#fig-temperature svg.wide").bounding_box()
        assert box is not None
        share = (44 + (960 - 12 - 44) * 20.25 / 36) / 960  # 20 h and a bit after the first hour of the axis: 21:15
        await page.mouse.move(box["x"] + box["width"] * share, box["y"] + 60)
        readout = page.locator("#fig-temperature .readout")
        await expect(readout).to_contain_text("Mon 6 Feb 21:00")
        await expect(readout).to_contain_text("Setpoint 16.0 °C")
        await page.mouse.move(5, 5)
        await expect(readout).to_have_count(0)


async def test_without_a_script_one_can_look_at_any_time_of_a_point() -> None:
    async with serving() as (address, _, _), chromium() as browser:
        page = await (
            await browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
        ).new_page()
        await page.goto(address)
        await page.locator("#zone-library .temp a").click()
        await expect(page.locator("h1")).to_have_text("Library corner: temperature")
        await page.get_by_role("link", name="Week").click()
        await page.get_by_role("link", name="Earlier").click()
        await expect(page.locator("h2")).to_have_text("Mon 23 Jan 13:12 to Mon 30 Jan 2023 13:12")
        await page.get_by_role("link", name="Later").click()
        await page.locator("#window summary").click()
        await page.get_by_label("From", exact=True).fill("2023-02-01T08:00")
        await page.get_by_label("To", exact=True).fill("2023-02-01T12:00")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("h2")).to_have_text("Wed 1 Feb 2023, 08:00 to 12:00")
        await page.locator("#twin-history summary").click()
        await expect(page.locator("#twin-history tbody tr").first).to_contain_text("Wed 1 Feb 08:00")


async def test_a_pointer_on_a_points_past_shows_what_was_there() -> None:
    async with serving() as (address, _, _), chromium() as browser:
        page = await (await browser.new_context(viewport={"width": 1280, "height": 900})).new_page()
        await page.goto(address + "/points/townhall.hall.temperature/history?span=week")
        chart = page.locator("#fig-history svg.wide")
        box = await chart.bounding_box()
        assert box is not None
        left, right = [float(await chart.get_attribute(f"data-{side}") or 0) for side in ("left", "right")]
        share = left + (right - left) * (3 * 24 - 2.5) / 168  # of Thursday 2 February the peak, some minutes after ten
        await page.mouse.move(box["x"] + box["width"] * share, box["y"] + 60)
        readout = page.locator("#fig-history .readout")
        await expect(readout).to_contain_text("Highest 27.3 °C")
        await expect(readout).to_contain_text("Setpoint")


async def test_a_lost_connection_is_said() -> None:
    async with serving() as (address, _, pages), chromium() as browser:
        page = await browser.new_page()
        await page.goto(address)
        await expect(page.locator("#live")).to_have_text("Live.")
        pages.stop()
        await expect(page.locator("#live")).to_contain_text("Connection lost", timeout=10_000)
        await asyncio.sleep(0)


async def test_a_form_on_another_site_cannot_stop_the_building() -> None:
    async with serving() as (address, backend, _), chromium() as browser:

        async def trap(route: Route) -> None:
            form = f'<form method="post" action="{address}/stop"><button>win</button></form>'
            await route.fulfill(body=form, content_type="text/html")

        page = await browser.new_page()
        await page.route("http://elsewhere.test/", trap)
        await page.goto("http://elsewhere.test/")
        await page.get_by_role("button").click()
        await expect(page.locator("body")).to_contain_text("came from another site")
        assert backend.calls == []


async def test_who_wants_less_motion_gets_none() -> None:
    async with serving() as (address, _, _), chromium() as browser:
        page = await (await browser.new_context(reduced_motion="reduce")).new_page()
        await page.goto(address)
        moving = (
            "() => [...document.querySelectorAll('*')].some((one) => getComputedStyle(one).transitionDuration != '0s')"
        )
        assert await page.evaluate(moving) is False


async def focused(page: Page) -> str:
    words = await page.evaluate("document.activeElement.textContent")
    return re.sub(r"\s+", " ", words).strip()


async def tab_until(page: Page, pattern: str) -> None:
    for _ in range(60):
        await page.keyboard.press("Tab")
        if re.search(pattern, await focused(page)):
            return
    raise AssertionError(f"no stop of the tab key matches {pattern}")

"""The pages: what they say, their forms without a script, and that they need nothing from anywhere else."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from importlib.resources import files

import httpx
import pytest
from fake_backend import FakeBackend
from prometheus_client import CollectorRegistry, Gauge

from controller.web.app import make_app
from controller.web.pages import Renderer
from controller.web.view import Event
from drivers.clock import Clock

NOON = datetime(2023, 2, 6, 13, 12, tzinfo=UTC)
SETPOINT = "townhall.hall.heating_setpoint"
PAGES = (
    "/",
    "/plan",
    "/plan?zone=council",
    "/carbon",
    "/alarms",
    "/devices",
    f"/points/{SETPOINT}",
    f"/points/{SETPOINT}/history",
    "/points/townhall.hall.temperature/history?span=month",
    "/?wall=1",
    "/plan?wall=1",
)
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Outline(HTMLParser):
    """Checks that elements close, and keeps ids, tags and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.labelled: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        self.addresses += [
            given[name] for name in ("href", "src", "action", "data", "poster", "srcset") if name in given
        ]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag in {"style", "iframe"} or (tag == "script" and "src" not in given):
            self.inline.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(Clock(NOON))


@pytest.fixture
async def client(backend: FakeBackend, renderer: Renderer) -> AsyncIterator[httpx.AsyncClient]:
    registry = CollectorRegistry()
    Gauge("plenum_level", "Level of the ladder", registry=registry).set(0)
    app = make_app(backend, clock=Clock(NOON), registry=registry, renderer=renderer)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as one:
        yield one


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_whole_without_a_script_and_needs_nothing_from_elsewhere(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    outline = Outline()
    outline.feed(answer.text)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.inline == []
    assert all(address.startswith(("/", "#", "?")) and not address.startswith("//") for address in outline.addresses)
    assert "http" not in answer.text.replace("http-equiv", "")
    assert "nan" not in re.sub(r"<[^>]*>", "", answer.text).lower().split()
    assert "Optimising" in answer.text


@pytest.mark.parametrize("path", PAGES)
async def test_a_fragment_holds_every_part_that_changes(client: httpx.AsyncClient, path: str) -> None:
    whole = await client.get(path)
    part = await client.get(path + ("&" if "?" in path else "?") + "fragment=1")
    live = re.compile(r'id="([\w-]+)" data-live')
    assert live.findall(part.text)
    assert set(live.findall(part.text)) == set(live.findall(whole.text))
    assert "<html" not in part.text


async def test_now_says_what_happens_and_who_holds_what(client: httpx.AsyncClient) -> None:
    text = (await client.get("/")).text
    for words in ("Next action 14:30", "41.7", "25p per kWh", "9<small> of 10 zones", "£62.48", "Registry", "Operator",
                  "at the building&#39;s own panel (slot 8)", "0.4 K too cold", "24 s ago",
                  "Mon 6 Feb 2023"):  # fmt: skip
        assert words.replace("24 s", "24\N{NO-BREAK SPACE}s") in text
    order = re.findall(r'id="zone-(\w+)"', text)
    assert len(order) == 10
    assert order[0] == "reception"
    assert order[-1] == "council"


async def test_the_two_carbon_ledgers_are_named_wherever_they_are_summed(client: httpx.AsyncClient) -> None:
    for path in ("/", "/carbon"):
        text = (await client.get(path)).text
        assert "half-hourly grid intensity (NESO" in text
        assert "annual factor 2023 (DESNZ" in text


async def test_the_wall_has_nothing_to_press(client: httpx.AsyncClient) -> None:
    text = (await client.get("/?wall=1")).text
    assert "<form" not in text
    assert "<button" not in text
    assert '<noscript><meta http-equiv="refresh" content="60">' in text


async def test_the_plan_explains_itself(client: httpx.AsyncClient) -> None:
    text = (await client.get("/plan?zone=council")).text
    assert "new carbon forecast" in text
    assert "Heated for the meeting at 17:00, 45 people expected." in text
    assert "<h2>Council chamber</h2>" in text
    assert text.count("Show as a table") == 4


async def test_before_the_first_plan_the_pages_say_so(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.planless = True
    assert "There is no plan yet" in (await client.get("/plan")).text
    assert "Nothing is planned." in (await client.get("/")).text


async def test_a_zone_without_a_reading_comes_first_and_can_still_be_set(
    client: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.temperatures["library"] = None
    text = (await client.get("/")).text
    assert re.findall(r'id="zone-(\w+)"', text)[0] == "library"
    assert "No reading" in text


async def test_an_override_by_form_holds_until_the_time_chosen_and_returns_to_the_page(
    client: httpx.AsyncClient, backend: FakeBackend
) -> None:
    form = {"from": "now", "value": "22.5", "until": "2h", "reason": "choir"}
    answer = await client.post(f"/points/{SETPOINT}/override", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?said=override#zones")
    assert backend.calls == [("override", SETPOINT, 22.5, NOON + timedelta(hours=2), "choir")]
    after = (await client.get("/?said=override")).text
    assert "ends by itself" in after
    assert "by a person here, until 15:12" in after
    assert "End the override" in after
    done = await client.post(f"/points/{SETPOINT}/override/cancel", data={"from": "point"})
    assert done.headers["location"] == f"/points/{SETPOINT}?said=cancelled"
    assert backend.overrides == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": "nan"}, "is not a number"),
        ({"value": "inf"}, "is not a number"),
        ({"value": "1e30"}, "is not a number"),
        ({"value": "٢٠"}, "is not a number"),
        ({"value": ""}, "is not a number"),
        ({"value": "<b>"}, "&lt;b&gt;"),
        ({"value": "95"}, "lies outside 12 to 23.5"),
        ({"until": "forever"}, "Choose until when"),
        ({"until": ""}, "Choose until when"),
    ],
)
async def test_a_form_that_cannot_be_done_says_why_and_changes_nothing(
    client: httpx.AsyncClient, backend: FakeBackend, changes: dict[str, str], said: str
) -> None:
    form = {"value": "21", "until": "2h", "reason": "x"} | changes
    answer = await client.post(f"/points/{SETPOINT}/override", data=form)
    assert answer.status_code == 400
    assert said in answer.text
    assert "That did not work" in answer.text
    assert backend.calls == []


async def test_a_measured_point_and_an_unknown_one_cannot_be_held(
    client: httpx.AsyncClient, backend: FakeBackend
) -> None:
    form = {"value": "21", "until": "2h", "reason": "x"}
    assert (await client.post("/points/townhall.hall.temperature/override", data=form)).status_code == 400
    assert (await client.post("/points/townhall.attic.setpoint/override", data=form)).status_code == 404
    assert backend.calls == []


async def test_stop_hands_back_and_resume_takes_over_again(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    assert "Stop and hand back now" in (await client.get("/")).text
    assert (await client.post("/stop", data={"reason": "engineer on site"})).status_code == 303
    text = (await client.get("/?said=stopped")).text
    assert "Released" in text
    assert "Resume control" in text
    assert "Stop and hand back now" not in text
    await client.post("/resume")
    assert backend.calls == [("stop", "engineer on site"), ("resume",)]


async def test_a_button_of_the_demonstration_disturbs_the_building(
    client: httpx.AsyncClient, backend: FakeBackend
) -> None:
    assert "Unplug the boiler" in (await client.get("/")).text
    await client.post("/demo/boiler")
    assert "Gas boiler reports a fault" in (await client.get("/alarms")).text
    assert (await client.post("/demo/roof")).status_code == 404
    assert backend.calls == [("act", "boiler")]


async def test_a_real_building_has_no_such_buttons(renderer: Renderer) -> None:
    app = make_app(FakeBackend(Clock(NOON), demo=False), clock=Clock(NOON), renderer=renderer)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert "Disturb it" not in (await client.get("/")).text


async def test_a_dead_device_is_named(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.broken = {"zones_a"}
    assert "1 of 7 devices do not answer" in (await client.get("/")).text
    assert "no answer in 1.5 s" in (await client.get("/devices")).text


async def test_a_page_that_is_not_there_is_a_page(client: httpx.AsyncClient) -> None:
    for path in ("/attic", "/points/a.b.c", "/static/secret"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert "Not found" in answer.text


async def test_metrics_and_health_are_plain_text(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    assert "plenum_level 0.0" in (await client.get("/metrics")).text
    assert (await client.get("/healthz")).text == "ok\n"
    backend.sick = True
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.text) == (503, "Store: disk full\n")


async def test_static_files_are_kept_by_the_browser_until_they_change(client: httpx.AsyncClient) -> None:
    text = (await client.get("/")).text
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
    assert len(addresses) == 3
    for address in addresses:
        answer = await client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_the_script_is_short_and_asks_nobody_else() -> None:
    static = files("controller.web") / "static"
    script = (static / "app.js").read_text()
    assert len(script.splitlines()) < 150
    for name in ("app.js", "app.css"):
        text = (static / name).read_text()
        assert "//" not in re.sub(r"^\s*//.*$|\s// .*$|/\*.*?\*/", "", text, flags=re.MULTILINE)
        assert "url(" not in text
        assert "@import" not in text


async def test_an_event_of_the_fake_reaches_its_readers(backend: FakeBackend) -> None:
    with backend.events.subscribe() as buffer:
        await backend.stop("x")
        assert await buffer.batch() == [Event(kind="control", payload={"level": "4"})]

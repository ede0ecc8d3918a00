"""The page of a point's past: what it says, draws, offers and refuses."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest
from fake_backend import FakeBackend
from fake_history import PEAK_DEGC, made_up

from controller.web import history, remarks, trace
from controller.web.app import make_app
from controller.web.pages import Renderer
from controller.web.samples import HistoryView
from controller.web.timeline import chosen
from drivers.clock import Clock

NOON = datetime(2023, 2, 6, 13, 12, tzinfo=UTC)
LONDON = "Europe/London"
TEMPERATURE, SETPOINT = "townhall.hall.temperature", "townhall.hall.heating_setpoint"
PAGE = f"/points/{TEMPERATURE}/history"


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture
async def client(renderer: Renderer) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(FakeBackend(Clock(NOON)), clock=Clock(NOON), renderer=renderer)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as one:
        yield one


def past(span: str = "day", point: str = TEMPERATURE) -> HistoryView:
    backend, choice = FakeBackend(Clock(NOON)), chosen({"span": span}, LONDON, NOON)
    return made_up(backend.point(point), choice.start, choice.end, NOON, beside=None)


def drawn(view: HistoryView, span: str = "day") -> history.Figure:
    return history.chart(view, chosen({"span": span}, LONDON, NOON), tz=LONDON, until_s=NOON.timestamp())


def register(rise: float, minutes: int, *, stops_at: int | None = None) -> HistoryView:
    """A meter that is read once a minute until now, or until it falls silent."""
    view = past()
    minute = np.arange(minutes if stops_at is None else stops_at, dtype=float)
    value = 1000 + rise * minute
    time_s = view.start.timestamp() + 60 * minute
    same = {"low": value, "mean": value, "high": value, "count": np.ones(len(value), dtype=np.int64)}
    zero = {"quality": np.zeros(len(value), dtype=np.int8), "flags": np.zeros(len(value), dtype=np.int32)}
    samples = replace(view.samples, time_s=time_s, **same, **zero)
    return replace(view, samples=samples, counter=True, unit="kWh", role="electricity_meter", beside=None)


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("?span=hour", "Mon 6 Feb 2023, 12:12 to 13:12"),
        ("", "Sun 5 Feb 13:12 to Mon 6 Feb 2023 13:12"),
        ("?span=month", "Sat 7 Jan 13:12 to Mon 6 Feb 2023 13:12"),
        ("?span=week&to=2023-01-08T00:00Z", "Sun 1 Jan 00:00 to Sun 8 Jan 2023 00:00"),
        ("?from=2022-12-30T08:00&to=2023-01-02T09:30", "Fri 30 Dec 2022 08:00 to Mon 2 Jan 2023 09:30"),
    ],
)
async def test_any_window_of_any_point_has_its_page(client: httpx.AsyncClient, query: str, title: str) -> None:
    answer = await client.get(PAGE + query)
    assert answer.status_code == 200
    assert f"<h2>{title}</h2>" in answer.text
    assert answer.text.count('role="img"') == 2
    assert "Show as a table" in answer.text


@pytest.mark.parametrize("span", ["day", "week", "month"])
async def test_a_peak_of_one_minute_is_seen_and_said(client: httpx.AsyncClient, span: str) -> None:
    text = (await client.get(f"{PAGE}?span={span}")).text
    shown = f"{PEAK_DEGC}\N{NO-BREAK SPACE}°C"
    assert f"and {shown}" in text
    assert re.search(rf'<dt>Highest</dt><dd>{shown}</dd><dd class="remark">\w+ \d+ \w+ 10:13', text)
    envelope = text.split('class="spread actual" d="')[1].split('"')[0]
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", envelope)]
    frame_top = heights[0]
    assert min(heights) < frame_top - 60, "it stands out"


async def test_gaps_and_doubts_are_drawn_named_and_in_the_table(client: httpx.AsyncClient) -> None:
    text = (await client.get(PAGE)).text
    assert "a gap of 36\N{NO-BREAK SPACE}min from Mon 6 Feb 02:59" in text
    assert "10 suspect (a sudden step)" in text
    assert "1 bad (no answer)" in text
    for kind in ("unheard", "lane silent", "lane suspect", "lane broken"):
        assert f'class="{kind}"' in text
    quality = dict(re.findall(r'<th scope="row">([^<]*)</th>(?:<td>[^<]*</td>){5}<td>(\w+)</td>', text))
    assert quality["Mon 6 Feb 03:00"] == "gap"
    assert quality["Mon 6 Feb 11:00"] == "suspect"
    assert quality["Mon 6 Feb 12:00"] == "bad"
    assert quality["Mon 6 Feb 09:00"] == "good"


async def test_a_temperature_stands_beside_its_setpoint(client: httpx.AsyncClient) -> None:
    text = (await client.get(PAGE)).text
    assert re.search(r'class="line (thin )?setpoint"', text)
    assert '<th scope="col">Setpoint</th>' in text
    other = (await client.get(f"/points/{SETPOINT}/history")).text
    assert '<th scope="col">Temperature</th>' in other


async def test_only_short_windows_that_end_now_are_drawn_again_by_themselves(client: httpx.AsyncClient) -> None:
    live = 'id="fig-history" data-live'
    assert live in (await client.get(f"{PAGE}?span=hour")).text
    assert live in (await client.get(f"{PAGE}?fragment=1")).text
    for query in ("?span=month", "?span=day&to=2023-02-01T00:00Z"):
        text = (await client.get(PAGE + query)).text
        assert live not in text
        assert ("Drawn at 13:12" in text) is ("month" in query)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/points/townhall.attic.temperature/history", 404, "no point"),
        (f"{PAGE}?span=year", 400, "none of hour, day, week, month"),
        (f"{PAGE}?from=tomorrow", 400, "is no time; write a local time"),
        (f"{PAGE}?from=2023-02-06T00:00&to=2023-02-05T00:00", 400, "at least five minutes before"),
    ],
)
async def test_what_cannot_be_shown_is_said(client: httpx.AsyncClient, path: str, status: int, said: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert said in answer.text


@pytest.mark.parametrize("path", ["/", "/devices", f"/points/{SETPOINT}", "/alarms"])
async def test_a_point_leads_to_its_past(client: httpx.AsyncClient, path: str) -> None:
    found = re.findall(r'href="/points/([\w.]+)/history"', (await client.get(path)).text)
    assert found
    for point in set(found):
        assert (await client.get(f"/points/{point}/history")).status_code == 200


async def test_every_point_is_listed_with_its_past(client: httpx.AsyncClient) -> None:
    text = (await client.get("/devices")).text
    for point in FakeBackend(Clock(NOON)).points():
        assert f'href="/points/{point.id}/history"' in text


async def test_few_readings_are_a_line_through_each_and_many_an_envelope() -> None:
    hour, month = drawn(past("hour"), "hour"), drawn(past("month"), "month")
    assert 'class="spread' not in hour.wide
    assert hour.wide.count("L") >= 55
    assert 'class="spread actual"' in month.wide
    assert len(month.wide) < 60_000
    assert len(month.rows) <= 130


async def test_a_state_is_told_by_its_share_of_the_time_and_how_often_it_began() -> None:
    view = past()
    time_s = view.start.timestamp() + 60.0 * np.arange(1441)
    value = (np.arange(1441) % 480 < 120).astype(float)  # two hours on, six hours off, three times and once more
    same = {"low": value, "mean": value, "high": value, "count": np.ones(1441, dtype=np.int64)}
    zero = {"quality": np.zeros(1441, dtype=np.int8), "flags": np.zeros(1441, dtype=np.int32)}
    running = replace(
        view, samples=replace(view.samples, time_s=time_s, **same, **zero), unit="0/1", role="running", held=True
    )
    assert drawn(running).summary.startswith("On for 25\N{NO-BREAK SPACE}% of the time; switched on 3 times; 1,441")
    assert ">on</text>" in drawn(running).wide
    found = remarks.facts(running, chosen({}, LONDON, NOON), tz=LONDON, until_s=NOON.timestamp())
    assert [fact[:2] for fact in found[:3]] == [("Last", "on"), ("On", "25\N{NO-BREAK SPACE}%"), ("Switched on", "3")]


@pytest.mark.parametrize(
    ("unit", "value", "top", "bottom"),
    [("people", 0.0, 1.0, 0.0), ("kW", 1000.0, 1020.0, 980.0), ("%", 100.0, 100.0, 0.0), ("degC", 20.0, 20.5, 19.5)],
)
async def test_a_value_that_never_moves_has_a_sensible_axis(unit: str, value: float, top: float, bottom: float) -> None:
    view = register(0.0, 1441)
    same = {name: np.full(1441, value) for name in ("low", "mean", "high")}
    still = replace(view, samples=replace(view.samples, **same), counter=False, unit=unit, role="other")
    found = trace.scale(still, np.array([0.0, 1.0]), NOON.timestamp())
    assert found[-1] == pytest.approx(top, abs=(top - bottom) / 5)
    assert found[0] == pytest.approx(bottom, abs=(top - bottom) / 5)


async def test_a_register_is_shown_by_its_rise() -> None:
    found = drawn(register(0.5, 1441))
    assert found.columns[0] == "Rise"
    assert found.summary.startswith("Rose by 720.0\N{NO-BREAK SPACE}kWh; 1,441 readings")
    assert 'class="bar"' in found.wide
    assert sum(float(row.cells[0].split("\N{NO-BREAK SPACE}")[0]) for row in found.rows) == pytest.approx(720, abs=3)


async def test_of_a_register_that_fell_silent_nothing_is_made_up() -> None:
    found = drawn(register(0.5, 1441, stops_at=600))
    assert "a gap of 14\N{NO-BREAK SPACE}h from" in found.summary
    assert found.summary.startswith("Rose by at least 299.5")
    assert found.rows[-1].cells[:2] == ("–", "–")


async def test_a_window_without_any_reading_says_so() -> None:
    view = past()
    nothing = replace(view, samples=replace(view.samples, **{name: getattr(view.samples, name)[:0] for name in
                      ("time_s", "low", "mean", "high", "count", "quality", "flags")}))  # fmt: skip
    found = drawn(nothing)
    assert found.summary == "Nothing was heard in this time."
    assert "NaN" not in found.wide + found.body
    assert remarks.facts(nothing, chosen({}, LONDON, NOON), tz=LONDON, until_s=NOON.timestamp()) == ()


async def test_a_value_that_still_stands_is_said() -> None:
    view = past(point=SETPOINT)
    start = view.start.timestamp()
    first = {name: getattr(view.samples, name)[:1] for name in ("low", "mean", "high", "count", "quality", "flags")}
    samples = replace(view.samples, time_s=np.array([start - 60.0]), **first)
    found = drawn(replace(view, samples=samples, lasts=timedelta(days=2)))
    assert found.summary == "No new reading; 20.5\N{NO-BREAK SPACE}°C still stands."
    assert re.search(r'class="line setpoint" d="M[\d.]+ [\d.]+H[\d.]+', found.wide)

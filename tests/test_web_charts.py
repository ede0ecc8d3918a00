"""Charts, figures and the words on the pages."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st

from controller.web import charts, figures, formats, pictures, words
from controller.web.charts import Frame
from controller.web.view import Tone, ZoneView
from drivers.base import Quality
from drivers.clock import Clock
from optimiser.problem import Series

LONDON = ZoneInfo("Europe/London")
START = datetime(2023, 2, 6, tzinfo=UTC)
FRAME = Frame(
    width=100, height=50, left=0, right=0, top=0, bottom=0,
    start=START.timestamp(), end=START.timestamp() + 3600, low=0, high=10,
)  # fmt: skip


def series(*values: float) -> Series:
    return Series(start=START, step=timedelta(minutes=15), unit="kW", values=values)


def zone(**changes: object) -> ZoneView:
    plain: dict[str, object] = {
        "id": "hall", "name": "Main hall", "temperature_degc": 21.0, "low_degc": 20.0, "high_degc": 23.5,
        "occupied": True, "setpoint_degc": 20.5, "setpoint_point": "townhall.hall.heating_setpoint",
    }  # fmt: skip
    return ZoneView(**(plain | changes))  # type: ignore[arg-type]  # a table of changes


@given(low=st.floats(-1e4, 1e4), spread=st.floats(0, 1e4), count=st.integers(2, 8))
def test_ticks_cover_the_range_in_about_so_many_steps(low: float, spread: float, count: int) -> None:
    found = charts.ticks(low, low + spread, count)
    assert found[0] <= low + 1e-5
    assert found[-1] >= low + spread - 1e-5
    assert 2 <= len(found) <= count + 2
    assert list(found) == sorted(set(found))


def test_ticks_are_round() -> None:
    assert charts.ticks(0, 87, 4) == (0.0, 25.0, 50.0, 75.0, 100.0)
    assert charts.ticks(16.2, 21.8, 5) == (16.0, 18.0, 20.0, 22.0)


def test_a_step_line_joins_neighbours_and_breaks_at_gaps() -> None:
    path = charts.steps(FRAME, series(5, 5, 10, math.nan), "x")
    assert path == '<path class="x" d="M0.0 25.0H50.0V0.0H75.0"/>'
    assert charts.steps(FRAME, series(5, math.nan, 5, 5), "x").count("M") == 2


def test_nothing_but_gaps_draws_nothing() -> None:
    empty = series(math.nan, math.nan)
    assert charts.steps(FRAME, empty, "x") == charts.line(FRAME, empty, "x") == charts.area(FRAME, empty, "x") == ""
    assert charts.columns(FRAME, empty, "x") == charts.blocks(FRAME, empty, "x", y=0, height=9) == ""
    assert charts.extent(empty, None) == (0.0, 1.0)


def test_a_band_is_open_where_it_is_missing() -> None:
    assert charts.area(FRAME, series(8, math.nan, 8, 8), "x", series(2, 2, 2, 2)).count("Z") == 2


def test_values_outside_the_frame_stay_inside_the_picture() -> None:
    wild = Series(start=START - timedelta(hours=9), step=timedelta(hours=1), unit="kW", values=(1e9,) * 30)
    path = charts.steps(FRAME, wild, "x")
    assert path == '<path class="x" d="M0.0 0.0H100.0"/>'


def test_people_of_one_meeting_are_one_block() -> None:
    drawn = charts.blocks(FRAME, series(3, 9, 0, 4), "people", y=0, height=9)
    assert drawn.count("<rect") == 2
    assert "up to 9" in drawn


def test_a_day_of_46_half_hours_keeps_local_labels() -> None:
    begin = datetime(2023, 3, 26, tzinfo=UTC)
    frame = Frame(width=900, height=50, left=0, right=0, top=0, bottom=20, start=begin.timestamp(),
                  end=(begin + timedelta(hours=12)).timestamp())  # fmt: skip
    drawn = charts.hours(frame, LONDON, 3)
    assert [label for label in ("03:00", "06:00", "09:00", "12:00") if label in drawn] == [
        "03:00", "06:00", "09:00", "12:00",
    ]  # fmt: skip
    assert f'x="{900 * 5 / 12:.1f}"' in drawn  # 06:00 local is 05:00 UTC on that day


def test_text_in_a_chart_is_escaped() -> None:
    assert "<script>" not in charts.text(0, 0, "<script>alert(1)</script>")
    assert '"><x' not in charts.svg(FRAME, "", "chart", '"><x onload=1>')


async def test_every_figure_has_a_summary_and_a_table_with_the_values_drawn(clock: Clock) -> None:
    plan = FakeBackend(Clock(START.replace(hour=13))).plan()
    assert plan is not None
    drawn = [figures.temperature(plan, plan.zones[0]), figures.outside(plan), figures.heat(plan), figures.power(plan)]
    for figure in drawn:
        assert len(figure.rows) == 72
        assert {len(row.cells) for row in figure.rows} == {len(figure.columns)}
        assert figure.summary.endswith(".")
        assert 'role="img"' in figure.wide
        assert "style=" not in figure.wide + figure.narrow
        assert "nan" not in figure.wide + figure.narrow
    now = next(row for row in drawn[0].rows if row.time_s == plan.now.timestamp())
    assert now.label == "Mon 6 Feb 13:00"
    assert now.cells[0] == "20.5 °C"
    assert now.cells[1] == formats.MISSING  # nothing is measured yet of what comes


async def test_a_plan_without_a_past_or_a_tank_still_draws() -> None:
    from dataclasses import replace

    plan = FakeBackend(Clock(START.replace(hour=13))).plan()
    assert plan is not None
    bare = replace(plan, past_import=None, past_planned_import=None, tank=None, limit_kw=None)
    alone = replace(bare.zones[0], actual=None, past_setpoint=None, past_planned=None)
    for figure in (figures.temperature(bare, alone), figures.heat(bare), figures.power(bare)):
        assert "<path" in figure.wide
    assert "<path" in pictures.small(bare, alone)


async def test_only_the_heat_there_is_is_drawn() -> None:
    from dataclasses import replace

    plan = FakeBackend(Clock(START.replace(hour=13))).plan()
    assert plan is not None
    both, boiler = figures.heat(plan), figures.heat(replace(plan, heat_pump=None, tank=None))
    assert both.columns == ("Heat pump", "Boiler", "Tank")
    assert "the heat pump gives" in both.summary
    assert boiler.columns == ("Boiler",)
    assert {len(row.cells) for row in boiler.rows} == {1}
    assert boiler.summary.startswith("In the plan the boiler gives ")
    assert [key.name for key in boiler.legend] == ["Boiler, kW"]
    nothing = figures.heat(replace(plan, heat_pump=None, boiler=None, tank=None))
    assert nothing.summary == "Nothing here makes heat."


def test_a_gauge_says_in_words_what_it_draws() -> None:
    assert 'aria-label="21.0 °C; wanted 20 to 23.5 °C; setpoint 20.5 °C"' in pictures.gauge(zone())
    assert "no reading" in pictures.gauge(zone(temperature_degc=None, setpoint_degc=None))
    assert "dot outside" in pictures.gauge(zone(temperature_degc=19.0))


@pytest.mark.parametrize(
    ("changes", "tone", "word"),
    [
        ({}, Tone.GOOD, "Comfortable"),
        ({"temperature_degc": 19.6}, Tone.WARN, "0.4 K too cold"),
        ({"temperature_degc": 18.6}, Tone.BAD, "1.4 K too cold"),
        ({"temperature_degc": 24.0}, Tone.WARN, "0.5 K too warm"),
        ({"temperature_degc": 15.0, "occupied": False}, Tone.OFF, "Empty"),
        ({"temperature_degc": None, "quality": Quality.BAD}, Tone.BAD, "No reading"),
        ({"quality": Quality.STALE}, Tone.WARN, "Old reading"),
    ],
)
def test_a_zone_stands_in_words(changes: dict[str, object], tone: Tone, word: str) -> None:
    assert words.status(zone(**changes)) == (tone, word)


def test_the_coldest_zone_comes_first_and_an_unknown_one_before_it() -> None:
    zones = [
        zone(id="fine"), zone(id="empty", occupied=False, temperature_degc=14.0),
        zone(id="cold", temperature_degc=19.0), zone(id="unknown", temperature_degc=None),
        zone(id="hot", temperature_degc=23.8),
    ]  # fmt: skip
    assert [one.id for one in words.by_discomfort(zones)] == ["unknown", "cold", "hot", "fine", "empty"]


@pytest.mark.parametrize("hour", range(24))
def test_every_choice_of_an_override_ends_within_a_day(hour: int) -> None:
    now = datetime(2023, 3, 25, hour, 50, tzinfo=UTC)  # the clocks change in the following night
    found = words.choices(now, LONDON)
    assert len({choice.key for choice in found}) == len(found) >= 5
    assert all(now < choice.until <= now + timedelta(hours=24) for choice in found)


def test_until_eight_tomorrow_is_local_time_over_the_clock_change() -> None:
    now = datetime(2023, 3, 25, 20, 0, tzinfo=UTC)
    eight = next(choice for choice in words.choices(now, LONDON) if choice.key == "08:00")
    assert eight.until.astimezone(UTC) == datetime(2023, 3, 26, 7, 0, tzinfo=UTC)
    assert eight.label == "until 08:00 tomorrow"


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (formats.number(-0.04), "0.0"),
        (formats.number(-3.25), "−3.2"),
        (formats.number(12345.678), "12,345.7"),
        (formats.number(math.nan), "–"),
        (formats.quantity(20.5, "degC"), "20.5\N{NO-BREAK SPACE}°C"),
        (formats.money(1234.5, "GBP"), "£1,234.50"),
        (formats.money(-3, "SEK"), "−3.00\N{NO-BREAK SPACE}SEK"),
        (formats.rate(0.25, "GBP"), "25p"),
        (formats.rate(0.095, "GBP"), "9.5p"),
        (formats.rate(None, "GBP"), "–"),
        (formats.day(START, LONDON, year=True), "Mon 6 Feb 2023"),
        (formats.moment(START + timedelta(hours=30), LONDON, START), "Tue 06:00"),
        (formats.moment(START + timedelta(days=9), LONDON, START), "15 Feb 00:00"),
        (formats.moment(None, LONDON, START), "–"),
        (formats.span(timedelta(seconds=24)), "24\N{NO-BREAK SPACE}s"),
        (formats.span(timedelta(minutes=12)), "12\N{NO-BREAK SPACE}min"),
        (formats.span(timedelta(days=4)), "4 days"),
        (formats.ago(None), "never heard"),
    ],
)
def test_figures_are_written_as_people_write_them(shown: str, wanted: str) -> None:
    assert shown == wanted

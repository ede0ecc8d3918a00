"""Carbon intensity in the real shapes of its source: a real forecast, the clock-change day, the day of false zeros."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.intensity import Boundary, Gas, Kind
from drivers.base import Can, Flags, NotReachable, Quality, Reading
from drivers.clock import Clock
from drivers.feeds.driver import FeedDriver
from tests.feed_bench import Bench, bench, kept
from tests.feed_server import SILENT, Answer, Asked, Neso, as_json, fixture, half_hours, region

MARCH = datetime(2023, 3, 14, 3, 31, tzinfo=UTC)
JUNE = datetime(2023, 6, 7, 12, 5, tzinfo=UTC)


def replay(day: str) -> dict[datetime, dict[str, float | None]]:
    rows = fixture(day)["data"]
    return {datetime.fromisoformat(row["from"]): row["intensity"] for row in rows}


async def read(b: Bench, address: str) -> Reading:
    async with b.driver() as driver:
        (reading,) = await driver.read([b.points[address]])
    return reading


async def test_a_real_forecast_is_read_and_carried_with_its_origin() -> None:
    clock = Clock(MARCH)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = lambda asked: as_json(
            fixture("neso_intensity_fw48h_2023-03-14T0330Z") if "fw48h" in asked.path else {"data": []}
        )
        async with b.driver() as driver:
            (reading,) = await driver.read([b.points["forecast"]])
            (forecast,) = driver.forecasts()
    assert (reading.value, reading.quality, reading.time) == (69.0, Quality.GOOD, MARCH)
    assert forecast.start == MARCH.replace(minute=30)
    assert forecast.values[:4] == (69.0, 72.0, 69.0, 72.0)
    assert len(forecast.values) == 96
    assert forecast.end - forecast.start == timedelta(hours=48)
    assert set(forecast.kinds) == {Kind.FORECAST}
    assert (forecast.issued_at, forecast.checked_at, forecast.errors) == (MARCH, MARCH, None)
    assert forecast.origin.licence == "CC BY 4.0"
    assert "NESO" in forecast.origin.attribution
    assert forecast.origin.basis is not None
    assert (forecast.origin.basis.gas, forecast.origin.basis.boundary) == (Gas.CO2, Boundary.GENERATION_AND_LOSSES)
    assert [asked.path for asked in b.server.asked] == [
        "/intensity/2023-03-14T03:30Z/fw48h",
        "/intensity/2023-03-14T03:30Z/pt24h",
    ]


async def test_the_half_hour_before_the_one_asked_for_is_left_out() -> None:
    clock = Clock(MARCH)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = Neso(lambda at: 100.0 + at.hour, lambda at: 100.0)
        async with b.driver() as driver:
            (forecast,) = driver.forecasts()
    assert forecast.start == MARCH.replace(minute=30)


async def test_on_the_day_of_false_zeros_the_forecast_stands_in_and_says_so() -> None:
    rows = replay("neso_intensity_date_2023-06-07")
    last = max(rows)

    def reply(asked: Asked) -> Answer:
        start = datetime.fromisoformat(asked.path.split("/")[2])
        if "fw48h" in asked.path:
            found = {at: rows.get(at, rows[last]) for at in (start + n * timedelta(minutes=30) for n in range(96))}
            return as_json({"data": half_hours(start, 96, lambda at: {"forecast": found[at]["forecast"]})})
        known = [at for at in rows if at < start]
        return as_json({"data": half_hours(min(known), len(known), lambda at: dict(rows[at]))})

    seen: dict[datetime, tuple[float | None, Quality, Flags]] = {}
    clock = Clock(JUNE.replace(hour=8, minute=35))
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = reply
        async with b.driver() as driver:
            while clock.now() < JUNE.replace(hour=13):
                (reading,) = await driver.read([b.points["actual"]])
                seen[reading.time] = (reading.value, reading.quality, reading.flags)
                await clock.sleep_until(clock.now() + timedelta(minutes=10))
            (forecast,) = driver.forecasts()
    zeros = [at for at, row in rows.items() if row["actual"] == 0]
    assert len(zeros) == 4
    for at in zeros:
        assert seen[at] == (rows[at]["forecast"], Quality.SUSPECT, Flags.SUBSTITUTED)
    for at in (JUNE.replace(hour=9, minute=0), JUNE.replace(hour=11, minute=30)):
        assert seen[at] == (rows[at]["actual"], Quality.GOOD, Flags.NONE)
    assert all(value is not None and value > 0 for value, *_ in seen.values())
    assert forecast.errors is not None, "the other half-hours have been scored"


async def test_the_spring_clock_change_loses_no_half_hour() -> None:
    rows = replay("neso_intensity_date_2023-03-26")
    clock = Clock(datetime(2023, 3, 26, 0, 1, tzinfo=UTC))

    def told(at: datetime) -> dict[str, float | None]:
        return dict(rows.get(at, {"forecast": 150.0, "actual": None}))

    def reply(asked: Asked) -> Answer:
        start = datetime.fromisoformat(asked.path.split("/")[2])
        begin, count = (start, 96) if "fw48h" in asked.path else (start - timedelta(hours=24), 48)
        return as_json({"data": half_hours(begin, count, told)})

    async with bench("carbon_intensity", clock) as b:
        b.server.reply = reply
        async with b.driver() as driver:
            (forecast,) = driver.forecasts()
            values = []
            for _ in range(48):
                (reading,) = await driver.read([b.points["forecast"]])
                values.append(reading.value)
                await clock.sleep_until(clock.now() + timedelta(minutes=30))
    assert forecast.values[:48] == tuple(row["forecast"] for row in rows.values())
    assert values == [row["forecast"] for row in rows.values()]


async def test_a_region_is_asked_for_by_the_sites_postcode_and_has_no_actual() -> None:
    clock = Clock(MARCH)
    async with bench("carbon_intensity", clock, {"scope": "regional"}) as b:
        b.server.reply = Neso(lambda at: 80.0 + at.hour, lambda at: 100.0)
        async with b.driver() as driver:
            ahead, was = await driver.read([b.points["forecast"], b.points["actual"]])
            (forecast,) = driver.forecasts()
    assert [asked.path for asked in b.server.asked] == ["/regional/intensity/2023-03-14T03:30Z/fw48h/postcode/B1"]
    assert ahead.value == 83.0
    assert (was.value, was.flags) == (None, Flags.UNKNOWN_POINT)
    assert "region of B1" in forecast.origin.source


@pytest.mark.parametrize("listed", [False, True])
async def test_a_region_may_come_in_a_list(*, listed: bool) -> None:
    clock = Clock(MARCH)
    answer = region("B1", half_hours(MARCH.replace(minute=30), 96, lambda at: {"forecast": 77}))
    async with bench("carbon_intensity", clock, {"scope": "regional"}) as b:
        b.server.reply = lambda _: as_json({"data": [answer["data"]]} if listed else answer)
        assert (await read(b, "forecast")).value == 77.0


async def test_another_region_than_asked_for_is_refused() -> None:
    clock = Clock(MARCH)
    answer = region("EC1", half_hours(MARCH.replace(minute=30), 96, lambda at: {"forecast": 77}))
    async with bench("carbon_intensity", clock, {"scope": "regional"}) as b:
        b.server.reply = lambda _: as_json(answer)
        with pytest.raises(NotReachable, match="asked for B1, and EC1"):
            await read(b, "forecast")


async def test_of_two_values_for_one_half_hour_the_first_holds() -> None:
    clock = Clock(MARCH)
    rows = half_hours(MARCH.replace(minute=30), 96, lambda at: {"forecast": 77})
    twice = [*rows, *half_hours(MARCH.replace(minute=30), 1, lambda at: {"forecast": 250})]
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = lambda _: as_json({"data": twice})
        assert (await read(b, "forecast")).value == 77.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": []},
        {"data": None},
        {"nothing": 1},
        [1, 2],
        "text",
        None,
        {"data": [{"from": "2023-03-14T03:30Z", "to": "2023-03-14T04:00Z", "intensity": {"forecast": "many"}}]},
        {"data": [{"from": "2023-03-14T03:30", "to": "2023-03-14T04:00", "intensity": {"forecast": 70}}]},
        {"data": [{"from": "2023-03-14T03:31Z", "to": "2023-03-14T04:01Z", "intensity": {"forecast": 70}}]},
        {"data": [{"from": "2023-03-14T03:30Z", "to": "2023-03-14T05:30Z", "intensity": {"forecast": 70}}]},
        {"data": half_hours(MARCH.replace(minute=30), 96, lambda at: {"forecast": 0})},
        {"data": half_hours(MARCH.replace(minute=30), 96, lambda at: {"forecast": -70})},
        {"data": half_hours(MARCH.replace(minute=30), 96, lambda at: {"forecast": 70_000})},
        {"data": half_hours(MARCH.replace(minute=30), 4, lambda at: {"forecast": 70})},
        {"data": half_hours(MARCH - timedelta(days=3, minutes=1), 96, lambda at: {"forecast": 70})},
        {"data": half_hours(MARCH.replace(minute=30), 1, lambda at: {"forecast": 70})
         + half_hours(MARCH.replace(year=2093, minute=30), 1, lambda at: {"forecast": 70})},
    ],
)  # fmt: skip
async def test_nonsense_is_refused_in_words(wrong: object) -> None:
    clock = Clock(MARCH)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = lambda _: as_json(wrong)
        with pytest.raises(NotReachable, match="not believed: "):
            await read(b, "forecast")


async def test_a_lasting_bias_is_learned_and_taken_off_and_survives_a_restart(tmp_path: Path) -> None:
    clock = Clock(MARCH)
    neso = Neso(lambda at: 150.0, lambda at: 180.0)
    async with bench("carbon_intensity", clock, here=kept(tmp_path)) as b:
        b.server.reply = neso
        async with b.driver() as driver:
            for _ in range(3 * 48 + 8):
                await driver.read([b.points["forecast"]])
                await clock.sleep_until(clock.now() + timedelta(minutes=30))
            (reading,) = await driver.read([b.points["forecast"]])
            (forecast,) = driver.forecasts()
        assert reading.value == 150.0, "what is read is what was said"
        assert forecast.values[2:40] == pytest.approx([180.0] * 38, abs=0.5)
        assert forecast.errors is not None
        assert max(forecast.errors[:40]) < 3.0
        again = Bench(server=b.server, shared=type(b.shared)(b.shared.here), device=b.device, clock=clock)
        async with again.shared, again.driver() as driver:
            assert driver.forecasts()[0].values == forecast.values


async def test_what_was_is_told_for_every_half_hour_also_after_a_silence_and_again_when_it_is_corrected() -> None:
    clock = Clock(MARCH)
    neso = Neso(lambda at: 150.0, lambda at: 100.0 + at.hour + at.minute / 60)
    told: list[Reading] = []

    async def listen(driver: FeedDriver) -> None:
        async for reading in driver.changes():
            told.append(reading)  # noqa: PERF401  looked at while they come

    async with bench("carbon_intensity", clock) as b:
        b.server.reply = neso
        async with b.driver() as driver, asyncio.TaskGroup() as tasks:
            assert Can.PUSH in driver.can
            listening = tasks.create_task(listen(driver))
            await asyncio.sleep(0.01)
            assert len(told) == 48, "a day, to begin with"
            b.server.reply = lambda _: SILENT
            await live(driver, b, MARCH + timedelta(hours=4))
            assert len(told) == 48
            b.server.reply = neso
            await live(driver, b, MARCH + timedelta(hours=4, minutes=40))
            missed = {reading.time: reading.value for reading in told[48:]}
            assert list(missed) == [MARCH.replace(minute=30) + n * timedelta(minutes=30) for n in range(len(missed))]
            assert missed[MARCH.replace(hour=5, minute=30)] == 105.5
            assert len(missed) in (8, 9)
            told.clear()
            neso.actual = lambda at: (
                111.0 if at == MARCH.replace(hour=5, minute=0) else 100.0 + at.hour + at.minute / 60
            )
            await live(driver, b, MARCH + timedelta(hours=5, minutes=20))
            assert [reading.value for reading in told if reading.time == MARCH.replace(hour=5, minute=0)] == [111.0]
            assert len(told) <= 4
            assert told[-1].time == max(reading.time for reading in told)
            listening.cancel()


async def live(driver: FeedDriver, b: Bench, until: datetime) -> None:
    while b.clock.now() < until:
        await b.clock.sleep_until(min(until, b.clock.now() + timedelta(minutes=1)))
        await driver.read([b.points["actual"]])


async def test_a_forecast_alone_has_nothing_to_push() -> None:
    async with bench("carbon_intensity", Clock(MARCH)) as b:
        b.server.reply = Neso(lambda at: 150.0, lambda at: 100.0)
        ahead = b.device.model_copy(update={"points": (b.points["forecast"],)})
        async with Bench(server=b.server, shared=b.shared, device=ahead, clock=b.clock).driver() as driver:
            assert Can.PUSH not in driver.can
            with pytest.raises(TypeError):
                await anext(driver.changes())

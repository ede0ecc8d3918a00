"""A source that fails in every way there is: the last answer goes on, nobody is hammered, and it comes back."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import ClassVar

import pytest

from config.intensity import Basis, Boundary, Kind
from config.site import Point
from config.units import Unit
from drivers.base import NotReachable, Quality
from drivers.clock import Clock
from drivers.feeds.feed import Feed, Quantity, Source
from drivers.feeds.fetch import Web
from drivers.feeds.gate import Limits
from drivers.feeds.memory import Keeper
from drivers.feeds.series import Said
from drivers.forecast import Origin
from drivers.registry import Shared
from tests.feed_bench import Bench, bench, kept
from tests.feed_server import BROKEN, HTML, SILENT, Answer, Neso, Reply

START = datetime(2023, 3, 14, 3, 31, tzinfo=UTC)
GOOD = Neso(lambda at: 100.0 + at.hour, lambda at: 100.0 + at.hour)
WHOLE = json.dumps({"data": [{"from": "2023-03-14T03:30Z"}] * 50}).encode()


def told(answer: Answer) -> Reply:
    return lambda _: answer


FAILURES: dict[str, tuple[Reply, str]] = {
    "500": (told(BROKEN), "answered 500"),
    "404": (told(Answer(status=404)), "answered 404"),
    "moved": (told(Answer(status=302, headers={"Location": "/login"})), "answered 302"),
    "a web page": (told(HTML), "a web page instead of JSON"),
    "nothing": (told(Answer()), "instead of JSON"),
    "truncated JSON": (told(Answer(body=WHOLE[:-20])), "instead of JSON"),
    "a broken connection": (told(Answer(body=WHOLE, cut_at=200)), "peer closed connection"),
    "a slow drip": (told(Answer(body=WHOLE, drip_s=0.5)), "no whole answer within 20 s"),
    "silence": (told(SILENT), "no whole answer within 20 s"),
    "too much": (told(Answer(body=b" " * 4_100_000)), "more than 4,000,000 bytes"),
    "too deep": (told(Answer(body=b"[" * 100_000)), "instead of JSON"),
    "no text": (told(Answer(body=b"\xff\xfe\x00")), "instead of JSON"),
    "too many": (told(Answer(status=429, headers={"Retry-After": "600"})), "answered 429"),
}
failing = pytest.mark.parametrize(("reply", "why"), list(FAILURES.values()), ids=list(FAILURES))


async def values(b: Bench, until: datetime, every: timedelta = timedelta(minutes=1)) -> list[float | None]:
    """Read the forecast every minute, as the supervisor does; what was read."""
    found = []
    async with b.driver() as driver:
        while b.clock.now() < until:
            (reading,) = await driver.read([b.points["forecast"]])
            found.append(reading.value)
            await b.clock.sleep_until(b.clock.now() + every)
    return found


@failing
async def test_a_source_that_fails_at_first_cannot_be_opened(reply: Reply, why: str) -> None:
    async with bench("carbon_intensity", Clock(START)) as b:
        b.server.reply = reply
        with pytest.raises(NotReachable, match=why):
            async with b.driver():
                pass


@failing
async def test_while_it_fails_the_last_answer_goes_on_and_it_comes_back(
    reply: Reply, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="drivers.feeds.feed")
    clock = Clock(START)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = GOOD
        await values(b, START + timedelta(minutes=10))
        b.server.reply = reply
        during = await values(b, START + timedelta(hours=3))
        assert set(during) == {103.0, 104.0, 105.0, 106.0}
        b.server.reply = GOOD
        asked = len(b.server.asked)
        await values(b, clock.now() + timedelta(minutes=20))
        assert len(b.server.asked) > asked
        async with b.driver() as driver:
            assert clock.now() - driver.forecasts()[0].checked_at <= timedelta(minutes=20)
    silent, back = [record.getMessage() for record in caplog.records]
    assert why in silent
    assert "going on with what it said at 03:3" in silent
    assert back == "carbon_intensity: answers again"


async def test_a_silent_source_is_asked_less_and_less() -> None:
    clock = Clock(START)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = GOOD
        await values(b, START + timedelta(minutes=10))
        b.server.reply = told(BROKEN)
        b.server.asked.clear()
        await values(b, START + timedelta(hours=2))
        gaps = [(late.time - early.time) / timedelta(minutes=1) for early, late in _pairs(b)]
    assert gaps[:4] == pytest.approx([1, 2, 5, 15], abs=1.1)
    assert set(map(round, gaps[4:])) <= {15, 16}


def _pairs(b: Bench) -> list[tuple[object, object]]:
    return list(zip(b.server.asked, b.server.asked[1:], strict=False))


@pytest.mark.parametrize(
    "header",
    [
        lambda now: "7200",
        lambda now: format_datetime(now + timedelta(hours=2), usegmt=True),
    ],
    ids=["seconds", "date"],
)
async def test_a_source_that_wants_to_be_left_alone_is(header: Callable[[datetime], str]) -> None:
    clock = Clock(START)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = GOOD
        await values(b, START + timedelta(minutes=5))
        b.server.reply = lambda asked: Answer(status=429, headers={"Retry-After": header(asked.time)})
        b.server.asked.clear()
        await values(b, START + timedelta(hours=4))
        first, second, *_ = b.server.asked
    assert timedelta(0) <= second.time - first.time - timedelta(hours=2) <= timedelta(minutes=2)


@pytest.mark.parametrize("header", ["-5", "soon", "", "9" * 30, "Wed, 99 Foo 2023"])
async def test_a_strange_wish_is_no_reason_to_stay_away_for_ever(header: str) -> None:
    clock = Clock(START)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = GOOD
        await values(b, START + timedelta(minutes=5))
        b.server.reply = told(Answer(status=503, headers={"Retry-After": header}))
        await values(b, START + timedelta(minutes=40))
        b.server.reply = GOOD
        b.server.asked.clear()
        async with b.driver() as driver:
            await clock.sleep_until(START + timedelta(hours=7))
            await driver.read([b.points["forecast"]])
        assert b.server.asked


async def test_after_six_hours_of_silence_it_is_lost_and_keeps_what_it_said() -> None:
    clock = Clock(START)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = GOOD
        async with b.driver() as driver:
            await driver.read([b.points["forecast"]])
            b.server.reply = told(SILENT)
            lost = None
            while lost is None:
                await clock.sleep_until(clock.now() + timedelta(minutes=1))
                try:
                    await driver.read([b.points["forecast"]])
                except NotReachable:
                    lost = clock.now() - START
            assert timedelta(hours=6) <= lost < timedelta(hours=6, minutes=3)
        again = b.driver()
        with pytest.raises(NotReachable):
            await again.__aenter__()
        (forecast,) = again.forecasts()
        assert forecast.checked_at == START
        b.server.reply = GOOD
        await clock.sleep_until(clock.now() + timedelta(minutes=16))
        async with b.driver() as driver:
            (reading,) = await driver.read([b.points["forecast"]])
            assert reading.quality is Quality.GOOD


async def test_it_is_asked_once_a_half_hour() -> None:
    async with bench("carbon_intensity", Clock(START)) as b:
        b.server.reply = GOOD
        await values(b, START + timedelta(hours=5))
        forecasts = [asked for asked in b.server.asked if "fw48h" in asked.path]
    assert len(forecasts) in (10, 11)
    assert {asked.time.minute % 30 for asked in forecasts} <= set(range(7)), "soon after the source's own half-hour"


async def test_drivers_of_one_feed_share_its_answers() -> None:
    async with bench("carbon_intensity", Clock(START)) as b:
        b.server.reply = GOOD
        for _ in range(3):
            async with b.driver() as one, b.driver() as two:
                await one.read([b.points["forecast"]])
                await two.read([b.points["forecast"]])
        assert len(b.server.asked) == 2


async def test_an_answer_that_says_the_same_is_checked_but_not_new() -> None:
    clock = Clock(START)
    neso = Neso(lambda at: 100.0 + at.hour, lambda at: 100.0)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = neso
        async with b.driver() as driver:
            await clock.sleep_until(START + timedelta(hours=2))
            await driver.read([b.points["forecast"]])
            (forecast,) = driver.forecasts()
            assert (forecast.issued_at, forecast.checked_at) == (START, clock.now())
            neso.forecast = lambda at: 101.0 + at.hour
            await clock.sleep_until(START + timedelta(hours=4))
            await driver.read([b.points["forecast"]])
            assert driver.forecasts()[0].issued_at == clock.now()


async def test_after_a_start_it_knows_at_once_what_it_knew_and_asks_only_when_due(tmp_path: Path) -> None:
    clock = Clock(START)
    async with bench("carbon_intensity", clock, here=kept(tmp_path)) as b:
        b.server.reply = GOOD
        before = await _forecast(b)
        b.server.asked.clear()
        b.server.reply = told(SILENT)
        async with Shared(kept(tmp_path)) as shared:
            again = Bench(server=b.server, shared=shared, device=b.device, clock=clock)
            assert await _forecast(again) == before
            assert b.server.asked == []
            await clock.sleep_until(START + timedelta(hours=2))
            assert set(await values(again, START + timedelta(hours=2, minutes=25))) == {105.0}


async def _forecast(b: Bench) -> object:
    async with b.driver() as driver:
        await driver.read([b.points["forecast"]])
        return driver.forecasts()[0]


async def test_other_settings_are_another_feed(tmp_path: Path) -> None:
    clock = Clock(START)
    async with bench("carbon_intensity", clock, here=kept(tmp_path)) as b:
        b.server.reply = GOOD
        await _forecast(b)
        await _forecast(Bench(server=b.server, shared=b.shared, device=_regional(b), clock=clock))
    assert len(files(tmp_path)) == 2


def _regional(b: Bench) -> object:
    return b.device.model_copy(update={"options": {**b.device.options, "scope": "regional"}})


@pytest.mark.parametrize("spoilt", [b"", b"{", b"\x00" * 100, b'{"version": 99}', b'{"version": 1, "issues": 7}'])
async def test_a_spoilt_file_gives_way_to_the_one_before(tmp_path: Path, spoilt: bytes) -> None:
    clock = Clock(START)
    async with bench("carbon_intensity", clock, here=kept(tmp_path)) as b:
        b.server.reply = GOOD
        await values(b, START + timedelta(hours=2))
    (path,) = files(tmp_path)
    path.write_bytes(spoilt)
    assert Keeper(tmp_path, "carbon_intensity", "others").load().issues == {}
    gone = {"url": b.device.options["url"]}
    async with bench("carbon_intensity", clock, gone, here=kept(tmp_path)) as again, again.driver() as driver:
        assert driver.forecasts()[0].checked_at > START


async def test_what_was_kept_by_a_clock_that_was_ahead_is_left_aside(tmp_path: Path) -> None:
    clock = Clock(START.replace(year=2031))
    async with bench("carbon_intensity", clock, here=kept(tmp_path)) as b:
        b.server.reply = GOOD
        await _forecast(b)
        right = Clock(START - (clock.now() - START.replace(year=2031)))
        async with Shared(kept(tmp_path)) as shared:
            again = Bench(server=b.server, shared=shared, device=b.device, clock=right)
            async with again.driver() as driver:
                assert driver.forecasts()[0].checked_at == right.now()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


async def test_a_disk_that_refuses_is_said_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    clock = Clock(START)
    async with bench("carbon_intensity", clock, here=kept(blocked)) as b:
        b.server.reply = GOOD
        assert None not in await values(b, START + timedelta(hours=3))
    written = [record.getMessage() for record in caplog.records if "cannot be written" in record.getMessage()]
    assert len(written) == 1


async def test_nonsense_is_said_once_and_the_last_good_answer_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(START)
    async with bench("carbon_intensity", clock) as b:
        b.server.reply = GOOD
        await values(b, START + timedelta(minutes=5))
        b.server.reply = Neso(lambda at: 0.0, lambda at: 0.0)
        during = await values(b, START + timedelta(hours=3))
        assert min(value for value in during if value is not None) == 103.0
        async with b.driver() as driver:
            await clock.sleep_until(START + timedelta(hours=8))
            (reading,) = await driver.read([b.points["forecast"]])
            assert (reading.value, reading.quality) == (None, Quality.BAD)
    refused = [record.getMessage() for record in caplog.records if "forecast is not believed" in record.getMessage()]
    assert len(refused) == 1


async def test_it_never_goes_to_another_host() -> None:
    async with bench("carbon_intensity", Clock(START)) as b:
        web = Web(b.server.address, clock=b.clock)
        with pytest.raises(NotReachable, match=r"example\.org, where we do not go"):
            await web.json("https://example.org/v1/intensity")
        await web.close()
        assert b.server.asked == []


class Drifting(Source):
    """Says one thing with a basis that may change."""

    every = timedelta(minutes=30)
    origin = Origin(source="x", licence="x", attribution="x")
    quantities: ClassVar[dict[str, Quantity]] = {"forecast": Quantity(limits=Limits(low=1, high=1000))}
    basis = Basis()

    async def ask(self, now: datetime) -> dict[str, Said]:
        start_s = int(now.timestamp()) // 1800 * 1800
        kinds = (Kind.FORECAST,) * 96
        return {"forecast": Said(start_s=start_s, step_s=1800, values=(300.0,) * 96, kinds=kinds, basis=self.basis)}

    async def close(self) -> None: ...


async def test_an_answer_that_counts_something_else_is_refused_and_not_joined() -> None:
    clock, source = Clock(START), Drifting()
    feed = Feed("x", source, Keeper(None, "x", ""), settings="", clock=clock)
    point = Point(id="hall.grid.forecast", unit=Unit.G_PER_KWH, address="forecast")
    await feed.renew()
    source.basis = Basis(boundary=Boundary.LIFECYCLE)
    await clock.sleep_until(START + timedelta(hours=1))
    await feed.renew()
    assert "lifecycle" in feed.error
    assert "generation, imports and losses" in feed.error
    kept = feed.forecast(point)
    assert kept is not None
    assert (kept.checked_at, kept.origin.basis) == (START, Basis())
    source.basis = Basis()
    await clock.sleep_until(START + timedelta(hours=2))
    await feed.renew()
    assert feed.error == ""


async def test_sites_do_not_all_ask_at_once() -> None:
    clock = Clock(START)
    offsets = [
        Feed("x", Drifting(), Keeper(None, "x", ""), settings=f"site {n}", clock=clock)._offset for n in range(50)
    ]
    assert timedelta(0) <= min(offsets) < timedelta(minutes=1)
    assert timedelta(minutes=4) < max(offsets) < timedelta(minutes=5)

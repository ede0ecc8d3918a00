"""The town hall plans by feeds over real HTTP: they die for eight hours, plans go on flagged, and all is well again."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.site import Device, Site
from controller.feeds import is_feed
from controller.history import STEP
from controller.outlook import LocalOutlook
from controller.service import Service, Settings, running
from drivers.base import Driver, Here
from drivers.clock import Clock
from drivers.registry import Shared, make_driver
from optimiser.problem import Plan, Status
from optimiser.worker import InProcess
from site_sims.live import STORED_EVERY
from site_sims.simulated_driver import simulated_drivers
from tests.feed_server import BROKEN, SILENT, Answer, Asked, FeedServer, Neso, as_json, rate, rates, weather
from tests.system.house import _learned, _morning, house_site, morning

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

START = datetime(2023, 2, 7, 5, tzinfo=UTC)
HALF = timedelta(minutes=30)
CARBON, WAS, PRICE = "townhall.feeds.carbon", "townhall.feeds.was", "townhall.feeds.price"


def grams(at: datetime) -> float:
    """A forecast that tells the hour."""
    return 100.0 + 5.0 * at.hour


def pence(at: datetime) -> float:
    return 10.0 + at.hour


class Sources:
    """Everything on the web, alive or dead."""

    def __init__(self) -> None:
        self.dead: Answer | None = None
        self.neso = Neso(grams, lambda at: grams(at) + 3.0)

    def __call__(self, asked: Asked) -> Answer:
        if self.dead is not None:
            return self.dead
        if asked.path.startswith("/v1/forecast"):
            answer = weather(
                asked, degc=lambda at: 2.0 + at.hour / 8, sun=lambda at: 150.0 if 8 < at.hour < 16 else 0.0
            )
            return as_json(answer)
        if asked.path.startswith("/v1/products"):
            first = START.replace(hour=0)
            return as_json(
                rates([rate(first + n * HALF, pence(first + n * HALF), end=first + (n + 1) * HALF) for n in range(96)])
            )
        return self.neso(asked)


def fed_site(address: str) -> Site:
    def device(name: str, driver: str, options: dict[str, Any], *points: tuple[str, str, str, str]) -> Device:
        told = [
            {"id": f"townhall.feeds.{key}", "role": role, "unit": unit, "address": at} for key, role, unit, at in points
        ]
        return Device.model_validate(
            {"id": name, "driver": driver, "options": {"url": address, **options}, "points": told}
        )

    site = house_site()
    product = {"product": "AGILE-23-12-06", "tariff": "E-1R-AGILE-23-12-06-E"}
    feeds = (
        device(
            "carbon", "carbon_intensity", {}, ("carbon", "carbon_intensity", "g/kWh", "forecast"),
            ("was", "carbon_intensity", "g/kWh", "actual"),
        ),
        device("prices", "tariff", product, ("price", "electricity_price", "money/kWh", "import")),
        device(
            "sky", "weather", {}, ("temperature", "temperature_forecast", "degC", "temperature"),
            ("sun", "solar_forecast", "W/m2", "solar"),
        ),
    )  # fmt: skip
    return site.model_copy(update={"devices": (*site.devices, *feeds)})


@asynccontextmanager
async def fed_house(directory: Path, clock: Clock, server: FeedServer) -> AsyncIterator[Service]:
    """The town hall on simulated drivers, and its feeds on real ones."""
    building = morning(START)
    simulated = simulated_drivers(building.field, clock=clock)
    site = fed_site(server.address)
    async with asyncio.TaskGroup() as world, Shared(Here(location=site.location, keep=directory / "feeds")) as shared:

        def driver(device: Device) -> Driver:
            return make_driver(device, clock=clock, shared=shared) if is_feed(device) else simulated(device)

        settings = Settings(
            directory=directory,
            make_driver=driver,
            outlook=lambda known, history: LocalOutlook(known, history, None),
            solver=InProcess(),
            learned=_learned("townhall"),
            learn_nightly=False,
            history=_morning(START, 1, "townhall")[1].copy(),
            durable=False,
            gather=STORED_EVERY,
        )
        living = world.create_task(building.run(clock), name="building")
        try:
            async with running(site, settings, clock) as service:
                yield service
        finally:
            living.cancel()


@asynccontextmanager
async def web(clock: Clock) -> AsyncIterator[tuple[FeedServer, Sources]]:
    sources = Sources()
    async with FeedServer(clock).serve() as server:
        server.reply = sources
        yield server, sources


def virtual_clock() -> Clock:
    return Clock(START - timedelta(seconds=asyncio.get_running_loop().time()))


async def until(service: Service, hour: int, minute: int = 0) -> None:
    await service.clock.sleep_until(START.replace(hour=hour, minute=minute))


def level(service: Service) -> str:
    return service.ladder.level.label


async def test_feeds_that_die_for_eight_hours_lower_the_ladder_and_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = virtual_clock()
    async with web(clock) as (server, sources), fed_house(tmp_path, clock, server) as service:
        await until(service, 6, 10)
        assert level(service) == "0"
        problem = service.planner.last[0]
        starts = [problem.start + n * STEP for n in range(len(problem.intensity_g_per_kwh))]
        assert list(problem.intensity_g_per_kwh) == [grams(at) for at in starts]
        assert list(problem.import_price) == pytest.approx([pence(at) / 100 for at in starts])
        assert service.state.value(CARBON, clock.now()) == grams(clock.now())
        assert service.state.value(PRICE, clock.now()) == pytest.approx(pence(clock.now()) / 100)
        sources.dead = SILENT
        with service.hubs.levels.subscribe() as levels, service.hubs.plans.subscribe(size=500) as plans:
            await until(service, 11)
            assert level(service) == "0", "until the last word is six hours old"
            assert service.links["carbon"].up
            sources.dead = BROKEN
            await until(service, 14, 5)
            assert level(service) == "1"
            assert "carbon" in service.ladder.why
            assert not service.links["carbon"].up
            during = plans.take()
            assert len(during) > 30
            assert {plan.status for plan in during} == {Status.OPTIMAL}
            late = service.planner.last[0]
            assert late.start == START.replace(hour=14)
            assert late.intensity_g_per_kwh[0] == grams(late.start), "the last good forecast goes on"
            sources.dead = None
            await until(service, 15, 1)
            assert level(service) == "0"
            assert [(change.device, change.new.label) for change in levels.take() if change.device is None] == [
                (None, "1"),
                (None, "0"),
            ]
        kept = await service.store.window(WAS, START, START.replace(hour=14))
        missed = [START + n * HALF for n in range(18)]
        rows = zip(kept.time_s.tolist(), kept.value.tolist(), strict=True)
        assert {at: value for at, value in rows if not math.isnan(value)} == {
            at.timestamp(): grams(at) + 3.0 for at in missed
        }, "every half-hour of the silence is known after all"
        assert {origin.licence for origin in service.feeds.origins()} >= {"CC BY 4.0"}
        assert all(service.links[name].up for name in ("carbon", "prices", "sky"))
        assert service.state.value(CARBON, clock.now()) == grams(clock.now())
    said = [record.getMessage() for record in caplog.records if record.name == "controller.supervisor"]
    for name in ("carbon", "prices", "sky"):
        assert len([line for line in said if line.startswith(f"{name}: down")]) == 1


async def test_a_new_forecast_makes_a_new_plan(tmp_path: Path) -> None:
    clock = virtual_clock()
    async with web(clock) as (server, sources), fed_house(tmp_path, clock, server) as service:
        await until(service, 5, 25)
        with service.hubs.plans.subscribe(size=100) as plans:
            sources.neso.forecast = lambda at: 300.0 - grams(at)
            await until(service, 5, 44)
            triggers = [plan.trigger for plan in plans.take()]
        assert [text for text in triggers if "new forecast of carbon" in text]
        assert service.planner.last[0].intensity_g_per_kwh[0] == 300.0 - grams(clock.now())


async def test_without_any_word_it_plans_from_the_start_and_says_so(tmp_path: Path) -> None:
    clock = virtual_clock()
    async with web(clock) as (server, sources):
        sources.dead = BROKEN
        async with fed_house(tmp_path, clock, server) as service:
            await until(service, 5, 20)
            assert level(service) == "1"
            plan: Plan = service.planner.last[1]
            assert plan.status is Status.OPTIMAL
            assert "said nothing yet" in service.ladder.why
            sources.dead = None
            await until(service, 6, 10)
            assert level(service) == "0"
            assert service.planner.last[0].intensity_g_per_kwh[0] == grams(clock.now())


@pytest.mark.parametrize(("hours", "wanted"), [(1, "0"), (8, "1")])
async def test_a_restart_while_the_sources_are_silent_goes_on_with_what_was_kept(
    hours: int, wanted: str, tmp_path: Path
) -> None:
    clock = virtual_clock()
    async with web(clock) as (server, sources):
        async with fed_house(tmp_path, clock, server) as service:
            await until(service, 5, 20)
        sources.dead = BROKEN
        await clock.sleep_until(START + timedelta(hours=hours))
        async with fed_house(tmp_path, clock, server) as service:
            await until(service, 5 + hours, 20)
            assert level(service) == wanted
            assert service.links["carbon"].up == (wanted == "0")
            problem = service.planner.last[0]
            starts = [problem.start + n * STEP for n in range(len(problem.intensity_g_per_kwh))]
            assert list(problem.intensity_g_per_kwh) == [grams(at) for at in starts]

"""Learning at night: when, what counts, what is kept, and what must never end control."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from config.roles import Role
from controller import learner as learning
from controller.apart import Place, WorkFailed, apart, here
from controller.estimate import Estimator
from controller.events import Cause, Trigger
from controller.history import STEP, History
from controller.hub import Hub
from controller.learned import MODEL_FILE, Learned, load, priors
from controller.learner import Learner, learn, learn_at
from controller.occupancy import Occupancy
from drivers.base import Reading
from drivers.clock import Clock
from site_sims.learning import history_of
from tests.conftest import EPOCH
from tests.town_hall import town_hall_site

SITE = town_hall_site()
ALL = {point.id: 5.0 for point in SITE.points.values()}


def steady(values: dict[str, float], days: float) -> History:
    history = history_of(SITE)
    for step in range(int(days * 96)):
        when = EPOCH + step * STEP
        history.add([Reading(point=p, time=when, received=when, value=v) for p, v in values.items()], when)
    history.close(EPOCH + int(days * 96) * STEP)
    return history


def estimator(history: History) -> Estimator:
    return Estimator(SITE, history, Occupancy(SITE))


@dataclass
class Planning:
    """Stands for the gatherer: it holds what is in use."""

    learned: Learned


@dataclass
class Night:
    clock: Clock
    planning: Planning
    path: Path
    triggers: Hub[Trigger]


@asynccontextmanager
async def learning_nightly(clock: Clock, tmp_path: Path, days: float, *, place: Place = here) -> AsyncIterator[Night]:
    night = Night(clock, Planning(priors(SITE)), tmp_path / MODEL_FILE, Hub())
    history = steady({"townhall.outdoor.temperature": 5.0}, days)
    made = Learner(
        SITE,
        estimator=estimator(history),
        occupancy=Occupancy(SITE),
        clock=clock,
        triggers=night.triggers,
        path=night.path,
        gatherer=night.planning,
        place=place,
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.run(), name="learner")
        await asyncio.sleep(0)
        yield night
        task.cancel()


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Every lesson succeeds; when they were."""
    times: list[datetime] = []

    async def lesson(*_: object, old: Learned, now: datetime) -> Learned:
        times.append(now)
        return replace(old, heat_pump_cop=old.heat_pump_cop - 0.01, accepted_at=now, verdict="2 of 10 zones; and so on")

    monkeypatch.setattr(learning, "learn_at", lesson)
    return times


async def test_it_learns_once_a_night_by_the_local_clock(clock: Clock, tmp_path: Path, taught: list[datetime]) -> None:
    async with learning_nightly(clock, tmp_path, 8) as night:
        await clock.sleep_until(EPOCH + timedelta(days=60))
    local = [Occupancy(SITE).local(when) for when in taught]
    assert {f"{when:%H:%M}" for when in local} == {"02:50"}
    assert len(local) == len({when.date() for when in local}) == 60, "once, also in the night the clock changed"
    assert night.planning.learned.heat_pump_cop == pytest.approx(0.4)


async def test_what_was_accepted_is_used_kept_and_told(clock: Clock, tmp_path: Path, taught: list[datetime]) -> None:
    async with learning_nightly(clock, tmp_path, 8) as night:
        with night.triggers.subscribe() as heard:
            await asyncio.sleep(3 * 3600)
            assert [(t.cause, t.text) for t in heard.take()] == [(Cause.MODEL, "2 of 10 zones")]
        assert night.planning.learned.heat_pump_cop == 0.99
        assert load(night.path, SITE) == night.planning.learned
    assert len(taught) == 1


async def test_less_than_a_week_teaches_nothing(clock: Clock, tmp_path: Path, taught: list[datetime]) -> None:
    async with learning_nightly(clock, tmp_path, 6.9) as night:
        await asyncio.sleep(2 * 86_400)
        assert night.planning.learned == priors(SITE)
    assert taught == []


async def test_a_model_that_cannot_be_kept_is_used_all_the_same(
    clock: Clock, tmp_path: Path, taught: list[datetime], caplog: pytest.LogCaptureFixture
) -> None:
    async with learning_nightly(clock, tmp_path / "gone", 8) as night:
        await asyncio.sleep(3 * 3600)
        assert night.planning.learned.heat_pump_cop == 0.99
    assert len(taught) == 1
    assert "the models could not be kept" in caplog.text


async def test_a_night_without_anything_new_is_no_trigger(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lesson(*_: object, old: Learned, now: datetime) -> Learned:
        return replace(old, verdict="0 of 10 zones")

    monkeypatch.setattr(learning, "learn_at", lesson)
    async with learning_nightly(clock, tmp_path, 8) as night:
        with night.triggers.subscribe() as heard:
            await asyncio.sleep(3 * 3600)
            assert heard.take() == []
        assert json.loads(night.path.read_text(encoding="utf-8"))["verdict"] == "0 of 10 zones"


async def test_a_night_in_which_nothing_could_be_computed_is_only_said(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: object) -> None:
        raise WorkFailed("the process that computed it ended with -9")

    async with learning_nightly(clock, tmp_path, 8, place=broken) as night:
        await asyncio.sleep(2 * 86_400)
        assert night.planning.learned == priors(SITE)
    assert caplog.text.count("nothing was learned tonight: the process that computed it ended with -9") == 2


@pytest.mark.real_time
async def test_another_process_learns_the_same() -> None:
    running = ALL | {"townhall.heat_pump.heat_output": 30.0, "townhall.heat_pump.electricity_kw": 12.9}
    taught = estimator(steady(running, 8))
    beside = await learn_at(apart, SITE, taught, old=priors(SITE), now=EPOCH)
    assert beside == learn(SITE, taught, old=priors(SITE), now=EPOCH)
    assert beside.heat_pump_cop != 1.0


@pytest.mark.parametrize(
    "silent",
    [None, Role.ZONE_TEMPERATURE, Role.OUTDOOR_TEMPERATURE, Role.VALVE_POSITION, Role.HEAT_OUTPUT],
)
def test_silent_or_stuck_sensors_teach_nothing_and_break_nothing(silent: Role | None) -> None:
    values = {p.id: 5.0 for p in SITE.points.values() if p.role is not silent}
    found = learn(SITE, estimator(steady(values, 8)), old=priors(SITE), now=EPOCH)
    assert found.zones == priors(SITE).zones
    assert found.accepted_at is None
    assert found.verdict.startswith("0 of 10 zones; rated curve")


def test_after_a_summer_the_plant_is_still_known() -> None:
    before = replace(priors(SITE), heat_pump_cop=0.85, heat_pump_capacity=0.9, boiler_efficiency=0.95)
    idle = ALL | {
        "townhall.heat_pump.heat_output": 0.0,
        "townhall.heat_pump.electricity_kw": 0.0,
        "townhall.boiler.heat_output": 0.0,
    }
    after = learn(SITE, estimator(steady(idle, 8)), old=before, now=EPOCH)
    assert (after.heat_pump_cop, after.heat_pump_capacity, after.boiler_efficiency) == (0.85, 0.9, 0.95)


def test_a_heat_pump_that_needs_more_than_it_says_is_found_out() -> None:
    running = ALL | {
        "townhall.outdoor.temperature": 7.0,
        "townhall.heat_pump.heat_output": 30.0,
        "townhall.heat_pump.electricity_kw": 30.0 / 2.5 + 0.9,
    }
    found = learn(SITE, estimator(steady(running, 8)), old=priors(SITE), now=EPOCH)
    assert 0.6 < found.heat_pump_cop < 0.95
    slower = running | {"townhall.heat_pump.electricity_kw": 30.0 / 2.4 + 0.9}
    worse = learn(SITE, estimator(steady(slower, 8)), old=priors(SITE), now=EPOCH)
    assert worse.heat_pump_cop == pytest.approx(found.heat_pump_cop * 2.4 / 2.5)


def test_fewer_than_three_days_are_refused() -> None:
    with pytest.raises(ValueError, match="days"):
        learn(SITE, estimator(steady(ALL, 2)), old=priors(SITE), now=EPOCH)

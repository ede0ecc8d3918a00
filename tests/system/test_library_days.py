"""Whole days of the library under the whole program: rules lead, air and chiller stay the building's own."""

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.learned import priors
from drivers.clock import Clock
from site_sims.live import controlled
from site_sims.score import Score, Scorer
from site_sims.virtual_time import VirtualTimeLoop
from tests.library import library, library_site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DAY = timedelta(days=1)
WINTER, SUMMER = datetime(2023, 1, 24, tzinfo=UTC), datetime(2023, 7, 6, tzinfo=UTC)
SLOT = 13
AIR = ("ahu.fan_speed", "ahu.supply_setpoint", "ahu.outdoor_damper", "chiller.enable", "reading.cooling_setpoint")


def lived(start: datetime) -> tuple[Score, Score, set[str], list[str]]:
    """A day under its own control and under ours, what we wrote, and what stands in our slot at the end."""
    before = library(start - 3 * DAY)
    before.advance(3 * DAY)
    morning = before.snapshot()
    alone = Scorer(before, slots=(15,))
    before.advance(DAY)

    async def live() -> tuple[Score, set[str], list[str]]:
        building, clock = library(start), Clock(start)
        building.restore(morning)
        scorer, written = Scorer(building), set()

        def watch(_: object) -> None:
            written.update(obj.key for obj in building.field if obj.commandable and obj.array[SLOT - 1] is not None)

        building.watchers.append(watch)
        with tempfile.TemporaryDirectory() as folder:
            async with controlled(
                library_site(), building, clock, directory=Path(folder), learned=priors(library_site())
            ) as service:
                with service.hubs.plans.subscribe() as plans:
                    await clock.sleep_until(start + DAY + timedelta(seconds=1))
                    assert plans.take() == []
                score = scorer.score(alone.score().heat)
        left = [obj.key for obj in building.field if obj.commandable and obj.array[SLOT - 1] is not None]
        return score, written, left

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return alone.score(), *runner.run(live())


@pytest.mark.parametrize("start", [WINTER, SUMMER], ids=["winter", "summer"])
def test_a_day_costs_less_than_under_the_bms_and_is_as_comfortable(start: datetime) -> None:
    alone, ours, written, left = lived(start)
    assert ours.cost < alone.cost
    assert ours.discomfort_kh["below"] < alone.discomfort_kh["below"] + 1.0
    assert ours.discomfort_kh["above"] < alone.discomfort_kh["above"] + 1.0
    assert ours.stuffy_ppm_h < alone.stuffy_ppm_h + 200.0
    assert {"reading.heating_setpoint", "boiler.enable", "reading.light_level"} <= written
    assert not written & set(AIR)
    assert left == []


def test_the_same_day_is_the_same_twice() -> None:
    assert lived(SUMMER) == lived(SUMMER)

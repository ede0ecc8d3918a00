"""Whole days of the primary school under the whole program: term, half-term, summer, packets, the same twice."""

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from optimiser.problem import Status
from site_sims.score import Score, Scorer
from site_sims.virtual_time import VirtualTimeLoop
from tests.system.house import Sum, house, morning

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TUESDAY = datetime(2023, 2, 7, tzinfo=UTC)
HALF_TERM = datetime(2023, 2, 15, tzinfo=UTC)
SUMMER = datetime(2023, 7, 5, tzinfo=UTC)  # 01:00 by the clock
DAY = timedelta(days=1)
A_MOMENT = timedelta(seconds=1)  # the last minute is lived at its end
SCHOOL = "school"
BEATS = 1440


def under_its_own_control(start: datetime, length: timedelta) -> Score:
    building = morning(start, name=SCHOOL)
    scorer = Scorer(building, slots=(15,))
    building.advance(length)
    return scorer.score()


async def test_a_school_day_costs_no_more_than_under_the_bms_and_is_no_colder(tmp_path: Path) -> None:
    alone = under_its_own_control(TUESDAY, DAY)
    async with house(tmp_path, TUESDAY, name=SCHOOL) as home:
        with home.service.hubs.plans.subscribe() as plans, home.service.hubs.levels.subscribe() as levels:
            await home.clock.sleep_until(TUESDAY + DAY + A_MOMENT)
            made = plans.take()
            assert levels.take() == []
        score = home.scorer.score(alone.heat)
        writes = {write.key for write in home.notary.writes if write.slot == 13}
    assert score.cost < 1.02 * alone.cost  # gas costs the same all day: what is saved is light
    assert score.energy_kwh["electricity"] < 0.97 * alone.energy_kwh["electricity"]
    assert score.discomfort_kh["below"] < alone.discomfort_kh["below"] + 1.0
    assert score.mean_occupied_degc > 19.4  # the hall and the kitchen are to be at 18
    assert {plan.status for plan in made} == {Status.OPTIMAL}
    assert len(made) >= 96
    assert score.commands < BEATS + 900  # of 20 points
    assert {"boiler.enable", "circuit.flow_setpoint", "nursery.heating_setpoint", "nursery.light_level"} <= writes


async def test_in_half_term_the_office_alone_is_kept_warm(tmp_path: Path) -> None:
    async with house(tmp_path, HALF_TERM, name=SCHOOL) as home:
        await home.until("09:00")
        zones = [zone.id for zone in home.building.building.zones]
        warmth = dict(zip(zones, home.building.plant.fabric.air.tolist(), strict=True))
        assert warmth["staff"] > 19.5
        assert max(degc for zone, degc in warmth.items() if zone != "staff") < 18.0
        lights = {zone: home[f"{zone}.light_level"].value for zone in zones}
        assert {zone for zone, percent in lights.items() if percent > 0} <= {"staff"}
        assert home.level == "0"


async def test_on_a_summer_day_nothing_is_burnt_and_plans_go_on(tmp_path: Path) -> None:
    async with house(tmp_path, SUMMER, name=SCHOOL) as home:
        burnt = home.building.registers.gas
        with home.service.hubs.plans.subscribe() as plans:
            await home.until("15:00")
            made = plans.take()
        assert home.building.registers.gas == burnt
        assert home["boiler.enable"].value == 0
        assert {plan.status for plan in made} == {Status.OPTIMAL}
        assert max(plan.series["boiler"].values[0] for plan in made) < 1.0
        assert home.level == "0"


def lived(*, wire: bool, hours: int) -> tuple[str, dict[str, int]]:
    """Fingerprint of so many hours, and how much was counted."""

    async def live() -> tuple[str, dict[str, int]]:
        with tempfile.TemporaryDirectory() as folder:
            async with house(Path(folder), TUESDAY.replace(hour=4), wire=wire, name=SCHOOL) as home:
                with Sum(home.service) as total:
                    await home.clock.sleep_until(home.clock.now() + timedelta(hours=hours))
                    found = total.digest(), total.counts
            assert home.occupied_slots() == []
        return found

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(live())


@pytest.mark.parametrize(("wire", "hours"), [(True, 6), (False, 12)], ids=["packets", "drivers"])
def test_the_same_hours_are_the_same_twice(hours: int, *, wire: bool) -> None:
    first, counts = lived(wire=wire, hours=hours)
    again, _ = lived(wire=wire, hours=hours)
    assert first == again
    assert counts["readings"] > hours * 60 * 35
    assert counts["plans"] >= 4 * hours
    assert counts["commands"] > 50

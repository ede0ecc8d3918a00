"""Whole days of the town hall under the whole program: comfort, restraint, clock changes and a restart."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from controller.leases import Override
from controller.outcome import Holder
from optimiser.problem import Status
from site_sims.score import Score, Scorer
from tests.system.house import OURS, House, house, morning

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TUESDAY = datetime(2023, 2, 7, tzinfo=UTC)
FRIDAY = datetime(2023, 2, 17, tzinfo=UTC)  # mild: what prediction is good for
BEATS = 1440
DAY = timedelta(days=1)
HALL = "townhall.hall.heating_setpoint"


def under_its_own_control(start: datetime, length: timedelta) -> Score:
    building = morning(start)
    scorer = Scorer(building, slots=(15,))
    building.advance(length)
    return scorer.score()


async def test_a_winter_day_is_cheaper_than_under_the_bms_and_no_colder(tmp_path: Path) -> None:
    alone = under_its_own_control(FRIDAY, DAY)
    async with house(tmp_path, FRIDAY) as home:
        with home.service.hubs.plans.subscribe() as plans, home.service.hubs.levels.subscribe() as levels:
            await home.clock.sleep_until(FRIDAY + DAY + timedelta(seconds=1))
            made = plans.take()
            assert levels.take() == []
        score = home.scorer.score(alone.heat)
        stored = await home.service.store.aggregate("townhall.hall.temperature", FRIDAY, FRIDAY + DAY)
    assert score.cost < 0.96 * alone.cost
    assert score.carbon_kg["grid"] < 0.9 * alone.carbon_kg["grid"]
    assert score.discomfort_kh["below"] < alone.discomfort_kh["below"] + 1.0
    assert score.mean_occupied_degc > 20.0
    assert score.stuffy_ppm_h < 0.5
    assert score.commands < BEATS + 1000  # of 24 points
    assert {plan.status for plan in made} == {Status.OPTIMAL}
    assert len(made) >= 96
    gaps = [after.made_at - plan.made_at for plan, after in pairwise(made)]
    assert max(gaps) <= timedelta(minutes=15)
    assert all(count >= 25 for _, _, _, count in list(stored.values())[:-1]), "every minute is in the store"
    assert len(stored) == 48


async def test_commands_and_what_the_building_saw_agree(tmp_path: Path) -> None:
    async with house(tmp_path, TUESDAY.replace(hour=5)) as home:
        with home.service.hubs.commands.subscribe(size=100_000) as commands:
            await home.until("10:00")
            said = [(c.point.split(".", 1)[1], c.value) for c in commands.take() if "heartbeat" not in c.point]
            begun = home.service.planner.last[0].start
            since = TUESDAY.replace(hour=5, second=4)  # the subscription began after the first plan
        seen = [(w.key, w.value) for w in home.notary.writes if w.slot in OURS and "heartbeat" not in w.key]
        assert begun > since
        assert seen[-len(said) :] == said
        for point, status in home.service.dispatch.status.items():
            if status.holder is Holder.WE:
                assert home[point.split(".", 1)[1]].value == pytest.approx(status.ours, abs=1e-3)
        audited = await home.service.audit.entries(limit=100_000)
        written = [e for e in audited if e.action == "write" and e.result == "applied"]
        assert len(written) > 50


@pytest.mark.parametrize(
    ("start", "length", "shift_h"),
    [
        (datetime(2023, 3, 25, 22, tzinfo=UTC), timedelta(hours=36), 1),
        (datetime(2023, 10, 28, 21, tzinfo=UTC), timedelta(hours=38), -1),
    ],
    ids=["spring", "autumn"],
)
async def test_the_night_of_a_clock_change_is_a_night_like_any_other(
    start: datetime, length: timedelta, shift_h: int, tmp_path: Path
) -> None:
    async with house(tmp_path, start) as home:
        before = home.service.occupancy.local(start).utcoffset()
        with home.service.hubs.plans.subscribe() as plans:
            await home.clock.sleep_until(start + length)
            made = plans.take()
        after = home.service.occupancy.local(home.clock.now()).utcoffset()
        assert before is not None
        assert after == before + timedelta(hours=shift_h)
        gaps = [later.made_at - plan.made_at for plan, later in pairwise(made)]
        assert timedelta(0) < min(gaps)
        assert max(gaps) <= timedelta(minutes=15)
        assert home.level == "0"
        assert home.below_kh() < 3.0, "on Monday it is warm at eight by the new clock"
        problem = home.service.planner.last[0]
        night = [n for n in range(96) if problem.import_price[n] == pytest.approx(0.09)]
        local = {f"{home.service.occupancy.local(problem.start + n * problem.step):%H}" for n in night}
        assert local == {"00", "01", "02", "03", "04", "05"}, "the night tariff follows the local clock"


def crash(home: House) -> None:
    """From now on nothing is handed back at the end: the process dies."""

    async def nothing(_: str) -> list[str]:
        return []

    home.service.dispatch.release_all = nothing


async def test_a_restart_goes_on_where_the_dead_service_stopped(tmp_path: Path) -> None:
    start = TUESDAY.replace(hour=5)
    async with house(tmp_path, start) as first:
        await first.until("07:30")
        now = first.clock.now()
        until = now + timedelta(hours=4)
        await first.service.leases.keep_override(
            Override(point=HALL, value=21.5, expires=until, reason="wedding", actor="caretaker", made=now)
        )
        await first.until("07:40")
        stays = set(first.occupied_slots())
        leased = {lease.point: lease for lease in await first.service.leases.all()}
        crash(first)
    building, clock = first.building, first.clock
    assert set(first.occupied_slots()) == stays, "a dead service hands nothing back"
    building.field["library.heating_setpoint"].write(None, 13)  # the device has restarted
    building.field["office_n1.heating_setpoint"].write(22.0, 14)  # not ours: another program's slot
    building.advance(timedelta(minutes=3))
    await clock.sleep_until(building.time)
    async with house(tmp_path, start, building=building, clock=clock) as second:
        assert second.service.leases.epoch == first.service.leases.epoch + 1
        await second.until("07:45")
        assert second.building.bms.state.fallen_back == 0, "the heartbeat goes on in time"
        status = second.service.dispatch.status
        assert (status[HALL].source, status[HALL].ours) == ("manual", 21.5), "a person's wish outlives us"
        held = {lease.point: lease for lease in await second.service.leases.all()}
        assert {lease.epoch for lease in held.values()} == {second.service.leases.epoch}
        in_slots = {f"townhall.{key}" for key in second.occupied_slots()}
        assert in_slots - {"townhall.office_n1.heating_setpoint"} <= set(held), "nothing stands without a lease"
        assert second["office_n1.heating_setpoint"].array[13] == 22.0, "what others wrote is theirs"
        assert second["library.heating_setpoint"].array[12] is not None
        await second.until("11:45")
        assert second.service.dispatch.status[HALL].source == "optimiser", "and ends when it said"
        assert second.level == "0"
        second.building.field["office_n1.heating_setpoint"].write(None, 14)
    assert second.occupied_slots() == []
    assert len(leased) > 15

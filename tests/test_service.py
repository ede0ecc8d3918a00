"""A site from start to stop: what begins in which order, what survives, and that everything is always handed back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from config.site import Device, Mode, Point, Site
from controller.audit import verify
from controller.devices import DriverBug
from controller.hub import Hub
from controller.ladder import Level
from controller.learned import priors
from controller.leases import Override
from controller.outlook import LocalOutlook
from controller.service import FIRST_CONTACT, Service, Settings, running
from controller.store.base import StoreError
from controller.supervisor import DeviceEvent, Link, run_device
from drivers.base import Driver, NotReachable, Priority, Reading
from drivers.clock import Clock
from optimiser.worker import InProcess
from site_sims.building import SimulatedBuilding
from site_sims.field import FieldObject
from site_sims.simulated_driver import SimulatedDriver, simulated_drivers
from tests.town_hall import town_hall_site

SITE = town_hall_site()
HALL, KEY = "townhall.hall.heating_setpoint", "hall.heating_setpoint"
SOLVER = InProcess()


@dataclass
class Home:
    """A building that stands still; time passes only for the program."""

    directory: Path
    clock: Clock
    building: SimulatedBuilding

    def ours(self) -> list[str]:
        return [o.key for o in self.building.field if o.commandable and any(v is not None for v in o.array[8:14])]

    @asynccontextmanager
    async def service(
        self, site: Site = SITE, *, optimise: bool = False, make_driver: Callable[[Device], Driver] | None = None
    ) -> AsyncIterator[Service]:
        settings = Settings(
            directory=self.directory,
            make_driver=make_driver or simulated_drivers(self.building.field, clock=self.clock),
            outlook=lambda site, history: LocalOutlook(site, history, None),
            solver=SOLVER,
            learned=priors(site),
            optimise=optimise,
            durable=False,
        )
        async with running(site, settings, self.clock) as service:
            yield service


@pytest.fixture
def home(tmp_path: Path, clock: Clock) -> Home:
    building = SimulatedBuilding(SITE, seed=1, start=clock.epoch)
    building.step()
    return Home(tmp_path, clock, building)


async def test_control_begins_and_at_the_end_nothing_of_ours_is_left(home: Home) -> None:
    async with home.service() as service:
        await asyncio.sleep(120)
        assert {"heat_pump.enable", "bms.heartbeat", KEY} <= set(home.ours())
        assert all(link.up for link in service.links.values())
        leased = {lease.point.split(".", 1)[1] for lease in await service.leases.all()}
        assert set(home.ours()) == leased
    assert home.ours() == []
    count = verify(home.directory)
    assert count is None, "the audit's chain is whole"


async def test_the_first_plan_knows_the_first_readings(home: Home) -> None:
    async with home.service(optimise=True) as service:
        await asyncio.sleep(1)
        assert service.planner.last is not None
        problem, _ = service.planner.last
        assert problem.trigger == "start: control begins"
        assert problem.zones[0].temperature_degc == home.building.field["hall.temperature"].sensed
        assert service.ladder.level is Level.DEGRADED, "no carbon forecast is known here, which is said"


async def test_in_advisory_mode_nothing_is_written(home: Home) -> None:
    advisory = SITE.model_copy(update={"control": SITE.control.model_copy(update={"mode": Mode.ADVISORY})})
    before = [list(o.array) for o in home.building.field]
    async with home.service(advisory, optimise=True) as service:
        await asyncio.sleep(1800)
        assert service.ladder.level is Level.ADVISORY
        assert service.planner.last is not None, "but plans are shown"
        assert await service.leases.all() == ()
    assert [list(o.array) for o in home.building.field] == before
    assert all(sum(o.writes[8:14]) == 0 for o in home.building.field)


async def test_a_silent_device_does_not_hold_up_the_others(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    home.building.field.devices["zones_a"].reachable = False
    begun = home.clock.now()
    async with home.service() as service:
        assert home.clock.now() - begun < FIRST_CONTACT + timedelta(seconds=5)
        await asyncio.sleep(60)
        assert "office_n1.heating_setpoint" in home.ours()
        assert KEY not in home.ours()
        home.building.field.devices["zones_a"].reachable = True
        await asyncio.sleep(600)
        assert KEY in home.ours()
        assert service.ladder.device_level("zones_a") is Level.OPTIMISING
    assert home.ours() == []
    assert "control begins without zones_a" in caplog.text


async def test_what_people_asked_for_outlives_a_restart_until_it_expires(home: Home) -> None:
    async with home.service() as service:
        now = home.clock.now()
        for point, hours in ((HALL, 1.0), ("townhall.library.heating_setpoint", 0.1)):
            await service.leases.keep_override(
                Override(
                    point=point,
                    value=21.5,
                    expires=now + timedelta(hours=hours),
                    reason="wedding",
                    actor="caretaker",
                    made=now,
                )
            )
    await asyncio.sleep(600)
    async with home.service() as service:
        await asyncio.sleep(60)
        status = service.dispatch.status[HALL]
        assert (status.source, status.ours, status.reason) == ("manual", 21.5, "wedding")
        assert service.dispatch.status["townhall.library.heating_setpoint"].source == "rules"
        await asyncio.sleep(3600)
        assert service.dispatch.status[HALL].source == "rules"


async def test_an_override_of_a_point_that_is_gone_is_forgotten(home: Home) -> None:
    async with home.service() as service:
        now = home.clock.now()
        gone = Override(
            point="townhall.cellar.heating_setpoint",
            value=20.0,
            expires=now + timedelta(hours=1),
            reason="",
            actor="x",
            made=now,
        )
        await service.leases.keep_override(gone)
    async with home.service() as service:
        assert await service.leases.overrides() == ()


async def test_the_history_of_the_last_run_is_remembered(home: Home) -> None:
    async with home.service() as service:
        await asyncio.sleep(3600)
        before = service.history.column("townhall.hall.temperature")
    async with home.service() as service:
        after = service.history.column("townhall.hall.temperature")
    assert len(before) == 4
    assert after[: len(before)].tolist() == pytest.approx(before.tolist())


@pytest.mark.parametrize("part", ["planner", "intake"])
async def test_a_part_that_fails_ends_everything_and_hands_back_first(
    home: Home, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError(part)

    async def live() -> None:
        async with home.service() as service:
            await asyncio.sleep(60)
            assert len(home.ours()) > 10
            target = service.rules if part == "planner" else service.state
            monkeypatch.setattr(target, "wishes" if part == "planner" else "update", fail)
            await asyncio.sleep(3600)

    with pytest.raises(BaseExceptionGroup) as failed:
        await live()
    assert failed.group_contains(ZeroDivisionError, match=part)
    assert home.ours() == []


async def test_a_cancelled_service_hands_back_before_it_goes(home: Home) -> None:
    async def live() -> None:
        async with home.service():
            await asyncio.sleep(3600)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(live(), name="service")
        await asyncio.sleep(60)
        assert len(home.ours()) > 10
        task.cancel()
    assert home.ours() == []


async def test_a_stop_while_the_disk_is_full_is_a_stop(home: Home) -> None:
    async with home.service() as service:
        await asyncio.sleep(60)
        connection = service.leases._database

        async def refuse(_: object) -> None:
            raise StoreError("the disk is full")

        connection.write = refuse
        await asyncio.sleep(1.5 * 60)
    assert home.ours() == []


class Buggy(SimulatedDriver):
    """Meets what its author did not foresee, while reading or while handing back."""

    where = "read"

    async def read(self, points: Sequence[Point]) -> list[Reading]:
        if self.where == "read" and any(self._device.objects[o.key].array[12] is not None for o in self._ours()):
            raise KeyError("an unforeseen answer")
        return await super().read(points)

    async def relinquish(self, point: Point, priority: Priority) -> None:
        raise KeyError("an unforeseen answer")

    def _ours(self) -> list[FieldObject]:
        return [o for o in self._device.objects.values() if o.commandable]


@pytest.mark.parametrize("where", ["read", "relinquish"])
async def test_a_bug_in_one_driver_lets_the_others_hand_back_first(
    home: Home, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buggy, "where", where)
    box = home.building.field.devices["zones_a"]
    good = simulated_drivers(home.building.field, clock=home.clock)

    def make(device: Device) -> Driver:
        if device.id == "zones_a":
            return Buggy(device.points, device=box, clock=home.clock)
        return good(device)

    held: list[str] = []

    async def live() -> None:
        async with home.service(make_driver=make):
            await asyncio.sleep(30)
            held.extend(home.ours())
            await asyncio.sleep(3600 if where == "read" else 0)

    with pytest.raises(BaseExceptionGroup) as failed:
        await live()
    assert failed.group_contains(KeyError, match="unforeseen")
    assert failed.group_contains(DriverBug, match="zones_a") is (where == "read")
    in_box = {o.key for o in box.objects.values()}
    assert len(set(held) - in_box) > 10
    assert set(home.ours()) == set(held) & in_box != set(), "of the broken one nobody can hand back"


class Stubborn(SimulatedDriver):
    """Answers a cancellation with an error of its own, as a library may."""

    async def read(self, points: Sequence[Point]) -> list[Reading]:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            raise NotReachable(f"{self._device.id}: interrupted") from None
        return await super().read(points)


async def test_a_stop_is_not_forgotten_by_a_device_that_fails_in_that_moment(home: Home) -> None:
    device = SITE.devices[0]
    link, readings, events = Link(device), Hub[Reading](), Hub[DeviceEvent]()
    box = home.building.field.devices[device.id]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(
            run_device(
                device,
                lambda: Stubborn(device.points, device=box, clock=home.clock),
                readings,
                events=events,
                clock=home.clock,
                link=link,
            ),
            name="device",
        )
        await asyncio.sleep(65)
        assert link.up
        task.cancel()
        await asyncio.sleep(1)
        assert task.cancelled()

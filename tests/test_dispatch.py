"""Dispatch: what wins is written, read back, kept true and handed back; on a simulated field in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from config.site import Point
from controller.arbiter import Request, Source
from controller.dispatch import Dispatch
from controller.hub import Buffer, Hub
from controller.ladder import Ladder, Level, LevelChange
from controller.outcome import Holder, Outcome, Result
from controller.state import State
from controller.store.base import Lease, StoreError
from controller.supervisor import DeviceEvent, Link, run_device
from drivers.base import Can, Command, Priority, Reading
from drivers.clock import Clock
from tests.controlled import FieldDriver, MemoryAudit, MemoryLeases, field_of, small_site

TEMPERATURE = {"unit": "degC", "address": "x"}
ZONES = [
    {"id": "b.hall.temperature", "role": "zone_temperature", **TEMPERATURE},
    {"id": "b.hall.setpoint", "role": "heating_setpoint", **TEMPERATURE, "writable": True, "low": 10, "high": 25},
    {"id": "b.hall.light", "role": "light_level", "unit": "%", "address": "x", "writable": True, "low": 0, "high": 100},
]
PLANT = [
    {"id": "b.outdoor.temperature", "role": "outdoor_temperature", **TEMPERATURE},
    {"id": "b.boiler.enable", "role": "enable", "unit": "0/1", "address": "x", "writable": True, "low": 0, "high": 1},
    {"id": "b.circuit.flow", "role": "flow_setpoint", **TEMPERATURE, "writable": True, "low": 25, "high": 65},
    {
        "id": "b.bms.heartbeat",
        "role": "heartbeat",
        "unit": "count",
        "address": "x",
        "writable": True,
        "low": 0,
        "high": 65535,
    },
]
SETPOINT, LIGHT, FLOW = "b.hall.setpoint", "b.hall.light", "b.circuit.flow"
BEAT = "b.bms.heartbeat"


class Bench:
    """A site under control: `field` is the building, the rest is ours."""

    def __init__(self, clock: Clock, **control: object) -> None:
        self.site = small_site(
            {"zones": ZONES, "plant": PLANT}, control={"mode": "control", "change_share": 1} | control
        )
        self.clock, self.field = clock, field_of(self.site)
        self.state = State(self.site)
        self.leases, self.audit = MemoryLeases(clock), MemoryAudit()
        self.asked: list[str] = []
        self.links = {device.id: Link(device) for device in self.site.devices}
        self.readings: Hub[Reading] = Hub()
        self.events: Hub[DeviceEvent] = Hub()
        self.outcomes: Hub[Outcome] = Hub()
        self.commands: Hub[Command] = Hub()
        self.levels: Hub[LevelChange] = Hub()
        self.ladder = Ladder(clock, changes=self.levels)
        self.drivers: dict[str, FieldDriver] = {}
        self.has_arrays = True
        self.can = FieldDriver.can
        self.people_expected = False
        self.heard: Buffer[Outcome]
        self.sent: Buffer[Command]
        self.dispatch = self.make_dispatch()

    def make_dispatch(self) -> Dispatch:
        return Dispatch(
            self.site,
            self.links,
            leases=self.leases,
            audit=self.audit,
            clock=self.clock,
            outcomes=self.outcomes,
            state=self.state,
            occupied=lambda zone, now: self.people_expected,
            events=self.events,
            commands=self.commands,
            ladder=self.ladder,
        )

    def make_driver(self, name: str) -> FieldDriver:
        device = next(d for d in self.site.devices if d.id == name)
        driver = self.drivers[name] = FieldDriver(device, self.field.devices[name], self.clock, asked=self.asked)
        driver.has_arrays, driver.can = self.has_arrays, self.can
        return driver

    def wish(self, point: str, value: float, source: Source = Source.OPTIMISER, **more: object) -> Request:
        minutes = more.pop("minutes", 60)
        assert isinstance(minutes, int | float)
        fields = {"reason": "cheap now", "decision": "plan-1"} | more
        expires = self.clock.now() + timedelta(minutes=minutes)
        return Request(source=source, point=point, value=value, expires=expires, **fields)  # type: ignore[arg-type]  # mixed

    def slot(self, point: str) -> float | None:
        return self.field[point].array[12]

    async def listen(self) -> None:
        with self.readings.subscribe(size=10_000) as buffer:
            while True:
                self.state.update(await buffer.batch())

    def writes(self) -> list[str]:
        return [what for what in self.asked if what.startswith(("write", "relinquish")) and " bms " not in what]


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


@asynccontextmanager
async def devices(bench: Bench) -> AsyncIterator[None]:
    with bench.outcomes.subscribe(size=10_000) as bench.heard, bench.commands.subscribe(size=10_000) as bench.sent:
        async with asyncio.TaskGroup() as outer:
            tasks = [outer.create_task(bench.listen())]
            await asyncio.sleep(0)
            for device in bench.site.devices:
                keep = run_device(
                    device,
                    lambda name=device.id: bench.make_driver(name),  # type: ignore[misc]  # the name of this round
                    bench.readings,
                    events=bench.events,
                    clock=bench.clock,
                    link=bench.links[device.id],
                )
                tasks.append(outer.create_task(keep))
            yield
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def running(bench: Bench, settle_s: float = 1.0) -> AsyncIterator[Dispatch]:
    await bench.leases.begin()
    async with devices(bench), asyncio.TaskGroup() as inner:
        task = inner.create_task(bench.dispatch.run())
        await asyncio.sleep(settle_s)
        yield bench.dispatch
        task.cancel()


async def test_a_request_is_on_the_wire_at_once_read_back_leased_and_recorded(bench: Bench) -> None:
    async with running(bench) as dispatch:
        begun = bench.clock.now()
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(0.001)
        assert bench.slot(SETPOINT) == 22.0
        (lease,) = [row for row in bench.leases.rows.values() if row.point == SETPOINT]
        assert (lease.value, lease.priority, lease.device, lease.decision) == (22.0, 13, "zones", "plan-1")
        assert lease.expires == begun + timedelta(minutes=30)
        status = dispatch.status[SETPOINT]
        assert (status.holder, status.slot, status.value, status.wanted) == (Holder.WE, 13, 22.0, 22.0)
        assert (status.result, status.source, status.reason) == (Result.APPLIED, "optimiser", "cheap now")
        assert bench.audit.lines() == ["write hall ->22 applied"]
        (outcome,) = bench.heard.take()
        assert (outcome.result, outcome.value, outcome.present) == (Result.APPLIED, 22.0, 22.0)
        assert [c.value for c in bench.sent.take()] == [22.0]
        assert [result for _, result in bench.leases.commands.values()] == ["applied"]


async def test_the_lease_is_on_disk_before_the_value_is_on_the_wire(bench: Bench) -> None:
    async with running(bench) as dispatch:
        seen: list[bool] = []
        bench.field[SETPOINT].watchers.append(lambda obj: seen.append(SETPOINT in bench.leases.rows))
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(1)
        assert seen == [True]


async def test_an_expired_request_is_handed_back_on_time_and_its_lease_dropped(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=10))
        await asyncio.sleep(599.9)
        assert bench.slot(SETPOINT) == 22.0
        await asyncio.sleep(0.2)
        assert bench.slot(SETPOINT) is None
        assert SETPOINT not in bench.leases.rows
        assert dispatch.status[SETPOINT].holder is Holder.BMS
        assert bench.audit.lines()[-1] == "relinquish hall 22-> applied"


async def test_when_the_strongest_request_expires_the_next_one_takes_over(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 20.0), bench.wish(SETPOINT, 23.0, Source.MANUAL, minutes=10))
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 23.0
        assert dispatch.held() == {SETPOINT: 23.0}
        await asyncio.sleep(600)
        assert bench.slot(SETPOINT) == 20.0
        assert dispatch.held() == {}


async def test_leases_are_renewed_on_disk_alone_before_a_third_of_their_life_is_left(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        least = timedelta(hours=1)
        for _ in range(9 * 60):
            await asyncio.sleep(60)
            least = min(least, bench.leases.rows[SETPOINT].expires - bench.clock.now())
        assert least >= timedelta(minutes=10)
        assert bench.writes() == ["write hall 22"]


async def test_a_lease_never_outlives_its_request(bench: Bench) -> None:
    async with running(bench) as dispatch:
        request = bench.wish(SETPOINT, 22.0, minutes=40)
        dispatch.submit(request)
        for _ in range(39):
            await asyncio.sleep(60)
            assert bench.leases.rows[SETPOINT].expires <= request.expires
        assert bench.slot(SETPOINT) == 22.0


async def test_an_operator_is_respected_and_control_resumes_when_he_lets_go(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        bench.field[SETPOINT].write(17.0, 8)
        await asyncio.sleep(63)  # one poll and one round
        status = dispatch.status[SETPOINT]
        assert (status.holder, status.slot, status.value, status.result) == (Holder.OPERATOR, 8, 17.0, Result.HELD)
        assert dispatch.held() == {SETPOINT: 17.0}
        dispatch.submit(bench.wish(SETPOINT, 19.0, minutes=600))
        await asyncio.sleep(3600)
        assert bench.writes() == ["write hall 22"]  # we wait
        bench.field[SETPOINT].write(None, 8)
        await asyncio.sleep(63)
        assert bench.slot(SETPOINT) == 19.0
        assert dispatch.held() == {}
        assert [line.split()[0] for line in bench.audit.lines()] == ["write", "held", "freed", "write"]


async def test_an_operator_hidden_behind_an_equal_value_is_found_by_the_next_write(bench: Bench) -> None:
    async with running(bench) as dispatch:
        bench.field[SETPOINT].write(20.0, 8)  # the value that was there anyway: no poll shows it
        await asyncio.sleep(400)
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(1)
        assert dispatch.status[SETPOINT].result is Result.HELD
        assert dispatch.status[SETPOINT].holder is Holder.OPERATOR
        assert bench.writes() == []


async def test_another_supervisor_in_our_slot_makes_the_point_advisory_until_it_is_gone(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        bench.field[SETPOINT].write(18.0, 13)
        await asyncio.sleep(63)
        status = dispatch.status[SETPOINT]
        assert (status.result, status.holder, status.ours) == (Result.FOREIGN, Holder.UNKNOWN, None)
        assert SETPOINT not in bench.leases.rows
        assert [o.result for o in bench.heard.take()] == [Result.APPLIED, Result.FOREIGN]
        await asyncio.sleep(3600)
        assert bench.slot(SETPOINT) == 18.0
        assert bench.writes() == ["write hall 22"]  # nothing relinquished, nothing fought over
        assert await dispatch.release_all("stop") == []
        assert bench.slot(SETPOINT) == 18.0
        dispatch.allow(Level.OPTIMISING)
        bench.field[SETPOINT].write(None, 13)
        await asyncio.sleep(400)
        assert bench.slot(SETPOINT) == 22.0


async def test_values_lost_in_a_restart_are_asserted_again(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600), bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(1)
        box = bench.field.devices["zones"]
        box.reachable = False
        await asyncio.sleep(600)
        for obj in box.objects.values():
            obj.array[12] = None  # slots 9 to 16 live in memory only
        box.reachable = True
        await asyncio.sleep(61)
        assert (bench.slot(SETPOINT), bench.slot(LIGHT)) == (22.0, 40.0)


async def test_a_restart_so_short_that_no_poll_failed_is_seen_by_the_value(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        bench.field[SETPOINT].array[12] = None
        await asyncio.sleep(63)
        assert bench.slot(SETPOINT) == 22.0
        assert [line.split()[0] for line in bench.audit.lines()] == ["write", "lost", "write"]


async def test_a_dead_device_costs_its_neighbours_nothing_and_is_served_when_it_is_back(bench: Bench) -> None:
    async with running(bench) as dispatch:
        bench.field.devices["plant"].reachable = False
        bench.drivers["plant"].delay_s = 3.0
        dispatch.submit(bench.wish(FLOW, 40.0, minutes=600))
        await asyncio.sleep(0.1)
        begun = bench.clock.now()
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(0.001)
        assert bench.slot(SETPOINT) == 22.0
        assert bench.clock.now() - begun < timedelta(seconds=0.01)
        await asyncio.sleep(600)
        assert bench.slot(FLOW) is None
        bench.field.devices["plant"].reachable = True
        await asyncio.sleep(120)
        assert bench.slot(FLOW) == 40.0
        assert dispatch.status[FLOW].result is Result.APPLIED


async def test_a_write_whose_answer_was_lost_is_found_out_by_reading_not_by_writing_again(bench: Bench) -> None:
    async with running(bench) as dispatch:
        obj, box = bench.field[SETPOINT], bench.field.devices["zones"]

        def cut(_: object) -> None:  # the value arrives, the answer does not
            box.reachable = False

        bench.drivers["zones"].delay_s = 0.0
        obj.watchers.append(cut)
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        assert dispatch.status[SETPOINT].result is Result.UNKNOWN
        assert SETPOINT in bench.leases.rows  # the guard would hand it back
        obj.watchers.remove(cut)
        box.reachable = True
        await asyncio.sleep(180)
        assert dispatch.status[SETPOINT].result is Result.APPLIED
        assert bench.writes() == ["write hall 22"]


async def test_what_the_device_refuses_is_told_and_not_tried_again_at_once(bench: Bench) -> None:
    async with running(bench) as dispatch:
        bench.field[SETPOINT].high = 21.0
        dispatch.submit(bench.wish(SETPOINT, 20.5, minutes=600))
        await asyncio.sleep(1)
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(200)
        assert dispatch.status[SETPOINT].result is Result.REJECTED
        assert "outside" in dispatch.status[SETPOINT].note
        assert bench.writes() == ["write hall 20.5", "write hall 22"]
        assert bench.leases.rows[SETPOINT].value == 20.5  # still there
        assert await dispatch.release_all("stop") == []
        assert bench.slot(SETPOINT) is None


async def test_requests_are_checked_before_they_count(bench: Bench) -> None:
    async with running(bench) as dispatch:
        with pytest.raises(LookupError, match=r"b\.hall\.temperature"):
            dispatch.submit(bench.wish("b.hall.temperature", 1.0))
        dispatch.submit(bench.wish(SETPOINT, float("nan"), Source.MANUAL), bench.wish(SETPOINT, 21.0))
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 21.0
        assert [(o.result, o.source) for o in bench.heard.take()] == [
            (Result.REJECTED, "manual"),
            (Result.APPLIED, "optimiser"),
        ]


async def test_nothing_beyond_the_envelope_reaches_the_wire(bench: Bench) -> None:
    bench.people_expected = True
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 11.0, Source.MANUAL))
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 18.0
        assert dispatch.status[SETPOINT].note == "held at 18, lowest allowed now"


async def test_the_envelope_is_asked_again_when_the_building_changes(bench: Bench) -> None:
    bench.field["b.outdoor.temperature"].sense(8.0)
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish("b.boiler.enable", 0.0, minutes=600), bench.wish(SETPOINT, 12.0, minutes=600))
        await asyncio.sleep(1)
        assert (bench.slot("b.boiler.enable"), bench.slot(SETPOINT)) == (0.0, 12.0)
        bench.field["b.outdoor.temperature"].sense(1.0)
        bench.people_expected = True
        await asyncio.sleep(63)
        assert (bench.slot("b.boiler.enable"), bench.slot(SETPOINT)) == (None, 18.0)
        assert "frost" in dispatch.status["b.boiler.enable"].note


async def test_small_changes_by_a_plan_wait_a_minute_large_ones_and_people_do_not(bench: Bench) -> None:
    async with running(bench) as dispatch:
        for value, source in [
            (20.0, Source.OPTIMISER),
            (20.1, Source.OPTIMISER),  # within the deadband
            (20.15, Source.OPTIMISER),
            (21.0, Source.OPTIMISER),
            (21.01, Source.OPTIMISER),  # never worth a write
            (21.05, Source.MANUAL),
        ]:
            dispatch.submit(bench.wish(SETPOINT, value, source))
            await asyncio.sleep(1)
        assert bench.writes() == ["write hall 20", "write hall 21", "write hall 21.05"]
        dispatch.withdraw(Source.MANUAL)
        dispatch.submit(bench.wish(SETPOINT, 21.2))
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 21.05
        await asyncio.sleep(120)
        assert bench.slot(SETPOINT) == 21.2


async def test_unannounced_changes_are_spread_over_rounds(clock: Clock) -> None:
    bench = Bench(clock, change_share=0.34)
    async with running(bench, settle_s=5) as dispatch:
        asked = {SETPOINT: 22.0, LIGHT: 40.0, FLOW: 40.0}
        dispatch.submit(*(bench.wish(point, value) for point, value in asked.items()))
        await asyncio.sleep(1)
        assert [bench.slot(point) for point in asked] == [22.0, None, None]
        await asyncio.sleep(60)
        assert [bench.slot(point) for point in asked] == [22.0, 40.0, None]
        dispatch.submit(bench.wish(FLOW, 45.0, Source.MANUAL))
        await asyncio.sleep(1)
        assert [bench.slot(point) for point in asked] == [22.0, 40.0, 45.0]


async def test_announced_changes_are_made_together(clock: Clock) -> None:
    bench = Bench(clock, change_share=0.34)
    async with running(bench) as dispatch:
        asked = {SETPOINT: 22.0, LIGHT: 40.0, FLOW: 40.0}
        dispatch.submit(*(bench.wish(point, value, scheduled=True) for point, value in asked.items()))
        await asyncio.sleep(1)
        assert [bench.slot(point) for point in asked] == [22.0, 40.0, 40.0]


async def test_advisory_mode_shows_what_would_be_and_writes_nothing(clock: Clock) -> None:
    bench = Bench(clock, mode="advisory")
    bench.field[LIGHT].write(30.0, 13)  # somebody else's
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(3600)
        status = dispatch.status[SETPOINT]
        assert (status.wanted, status.ours, status.holder) == (22.0, None, Holder.BMS)
        assert [what for what in bench.asked if what.startswith(("write", "relinquish"))] == []
        assert bench.slot(LIGHT) == 30.0


async def test_the_heartbeat_counts_each_minute_and_is_leased(bench: Bench) -> None:
    async with running(bench):
        await asyncio.sleep(600)
        first = bench.slot(BEAT)
        assert first is not None
        await asyncio.sleep(3600)
        assert bench.slot(BEAT) == first + 60
        assert bench.leases.rows[BEAT].expires > bench.clock.now() + timedelta(minutes=10)
        assert await bench.dispatch.release_all("stop") == []
        assert bench.slot(BEAT) is None
        assert bench.leases.rows == {}


async def test_holding_writes_nothing_and_lets_leases_run_out(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600), bench.wish(FLOW, 40.0, minutes=600))
        await asyncio.sleep(1)
        dispatch.allow(Level.HOLD, device="zones")
        dispatch.submit(bench.wish(SETPOINT, 19.0, minutes=600), bench.wish(FLOW, 45.0, minutes=600))
        await asyncio.sleep(20 * 60)
        assert (bench.slot(SETPOINT), bench.slot(FLOW)) == (22.0, 45.0)
        await asyncio.sleep(11 * 60)
        assert (bench.slot(SETPOINT), bench.slot(FLOW)) == (None, 45.0)
        dispatch.allow(Level.OPTIMISING, device="zones")
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 19.0


@pytest.mark.parametrize("level", [Level.RELEASED, Level.ADVISORY])
async def test_the_released_level_hands_back_at_once_and_rising_writes_again(bench: Bench, level: Level) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600), bench.wish(FLOW, 40.0, minutes=600))
        await asyncio.sleep(120)
        dispatch.allow(level)
        await asyncio.sleep(0.01)
        assert [bench.slot(p) for p in (SETPOINT, FLOW, BEAT)] == [None, None, None]
        assert bench.leases.rows == {}
        await asyncio.sleep(600)
        assert [bench.slot(p) for p in (SETPOINT, FLOW, BEAT)] == [None, None, None]
        assert dispatch.status[SETPOINT].wanted == 22.0
        dispatch.allow(Level.OPTIMISING)
        await asyncio.sleep(61)
        assert (bench.slot(SETPOINT), bench.slot(FLOW)) == (22.0, 40.0)
        assert bench.slot(BEAT) is not None


async def test_release_all_gives_everything_back_in_parallel_and_names_what_it_could_not(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(*(bench.wish(p, 30.0, Source.MANUAL, minutes=600) for p in (SETPOINT, LIGHT, FLOW)))
        await asyncio.sleep(1)
        for driver in bench.drivers.values():
            driver.delay_s = 0.5
        bench.field.devices["plant"].reachable = False
        begun = bench.clock.now()
        assert await dispatch.release_all("stopped by hand") == [FLOW, BEAT]
        assert bench.clock.now() - begun == timedelta(seconds=2)  # two points, each given and read
        assert (bench.slot(SETPOINT), bench.slot(LIGHT)) == (None, None)
        assert sorted(bench.leases.rows) == [BEAT, FLOW]
        dispatch.submit(bench.wish(SETPOINT, 21.0, Source.MANUAL, minutes=600))
        await asyncio.sleep(300)
        assert bench.slot(SETPOINT) is None
        bench.field.devices["plant"].reachable = True
        await asyncio.sleep(120)
        assert (bench.slot(FLOW), bench.slot(BEAT)) == (None, None)
        assert bench.leases.rows == {}


async def test_release_all_gives_up_after_five_seconds(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(1)
        bench.drivers["zones"].delay_s = 60.0
        begun = bench.clock.now()
        assert await dispatch.release_all("stop") == [SETPOINT]
        assert bench.clock.now() - begun == timedelta(seconds=5)


async def test_handing_back_does_not_wait_for_devices_that_are_slow_to_report(clock: Clock) -> None:
    bench = Bench(clock)
    points = [f"b.hall.light{n}" for n in range(10)]
    bench.site = small_site(
        {"zones": [ZONES[2] | {"id": point} for point in points]}, control={"mode": "control", "change_share": 1}
    )
    bench.field, bench.state = field_of(bench.site), State(bench.site)
    bench.links = {"zones": Link(bench.site.devices[0])}
    bench.has_arrays = False
    bench.dispatch = bench.make_dispatch()
    async with running(bench) as dispatch:
        bench.drivers["zones"].back_delay_s = 2.0
        dispatch.submit(*(bench.wish(point, 40.0, Source.MANUAL) for point in points))
        await asyncio.sleep(1)
        assert [bench.slot(point) for point in points] == [40.0] * 10  # all are written before one is read
        begun = clock.now()
        assert await dispatch.release_all("stop") == []
        assert [bench.slot(point) for point in points] == [None] * 10
        assert clock.now() - begun < timedelta(seconds=2)
        assert bench.leases.rows == {}


async def test_two_hundred_points_are_free_within_five_seconds(clock: Clock) -> None:
    bench = Bench(clock)
    points = [ZONES[2] | {"id": f"b.hall.light{n}"} for n in range(200)]
    bench.site = small_site({"zones": points}, control={"mode": "control", "change_share": 1})
    bench.field, bench.state = field_of(bench.site), State(bench.site)
    bench.links = {"zones": Link(bench.site.devices[0])}
    bench.dispatch = bench.make_dispatch()
    async with running(bench) as dispatch:
        dispatch.submit(*(bench.wish(f"b.hall.light{n}", 40.0) for n in range(200)))
        await asyncio.sleep(1)
        assert len(bench.leases.rows) == 200
        bench.drivers["zones"].delay_s = 0.01
        assert await dispatch.release_all("stop") == []
        assert bench.leases.rows == {}


async def test_a_device_that_cannot_relinquish_gets_its_safe_value(clock: Clock) -> None:
    bench = Bench(clock)
    light = ZONES[2] | {"safe_value": 80.0}
    bench.site = small_site({"zones": [light]}, control={"mode": "control"})
    bench.field, bench.state = field_of(bench.site), State(bench.site)
    bench.field[LIGHT].array = [None] * 16
    bench.links = {"zones": Link(bench.site.devices[0])}
    bench.can, bench.has_arrays = Can.READ | Can.WRITE, False
    bench.dispatch = bench.make_dispatch()
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=10))
        await asyncio.sleep(1)
        assert dispatch.status[LIGHT].result is Result.APPLIED
        await asyncio.sleep(600)
        assert bench.field[LIGHT].value == 80.0
        assert bench.leases.rows == {}
        assert dispatch.status[LIGHT].ours is None


async def test_without_a_priority_array_another_value_means_another_hand(bench: Bench) -> None:
    bench.has_arrays = False
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(1)
        bench.field[LIGHT].write(100.0, 8)  # a switch on the wall
        await asyncio.sleep(63)
        assert dispatch.status[LIGHT].result is Result.HELD
        assert dispatch.held() == {LIGHT: 100.0}
        await asyncio.sleep(600)
        assert bench.writes() == ["write hall 40"]
        bench.field[LIGHT].write(None, 8)
        await asyncio.sleep(63)
        assert dispatch.status[LIGHT].result is Result.APPLIED


async def test_a_fenced_service_takes_a_new_epoch_looks_and_writes_again(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600), bench.wish(FLOW, 40.0, minutes=600))
        await asyncio.sleep(1)
        # While we were stopped the guard raised the epoch and handed back one of the two devices.
        bench.leases.disk_epoch += 1
        bench.field[SETPOINT].write(None, 13)
        del bench.leases.rows[SETPOINT]
        dispatch.submit(bench.wish(LIGHT, 50.0, minutes=600))
        await asyncio.sleep(1)
        assert bench.leases.epoch == bench.leases.disk_epoch == 3
        await asyncio.sleep(61)
        assert [bench.slot(p) for p in (SETPOINT, LIGHT, FLOW)] == [22.0, 50.0, 40.0]
        ours = {p: row.epoch for p, row in bench.leases.rows.items()}
        assert ours == dict.fromkeys((SETPOINT, LIGHT, FLOW, BEAT), 3)


async def test_when_the_lease_table_fails_nothing_is_written_and_the_ladder_is_told(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        bench.leases.fail = StoreError("the disk is full")
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(1)
        assert bench.slot(LIGHT) is None
        assert (bench.ladder.level, bench.ladder.why) == (Level.RELEASED, "the disk is full")
        dispatch.allow(bench.ladder.level)
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) is None  # freed although the table could not be told
        bench.leases.fail = None
        await asyncio.sleep(130)
        bench.ladder.settle()
        assert bench.ladder.level is Level.OPTIMISING
        dispatch.allow(bench.ladder.level)
        await asyncio.sleep(61)
        assert (bench.slot(SETPOINT), bench.slot(LIGHT)) == (22.0, 40.0)


async def test_after_a_crash_live_leases_go_on_and_the_rest_is_handed_back(bench: Bench) -> None:
    def lease(point: str, value: float, minutes: float) -> Lease:
        expires = bench.clock.now() + timedelta(minutes=minutes)
        return Lease(
            point=point,
            device="zones" if "hall" in point else "plant",
            priority=13,
            value=value,
            expires=expires,
            decision="plan-0",
            epoch=1,
        )

    bench.field[SETPOINT].write(22.0, 13)
    bench.field[LIGHT].write(50.0, 13)
    bench.field[FLOW].write(40.0, 13)
    bench.leases.rows = {SETPOINT: lease(SETPOINT, 22.0, 20), LIGHT: lease(LIGHT, 50.0, -1)}
    bench.leases.disk_epoch = 1
    async with running(bench) as dispatch:
        assert await dispatch.wait_known(timedelta(seconds=10)) == []
        assert [bench.slot(p) for p in (SETPOINT, LIGHT, FLOW)] == [22.0, None, None]
        assert bench.leases.rows[SETPOINT].epoch == 2
        assert dispatch.status[SETPOINT].holder is Holder.WE
        await asyncio.sleep(600)
        assert bench.slot(SETPOINT) == 22.0
        await asyncio.sleep(660)
        assert bench.slot(SETPOINT) is None  # nobody asked for it again


async def test_known_devices_are_waited_for_but_not_for_ever(bench: Bench) -> None:
    bench.field.devices["plant"].reachable = False
    async with running(bench) as dispatch:
        assert await dispatch.wait_known(timedelta(seconds=20)) == ["plant"]


async def test_a_clamped_value_is_told_and_is_ours(bench: Bench) -> None:
    class Coarse(FieldDriver):
        async def write(self, point: Point, value: float, priority: Priority) -> None:
            await super().write(point, round(value * 2) / 2, priority)

    def make(name: str) -> FieldDriver:
        device = next(d for d in bench.site.devices if d.id == name)
        return Coarse(device, bench.field.devices[name], bench.clock, asked=bench.asked)

    bench.make_driver = make  # type: ignore[method-assign]  # this bench alone
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 21.3, minutes=600))
        await asyncio.sleep(3600)
        status = dispatch.status[SETPOINT]
        assert (status.result, status.holder, status.ours, status.value) == (Result.CLAMPED, Holder.WE, 21.3, 21.5)
        assert len(bench.writes()) == 1


async def test_a_demand_limit_is_an_upper_bound_for_the_rest(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(LIGHT, 80.0, Source.RULES), bench.wish(LIGHT, 50.0, Source.DEMAND_LIMIT, high=50.0))
        await asyncio.sleep(1)
        assert bench.slot(LIGHT) == 50.0
        assert dispatch.status[LIGHT].note == "limited by demand limit"
        dispatch.submit(bench.wish(LIGHT, 30.0, Source.RULES))
        await asyncio.sleep(1)
        assert bench.slot(LIGHT) == 30.0


async def test_the_ladder_is_followed_for_the_store_only_if_there_is_one(clock: Clock) -> None:
    bench = Bench(clock)
    bench.ladder = None  # type: ignore[assignment]  # dispatch takes none
    bench.dispatch = bench.make_dispatch()
    async with running(bench) as dispatch:
        bench.leases.fail = StoreError("full")
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(10)
        bench.leases.fail = None
        await asyncio.sleep(130)
        assert bench.slot(LIGHT) == 40.0


def test_a_status_is_a_plain_record(clock: Clock) -> None:
    bench = Bench(clock)
    # Outside a loop: nothing has been read yet.
    status = bench.dispatch.status[SETPOINT]
    assert (status.holder, status.result, status.since, status.note) == (Holder.UNKNOWN, None, None, "")
    assert replace(status, note="x").note == "x"

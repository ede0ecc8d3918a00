"""The running service as its pages see it. Plain views answer from memory; one TaskGroup keeps that memory fresh."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from config.roles import Role
from config.site import Point
from controller.backend.accounts import Accounts
from controller.backend.alarms import Alarms
from controller.backend.control import control
from controller.backend.forecast import Outside
from controller.backend.health import checks
from controller.backend.holds import hold, read_back, slots
from controller.backend.metrics import Measures
from controller.backend.orders import Orders
from controller.backend.parts import Parts
from controller.backend.planned import Planned
from controller.backend.stored import Stored
from controller.carbon.intensity import IntensityFile
from controller.hub import Hub
from controller.ladder import Level
from controller.leases import Override
from controller.naming import Names
from controller.service import Service
from controller.store.base import StoreError
from controller.version import own_version
from controller.web.samples import HistoryView
from controller.web.view import (
    Action,
    Alarm,
    CarbonView,
    Check,
    Event,
    HealthView,
    Hold,
    NotFound,
    NowView,
    PlanView,
    PointView,
    ReadingsView,
)
from drivers.base import Can, DriverError, ReadBack, priority
from optimiser.problem import Reason

log = logging.getLogger(__name__)

MINUTE_S = 60.0
LOOK_WITHIN_S = 3.0  # for a read-back that a page asked for
LOOKED_LATELY_S = 2.0  # real seconds in which a second look at the same point is not worth it
SHOWN_DECISIONS = 6


class Actions(Protocol):
    """Buttons of a demonstration."""

    def actions(self) -> tuple[Action, ...]:
        """Those there are, as they stand."""
        ...

    async def act(self, name: str) -> None:
        """Press one; raises LookupError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a backend is given beside the service."""

    intensity: IntensityFile | None = None  # for the half-hourly ledger; None = only annual factors
    actions: Actions | None = None
    banner: Callable[[], str] = lambda: ""
    checks: Callable[[], tuple[Check, ...]] = lambda: ()  # more that health depends on
    pace: Callable[[], float] = lambda: 1.0  # loop seconds per real second: people look in real time
    actor: str = "page"


class ServiceBackend:
    """A `Backend` over a Service, alive while `backend` is entered."""

    def __init__(self, service: Service, setting: Setting) -> None:
        self._service, self._setting = service, setting
        self._names = Names(service.site)
        self._parts = Parts(service, self._names, holds=self._hold, statuses=lambda: self._statuses)
        self._planned = Planned(service, self._names, setting.intensity)
        self._outside = Outside(service, self._names)
        self._accounts = Accounts(service, setting.intensity)
        self._stored = Stored(service, self._names)
        self._alarms = Alarms(service, self._names, self._parts)
        self._orders = Orders(service, self._names, actor=setting.actor, changed=self._changed)
        self._events: Hub[Event] = Hub()
        self._began = service.clock.now()
        self._level_since: datetime | None = None
        self._statuses = service.dispatch.status
        self._overrides: dict[str, Override] = {}
        self._looks: dict[str, tuple[datetime, ReadBack]] = {}
        self._wanted: Hub[str] = Hub()  # points whose priority array somebody looks at
        self._outdoor = next((p.id for p in service.site.by_role(Role.OUTDOOR_TEMPERATURE)), None)
        self.measures = Measures(service)
        self._version = own_version()

    # --- views -------------------------------------------------------------------------------------------------

    @property
    def events(self) -> Hub[Event]:
        return self._events

    def now(self) -> NowView:
        service, now = self._service, self._service.clock.now()
        self._snap()
        plan = self._planned.plan
        site, state = service.site, service.state
        main = service.watch.import_point
        return NowView(
            site=site.name,
            timezone=site.timezone,
            time=now,
            control=control(
                service.ladder.level,
                service.ladder.why,
                since=self._level_since,
                stopped=self._orders.stopped,
                plan=plan,
                next_plan=service.planner.next_at,
                held=tuple(d.id for d in site.devices if service.ladder.device_level(d.id) >= Level.HOLD),
                names=self._names,
            ),
            power_kw=None if main is None else state.value(main, now),
            planned_kw=self._planned.planned_kw(now),
            limit_kw=service.watch.limit_kw,
            grid=self._outside.grid(now),
            outdoor_degc=None if self._outdoor is None else state.value(self._outdoor, now),
            today=self._accounts.today(now),
            currency=self._accounts.currency,
            zones=self._parts.zones(now, plan),
            plant=self._parts.plant(now),
            devices=self._parts.devices(),
            alarms=self._alarms.open,
            decisions=self._next_decisions(now),
            actions=() if self._setting.actions is None else self._setting.actions.actions(),
            ledgers=self._accounts.ledgers,
            banner=self._setting.banner(),
            power_point=main,
            outdoor_point=self._outdoor,
        )

    def _next_decisions(self, now: datetime) -> tuple[Reason, ...]:
        """What will be done, before what merely stays as it is."""
        reasons = self._planned.reasons(now)
        ahead = [reason for reason in reasons if reason.time > now]
        found = ahead[:SHOWN_DECISIONS]
        present = [reason for reason in reasons if reason.time <= now]
        return (*present[: SHOWN_DECISIONS - len(found)], *found)

    def plan(self) -> PlanView | None:
        return self._planned.view(self._service.clock.now())

    def alarms(self) -> Sequence[Alarm]:
        return self._alarms.open

    def points(self) -> Sequence[PointView]:
        self._snap()
        now = self._service.clock.now()
        return tuple(
            self._point(point, device.id, now) for device in self._service.site.devices for point in device.points
        )

    def point(self, point: str) -> PointView:
        self._snap()
        for device in self._service.site.devices:
            for candidate in device.points:
                if candidate.id == point:
                    if candidate.writable:
                        self._wanted.publish(point)
                    return self._point(candidate, device.id, self._service.clock.now())
        raise NotFound(f"there is no point {point}; GET points lists them")

    def _point(self, point: Point, device: str, now: datetime) -> PointView:
        state = self._service.state
        age_s = state.age_s(point.id, now)
        status, present = self._statuses.get(point.id), self._parts.present(point, now)
        back = self._back(point.id) if status is not None else None
        return PointView(
            id=point.id,
            name=self._names.point(point),
            role=point.role.value,
            unit=point.unit.value,
            device=device,
            value=state.last_value(point.id) if present is None else present,
            quality=self._parts.quality(point, now),
            age=None if age_s is None else timedelta(seconds=age_s),
            writable=point.writable,
            doubt=self._parts.doubt(point),
            low=point.low,
            high=point.high,
            hold=None if status is None else self._hold(point),
            slots=slots(point, back),
            default=None if back is None else back.default,
            lease_value=None if status is None or status.expires is None else status.ours,
            lease_expires=None if status is None else status.expires,
            read_back="" if status is None else read_back(point, status, self._names),
        )

    def health(self) -> HealthView:
        own = checks(
            self._service,
            self._planned.plan,
            readings=self.measures.readings,
            stopped=self._orders.stopped,
            names=self._names,
        )
        return HealthView(version=self._version, started=self._began, checks=(*own, *self._setting.checks()))

    async def carbon(self) -> CarbonView:
        return await self._accounts.view(self._service.clock.now())

    async def readings(self, point: str, start: datetime, end: datetime, step: timedelta | None) -> ReadingsView:
        return await self._stored.readings(point, start, end, step)

    async def history(self, point: str, start: datetime, end: datetime) -> HistoryView:
        return await self._stored.history(point, start, end)

    # --- what people ask for -----------------------------------------------------------------------------------

    async def override(self, point: str, value: float, until: datetime, reason: str) -> None:
        await self._orders.override(point, value, until, reason)

    async def cancel_override(self, point: str) -> None:
        await self._orders.cancel(point)

    async def stop(self, reason: str) -> None:
        await self._orders.stop(reason)

    async def resume(self) -> None:
        await self._orders.resume()

    async def act(self, name: str) -> None:
        if self._setting.actions is None:
            raise NotFound("this building is real: there is nothing to disturb")
        try:
            await self._setting.actions.act(name)
        except LookupError:
            raise NotFound(f"there is no button {name[:40]}") from None
        self._changed()

    # --- keeping it fresh --------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Take up what people asked for before a restart. Raises StoreError."""
        await self._orders.begin()

    async def refresh(self) -> None:
        """Work out today's energy now, not within a minute. Raises StoreError."""
        await self._accounts.renew(self._service.clock.now())

    async def run(self) -> None:
        """Follow the service until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_readings(), name="backend:readings")
            tasks.create_task(self._follow_plans(), name="backend:plans")
            tasks.create_task(self._follow_levels(), name="backend:levels")
            tasks.create_task(self._follow_outcomes(), name="backend:outcomes")
            tasks.create_task(self._follow_devices(), name="backend:devices")
            tasks.create_task(self._follow_wanted(), name="backend:looks")
            tasks.create_task(self._each_minute(), name="backend:minutes")
            tasks.create_task(self._orders.run(), name="backend:overrides")

    async def _follow_readings(self) -> None:
        with self._service.hubs.readings.subscribe(size=100_000) as buffer:
            while True:
                self.measures.readings += len(await buffer.batch())
                self._events.publish(Event(kind="readings"))
                await asyncio.sleep(self._setting.pace())

    async def _follow_plans(self) -> None:
        with self._service.hubs.plans.subscribe(size=20) as buffer:
            if self._service.planner.last is not None:  # made before we listened
                self._planned.take(self._service.planner.last[1])
            async for plan in buffer:
                self._planned.take(plan)
                self.measures.planned(plan)
                made = self._names.clock(plan.made_at)
                self._events.publish(Event(kind="plan", payload={"made_at": made, "trigger": plan.trigger}))

    async def _follow_levels(self) -> None:
        with self._service.hubs.levels.subscribe() as buffer:
            async for change in buffer:
                if change.device is None:
                    self._level_since = change.time
                self._changed("control")

    async def _follow_outcomes(self) -> None:
        with self._service.hubs.outcomes.subscribe(latest=lambda outcome: outcome.point) as buffer:
            while True:
                await buffer.batch()
                self._changed("control")
                await asyncio.sleep(self._setting.pace())

    async def _follow_devices(self) -> None:
        with self._service.hubs.devices.subscribe() as buffer:
            async for _ in buffer:
                self._changed("control")

    async def _follow_wanted(self) -> None:
        """Ask devices for the priority arrays that pages show."""
        with self._wanted.subscribe(latest=lambda point: point) as buffer:
            while True:
                for name in await buffer.batch():
                    await self._look_at(name)

    async def _look_at(self, name: str) -> None:
        now = self._service.clock.now()
        last = self._looks.get(name)
        if last is not None and now - last[0] < timedelta(seconds=LOOKED_LATELY_S * self._setting.pace()):
            return
        link = self._service.links[self._statuses[name].device]
        point = self._service.state.points[name]
        if not link.up or Can.WRITE not in link.can:
            return
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                back = await link.read_back(point, priority(point.priority))
        except (DriverError, TimeoutError) as error:
            log.debug("%s: not looked at: %s", name, error)
            return
        before = self._back(name)
        self._looks[name] = now, back
        if before != back:
            self._events.publish(Event(kind="control", payload={"point": name}))

    async def _each_minute(self) -> None:
        while True:
            self._changed("")
            try:
                await self._accounts.renew(self._service.clock.now())
            except StoreError as error:
                log.debug("today's energy is not known: %s", error)
            await asyncio.sleep(max(MINUTE_S, 5.0 * self._setting.pace()))

    def _changed(self, kind: str = "override") -> None:
        """Look for alarms anew and tell the pages."""
        self._snap()
        if self._alarms.look(self._overrides):
            self._events.publish(Event(kind="alarms", payload={"open": len(self._alarms.open)}))
        if kind:
            self._events.publish(Event(kind=kind))

    def _snap(self) -> None:
        self._statuses, self._overrides = self._service.dispatch.status, self._orders.overrides

    def _hold(self, point: Point) -> Hold:
        status = self._statuses[point.id]
        answers = self._service.links[status.device].up
        return hold(point, status, self._overrides.get(point.id), self._names, answers=answers)

    def _back(self, name: str) -> ReadBack | None:
        """The newer of what dispatch and what a page's own look has seen."""
        status, look = self._statuses[name], self._looks.get(name)
        seen = self._service.dispatch.back(name)
        if look is None or (status.since is not None and status.since > look[0]):
            return seen
        return look[1]


@asynccontextmanager
async def backend(service: Service, setting: Setting) -> AsyncIterator[ServiceBackend]:
    """The service's pages can be shown for the length of the block."""
    made = ServiceBackend(service, setting)
    await made.begin()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(made.run(), name="backend")
        try:
            yield made
        finally:
            following.cancel()

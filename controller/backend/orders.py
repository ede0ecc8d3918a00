"""What people ask for through the pages: overrides that expire, stop and resume. Each is checked, kept and audited."""

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import datetime, timedelta

from config.roles import Role
from config.site import Mode, Point
from config.units import Unit
from controller.arbiter import Request, Source
from controller.backend.holds import amount
from controller.events import Cause, Trigger
from controller.ladder import Trouble
from controller.leases import Override
from controller.naming import Names
from controller.service import Service
from controller.stopped import forget_stop, keep_stop, stopped_for
from controller.store.base import AuditEntry
from controller.web.view import BadRequest, NotFound

log = logging.getLogger(__name__)

LONGEST = timedelta(hours=24)
SEEN_WITHIN_S = 5.0  # to wait for what the device says of a command
_WHOLE = frozenset({Unit.BINARY, Unit.INDEX, Unit.COUNT})


class Orders:
    """Carries out what people ask; `changed` is told after each order."""

    def __init__(self, service: Service, names: Names, *, actor: str, changed: Callable[[], None]) -> None:
        self._service, self._names, self._actor, self._changed = service, names, actor, changed
        self._overrides: dict[str, Override] = {}
        self._news = asyncio.Event()
        self._stopped_for = stopped_for(service.settings.directory)

    @property
    def stopped(self) -> bool:
        """A person pressed stop."""
        return bool(self._stopped_for)

    @property
    def overrides(self) -> dict[str, Override]:
        """Those in force, by point."""
        now = self._service.clock.now()
        return {name: override for name, override in self._overrides.items() if override.expires > now}

    async def begin(self) -> None:
        """Take up what was asked before a restart. Raises StoreError."""
        self._overrides = {override.point: override for override in await self._service.leases.overrides()}

    async def run(self) -> None:
        """Let overrides end, until cancelled."""
        clock = self._service.clock
        while True:
            self._news.clear()
            ends = min((override.expires for override in self._overrides.values()), default=None)
            delay = None if ends is None else max(0.0, (ends - clock.now()).total_seconds())
            try:
                async with asyncio.timeout(delay):
                    await self._news.wait()
            except TimeoutError:
                await self._end_expired(clock.now())

    async def _end_expired(self, now: datetime) -> None:
        over = [override for override in self._overrides.values() if override.expires <= now]
        for override in over:
            del self._overrides[override.point]
        await self._service.leases.drop_override(*(override.point for override in over))
        entries = [
            self._entry(now, "override_ended", o.point, old=f"{o.value:g}", reason=o.reason, actor="clock")
            for o in over
        ]
        await self._service.audit.record(*entries)
        for override in over:
            self._plan_again(f"the override of {self._name(override.point)} has ended", now)
        self._changed()

    async def override(self, name: str, value: float, until: datetime, reason: str) -> None:
        """Hold a point by hand. Raises NotFound, BadRequest, StoreError."""
        service, now = self._service, self._service.clock.now()
        point = self._checked(name, value, until, now)
        before = self._overrides.get(name)
        override = Override(point=name, value=value, expires=until, reason=reason, actor=self._actor, made=now)
        old = "" if before is None else f"{before.value:g}"
        await service.leases.keep_override(override)
        await service.audit.record(
            self._entry(now, "override", name, old=old, new=f"{value:g}", reason=f"{reason} (until {until:%H:%M} UTC)")
        )
        self._overrides[name] = override
        self._news.set()
        log.info("override: %s at %s until %s: %s", name, amount(point, value), self._names.clock(until), reason)
        with service.hubs.outcomes.subscribe() as outcomes:
            service.dispatch.submit(
                Request(
                    source=Source.MANUAL,
                    point=name,
                    value=value,
                    expires=until,
                    reason=reason,
                    decision=f"override by {self._actor}",
                )
            )
            try:
                async with asyncio.timeout(SEEN_WITHIN_S):
                    async for seen in outcomes:
                        if seen.point == name and seen.source == Source.MANUAL.value:
                            break
            except TimeoutError:
                pass  # the device is down, or something stronger holds the point; its view says so
        self._plan_again(f"{self._name(name)} is held by a person at {amount(point, value)}", now)
        self._changed()

    async def cancel(self, name: str) -> None:
        """Give a point back to the plan. Raises NotFound, StoreError."""
        service, now = self._service, self._service.clock.now()
        override = self.overrides.get(name)
        if override is None:
            raise NotFound(f"{name} has no override of ours; GET points shows who holds it")
        await service.leases.drop_override(name)
        await service.audit.record(
            self._entry(now, "override_cancelled", name, old=f"{override.value:g}", reason=override.reason)
        )
        self._overrides.pop(name, None)
        self._news.set()
        service.dispatch.withdraw(Source.MANUAL, name)
        self._plan_again(f"the override of {self._name(name)} was ended by a person", now)
        self._changed()

    async def stop(self, reason: str) -> None:
        """Hand everything back and write nothing until `resume`, also after a restart. Raises StoreError, OSError."""
        service, now = self._service, self._service.clock.now()
        self._stopped_for = f"stopped by a person at {self._names.clock(now)}: {reason}"
        service.ladder.report(Trouble.OPERATOR_STOP, present=True, text=self._stopped_for)
        keep_stop(service.settings.directory, self._stopped_for, now)
        await service.audit.record(self._entry(now, "stop", service.site.id, new="released", reason=reason))
        try:
            async with asyncio.timeout(SEEN_WITHIN_S):
                while any(status.ours is not None for status in service.dispatch.status.values()):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log.warning("not everything is handed back yet; it is tried again until it is")
        self._changed()

    async def resume(self) -> None:
        """Undo `stop`. Raises StoreError, OSError."""
        service, now = self._service, self._service.clock.now()
        forget_stop(service.settings.directory)
        await service.audit.record(
            self._entry(now, "resume", service.site.id, old="released", reason="resumed by a person")
        )
        self._stopped_for = ""
        service.ladder.report(Trouble.OPERATOR_STOP, present=False)
        self._plan_again("resumed by a person", now)
        self._changed()

    def _checked(self, name: str, value: float, until: datetime, now: datetime) -> Point:
        point = self._service.state.points.get(name)
        if point is None:
            raise NotFound(f"there is no point {name}; GET points lists them")
        if not point.writable or point.role is Role.HEARTBEAT:
            raise BadRequest(f"{name} cannot be set; choose a writable point, GET points lists them")
        low, high = -math.inf if point.low is None else point.low, math.inf if point.high is None else point.high
        if not math.isfinite(value):
            raise BadRequest(f"value: {value} is not a finite number; send one from {low:g} to {high:g}")
        if not low <= value <= high:
            raise BadRequest(
                f"value: {amount(point, value)} lies outside the limits of {self._names.point(point)}; "
                f"send one from {low:g} to {high:g}"
            )
        if point.unit in _WHOLE and value != int(value):
            allowed = "0 or 1" if point.unit is Unit.BINARY else "a whole number"
            raise BadRequest(f"value: {value:g} does not fit {self._names.point(point)}; send {allowed}")
        if not now < until <= now + LONGEST:
            raise BadRequest("until: an override ends within the next 24 h; send such a time, and renew it if need be")
        if self._service.site.control.mode is Mode.ADVISORY:
            raise BadRequest("this site is advisory, nothing is written; set control.mode to control in its file first")
        if self.stopped:
            raise BadRequest("control is stopped, nothing is written; resume it first")
        return point

    def _name(self, name: str) -> str:
        return self._names.point(self._service.state.points[name])

    def _plan_again(self, text: str, now: datetime) -> None:
        self._service.hubs.triggers.publish(Trigger(cause=Cause.OVERRIDE, text=text, time=now))

    def _entry(
        self, now: datetime, action: str, subject: str, *, old: str = "", new: str = "", reason: str, actor: str = ""
    ) -> AuditEntry:
        return AuditEntry(
            time=now,
            actor=actor or self._actor,
            action=action,
            subject=subject,
            old=old,
            new=new,
            reason=reason,
            result="accepted",
        )

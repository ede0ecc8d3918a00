"""What happens with readings: into state, history and store, watched for triggers, and the reflex to a demand limit."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from config.roles import Role
from config.site import Site
from controller.arbiter import Request, Source
from controller.audit import Audit
from controller.demand import dimmed
from controller.dispatch import Dispatch
from controller.events import Cause, Trigger, Watch
from controller.history import History
from controller.hub import Hub
from controller.ladder import Ladder, LevelChange, Trouble
from controller.outcome import Outcome, Result
from controller.state import State
from controller.store.base import AuditEntry, Sink, StoreError
from controller.supervisor import DeviceEvent
from drivers.base import Reading
from drivers.clock import Clock

log = logging.getLogger(__name__)

STORE_BUFFER = 200_000  # readings: hours of a building while the disk is busy
STORE_RETRY_S = 15.0
GATHER = timedelta(seconds=2)  # readings that come close together share a commit
MOST_OWED = 1000  # entries of the audit while it cannot be written
LIMIT_LEASE = timedelta(minutes=30)
FADE = timedelta(seconds=5)  # until lamps have followed
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Reflex:
    """Dims the lights the moment a demand limit is exceeded; gives them back when the limit is gone."""

    def __init__(self, site: Site, state: State, watch: Watch, dispatch: Dispatch, clock: Clock) -> None:
        self._state, self._watch, self._dispatch, self._clock = state, watch, dispatch, clock
        self._lights = [point.id for point in site.by_role(Role.LIGHT_LEVEL) if point.writable]
        self._causes = frozenset((watch.import_point, *(point.id for point in site.by_role(Role.DEMAND_LIMIT))))
        self._lighting = next((point.id for point in site.by_role(Role.LIGHTING_POWER)), None)
        self._levels: dict[str, float] = {}
        self._dimmed_at = self._asked_at = _LONG_AGO

    def look(self, readings: Sequence[Reading]) -> None:
        """React to a batch of readings in which a limit or the import may have changed."""
        if not self._levels and not any(reading.point in self._causes for reading in readings):
            return
        limit_kw = self._watch.demand_limit_kw
        meter = None if self._watch.import_point is None else self._state.reading(self._watch.import_point)
        if limit_kw is None or meter is None or meter.value is None or not meter.is_current:
            return
        if self._levels and meter.value + self._saved_kw() <= limit_kw:
            self._levels, self._dimmed_at = {}, _LONG_AGO
            self._dispatch.withdraw(Source.DEMAND_LIMIT)
            return
        now, wanted = self._clock.now(), {}
        if meter.time > self._dimmed_at + FADE:  # else it does not show yet what was done
            levels = {p: v for p in self._lights if (v := self._state.last_value(p)) is not None}
            lighting_kw = (self._lighting and self._state.last_value(self._lighting)) or 0.0
            wanted = dimmed(levels, import_kw=meter.value, limit_kw=limit_kw, lighting_kw=lighting_kw)
        if wanted:
            self._levels |= wanted
            self._dimmed_at = now
        if wanted or now >= self._asked_at + LIMIT_LEASE / 2:
            self._ask(limit_kw)

    def _saved_kw(self) -> float:
        """What the dimmed lights would add again, at most."""
        lighting_kw = (self._lighting and self._state.last_value(self._lighting)) or 0.0
        shown = [max(level, 1.0) for level in self._levels.values()]
        return lighting_kw * (100.0 * len(shown) / sum(shown) - 1.0) if shown else 0.0

    def _ask(self, limit_kw: float) -> None:
        now = self._asked_at = self._clock.now()
        self._dispatch.submit(
            *(
                Request(
                    source=Source.DEMAND_LIMIT,
                    point=point,
                    value=level,
                    high=level,
                    expires=now + LIMIT_LEASE,
                    reason=f"import limited to {limit_kw:.0f} kW",
                    decision=f"demand-{now:%Y%m%dT%H%M%S}",
                )
                for point, level in self._levels.items()
            )
        )


async def take_in(
    readings: Hub[Reading],
    triggers: Hub[Trigger],
    *,
    state: State,
    history: History,
    watch: Watch,
    reflex: Reflex,
    clock: Clock,
) -> None:
    """Bring state and history up to date with every reading, and tell what deserves a new plan. Until cancelled."""
    with readings.subscribe(size=STORE_BUFFER) as buffer:
        while True:
            batch = await buffer.batch()
            state.update(batch)
            history.add(batch, clock.now())
            found = watch.look(batch)
            reflex.look(batch)
            triggers.publish(*found)


async def keep_readings(readings: Hub[Reading], store: Sink, ladder: Ladder, *, gather: timedelta = GATHER) -> None:
    """Write every reading to the store, batch by batch; a store that fails is tried again.

    Until cancelled; what has come until then is still written, if the store takes it at once.
    """
    batch: list[Reading] = []
    with readings.subscribe(size=STORE_BUFFER) as buffer:
        try:
            while True:
                batch = await buffer.batch()
                await asyncio.sleep(gather.total_seconds())
                batch += buffer.take()
                await _keep(batch, store, ladder)
                batch = []
        finally:
            batch += buffer.take()
            try:
                await store.append(batch)
            except StoreError as error:
                log.error("the last %d readings were not stored: %s", len(batch), error)  # noqa: TRY400  no trace wanted


async def _keep(batch: Sequence[Reading], store: Sink, ladder: Ladder) -> None:
    while True:
        try:
            await store.append(batch)
        except StoreError as error:
            ladder.report(Trouble.READINGS, present=True, text=str(error))
            await asyncio.sleep(STORE_RETRY_S)
        else:
            ladder.report(Trouble.READINGS, present=False)
            return


async def follow_levels(levels: Hub[LevelChange], dispatch: Dispatch, audit: Audit, clock: Clock) -> None:
    """Let dispatch follow the ladder, and keep every change of level, later if it cannot be now. Until cancelled."""
    owed: deque[AuditEntry] = deque(maxlen=MOST_OWED)
    with levels.subscribe() as buffer:
        async for change in buffer:
            where = change.device or "site"
            log.warning(
                "%s: level %s, was %s: %s", where, change.new.label, change.old.label, change.why or "all is well"
            )
            dispatch.allow(change.new, device=change.device)
            owed.append(
                AuditEntry(
                    time=clock.now(),
                    actor="ladder",
                    action="level",
                    subject=where,
                    old=change.old.label,
                    new=change.new.label,
                    reason=change.why,
                    result="followed",
                )
            )
            try:
                await audit.record(*owed)
            except StoreError as error:  # dispatch tells the ladder; the next change tries again
                log.debug("a change of level is not kept yet: %s", error)
            else:
                owed.clear()


async def follow_outcomes(outcomes: Hub[Outcome], triggers: Hub[Trigger]) -> None:
    """A stronger hand that takes a point, or lets it go, deserves a new plan. Until cancelled."""
    held: set[str] = set()
    with outcomes.subscribe() as buffer:
        async for outcome in buffer:
            is_held = outcome.result is Result.HELD
            if outcome.result is Result.UNKNOWN:  # no answer tells nothing about whose it is
                continue
            if is_held == (outcome.point in held):
                continue
            (held.add if is_held else held.discard)(outcome.point)
            text = f"{outcome.point} is {'held by a stronger hand' if is_held else 'free again'}"
            triggers.publish(Trigger(cause=Cause.OVERRIDE, text=text, time=outcome.time))


async def follow_devices(devices: Hub[DeviceEvent], triggers: Hub[Trigger], ladder: Ladder) -> None:
    """Tell the ladder and the planner of devices lost and back. Until cancelled."""
    with devices.subscribe() as buffer:
        async for event in buffer:
            ladder.report(Trouble.DEVICE, present=not event.up, text=event.error, device=event.device)
            text = f"{event.device} is back" if event.up else f"{event.device} is lost: {event.error}"
            triggers.publish(Trigger(cause=Cause.DEVICE, text=text, time=event.time))

"""Who wants what of every writable point, what of it may be, and what is on the wire."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from config.roles import Role
from config.site import Mode, Site
from controller import record
from controller.aims import Aims
from controller.arbiter import Request, Source
from controller.devices import serving_devices
from controller.holding import Holding
from controller.hub import Hub
from controller.ladder import Ladder, Level, Trouble
from controller.leases import Fenced
from controller.line import Line
from controller.outcome import Holder, Outcome, PointStatus, Result, same, taken
from controller.pulse import Pulse
from controller.reconcile import AuditLog
from controller.state import State
from controller.store.base import StoreError
from controller.supervisor import DeviceEvent, Link, next_tick
from controller.wire import Desk, Leases
from drivers.base import Command, ReadBack, priority
from drivers.clock import Clock

log = logging.getLogger(__name__)

ROUND = timedelta(minutes=1)  # everything is looked over this often
AFTER_POLL = timedelta(seconds=2)  # the round comes after the polls of the same minute
LOOK_AGAIN = timedelta(minutes=5)
RELEASE_WITHIN_S = 5.0
_UNSETTLED = frozenset({Result.HELD, Result.CLAMPED, Result.FOREIGN, Result.REJECTED, Result.UNKNOWN})
_EXEMPT = frozenset({Source.EMERGENCY, Source.MANUAL})


class Dispatch:
    """Takes requests, writes what wins, and keeps it true until it expires.

    `run` does the work; requests may be submitted before. `occupied` tells whether people are expected in a zone,
    `healthy` whether the heartbeat to the building may go on.
    """

    def __init__(
        self,
        site: Site,
        links: Mapping[str, Link],
        *,
        leases: Leases,
        audit: AuditLog,
        clock: Clock,
        outcomes: Hub[Outcome],
        state: State,
        occupied: Callable[[str, datetime], bool],
        events: Hub[DeviceEvent],
        commands: Hub[Command],
        ladder: Ladder | None = None,
        healthy: Callable[[], bool] = lambda: True,
        first_beat: int = 0,
    ) -> None:
        self._site, self._leases, self._audit, self._clock = site, leases, audit, clock
        self._outcomes, self._state, self._events, self._ladder = outcomes, state, events, ladder
        self._news = asyncio.Event()
        self._fencing = asyncio.Lock()
        self._store_failed = False
        self._holdings = {
            point.id: Holding(point=point, device=device.id, slot=priority(point.priority))
            for device in site.devices
            for point in device.points
            if point.writable
        }
        alone = asyncio.Event()
        if site.control.mode is not Mode.CONTROL or not site.by_role(Role.HEARTBEAT):
            alone.set()  # nothing is written, or there is no heartbeat to tell
        self._aims = Aims(site, self._holdings, state, occupied)
        desk = Desk(
            leases=leases,
            audit=audit,
            clock=clock,
            outcomes=outcomes,
            commands=commands,
            lease=site.control.lease,
            controls=self._aims.controls,
            may_write=self._may_write,
            settled=self._settled,
            fenced=self._fenced,
            store_failed=self._on_store_failure,
            alone=alone,
        )
        self._lines = {
            device.id: Line(
                device,
                links[device.id],
                [self._holdings[p.id] for p in device.points if p.writable],
                desk,
            )
            for device in site.devices
            if any(p.writable for p in device.points)
        }
        self._pulse = Pulse(
            [(h, self._lines[h.device]) for h in self._holdings.values() if h.point.role is Role.HEARTBEAT],
            leases=leases,
            clock=clock,
            lease=site.control.lease,
            may_beat=self._may_beat,
            healthy=healthy,
            fenced=self._fenced,
            store_failed=self._on_store_failure,
            alone=alone,
            rival=self._on_rival,
            begin=first_beat,
        )

    # --- requests --------------------------------------------------------------------------------------------

    def submit(self, *requests: Request) -> None:
        """Put requests in place of what their sources asked of the same points; written at once where they win.

        Raises LookupError for a point that is not writable. A request that is not a finite number is answered with
        an outcome REJECTED and changes nothing.
        """
        unknown = [r.point for r in requests if r.point not in self._holdings]
        if unknown:
            raise LookupError(f"not a writable point of this site: {', '.join(unknown)}")
        touched = []
        for request in requests:
            holding = self._holdings[request.point]
            if not request.finite:
                self._refuse(holding, request)
                continue
            holding.requests[request.source] = request
            holding.decided_until = None
            # While nothing was asked nobody looked whether the stronger hand is still there.
            holding.look |= holding.result is None and taken(holding.back, holding.slot)
            touched.append(holding)
        self._settled(touched)
        self._news.set()

    def withdraw(self, source: Source, *points: str) -> None:
        """Forget what a source asked, of all points if none are named."""
        touched = []
        for name in points or self._holdings:
            holding = self._holdings.get(name)
            if holding is not None and holding.requests.pop(source, None) is not None:
                holding.decided_until = None
                touched.append(holding)
        self._settled(touched)

    def allow(self, level: Level, *, device: str | None = None) -> None:
        """Follow the ladder: the site's level, or one device's. HOLD writes nothing new, RELEASED hands back."""
        self._aims.allow(level, device)
        self._pulse.settle()
        self._settled(self._holdings.values())

    def _refuse(self, holding: Holding, request: Request) -> None:
        log.warning("%s: %s asks for what is not a number", holding.point.id, request.source)
        refused = record.outcome(
            holding,
            self._clock.now(),
            value=None,
            result=Result.REJECTED,
            why=f"{request.value} is not a finite number",
        )
        self._outcomes.publish(replace(refused, source=request.source.value, decision=request.decision))

    # --- what others may know --------------------------------------------------------------------------------

    @property
    def status(self) -> Mapping[str, PointStatus]:
        """Who holds each writable point and why, in order of the site file."""
        return {name: holding.status() for name, holding in self._holdings.items()}

    def back(self, point: str) -> ReadBack | None:
        """What the device said at the last look; None before the first. Raises KeyError."""
        return self._holdings[point].back

    def held(self) -> Mapping[str, float]:
        """Points that the optimiser cannot move, with the values they have: held by a stronger hand or by a person."""
        found = {}
        for name, holding in self._holdings.items():
            value = self._fixed(holding)
            if value is not None:
                found[name] = value
        return found

    def _fixed(self, holding: Holding) -> float | None:
        overruled = holding.result in (Result.HELD, Result.FOREIGN) or holding.holder is Holder.OPERATOR
        if overruled:
            present = None if holding.back is None else holding.back.present
            value = self._state.value(holding.point.id, self._clock.now())
            return present if value is None else value
        return holding.wanted if holding.source in _EXEMPT else None

    async def wait_known(self, within: timedelta) -> list[str]:
        """Wait for first contact with the devices; the ids of those it could not be made with in that time."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                for line in self._lines.values():
                    await line.wait_known()
        except TimeoutError:
            pass
        return [name for name, line in self._lines.items() if not line.known]

    # --- deciding --------------------------------------------------------------------------------------------

    def _settled(self, holdings: Collection[Holding]) -> None:
        """Decide anew about these points, and wake the lines that have work."""
        now = self._clock.now()
        pulses = [h for h in holdings if h.point.role is Role.HEARTBEAT]
        some = self._aims.settle([h for h in holdings if h not in pulses], now)
        for name in dict.fromkeys(h.device for h in (*some, *pulses) if h.work(now) is not None):
            self._lines[name].wake()

    def _may_write(self, holding: Holding) -> bool:
        return holding.target is not None and not self._aims.stopped

    def _may_beat(self) -> bool:
        return self._aims.controls and not self._aims.stopped and not self._aims.level("").releases

    # --- keeping it true -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve every device, until cancelled. `release_all` afterwards, while the devices are still open."""
        async with asyncio.TaskGroup() as tasks:
            for name, line in self._lines.items():
                tasks.create_task(line.serve(), name=f"{name}:commands")
            tasks.create_task(self._follow(), name="dispatch:devices")
            tasks.create_task(self._rounds(), name="dispatch:rounds")
            tasks.create_task(self._pulse.run(), name="dispatch:heartbeat")

    async def _follow(self) -> None:
        """Look at every device that is back: it may have lost our values."""
        with self._events.subscribe() as events:
            async for event in events:
                if event.up and event.device in self._lines:
                    line = self._lines[event.device]
                    for holding in line.holdings:
                        holding.not_before = None
                        holding.look |= holding.holds and holding.point.role is not Role.HEARTBEAT
                    line.wake()

    async def _rounds(self) -> None:
        while True:
            now = self._clock.now()
            due = next_tick(now - AFTER_POLL, ROUND) + AFTER_POLL
            ends = [h.decided_until for h in self._holdings.values() if h.decided_until is not None]
            wake_at = min([due, *(end for end in ends if end > now)])
            self._news.clear()
            try:
                async with asyncio.timeout((wake_at - now).total_seconds()):
                    await self._news.wait()
                continue
            except TimeoutError:
                pass
            if self._clock.now() >= due:
                self._aims.new_round()
                await self._round(self._clock.now())
            else:
                self._settled([h for h in self._holdings.values() if h.decided_until == wake_at])

    async def _round(self, now: datetime) -> None:
        looked = [holding for holding in self._holdings.values() if self._look_due(holding, now)]
        for holding in looked:
            holding.look = True
        due = [h for h in self._holdings.values() if h.not_before is not None and h.not_before <= now]
        for holding in due:
            holding.not_before = None
        self._settled(list(dict.fromkeys([*looked, *due, *self._aims.restless(now)])))
        try:
            await self._renew(now)
            if self._store_failed:
                await self._leases.check()
                self._on_store_success()
        except Fenced:
            await self._fenced(self._leases.epoch)
        except StoreError as error:
            self._on_store_failure(error)

    def _look_due(self, holding: Holding, now: datetime) -> bool:
        """After a change that a poll has seen, and from time to time where something is not as we want it."""
        if holding.looked_at is None or holding.point.role is Role.HEARTBEAT:
            return False
        changed = self._changed(holding)
        if not (changed or holding.result in _UNSETTLED) or not self._lines[holding.device].link.up:
            return False
        rested = now >= holding.looked_at + LOOK_AGAIN
        return rested or holding.result is Result.UNKNOWN or (changed and not holding.idle)

    def _changed(self, holding: Holding) -> bool:
        """Whether a poll has shown another value than the last look."""
        seen = None if holding.back is None else holding.back.present
        reading = self._state.reading(holding.point.id)
        if reading is None or reading.value is None or reading.value == seen or holding.looked_at is None:
            return False
        return reading.received > holding.looked_at and not same(holding.point, reading.value, seen)

    async def _renew(self, now: datetime) -> None:
        """Prolong what is still wanted before a third of its life is left; on disk only, the device needs nothing."""
        length = self._site.control.lease
        soon = now + length / 3 + ROUND
        renewed = []
        for holding in self._holdings.values():
            lease, winner = holding.lease, holding.winner
            if lease is None or lease.expires > soon or winner is None or holding.target is None:
                continue
            until = min(now + length, winner.request.expires)
            if until > lease.expires and self._aims.level(holding.device).writes:
                renewed.append((holding, replace(lease, expires=until)))
        if renewed:
            await self._leases.take_many([lease for _, lease in renewed])
            for holding, lease in renewed:
                if holding.lease is not None:
                    holding.lease = lease

    # --- letting go ------------------------------------------------------------------------------------------

    async def release_all(self, reason: str) -> list[str]:
        """Hand everything back and stop writing until `allow`; the points not proven to be free within 5 s."""
        self._aims.stopped = True
        self._pulse.settle()
        self._settled(self._holdings.values())
        count = sum(holding.holds for holding in self._holdings.values())
        try:
            async with asyncio.timeout(RELEASE_WITHIN_S):
                gives = {name: self._give(line, reason) for name, line in self._lines.items()}
                async with serving_devices(gives) as ended:
                    await ended.all()
        except TimeoutError:
            log.warning("handing back took more than %.0f s", RELEASE_WITHIN_S)
        left = await self._left()
        if count or left:
            log.info("%s: %d points handed back, %d not proven free", reason, count - len(left), len(left))
        return left

    async def _give(self, line: Line, reason: str) -> None:
        try:
            await line.give(reason)
        except Fenced:
            log.warning("%s: handed back, though the guard had taken over", line.device.id)

    async def _left(self) -> list[str]:
        """Name what we hold, and what an earlier run left that could not be looked at yet."""
        names = {name for name, holding in self._holdings.items() if holding.holds}
        try:
            unknown = {name for name, line in self._lines.items() if not line.known}
            names |= {lease.point for lease in await self._leases.all() if lease.device in unknown}
        except StoreError as error:
            self._on_store_failure(error)
        return [name for name in self._holdings if name in names]

    # --- trouble ---------------------------------------------------------------------------------------------

    async def _fenced(self, epoch: int) -> None:
        """Begin anew under an epoch of our own, for the guard took over while we slept."""
        async with self._fencing:
            if self._leases.epoch != epoch:
                return  # another task has done it
            log.warning("the guard had taken over; looking at every device before going on")
            await self._leases.begin()
            for holding in self._holdings.values():
                holding.given()
                holding.lease = None
            for line in self._lines.values():
                line.forget()

    def _on_rival(self, point: str | None) -> None:
        if self._ladder is not None:
            text = f"another supervisor controls this building: {point} counts without us"
            self._ladder.report(Trouble.SECOND_SUPERVISOR, present=point is not None, text=text)

    def _on_store_failure(self, error: StoreError) -> None:
        if not self._store_failed:
            log.error("nothing can be written while the lease table cannot: %s", error)
        self._store_failed = True
        if self._ladder is not None:
            self._ladder.report(Trouble.STORE, present=True, text=str(error))

    def _on_store_success(self) -> None:
        self._store_failed = False
        log.info("the lease table can be written again")
        if self._ladder is not None:
            self._ladder.report(Trouble.STORE, present=False)

"""One device's commands in order: keep the intent, write, read back, keep the result. A dead device stops only this."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from config.site import Device
from controller import record
from controller.arbiter import Request, Source
from controller.holding import Holding, News, Work
from controller.hub import Hub
from controller.leases import Fenced, Intent
from controller.outcome import Outcome, Result, judge
from controller.reconcile import AuditLog, Found, LeaseTable, hand_back, reconcile_device
from controller.store.base import AuditEntry, Lease, StoreError
from controller.supervisor import Link
from drivers.base import Command, DriverError, NotReachable, Rejected
from drivers.clock import Clock

log = logging.getLogger(__name__)

RETRY = timedelta(minutes=1)  # after no answer
RETRY_REFUSED = timedelta(minutes=5)  # after a no
PAUSE_S = 5.0
NOT_SENT = "not sent"


class Leases(LeaseTable, Protocol):
    """Of the leases, what dispatch needs."""

    @property
    def epoch(self) -> int: ...

    async def begin(self) -> int: ...

    async def check(self) -> None: ...

    async def take_many(self, leases: Iterable[Lease]) -> None: ...

    async def intend(self, intents: Sequence[Intent], leases: Iterable[Lease] = ()) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all lines share."""

    leases: Leases
    audit: AuditLog
    clock: Clock
    outcomes: Hub[Outcome]
    commands: Hub[Command]
    lease: timedelta
    controls: bool  # False = advisory mode: look, but change nothing except what an old lease left behind
    may_write: Callable[[Holding], bool]
    settled: Callable[[Iterable[Holding]], None]  # told when a line has learned something
    fenced: Callable[[int], Awaitable[None]]  # told the epoch that was overruled
    store_failed: Callable[[StoreError], None]


class Line:
    """The queue of one device and the one task that serves it."""

    def __init__(self, device: Device, link: Link, holdings: Sequence[Holding], desk: Desk) -> None:
        self.device, self.link, self.holdings = device, link, holdings
        self._desk = desk
        self._wake = asyncio.Event()
        self._known = asyncio.Event()  # first contact has been made
        self._busy = asyncio.Lock()

    @property
    def known(self) -> bool:
        """Whether it is known what of ours the device holds; nothing is written before."""
        return self._known.is_set()

    async def wait_known(self) -> None:
        await self._known.wait()

    def forget(self) -> None:
        """Find out anew what the device holds, before anything else."""
        self._known.clear()
        self._wake.set()

    def wake(self) -> None:
        """There may be work."""
        self._wake.set()

    async def serve(self) -> None:
        """Do what is to be done as soon as it can be, until cancelled."""
        while True:
            epoch = self._desk.leases.epoch
            try:
                if not self.known:
                    await self.link.wait_up()
                    await self._contact()
                self._wake.clear()
                async with self._busy:
                    worked = await self._work()
                if not worked:
                    await self._wake.wait()
            except Fenced:
                await self._desk.fenced(epoch)
            except StoreError as error:
                self._desk.store_failed(error)
                await asyncio.sleep(PAUSE_S)
            except DriverError as error:
                log.info("%s: %s", self.device.id, error)
                await asyncio.sleep(PAUSE_S)

    async def _contact(self) -> None:
        desk = self._desk
        found = await reconcile_device(
            self.device,
            self.link,
            leases=desk.leases,
            audit=desk.audit,
            clock=desk.clock,
            clear_unknown=desk.controls,
        )
        if found.kept:  # under this run's epoch, or the guard would think they are a dead run's
            await desk.leases.take_many(found.kept.values())
        self._adopt(found)
        self._known.set()
        desk.settled(self.holdings)

    def _adopt(self, found: Found) -> None:
        now = self._desk.clock.now()
        for holding in self.holdings:
            lease = holding.lease = found.kept.get(holding.point.id) or found.stuck.get(holding.point.id)
            if lease is not None:
                holding.written(lease.value, now, None)
                holding.requests.setdefault(Source.RULES, _inherited(lease))
                holding.decided_until = None
            back = found.backs.get(holding.point.id)
            if back is not None:
                holding.absorb(back, now)

    async def _work(self) -> bool:
        """One round of all that is due, people's wishes first; whether there was anything."""
        now = self._desk.clock.now()
        due: dict[Work, list[Holding]] = {work: [] for work in Work}
        for holding in sorted(self.holdings, key=_urgency):
            work = holding.work(now)
            if work is not None:
                due[work].append(holding)
        if due[Work.GIVE]:
            await self._give(due[Work.GIVE])
        if due[Work.WRITE]:
            await self._write(due[Work.WRITE])
        if due[Work.LOOK]:
            await self._look(due[Work.LOOK])
        touched = [holding for some in due.values() for holding in some]
        self._desk.settled(touched)
        return bool(touched)

    async def _write(self, holdings: Sequence[Holding]) -> None:
        desk, now = self._desk, self._desk.clock.now()
        orders = [_Order(h, record.command(h, now + desk.lease)) for h in await self._free(holdings)]
        if not orders:
            return
        leases = [record.lease(order.command, order.holding, desk.leases.epoch) for order in orders]
        for order, lease in zip(orders, leases, strict=True):
            order.former, order.holding.lease = order.holding.lease, lease  # before the disk has it: a stop finds it
        intents = [
            Intent(command=o.command, device=self.device.id, decision=record.decision(o.holding)) for o in orders
        ]
        try:
            numbers = await desk.leases.intend(intents, leases)
        except Fenced:
            raise
        except StoreError as error:
            for order in orders:
                order.holding.lease, order.holding.not_before = order.former, now + RETRY
            desk.store_failed(error)
            return
        await self._send(orders)
        await self._check(orders)
        await self._keep(orders, numbers)

    async def _free(self, holdings: Sequence[Holding]) -> list[Holding]:
        """Those whose slot holds nothing of somebody else; a program looks before it takes a point."""
        free = []
        for holding in holdings:
            if holding.ours is None and holding.automatic and not holding.holds:
                await self._look_at(holding)
            if holding.work(self._desk.clock.now()) is Work.WRITE and not holding.foreign:
                free.append(holding)
        return free

    async def _send(self, orders: Sequence["_Order"]) -> None:
        """Write one after the other; the first without an answer ends it, for the rest would have none either."""
        for number, order in enumerate(orders):
            holding, value = order.holding, order.command.value
            if value is None or not self._desk.may_write(holding):
                continue
            now = self._desk.clock.now()
            try:
                self._desk.commands.publish(order.command)
                await self.link.write(holding.point, value, order.command.priority)
            except Rejected as error:
                order.result, order.text = Result.REJECTED, str(error)
                holding.not_before = now + RETRY_REFUSED
            except NotReachable as error:
                order.result, order.text = Result.UNKNOWN, str(error)
                holding.maybe = (holding.ours, value)
                holding.look = True
                for unsent in orders[number:]:
                    unsent.holding.not_before = now + RETRY
                break
            else:
                holding.written(value, self._desk.clock.now(), None if holding.back is None else holding.back.present)
                order.sent = True

    async def _check(self, orders: Sequence["_Order"]) -> None:
        for order in orders:
            holding = order.holding
            if not order.sent:
                continue
            try:
                back = await self.link.read_back(holding.point, holding.slot)
            except DriverError as error:
                order.result, order.text = Result.UNKNOWN, str(error)
                holding.look, holding.not_before = True, self._desk.clock.now() + RETRY
                continue
            order.result = judge(holding.point, order.command.value, back, holding.slot)
            if back.array is not None and back.slot is not None:
                holding.kept = back.slot
            holding.absorb(back, self._desk.clock.now())
            if order.result is Result.REJECTED:  # acknowledged, and yet not there
                holding.not_before = self._desk.clock.now() + RETRY_REFUSED

    async def _keep(self, orders: Sequence["_Order"], numbers: Sequence[int]) -> None:
        """Bring the results to disk; leases that nothing in the device answers for are put back or dropped."""
        desk, now = self._desk, self._desk.clock.now()
        results: dict[int, str] = {}
        entries: list[AuditEntry] = []
        drop: list[_Order] = []
        former: list[Lease] = []
        for order, number in zip(orders, numbers, strict=True):
            holding, result = order.holding, order.result
            results[number] = NOT_SENT if result is None else result.value
            if not order.sent and result is not Result.UNKNOWN:
                holding.lease = order.former
                if order.former is None:
                    drop.append(order)
                else:
                    former.append(order.former)
            if result is not None:
                holding.result, holding.trouble = result, order.text
                value = order.command.value
                entries.append(record.written(holding, now, old=order.old, new=value, result=result))
                desk.outcomes.publish(record.outcome(holding, now, value=value, result=result))
        await desk.leases.answer(results, drop=[order.holding.point.id for order in drop])
        if former:
            await desk.leases.take_many(former)
        await desk.audit.record(*entries)

    async def give(self, reason: str) -> None:
        """Hand back all that is held here, after the round in progress. Works whether or not the line is served."""
        async with self._busy:
            holdings = [holding for holding in self.holdings if holding.holds]
            if holdings:
                await self._give(holdings, reason)

    async def _give(self, holdings: Sequence[Holding], reason: str = "") -> None:
        left, entries = await self._withdraw(holdings, reason)
        gone = [h.point.id for h in holdings if h.point.id not in left]
        try:
            if gone:
                await self._desk.leases.drop(*gone)
            await self._desk.audit.record(*entries)
        except Fenced:
            raise
        except StoreError as error:  # the device is free, which matters more
            self._desk.store_failed(error)

    async def _withdraw(self, holdings: Sequence[Holding], reason: str) -> tuple[list[str], list[AuditEntry]]:
        desk = self._desk
        failed: dict[str, tuple[Result, str]] = {}
        silent = ""
        for holding in holdings:
            if silent:
                failed[holding.point.id] = Result.UNKNOWN, silent
                continue
            desk.commands.publish(replace(record.command(holding, desk.clock.now()), value=None))
            try:
                await hand_back(self.link, holding.point, holding.slot)
            except Rejected as error:
                failed[holding.point.id] = Result.REJECTED, str(error)
            except NotReachable as error:
                silent = str(error)
                failed[holding.point.id] = Result.UNKNOWN, silent
        entries = []
        for holding in holdings:
            old = holding.ours
            result, text = failed.get(holding.point.id) or await self._look_given(holding)
            if result is not Result.APPLIED:
                failed[holding.point.id] = result, text
                holding.not_before = desk.clock.now() + (RETRY if result is Result.UNKNOWN else RETRY_REFUSED)
            holding.result, holding.trouble = result, text
            now = desk.clock.now()
            entries.append(record.written(holding, now, old=old, new=None, result=result, why=reason))
            desk.outcomes.publish(record.outcome(holding, now, value=None, result=result, why=reason))
        return list(failed), entries

    async def _look_given(self, holding: Holding) -> tuple[Result, str]:
        try:
            back = await self.link.read_back(holding.point, holding.slot)
        except DriverError as error:
            return Result.UNKNOWN, str(error)
        result = judge(holding.point, None, back, holding.slot)
        if result is Result.APPLIED:
            holding.given()
            holding.lease = None
            holding.absorb(back, self._desk.clock.now())
            return result, ""
        return result, f"{holding.point.id}: acknowledged, but {back.slot:g} is still in our slot"

    async def _look(self, holdings: Sequence[Holding]) -> None:
        for holding in holdings:
            await self._look_at(holding)

    async def _look_at(self, holding: Holding) -> None:
        desk = self._desk
        try:
            back = await self.link.read_back(holding.point, holding.slot)
        except DriverError as error:
            holding.result, holding.look = Result.UNKNOWN, True
            holding.not_before = desk.clock.now() + RETRY
            holding.trouble = str(error)
            return
        now = desk.clock.now()
        had = holding.ours
        news = holding.absorb(back, now)
        if news is News.SAME:
            return
        words = record.WORDS[news]
        log.log(logging.WARNING if news is News.FOREIGN else logging.INFO, "%s: %s", holding.point.id, words)
        if news is News.FOREIGN:
            holding.lease = None
            await desk.leases.drop(holding.point.id)
        result = holding.result or Result.UNKNOWN
        desk.outcomes.publish(record.outcome(holding, now, value=had, result=result, why=words))
        await desk.audit.record(record.seen(holding, now, old=had, news=news))


@dataclass(slots=True, eq=False)
class _Order:
    """One write on its way."""

    holding: Holding
    command: Command
    old: float | None = None
    former: Lease | None = None
    sent: bool = False
    result: Result | None = None
    text: str = ""

    def __post_init__(self) -> None:
        self.old = self.holding.ours


def _inherited(lease: Lease) -> Request:
    """Let a lease of an earlier run stand until somebody asks for something else, at most until its end."""
    return Request(
        source=Source.RULES,
        point=lease.point,
        value=lease.value,
        expires=lease.expires,
        reason="held since before the restart",
        decision=lease.decision,
        scheduled=True,
    )


def _urgency(holding: Holding) -> int:
    return len(Source) if holding.source is None else holding.source.rank

"""One device's queue: first contact, then whatever is due. A dead device stops only this."""

import asyncio
import logging
from collections.abc import Sequence

from config.site import Device
from controller.arbiter import Request, Source
from controller.holding import Holding, Work
from controller.leases import Fenced
from controller.reconcile import Found, reconcile_device
from controller.store.base import Lease, StoreError
from controller.supervisor import Link
from controller.wear import Wear, wears
from controller.wire import Desk, Wire
from drivers.base import DriverError

log = logging.getLogger(__name__)

PAUSE_S = 5.0  # after a failure of device or disk


class Line:
    """The queue of one device and the one task that serves it."""

    def __init__(self, device: Device, link: Link, holdings: Sequence[Holding], desk: Desk) -> None:
        self.device, self.link, self.holdings = device, link, holdings
        self._desk, self._wire = desk, Wire(device, link, desk)
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
                    await self._desk.alone.wait()
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
        worn = await desk.leases.worn()
        for holding in self.holdings:
            wearing = wears(holding.point, self.link.can, holding.back)
            holding.wear = worn.get(holding.point.id, Wear()) if wearing else None
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
            await self._wire.give(due[Work.GIVE])
        if due[Work.WRITE]:
            await self._wire.write(due[Work.WRITE])
        for holding in due[Work.LOOK][:1]:  # one at a time: a command that comes meanwhile goes first
            await self._wire.look(holding)
        touched = [*due[Work.GIVE], *due[Work.WRITE], *due[Work.LOOK][:1]]
        self._desk.settled(touched)
        return bool(touched)

    async def give(self, reason: str) -> None:
        """Hand back all that is held here, after the round in progress. Works whether or not the line is served."""
        async with self._busy:
            holdings = [holding for holding in self.holdings if holding.holds]
            if holdings:
                await self._wire.give(holdings, reason)


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

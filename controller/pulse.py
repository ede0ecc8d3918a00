"""The heartbeat to the building: a counter on a point that its own controls watch, and other supervisors too."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from controller import record
from controller.arbiter import Source
from controller.holding import Holding
from controller.leases import Fenced
from controller.line import Line
from controller.rival import Rival
from controller.store.base import Lease, StoreError
from controller.supervisor import next_tick
from controller.wire import Leases
from drivers.base import DriverError
from drivers.clock import Clock

log = logging.getLogger(__name__)

BEAT = timedelta(minutes=1)
MODULUS = 65536
CLAIM_S = 5.0  # after the first beat: of two supervisors that began together one finds the other's here
CONTACT_S = 15.0  # for the device of the heartbeat to answer
LOOK_S = 10.0  # between looks while another one may be alive
INSTANCE_FILE = "instance"


def first_beat(directory: Path) -> int:
    """Where this data directory's beats begin to count: chosen once by chance, so that no two supervisors agree."""
    path = directory / INSTANCE_FILE
    try:
        return int(path.read_text(encoding="ascii")) % MODULUS
    except (FileNotFoundError, ValueError):
        number = secrets.randbelow(MODULUS)
        path.write_text(f"{number}\n", encoding="ascii")
        return number


class Pulse:
    """Counts up once a minute while `healthy`; leased like any other slot, and handed back when not `may_beat`.

    Before each beat, and before anything else is written at all (`alone` is set then), it looks whether another
    supervisor beats there, and tells `rival` where, or None.
    """

    def __init__(
        self,
        holdings: Sequence[tuple[Holding, Line]],
        *,
        leases: Leases,
        clock: Clock,
        lease: timedelta,
        may_beat: Callable[[], bool],
        healthy: Callable[[], bool],
        fenced: Callable[[int], Awaitable[None]],
        store_failed: Callable[[StoreError], None],
        alone: asyncio.Event,
        rival: Callable[[str | None], None],
        begin: int = 0,
    ) -> None:
        self._alone, self._rival, self._count = alone, rival, begin
        self._rivals = {holding.point.id: Rival(holding.point) for holding, _ in holdings}
        self._holdings, self._leases, self._clock, self._lease = holdings, leases, clock, lease
        self._healthy = healthy
        self._may_beat, self._fenced, self._store_failed = may_beat, fenced, store_failed

    async def run(self) -> None:
        """Beat until cancelled. A device that cannot be reached now is told at the next beat."""
        await self._find_alone()
        await self._first_contact()
        for n in itertools.count():
            rivals = [holding.point.id for holding, line in self._holdings if await self._disturbed(holding, line)]
            self._rival(", ".join(rivals) or None)
            if n != 1:
                self._count = (self._count + 1) % MODULUS
                for holding, line in self._holdings:
                    if holding.point.id not in rivals:
                        await self._beat_if_well(holding, line)
            await self._clock.sleep_until(
                next_tick(self._clock.now(), BEAT) if n else self._clock.now() + timedelta(seconds=CLAIM_S)
            )

    async def _find_alone(self) -> None:
        """Wait until nobody else is thought to supervise this building, then let everything begin."""
        await self._up()
        table: dict[str, Lease] = {}
        try:
            table |= {lease.point: lease for lease in await self._leases.all()}
        except StoreError as error:  # what we left ourselves is then taken for another's, and waited for
            self._store_failed(error)
        beats = self._lease // BEAT + 2
        while True:
            rivals = []
            for holding, line in self._holdings:
                lease = table.get(holding.point.id)
                left = () if lease is None else [(lease.value + n) % MODULUS for n in range(beats)]
                if line.link.up and await self._foreign(holding, line, left):
                    rivals.append(holding.point.id)
            self._rival(", ".join(rivals) or None)
            if not rivals:
                break
            await asyncio.sleep(LOOK_S)
        self._alone.set()

    async def _disturbed(self, holding: Holding, line: Line) -> bool:
        """Whether another supervisor beats on a point; ours is forgotten then, for the slot is the other's."""
        if not line.known:
            return False
        before = None if holding.ours is None else (holding.ours - 1) % MODULUS  # the newest may not have arrived
        if not await self._foreign(holding, line, (holding.ours, before)):
            return False
        if holding.holds:
            holding.given()
            holding.target = holding.lease = None
            await self._kept(self._leases.drop(holding.point.id))
        return True

    async def _foreign(self, holding: Holding, line: Line, ours: Collection[float | None]) -> bool:
        try:
            back = await line.link.read_back(holding.point, holding.slot)
        except DriverError as error:
            log.debug("%s: %s", holding.point.id, error)
            return False
        slotted = back.array is not None
        found = back.slot if slotted else back.present
        return self._rivals[holding.point.id].beats(found, ours, self._clock.now(), slotted=slotted)

    async def _beat_if_well(self, holding: Holding, line: Line) -> None:
        if not (line.known and self._may_beat() and self._healthy()) or holding.wear is not None:
            return  # a memory that wears would not live long
        try:
            await self._kept(self._beat(holding, line, float(self._count)))
        except DriverError as error:
            log.debug("%s: %s", holding.point.id, error)

    async def _kept(self, work: Awaitable[None]) -> None:
        epoch = self._leases.epoch
        try:
            await work
        except Fenced:
            await self._fenced(epoch)
        except StoreError as error:
            self._store_failed(error)

    async def _up(self) -> None:
        """Wait for the devices of the heartbeat, not for ever."""
        try:
            async with asyncio.timeout(CONTACT_S):
                for _, line in self._holdings:
                    await line.link.wait_up()
        except TimeoutError:
            log.warning("nothing is heard of the heartbeat point: whether another supervisor beats is not known")

    async def _first_contact(self) -> None:
        """Wait for the lines, so that the first beat is not put off; not for ever."""
        try:
            async with asyncio.timeout(BEAT.total_seconds()):
                for _, line in self._holdings:
                    await line.wait_known()
        except TimeoutError:
            log.debug("the heartbeat begins without some device")

    def settle(self) -> None:
        """Have the slots handed back if we may not beat any more."""
        if self._may_beat():
            return
        for holding, line in self._holdings:
            holding.target = None
            line.wake()

    async def _beat(self, holding: Holding, line: Line, count: float) -> None:
        now = self._clock.now()
        if holding.lease is None or holding.lease.expires - now <= self._lease / 3 + BEAT:
            order = record.command(holding, now + self._lease)
            order = replace(order, value=count, reason="heartbeat", source=Source.RULES.value)
            holding.lease = record.lease(order, holding, self._leases.epoch)  # before the disk has it: a stop finds it
            await self._leases.take_many([holding.lease])
        if self._may_beat():
            holding.target = holding.ours = count
            await line.link.write(holding.point, count, holding.slot)

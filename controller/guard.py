"""A process of its own that hands the building back when the service no longer beats.

`python -m controller.guard --data DIR --site site.yaml`. It knows the lease table and the drivers, nothing else. It
goes by its own monotonic clock and an unchanged counter, so a jump of the wall clock cannot trip it. It fences the
service off before it withdraws anything, so one that was only stopped looks at everything anew before it writes.
"""

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from config.load import SiteErrors, load_site
from config.site import Device, Site
from controller.audit import record_now
from controller.leases import forget_leases, raise_epoch, read_leases
from controller.outcome import Result, judge
from controller.reconcile import hand_back
from controller.store.base import AuditEntry, Lease, StoreError
from drivers.base import Driver, DriverError, NotReachable, Rejected, priority
from drivers.clock import Clock
from drivers.registry import Shared, driver_class, make_driver

log = logging.getLogger(__name__)

HEARTBEAT_FILE = "heartbeat"
BEAT = timedelta(seconds=5)
STALE = timedelta(seconds=60)
TICK = timedelta(seconds=1)
RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)


class Heartbeat:
    """The service's half: a counter in a file of its data directory, to be raised every 5 s while all is well."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / HEARTBEAT_FILE
        self._count = 0

    def beat(self) -> None:
        """Raise the counter. Raises OSError if the disk refuses."""
        self._count += 1
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"{os.getpid()} {self._count}\n", encoding="ascii")
        fresh.replace(self._path)


class Staleness:
    """Judges by what is seen: how long the counter has stood still, in time that the guard itself was awake."""

    def __init__(self, limit: timedelta, tick: timedelta = TICK) -> None:
        self._limit_s, self._most_s = limit.total_seconds(), 2 * tick.total_seconds()
        self._mark: str | None = None
        self._looked_s: float | None = None
        self._quiet_s = 0.0

    def look(self, mark: str | None, now_s: float) -> bool:
        """Take one look, at least every tick; True once the counter has not moved for the limit.

        `now_s` is monotonic. Of a gap between two looks only two ticks count, so a machine that was suspended, or a
        guard that was stopped together with the service, gives the service its time anew.
        """
        if mark != self._mark or self._looked_s is None:
            self._quiet_s = 0.0
        else:
            self._quiet_s += min(now_s - self._looked_s, self._most_s)
        self._mark, self._looked_s = mark, now_s
        return self._quiet_s >= self._limit_s

    def restart(self) -> None:
        """Give the service its time anew."""
        self._quiet_s = 0.0


class Table(Protocol):
    """What the guard needs of the data directory. Everything raises StoreError if the disk refuses."""

    def mark(self) -> str | None:
        """Return the service's counter, None if there is none."""
        ...

    def leases(self) -> Sequence[Lease]:
        """Return every lease."""
        ...

    def raise_epoch(self) -> int:
        """Fence the service off; returns the new epoch, which is greater than that of any lease."""
        ...

    def forget(self, *points: str) -> None:
        """Forget leases."""
        ...

    def record(self, *entries: AuditEntry) -> None:
        """Add to the audit."""
        ...


class Files:
    """The data directory of a service, dead or alive."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def mark(self) -> str | None:
        try:
            return (self._directory / HEARTBEAT_FILE).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{self._directory / HEARTBEAT_FILE}: {error}") from error

    def leases(self) -> Sequence[Lease]:
        return read_leases(self._directory)

    def raise_epoch(self) -> int:
        return raise_epoch(self._directory)

    def forget(self, *points: str) -> None:
        forget_leases(self._directory, points)

    def record(self, *entries: AuditEntry) -> None:
        record_now(self._directory, *entries)


class Guard:
    """Watches the counter, takes over when it stands still, and steps back when it moves again."""

    def __init__(
        self,
        site: Site,
        table: Table,
        open_driver: Callable[[Device], Driver],
        *,
        clock: Clock,
        stale: timedelta = STALE,
    ) -> None:
        self._devices = {device.id: device for device in site.devices}
        self._table, self._open, self._clock = table, open_driver, clock
        self._stale = stale
        self._staleness = Staleness(stale)
        self._seen: str | None = None
        self._blind = False  # the lease table could not be read at the last try

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            if self._staleness.look(self._mark(), asyncio.get_running_loop().time()):
                await self._take_over()
                self._staleness.restart()
            await asyncio.sleep(TICK.total_seconds())

    def _mark(self) -> str | None:
        try:
            self._seen = self._table.mark()
        except StoreError as error:  # a counter that cannot be read stands still
            log.debug("%s", error)
        return self._seen

    async def _take_over(self) -> None:
        """Withdraw every lease of the service, again and again until none is left or the service is back."""
        epoch: int | None = None
        mark = self._seen
        attempt = 0
        while self._mark() == mark:
            leases = self._old(epoch)
            if leases is not None:
                if not leases:
                    if attempt:
                        log.warning("everything is handed back")
                    return
                if not attempt:
                    log.error("no sign of the service for %.0f s: handing back", self._stale.total_seconds())
                epoch = epoch or self._fence()
                await self._withdraw(leases, epoch, mark)
            await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1
        log.warning("the service is back")

    def _old(self, epoch: int | None) -> Sequence[Lease] | None:
        """Return the leases that no newer run has taken; None if the table cannot be read now."""
        try:
            found = self._table.leases()
        except StoreError as error:
            if not self._blind:
                log.warning("the lease table cannot be read: %s", error)
            self._blind = True
            return None
        self._blind = False
        return [lease for lease in found if epoch is None or lease.epoch < epoch]

    def _fence(self) -> int | None:
        try:
            return self._table.raise_epoch()
        except StoreError as error:  # handing back matters more; tried again in the next round
            log.warning("the service cannot be fenced off yet: %s", error)
            return None

    async def _withdraw(self, leases: Sequence[Lease], epoch: int | None, mark: str | None) -> None:
        by_device: dict[str, list[Lease]] = {}
        for lease in leases:
            by_device.setdefault(lease.device, []).append(lease)
        async with asyncio.TaskGroup() as tasks:
            for name, some in by_device.items():
                if name in self._devices:
                    tasks.create_task(self._free(self._devices[name], some, epoch, mark), name=f"guard:{name}")
                else:
                    log.error("%s is not in the site file: withdraw by hand what is leased on it", name)

    async def _free(self, device: Device, leases: Sequence[Lease], epoch: int | None, mark: str | None) -> None:
        """Hand back what is leased on one device, and read it."""
        gone: list[str] = []
        entries: list[AuditEntry] = []
        try:
            async with self._open(device) as driver:
                for lease in leases:
                    if self._mark() != mark or not self._still(lease, epoch):
                        break
                    result = await self._free_one(driver, lease)
                    log.info("%s: handed back: %s", lease.point, result)
                    entries.append(self._entry(lease, result))
                    if result is Result.APPLIED:
                        gone.append(lease.point)
        except NotReachable as error:
            log.warning("%s: not handed back yet: %s", device.id, error)
        except DriverError as error:
            log.warning("%s: %s", device.id, error)
        try:
            if gone:
                self._table.forget(*gone)
            self._table.record(*entries)
        except StoreError as error:
            log.warning("what was handed back on %s could not be recorded: %s", device.id, error)

    def _still(self, lease: Lease, epoch: int | None) -> bool:
        """Whether the lease is still the dead run's; when in doubt, yes."""
        leases = self._old(epoch)
        return leases is None or any(found.point == lease.point for found in leases)

    async def _free_one(self, driver: Driver, lease: Lease) -> Result:
        point = driver.points.get(lease.point)
        if point is None:
            log.error("%s is not in the site file: withdraw it by hand", lease.point)
            return Result.UNKNOWN
        slot = priority(lease.priority)
        try:
            await hand_back(driver, point, slot)
            return judge(point, None, await driver.read_back(point, slot), slot)
        except Rejected as error:
            log.warning("%s: %s", lease.point, error)
            return Result.REJECTED

    def _entry(self, lease: Lease, result: Result) -> AuditEntry:
        return AuditEntry(
            time=self._clock.now(),
            actor="guard",
            action="relinquish",
            subject=lease.point,
            old=f"{lease.value:g}",
            new="",
            reason="no sign of the service",
            result=result.value,
        )


def own_way(device: Device, *, bind_port: int = 0) -> Device:
    """Return the device as the guard reaches it: over its own UDP port (0 = any), as an MQTT client of its own."""
    known = driver_class(device.driver).Options.model_fields
    options = dict(device.options)
    if "bind" in known:
        host = str(options.get("bind", known["bind"].default)).rsplit(":", 1)[0]
        options["bind"] = f"{host}:{bind_port}"
    for name in ("identifier", "will", "cov"):  # the service's own name, last words and subscriptions
        if name in known:
            options.pop(name, None)
    return device.model_copy(update={"options": options})


@asynccontextmanager
async def _until_told() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGTERM and SIGINT set."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def serve(site: Site, directory: Path, *, stale: timedelta, bind_port: int) -> None:
    """Guard a data directory in real time until SIGTERM or SIGINT."""
    clock = Clock.real()
    async with Shared() as shared, _until_told() as told, asyncio.TaskGroup() as tasks:
        guard = Guard(
            site,
            Files(directory),
            lambda device: make_driver(own_way(device, bind_port=bind_port), clock=clock, shared=shared),
            clock=clock,
            stale=stale,
        )
        watching = tasks.create_task(guard.run(), name="guard")
        log.info("guarding %s: hands back after %.0f s without a beat", directory, stale.total_seconds())
        await told.wait()
        watching.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the guard; 0 when told to stop, 2 when the site file is wrong."""
    parser = argparse.ArgumentParser(prog="plenum-guard", description="Hands the building back when the service dies.")
    parser.add_argument("--data", type=Path, required=True, help="data directory of the service")
    parser.add_argument("--site", type=Path, required=True, help="site file")
    parser.add_argument("--stale", type=float, default=STALE.total_seconds(), help="seconds without a beat (60)")
    parser.add_argument("--bind-port", type=int, default=0, help="own UDP port for BACnet (0 = any free one)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s guard %(levelname)s %(message)s")
    try:
        site = load_site(options.site)
    except SiteErrors as error:
        log.error("%s", error)  # noqa: TRY400  the text is for people, the traceback tells them nothing
        return 2
    asyncio.run(serve(site, options.data, stale=timedelta(seconds=options.stale), bind_port=options.bind_port))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

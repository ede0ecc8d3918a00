"""What the tests of control share: a driver straight onto a simulated field, and tables kept in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from config.site import Device, Point, Site
from controller.leases import Fenced, Intent, Unresolved
from controller.store.base import AuditEntry, Lease
from controller.wear import Wear
from drivers.base import Can, Driver, NotReachable, Priority, Quality, ReadBack, Reading, Rejected
from drivers.clock import Clock
from site_sims.field import Field, FieldDevice, FieldObject, NotWritable, OutOfRange

ZONE = {
    "id": "hall",
    "area_m2": 100,
    "comfort": {"occupied": {"low": 20, "high": 23.5}, "unoccupied": {"low": 12, "high": 26}},
}


def small_site(points: Mapping[str, Sequence[Mapping[str, object]]], **more: object) -> Site:
    """One hall; devices by id, each with its points."""
    fields = {
        "id": "b",
        "name": "B",
        "timezone": "Europe/London",
        "location": {"latitude": 52, "longitude": -2},
        "control": {"mode": "control"},
        "buildings": [
            {
                "id": "b",
                "name": "B",
                "floor_area_m2": 100,
                "zones": [ZONE],
                "plant": [
                    {"id": "boiler", "kind": "boiler", "heat_kw": 50},
                    {"id": "ahu", "kind": "air_handler", "airflow_m3_per_s": 1, "fan_kw": 1},
                ],
            }
        ],
        "devices": [{"id": name, "driver": "bacnet", "points": list(found)} for name, found in points.items()],
    }
    return Site.model_validate(fields | more)


def field_of(site: Site) -> Field:
    """The simulated devices of a site: each point an object whose key is the point's id."""
    devices = []
    for device in site.devices:
        objects = {
            p.id: FieldObject(
                key=p.id, address=p.address, commandable=p.writable, default=20.0 if p.unit == "degC" else 0.0
            )
            for p in device.points
        }
        devices.append(FieldDevice(id=device.id, protocol="bacnet", objects=objects))
    return Field(devices)


class FieldDriver(Driver):
    """A driver onto a FieldDevice. `delay_s` is what each request takes; `asked` is what was asked, in order."""

    can = Can.READ | Can.WRITE | Can.RELINQUISH

    def __init__(self, device: Device, box: FieldDevice, clock: Clock, *, asked: list[str] | None = None) -> None:
        super().__init__(device.points)
        self.box, self.clock = box, clock
        self.asked = [] if asked is None else asked
        self.delay_s = 0.0
        self.back_delay_s = 0.0  # a device that is slow to report what it did
        self.has_arrays = True
        self.pushed: asyncio.Queue[Reading] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        await self._answer("open")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.asked.append("close")

    async def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if not self.box.reachable:
            raise NotReachable(f"{self.box.id}: no answer")

    async def read(self, points: Sequence[Point]) -> list[Reading]:
        await self._answer("read")
        now = self.clock.now()
        return [
            Reading(point=p.id, time=now, received=now, value=self.box.objects[p.id].value, quality=Quality.GOOD)
            for p in points
        ]

    async def changes(self) -> AsyncIterator[Reading]:
        while True:
            yield await self.pushed.get()

    async def write(self, point: Point, value: float, priority: Priority) -> None:
        await self._answer(f"write {point.id.split('.')[1]} {value:g}")
        self._put(point, value, priority)

    async def relinquish(self, point: Point, priority: Priority) -> None:
        await self._answer(f"relinquish {point.id.split('.')[1]}")
        self._put(point, None, priority)

    def _put(self, point: Point, value: float | None, priority: Priority) -> None:
        try:
            self.box.objects[point.id].write(value, priority)
        except (NotWritable, OutOfRange) as err:
            raise Rejected(str(err)) from err

    async def read_back(self, point: Point, priority: Priority) -> ReadBack:
        await self._answer(f"back {point.id.split('.')[1]}")
        await asyncio.sleep(self.back_delay_s)
        obj = self.box.objects[point.id]
        if not self.has_arrays:
            return ReadBack(present=obj.value, slot=None)
        return ReadBack(present=obj.value, slot=obj.array[priority - 1], array=tuple(obj.array), default=obj.default)


@dataclass
class MemoryLeases:
    """The lease table of a service that cannot die, and of a guard that looks into it."""

    clock: Clock
    epoch: int = 0
    disk_epoch: int = 0
    rows: dict[str, Lease] = field(default_factory=dict)
    commands: dict[int, tuple[Intent, str | None]] = field(default_factory=dict)
    wear: dict[str, Wear] = field(default_factory=dict)
    commits: int = 0
    fail: Exception | None = None

    async def begin(self) -> int:
        self.disk_epoch += 1
        self.epoch = self.disk_epoch
        return self.epoch

    async def check(self) -> None:
        if self.fail is not None:
            raise self.fail
        if self.epoch != self.disk_epoch:
            raise Fenced(f"epoch {self.disk_epoch} has taken over from {self.epoch}")

    async def take_many(self, leases: Iterable[Lease]) -> None:
        await self.check()
        self.commits += 1
        self.rows.update({lease.point: replace(lease, epoch=self.epoch) for lease in leases})

    async def renew(self, expires: datetime, *points: str) -> None:
        await self.check()
        self.commits += 1
        for point in points:
            if point in self.rows:
                self.rows[point] = replace(self.rows[point], expires=expires, epoch=self.epoch)

    async def drop(self, *points: str, wear: Mapping[str, Wear] | None = None) -> None:
        await self.check()
        self.commits += 1
        self.wear.update(wear or {})
        for point in points:
            self.rows.pop(point, None)

    async def all(self) -> tuple[Lease, ...]:
        return tuple(self.rows[point] for point in sorted(self.rows))

    async def worn(self) -> Mapping[str, Wear]:
        return self.wear

    async def intend(
        self, intents: Sequence[Intent], leases: Iterable[Lease] = (), wear: Mapping[str, Wear] | None = None
    ) -> tuple[int, ...]:
        await self.take_many(leases)
        self.wear.update(wear or {})
        numbers = tuple(range(len(self.commands), len(self.commands) + len(intents)))
        self.commands.update({n: (intent, None) for n, intent in zip(numbers, intents, strict=True)})
        return numbers

    async def answer(self, results: Mapping[int, str], drop: Iterable[str] = ()) -> None:
        await self.drop(*drop)
        for number, result in results.items():
            self.commands[number] = (self.commands[number][0], result)

    async def unresolved(self) -> tuple[Unresolved, ...]:
        now = self.clock.now()
        return tuple(
            Unresolved(id=n, time=now, intent=intent, epoch=self.epoch)
            for n, (intent, result) in self.commands.items()
            if result is None
        )


@dataclass
class MemoryAudit:
    entries: list[AuditEntry] = field(default_factory=list)

    async def record(self, *entries: AuditEntry) -> None:
        self.entries.extend(entries)

    def lines(self) -> list[str]:
        return [f"{e.action} {e.subject.split('.')[1]} {e.old}->{e.new} {e.result}" for e in self.entries]

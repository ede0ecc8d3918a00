"""An example under the whole program, with somebody who notes down every write and checks it."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from config.calendar import occupied
from config.roles import Role
from config.site import Device, Site
from config.units import Unit
from controller.history import History
from controller.hub import Buffer
from controller.learned import Learned, load
from controller.planner import Solver
from controller.service import Service
from drivers.base import Reading
from drivers.clock import Clock
from optimiser.problem import Plan
from site_sims.broker import Broker
from site_sims.building import SimulatedBuilding, key_of
from site_sims.field import FieldObject
from site_sims.learning import history_of, observe
from site_sims.live import controlled
from site_sims.prelude import model_file
from site_sims.score import Scorer
from tests.school import school_site
from tests.town_hall import town_hall_site

WARM_UP = timedelta(days=2)
PACE, SETTLES = timedelta(minutes=14), timedelta(minutes=10)  # of rates, and of machines
PORTS = {
    "4781": "4791",
    "4780": "4790",
    "4782": "4792",
}  # our own, so that the example may be simulated beside the tests
MQTT_PORT = 47983
OURS = range(9, 15)


@cache
def house_site(name: str = "townhall") -> Site:
    """An example's site on other ports."""
    site = {"townhall": town_hall_site, "school": school_site}[name]()
    return site.model_copy(update={"devices": tuple(_elsewhere(device) for device in site.devices)})


def _elsewhere(device: Device) -> Device:
    options = dict(device.options)
    for key in ("address", "bind"):
        for old, new in PORTS.items():
            options |= {key: options[key].replace(f":{old}", f":{new}")} if key in options else {}
    options |= {"port": MQTT_PORT} if "port" in options else {}
    return device.model_copy(update={"options": options})


@cache
def _morning(start: datetime, seed: int, name: str) -> tuple[dict[str, Any], History]:
    """Two days under the building's own control, up to `start`."""
    site = house_site(name)
    building = SimulatedBuilding(site, seed=seed, start=start - WARM_UP)
    history = history_of(site)
    observe(building, history, start, lambda: None)
    return building.snapshot(), history


def morning(start: datetime, *, seed: int = 1, name: str = "townhall") -> SimulatedBuilding:
    """The building after two days under its own control."""
    building = SimulatedBuilding(house_site(name), seed=seed, start=start)
    building.restore(_morning(start, seed, name)[0])
    return building


@cache
def _learned(name: str) -> Learned:
    site = house_site(name)
    return load(model_file(site), site)


@dataclass(frozen=True, slots=True)
class Write:
    """What came over the wire to an object."""

    time: datetime
    key: str
    value: float | None  # None = relinquished
    slot: int


@dataclass
class Notary:
    """Notes every write to the field's objects, whoever sends it, and what is wrong with ours (I1, I2)."""

    site: Site
    clock: Clock
    people: Callable[[str], float]  # how many a zone's sensor shows
    writes: list[Write] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _by_hand: bool = False

    def __post_init__(self) -> None:
        self._points = {key_of(point): point for point in self.site.points.values()}
        self._zones = {zone.id: zone for building in self.site.buildings for zone in building.zones}
        self._lately: dict[str, list[tuple[datetime, float]]] = {}

    def note(self, obj: FieldObject, value: float | None, slot: int) -> None:
        now = self.clock.now()
        self.writes.append(Write(now, obj.key, value, slot))
        if slot == 15 or self._by_hand:
            return
        if slot not in OURS:
            self.wrong.append(f"{now:%H:%M:%S} {obj.key}: slot {slot} is not ours")
        if value is None:
            self._lately.pop(obj.key, None)
        elif obj.key != "bms.heartbeat":
            self.wrong += [f"{now:%H:%M:%S} {obj.key} = {value}: {text}" for text in self._faults(obj, value, now)]

    def _faults(self, obj: FieldObject, value: float, now: datetime) -> Iterator[str]:
        point = self._points[obj.key]
        low, high = point.low, point.high
        assert low is not None
        assert high is not None
        if not (math.isfinite(value) and low <= value <= high):
            yield f"outside {low} to {high}"
        if point.unit is Unit.BINARY and value not in (0.0, 1.0):
            yield "neither 0 nor 1"
        if point.role is Role.HEATING_SETPOINT:
            expected = occupied(self._zones[point.part], now, self.site.timezone, self.site.calendar)
            floor = 18.0 if expected else 16.0 if self.people(point.part) > 0 else 12.0
            if value < floor - 1e-4:
                yield f"below {floor} with people expected: {expected}"
        before = self._lately.setdefault(obj.key, [])
        window = SETTLES if point.unit is Unit.BINARY else PACE
        while len(before) > 1 and before[1][0] <= now - window:
            before.pop(0)
        if point.unit is Unit.BINARY and any(when > now - window and old != value for when, old in before):
            yield f"switched again after less than {window}"
        step = point.max_change_per_step
        if step is not None and any(abs(old - value) > step + 1e-4 for _, old in before):
            yield f"jumps by more than {step} from {[old for _, old in before]}"
        before.append((now, value))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what happens during the block."""
        write = FieldObject.write

        def noted(obj: FieldObject, value: float | None, priority: int = 16) -> None:
            self.note(obj, value, priority)
            write(obj, value, priority)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FieldObject, "write", noted)
            yield

    def operate(self, obj: FieldObject, value: float | None, slot: int = 8) -> None:
        """A person's own hand at the panel."""
        self._by_hand = True
        obj.write(value, slot)
        self._by_hand = False

    def ours(self, key: str, since: datetime | None = None) -> list[Write]:
        """Our writes to an object, in order."""
        return [w for w in self.writes if w.key == key and w.slot in OURS and (since is None or w.time >= since)]


class Sum:
    """A fingerprint of everything read, commanded and planned, in order."""

    def __init__(self, service: Service) -> None:
        self._hubs, self._hash = service.hubs, hashlib.sha256()
        self.counts = {"readings": 0, "commands": 0, "plans": 0}
        self._buffers: dict[str, Buffer[Any]] = {}

    def __enter__(self) -> Self:
        self._open = [
            (name, hub.subscribe(size=1_000_000))
            for name, hub in (
                ("readings", self._hubs.readings),
                ("commands", self._hubs.commands),
                ("plans", self._hubs.plans),
            )
        ]
        self._buffers = {name: subscription.__enter__() for name, subscription in self._open}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, subscription in self._open:
            subscription.__exit__(kind, error, trace)

    def add(self) -> None:
        """Take in what was said since the last time."""
        for name, buffer in self._buffers.items():
            for item in buffer.take():
                self.counts[name] += 1
                same = replace(item, solve_s=0.0) if isinstance(item, Plan) else item
                text = (
                    f"{item.point} {item.time} {item.received} {item.value!r} {item.quality} {item.flags}"
                    if isinstance(item, Reading)
                    else repr(same)
                )
                self._hash.update(text.encode())

    def digest(self) -> str:
        self.add()
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A controlled building and its observers."""

    building: SimulatedBuilding
    clock: Clock
    service: Service
    notary: Notary
    scorer: Scorer | None  # None if it began between half-hours
    broker: Broker | None  # on real packets

    def __getitem__(self, key: str) -> FieldObject:
        return self.building.field[key]

    async def until(self, when: str) -> None:
        """Live on until a UTC time of today, such as 07:30."""
        hour, minute = when.split(":")
        due = self.clock.now().replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
        assert due >= self.clock.now(), f"{when} has passed"
        await self.clock.sleep_until(due)

    @property
    def level(self) -> str:
        """The site's level, by the name people know."""
        return self.service.ladder.level.label

    def below_kh(self) -> float:
        """K h below the band while people were expected, of all zones."""
        assert self.scorer is not None
        return sum(below for below, _ in self.scorer.discomfort_by_zone.values())

    def occupied_slots(self) -> list[str]:
        """Objects in which something of ours stands, the heartbeat's among them."""
        return [
            obj.key
            for obj in self.building.field
            if obj.commandable and any(obj.array[slot - 1] is not None for slot in OURS)
        ]


@contextmanager
def _caught(brokers: list[Broker]) -> Iterator[None]:
    """Remember the brokers that are started, so that a test can stop them."""
    start = Broker.start

    async def noted(broker: Broker) -> None:
        await start(broker)
        if broker not in brokers:
            brokers.append(broker)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Broker, "start", noted)
        yield


@asynccontextmanager
async def house(
    directory: Path,
    start: datetime,
    *,
    clock: Clock | None = None,
    building: SimulatedBuilding | None = None,
    seed: int = 1,
    wire: bool = False,
    solver: Solver | None = None,
    optimise: bool = True,
    name: str = "townhall",
) -> AsyncIterator[House]:
    """Let an example live under the service; at the end I1, I2 and I4 have been checked.

    `building` goes on with one that has lived already.
    """
    site = house_site(name)
    clock = clock or Clock(start - timedelta(seconds=asyncio.get_running_loop().time()))
    _, history = _morning(start, seed, name)
    alive = building = building or morning(start, seed=seed, name=name)
    notary = Notary(site, clock, lambda zone: alive.field[f"{zone}.people"].sensed)
    brokers: list[Broker] = []
    with notary.watching(), _caught(brokers):
        async with controlled(
            site,
            building,
            clock,
            directory=directory,
            learned=_learned(name),
            history=history.copy(),
            wire=wire,
            seed=seed,
            solver=solver,
            optimise=optimise,
        ) as service:
            scorer = Scorer(building) if building.minute % 30 == 0 else None
            made = House(
                building=building,
                clock=clock,
                service=service,
                notary=notary,
                scorer=scorer,
                broker=brokers[0] if brokers else None,
            )
            yield made
            if scorer is not None:
                scorer.close()
    assert notary.wrong == []

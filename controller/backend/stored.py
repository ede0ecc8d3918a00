"""What the store holds of a point, for pages and programs."""

import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta

import numpy as np

from config.localtime import utc
from config.roles import Role
from config.site import Point
from config.units import Unit
from controller.naming import Names
from controller.service import Service
from controller.store.base import Window
from controller.web.samples import HistoryView, Samples
from controller.web.view import NotFound, ReadingsView
from drivers.base import Quality

LONGEST_AS_STORED = timedelta(days=62)  # a longer window comes in steps
STEPS = 1_000  # of a long window, about
HALF_HOUR = timedelta(minutes=30)
LONGEST_LEAD = timedelta(days=1)  # before a window, for the value that reaches into it
STATES = frozenset({Unit.BINARY, Unit.INDEX, Unit.COUNT, Unit.PEOPLE, Unit.G_PER_KWH, Unit.MONEY_PER_KWH})
COUNTERS = frozenset({Role.ELECTRICITY_METER, Role.GAS_METER, Role.HEAT_METER, Role.PV_METER})
PAIRS = {Role.ZONE_TEMPERATURE: Role.HEATING_SETPOINT, Role.HEATING_SETPOINT: Role.ZONE_TEMPERATURE}
_QUALITIES = (Quality.GOOD, Quality.SUSPECT, Quality.STALE, Quality.BAD)


class Stored:
    """Stored values of one site's points."""

    def __init__(self, service: Service, names: Names) -> None:
        self._service, self._names = service, names
        self._devices = {point.id: device.id for device in service.site.devices for point in device.points}

    async def readings(self, point: str, start: datetime, end: datetime, step: timedelta | None) -> ReadingsView:
        """As they are, or means of `step`. Raises NotFound, StoreError."""
        found, store = self._point(point), self._service.store
        rows: tuple[tuple[datetime, float | None, Quality], ...]
        if step is None:
            window = await store.window(point, start, end)
            columns = zip(window.time_s.tolist(), window.value.tolist(), window.quality.tolist(), strict=True)
            rows = tuple(
                (utc(at), value if math.isfinite(value) else None, _QUALITIES[code]) for at, value, code in columns
            )
        else:
            means = await store.aggregate(point, start, end, step)
            rows = tuple((when, mean, Quality.GOOD) for when, (mean, *_rest) in means.items())
        return ReadingsView(point=point, unit=found.unit.value, step=step, rows=rows)

    async def history(self, point: str, start: datetime, end: datetime) -> HistoryView:
        """To be drawn, beside its companion if it has one. Raises NotFound, StoreError."""
        found = self._point(point)
        companion = self._companion(found)
        beside = None if companion is None else await self._view(companion, start, end)
        return await self._view(found, start, end, beside)

    def _point(self, point: str) -> Point:
        found = self._service.state.points.get(point)
        if found is None:
            raise NotFound(f"there is no point {point}; GET points lists them")
        return found

    def _companion(self, point: Point) -> Point | None:
        role = PAIRS.get(point.role)
        found = [] if role is None else self._service.site.by_role(role, point.part)
        return next((other for other in found if other.unit is point.unit), None)

    async def _view(
        self, point: Point, start: datetime, end: datetime, beside: HistoryView | None = None
    ) -> HistoryView:
        lasts = self._service.state.max_age(point.id)
        samples, step = await self._samples(point, start, end, lasts)
        return HistoryView(
            point=point.id,
            name=self._names.point(point),
            unit=point.unit.value,
            role=point.role.value,
            device=self._devices[point.id],
            start=start,
            end=end,
            samples=samples,
            lasts=max(lasts, 2 * step),
            held=point.writable or point.unit in STATES or point.role is Role.DEMAND_LIMIT,
            counter=point.role in COUNTERS,
            beside=beside,
        )

    async def _samples(
        self, point: Point, start: datetime, end: datetime, lasts: timedelta
    ) -> tuple[Samples, timedelta]:
        """The values, and the longest step they come in: nought as stored."""
        store = self._service.store
        if end - start > LONGEST_AS_STORED:
            step = math.ceil((end - start) / STEPS / HALF_HOUR) * HALF_HOUR
            return _in_steps(await store.aggregate(point.id, start, end, step), step), step
        lead = min(lasts, LONGEST_LEAD)
        found = _as_stored(await store.window(point.id, start - lead, end))
        since = utc(float(found.time_s[0])) if len(found.time_s) else end
        if since - start <= max(lasts, HALF_HOUR):
            return found, timedelta(0)
        older = await store.aggregate(point.id, start, since, HALF_HOUR)  # all that is kept of old days
        kept = {when: row for when, row in older.items() if when + HALF_HOUR <= since}
        return (_joined(_in_steps(kept, HALF_HOUR), found), HALF_HOUR) if kept else (found, timedelta(0))


def _in_steps(rows: Mapping[datetime, tuple[float, float, float, int]], step: timedelta) -> Samples:
    middle = step.total_seconds() / 2
    table = np.array([(when.timestamp() + middle, *row) for when, row in rows.items()]).reshape(-1, 5)
    time_s, mean, low, high, count = (np.ascontiguousarray(column) for column in table.T)
    return Samples(
        time_s=time_s,
        low=low,
        mean=mean,
        high=high,
        count=count.astype(np.int64),
        quality=np.zeros(len(time_s), dtype=np.int8),
        flags=np.zeros(len(time_s), dtype=np.int32),
    )


def _joined(first: Samples, second: Samples) -> Samples:
    columns = {field.name: (getattr(first, field.name), getattr(second, field.name)) for field in fields(Samples)}
    return Samples(**{name: np.concatenate(pair) for name, pair in columns.items()})


def _as_stored(window: Window) -> Samples:
    value = window.value
    return Samples(
        time_s=window.time_s,
        low=value,
        mean=value,
        high=value,
        count=np.ones(len(value), dtype=np.int64),
        quality=window.quality,
        flags=window.flags,
    )

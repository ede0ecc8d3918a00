"""Open problems, grouped by cause, each with its next step. An event that needs nobody is not an alarm."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from config.roles import Role
from config.site import Device, Point
from controller import outcome
from controller.backend.holds import amount
from controller.backend.parts import Parts, address
from controller.backend.sending import problems
from controller.ladder import Level
from controller.leases import Override
from controller.naming import Names
from controller.outcome import PointStatus, Result
from controller.service import Service
from controller.validation.reasons import reasons
from controller.wear import ALARM_SHARE
from controller.web.view import Alarm, Tone
from drivers.base import Flags, Quality

SETTLING = timedelta(minutes=5)  # after our start nothing is called silent
HELD_LONG = timedelta(minutes=30)
UNANSWERED = timedelta(minutes=5)
ENDS_SOON = timedelta(minutes=15)
COLD_K = 1.0
COLD_FOR = timedelta(minutes=30)
DOUBTED_FOR = timedelta(minutes=2)
EXCHANGED_FOR = timedelta(days=7)
EXCHANGE_NEAR = timedelta(hours=12)
SHOWN = 3  # names in a group before "and n more"
_FEED_STEP = (
    "Nothing at once: plans go on with what it said last, then with what is usual. If it lasts, check the way to the"
    " internet and whether the service still exists; we ask again by ourselves"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A problem as it stands at one look."""

    id: str
    tone: Tone
    part: str
    text: str
    next_step: str
    since: datetime | None = None  # None = from when it was first seen
    after: timedelta = timedelta(0)  # called an alarm only when it has lasted so long


@dataclass(slots=True)
class _Known:
    since: datetime
    there: bool = True
    count: int = 1
    gone_at: datetime | None = None


@dataclass(slots=True)
class _Book:
    """Since when each problem is there, and how often it came within a day."""

    entries: dict[str, _Known] = field(default_factory=dict)

    def mark(self, ids: Iterable[str], now: datetime) -> None:
        present = set(ids)
        for name in sorted(present):
            known = self.entries.get(name)
            if known is None:
                self.entries[name] = _Known(since=now)
            elif not known.there:
                known.there, known.since, known.count = True, now, known.count + 1
        for name, known in list(self.entries.items()):
            if name not in present:
                if known.there:
                    known.there, known.gone_at = False, now
                elif known.gone_at is not None and now - known.gone_at > timedelta(days=1):
                    del self.entries[name]


class Alarms:
    """Looks for problems in the state of a running site; to be asked when something changed, and each minute."""

    def __init__(self, service: Service, names: Names, parts: Parts) -> None:
        self._service, self._names, self._parts = service, names, parts
        self._began = service.clock.now()
        self._book = _Book()
        self.open: tuple[Alarm, ...] = ()

    def look(self, overrides: Mapping[str, Override]) -> bool:
        """Look anew; True if an alarm came or went."""
        now = self._service.clock.now()
        found = list(self._found(now, overrides))
        self._book.mark([item.id for item in found], now)
        before = [alarm.id for alarm in self.open]
        alarms = [alarm for item in found if (alarm := self._alarm(item, now)) is not None]
        order = (Tone.BAD, Tone.WARN, Tone.NOTE)
        self.open = tuple(sorted(alarms, key=lambda alarm: (order.index(alarm.tone), alarm.since)))
        return before != [alarm.id for alarm in self.open]

    def _alarm(self, item: _Found, now: datetime) -> Alarm | None:
        known = self._book.entries[item.id]
        since = item.since or known.since
        if now - since < item.after:
            return None
        return Alarm(
            id=item.id, tone=item.tone, since=since, part=item.part, text=item.text, next_step=item.next_step,
            count=known.count,
        )  # fmt: skip

    def _found(self, now: datetime, overrides: Mapping[str, Override]) -> Iterator[_Found]:
        yield from self._level()
        yield from self._devices()
        yield from self._silent(now)
        yield from self._doubted(now)
        yield from self._meters(now)
        yield from self._faults(now)
        yield from self._points(now)
        yield from self._cold(now)
        yield from self._ending(now, overrides)
        if self._service.forwarder is not None:
            for name, tone, text, step, since in problems(self._service.forwarder, now):
                yield _Found(id=name, tone=tone, part="database", text=text, next_step=step, since=since)
        trouble = self._service.store.upkeep.trouble
        if trouble:
            text = f"Readings could not be packed or make room: {trouble}"
            step = "Do what it says; it is tried again every hour, and nothing is lost meanwhile"
            yield _Found(id="upkeep", tone=Tone.WARN, part="store", text=text, next_step=step)
        dropped = self._service.hubs.readings.dropped
        if dropped:
            text = f"{dropped} readings were dropped because the store could not keep up"
            yield _Found(
                id="dropped", tone=Tone.WARN, part="store", text=text, next_step="Look at the disk: it is too slow"
            )

    def _level(self) -> Iterator[_Found]:
        ladder = self._service.ladder
        why = ladder.why or "no reason given"
        if ladder.flapping:
            yield _Found(
                id="flapping", tone=Tone.WARN, part="site", text=f"Control changed too often within an hour: {why}",
                next_step="Find out what keeps coming back; control rises by itself when it has been calm for an hour",
            )  # fmt: skip
        if ladder.level in (Level.OPTIMISING, Level.ADVISORY):
            return
        tone, step = _LEVELS[ladder.level]
        if ladder.level is Level.RELEASED and "person" in why:
            tone, step = Tone.NOTE, "Press Resume when Plenum may act again"
        yield _Found(id=f"level-{ladder.level.label}", tone=tone, part="site", text=_sentence(why), next_step=step)

    def _devices(self) -> Iterator[_Found]:
        """Devices that do not answer, those behind one address together."""
        groups: dict[str, list[Device]] = {}
        for device in self._service.site.devices:
            link = self._service.links[device.id]
            if not link.up and link.failures:
                groups.setdefault(f"{device.driver} {address(device)}", []).append(device)
        for where, devices in groups.items():
            link = self._service.links[devices[0].id]
            names = _listed([device.id for device in devices])
            since = max((self._service.links[d.id].last_seen or self._began for d in devices), default=self._began)
            what = "devices do" if len(devices) > 1 else "device does"
            feed = link in self._service.feeds.links
            yield _Found(
                id=f"down-{where}", tone=Tone.WARN if feed else Tone.BAD, part=names, since=since,
                text=f"{len(devices)} {what} not answer: {names} ({link.error})",
                next_step=_FEED_STEP if feed else _next_step(devices[0]),
            )  # fmt: skip

    def _silent(self, now: datetime) -> Iterator[_Found]:
        """Points without a usable value on devices that do answer."""
        if now - self._began < SETTLING:
            return
        for device in self._service.site.devices:
            if not self._service.links[device.id].up:
                continue
            silent = [p for p in device.points if self._parts.quality(p, now) in (Quality.STALE, Quality.BAD)]
            if silent:
                names = _listed([self._names.point(point) for point in silent])
                yield _Found(
                    id=f"silent-{device.id}", tone=Tone.WARN, part=device.id, after=timedelta(minutes=2),
                    text=f"{device.id} answers, but gives no usable value for {names}",
                    next_step="Check the sensor and its address in the site file; plans do without it meanwhile",
                )  # fmt: skip

    def _doubted(self, now: datetime) -> Iterator[_Found]:
        """Measured points whose value is not believed."""
        state = self._service.state
        for point in self._service.site.points.values():
            if point.writable or state.quality(point.id, now) is not Quality.SUSPECT:
                continue
            blind = point.role is Role.ZONE_TEMPERATURE and self._parts.value(point.role, point.part, now) is None
            yield _Found(
                id=f"doubted-{point.id}", tone=Tone.WARN, part=point.part, after=DOUBTED_FOR,
                text=f"{self._names.point(point)} is not believed at {self._parts.doubt(point)}"
                f"{'; its zone follows the rules, not the plan' if blind else ''}",
                next_step="Look at the sensor and its unit, and at low and high of the point in the site file",
            )  # fmt: skip

    def _meters(self, now: datetime) -> Iterator[_Found]:
        """Registers that began anew without the site file telling of an exchange."""
        for meter in self._service.site.meters:
            flags, when = self._service.gate.news.get(meter.point, (Flags.NONE, now))
            if not flags & (Flags.RESET | Flags.REPLACED) or now - when > EXCHANGED_FOR:
                continue
            if any(abs(exchange.time - when) < EXCHANGE_NEAR for exchange in meter.exchanges):
                continue
            yield _Found(
                id=f"meter-{meter.id}", tone=Tone.NOTE, part=meter.id, since=when,
                text=f"Meter {meter.id}: {reasons(flags)} at {self._names.clock(when)}",
                next_step="Put the exchange, with closing and opening register, into the site file; until then the "
                "half-hour around it counts as missing",
            )  # fmt: skip

    def _faults(self, now: datetime) -> Iterator[_Found]:
        for point in self._service.site.by_role(Role.FAULT):
            if self._service.state.value(point.id, now):
                name = self._names.part(point.part)
                yield _Found(
                    id=f"fault-{point.part}", tone=Tone.BAD, part=point.part, text=f"{name} reports a fault",
                    next_step="Read the fault at the machine and reset it, or call its service; plans do without it",
                )  # fmt: skip

    def _points(self, now: datetime) -> Iterator[_Found]:
        for name, status in self._service.dispatch.status.items():
            point = self._service.state.points[name]
            found = self._point(point, status, now)
            if found is not None:
                yield found
            if status.worn is not None and status.worn >= ALARM_SHARE:
                yield self._worn(point, status.worn)

    def _point(self, point: Point, status: PointStatus, now: datetime) -> _Found | None:
        name, part = self._names.point(point), point.part
        if status.holder is outcome.Holder.OPERATOR and status.since is not None and now - status.since >= HELD_LONG:
            value = "" if status.value is None else f" at {amount(point, status.value)}"
            return _Found(
                id=f"held-{point.id}", tone=Tone.WARN, part=part, since=status.since,
                text=f"{name} is held at the building's own panel{value}, slot {status.slot}",
                next_step="Release it there if it is not needed any more; Plenum leaves it alone meanwhile",
            )  # fmt: skip
        if status.result is Result.FOREIGN:
            return _Found(
                id=f"foreign-{point.id}", tone=Tone.BAD, part=part,
                text=f"{name}: our slot holds a value that is not ours",
                next_step="Find the other supervisor that writes at the same priority and stop one of the two",
            )  # fmt: skip
        if status.result is Result.CLAMPED and status.value is not None and status.wanted is not None:
            return _Found(
                id=f"clamped-{point.id}", tone=Tone.WARN, part=part, after=UNANSWERED,
                text=f"{name}: the device keeps {amount(point, status.value)} instead of "
                f"{amount(point, status.wanted)}",
                next_step="Put the device's own limits into low and high of the point in the site file",
            )  # fmt: skip
        if status.result in (Result.REJECTED, Result.UNKNOWN) and status.wanted is not None:
            what = "refuses our value" if status.result is Result.REJECTED else "does not say what came of our value"
            return _Found(
                id=f"{status.result}-{point.id}", tone=Tone.WARN, part=part, after=UNANSWERED,
                text=f"{name}: the device {what}{f' ({status.note})' if status.note else ''}",
                next_step="Check that the point may be written at its priority; the building decides meanwhile",
            )  # fmt: skip
        if status.source == "manual" and status.wanted is None and status.note:
            return _Found(
                id=f"refused-{point.id}", tone=Tone.WARN, part=part,
                text=f"{name}: what a person asked for is not allowed now: {status.note}",
                next_step="End the override, or wait until the limit no longer holds",
            )  # fmt: skip
        return None

    def _worn(self, point: Point, share: float) -> _Found:
        end, writes = share >= 1.0, round(share * point.endurance_writes)
        return _Found(
            id=f"worn-{point.id}", tone=Tone.BAD if end else Tone.WARN, part=point.part,
            text=f"{self._names.point(point)} has been written {writes} times of the {point.endurance_writes} that "
            f"its memory bears{'; nothing more is written' if end else ''}",
            next_step="Command another point of the device, or have it renewed; a new one goes under another id",
        )  # fmt: skip

    def _cold(self, now: datetime) -> Iterator[_Found]:
        for zone in self._parts.zones(now, None):
            if zone.temperature_degc is None or zone.quality is not Quality.GOOD or zone.discomfort_k < COLD_K:
                continue
            way = "cold" if zone.temperature_degc < zone.low_degc else "warm"
            yield _Found(
                id=f"comfort-{zone.id}", tone=Tone.WARN, part=zone.id, after=COLD_FOR,
                text=f"{zone.name} is {zone.discomfort_k:.1f} K too {way} while people are expected",
                next_step="Look at its plan for the reason; check valve and radiators if the plan expects otherwise",
            )  # fmt: skip

    def _ending(self, now: datetime, overrides: Mapping[str, Override]) -> Iterator[_Found]:
        for override in overrides.values():
            if now < override.expires <= now + ENDS_SOON:
                point = self._service.state.points[override.point]
                yield _Found(
                    id=f"ending-{override.point}", tone=Tone.NOTE, part=point.part,
                    text=f"The override of {self._names.point(point)} ends at {self._names.clock(override.expires)}",
                    next_step="Renew it if it is still needed; otherwise there is nothing to do",
                )  # fmt: skip


_LEVELS = {
    Level.DEGRADED: (Tone.NOTE, "Check the forecasts' source; plans go on with older figures"),
    Level.SHIFTED: (Tone.WARN, "Nothing yet: the last plan goes on and the next solve may succeed"),
    Level.RULES: (Tone.WARN, "Look at the log for the solver's words; the built-in rules control meanwhile"),
    Level.HOLD: (Tone.WARN, "Nothing new is written; mend what is named here"),
    Level.RELEASED: (Tone.BAD, "The building controls itself; mend what is named here and control comes back"),
    Level.DEAD: (Tone.BAD, "Start the service"),
}


def _next_step(device: Device) -> str:
    what = "broker" if device.driver == "mqtt" else "device"
    return (
        f"Check that the {what} at {address(device)} runs and is connected; we try again by ourselves, at least every"
        " minute"
    )


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

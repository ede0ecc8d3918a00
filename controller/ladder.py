"""How far we trust ourselves: from optimising down to handing everything back. Down at once, up after a while."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from controller.hub import Hub
from drivers.clock import Clock

MOST_TRANSITIONS_PER_HOUR = 4
HOUR = timedelta(hours=1)


class Level(IntEnum):
    """Rungs in order of how little we still do. From ADVISORY on nothing new is written."""

    OPTIMISING = 0
    DEGRADED = 1  # plans on old or climatological forecasts
    SHIFTED = 2  # the last plan goes on
    RULES = 3  # the rule schedule
    ADVISORY = 4  # plans are shown, nothing is written
    HOLD = 5  # no new writes; leases run out
    RELEASED = 6  # everything handed back, we only watch
    DEAD = 7  # said by the guard, never by a living service

    @property
    def label(self) -> str:
        """The name people know it by, such as `1b`."""
        return _LABELS[self]

    @property
    def writes(self) -> bool:
        """Whether new values may be written at this level."""
        return self < Level.ADVISORY

    @property
    def releases(self) -> bool:
        """Whether what we hold must be handed back at once."""
        return self in (Level.ADVISORY, Level.RELEASED, Level.DEAD)


_LABELS = {
    Level.OPTIMISING: "0",
    Level.ADVISORY: "0a",
    Level.DEGRADED: "1",
    Level.SHIFTED: "1b",
    Level.RULES: "2",
    Level.HOLD: "3",
    Level.RELEASED: "4",
    Level.DEAD: "5",
}


@dataclass(frozen=True, slots=True)
class _Rule:
    level: Level
    dwell: timedelta = timedelta(0)  # how long a trouble must stay away
    clears: int = 1  # how many times in a row its absence must be reported


class Trouble(StrEnum):
    """Why we go down. `dwell` and `clears` of its rule say when we may rise again."""

    ADVISORY_MODE = "advisory_mode"
    FORECAST = "forecast"  # weather, price or carbon older than 6 h
    PLAN_SHIFTED = "plan_shifted"  # no new plan, the last one goes on
    SOLVER = "solver"  # no plan that could be used; report every solve, good or bad
    MODEL_ERROR = "model_error"  # predictions off by more than 2 K for an hour
    DEVICE = "device"  # its data is stale, or it is gone; name the device
    STORE = "store"  # lease store unwritable
    READINGS = "readings"  # what is measured cannot be stored
    DISK = "disk"  # less than 100 MB left
    CLOCK = "clock"  # wall clock not to be trusted
    SECOND_SUPERVISOR = "second_supervisor"
    ENVELOPE = "envelope"  # a value outside the envelope was measured
    OPERATOR_STOP = "operator_stop"


_RULES = {
    Trouble.ADVISORY_MODE: _Rule(Level.ADVISORY),
    Trouble.FORECAST: _Rule(Level.DEGRADED, dwell=timedelta(minutes=10)),
    Trouble.PLAN_SHIFTED: _Rule(Level.SHIFTED),
    Trouble.SOLVER: _Rule(Level.RULES, clears=3),
    Trouble.MODEL_ERROR: _Rule(Level.RULES, clears=3),
    Trouble.DEVICE: _Rule(Level.HOLD, dwell=timedelta(minutes=5)),
    Trouble.STORE: _Rule(Level.RELEASED, dwell=timedelta(minutes=1)),
    Trouble.READINGS: _Rule(Level.RELEASED, dwell=timedelta(minutes=1)),
    Trouble.DISK: _Rule(Level.RELEASED, dwell=timedelta(minutes=1)),
    Trouble.CLOCK: _Rule(Level.RELEASED, dwell=timedelta(minutes=1)),
    Trouble.SECOND_SUPERVISOR: _Rule(Level.RELEASED, dwell=timedelta(minutes=1)),
    Trouble.ENVELOPE: _Rule(Level.RELEASED, dwell=timedelta(minutes=1)),
    Trouble.OPERATOR_STOP: _Rule(Level.RELEASED),
}
# What a person switched is followed at once, however often.
_BY_HAND = frozenset({Trouble.ADVISORY_MODE, Trouble.OPERATOR_STOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChange:
    """The level of the site, or of one device, is another one now."""

    time: datetime
    old: Level
    new: Level
    why: str
    device: str | None = None  # None = the site
    flapping: bool = False  # too many changes within an hour: it stays down until that is over


@dataclass(slots=True)
class _Ailment:
    rule: _Rule
    text: str = ""
    clears: int = 0  # reports of absence in a row
    gone_at: datetime | None = None  # when it went away; None = it is there

    def level(self, now: datetime) -> Level:
        if self.gone_at is None or self.clears < self.rule.clears or now < self.gone_at + self.rule.dwell:
            return self.rule.level
        return Level.OPTIMISING

    def report(self, now: datetime, text: str, *, present: bool) -> None:
        if present:
            self.text, self.clears, self.gone_at = text, 0, None
        else:
            self.clears += 1
            self.gone_at = self.gone_at or now


@dataclass(slots=True)
class _Rung:
    """One level, the site's or a device's, with its history."""

    level: Level = Level.OPTIMISING
    why: str = ""
    changes: deque[datetime] = field(default_factory=deque)
    flapping: bool = False


class Ladder:
    """Takes reports of what is wrong or right again, and says the level. `run` lets time pass for it."""

    def __init__(self, clock: Clock, *, changes: Hub[LevelChange]) -> None:
        self._clock, self._hub = clock, changes
        self._ailments: dict[tuple[Trouble, str], _Ailment] = {}
        self._rungs: dict[str | None, _Rung] = {None: _Rung()}
        self._news = asyncio.Event()

    @property
    def level(self) -> Level:
        """The site's level."""
        return self._rungs[None].level

    @property
    def why(self) -> str:
        """The words of the worst trouble; empty when optimising."""
        return self._rungs[None].why

    @property
    def flapping(self) -> bool:
        """Too many changes within an hour: we stay down, somebody should look."""
        return any(rung.flapping for rung in self._rungs.values())

    def device_level(self, device: str) -> Level:
        """Return the level of one device: HOLD while it is in trouble, else the site's."""
        rung = self._rungs.get(device)
        return self.level if rung is None else max(self.level, rung.level)

    def report(self, trouble: Trouble, present: bool, text: str = "", *, device: str | None = None) -> None:  # noqa: FBT001  reads as a statement
        """Say that a trouble is there, or that it is not; as often as it is looked at. DEVICE needs the device."""
        if (trouble is Trouble.DEVICE) != (device is not None):
            raise ValueError(f"{trouble}: name a device exactly for the trouble {Trouble.DEVICE}")
        key = (trouble, device or "")
        ailment = self._ailments.get(key)
        if ailment is None:
            if not present:
                return
            ailment = self._ailments[key] = _Ailment(_RULES[trouble])
        ailment.report(self._clock.now(), text or trouble.replace("_", " "), present=present)
        self.settle(by_hand=trouble in _BY_HAND)

    def settle(self, *, by_hand: bool = False) -> None:
        """Work out the levels as of now and publish what changed."""
        now = self._clock.now()
        self._settle(None, now, by_hand=by_hand)
        for device in [name for trouble, name in self._ailments if trouble is Trouble.DEVICE]:
            self._settle(device, now, by_hand=False)
        self._news.set()

    def _settle(self, device: str | None, now: datetime, *, by_hand: bool) -> None:
        rung = self._rungs.setdefault(device, _Rung())
        level, why = self._worst(device, now)
        while rung.changes and rung.changes[0] <= now - HOUR:
            rung.changes.popleft()
        upwards = level < rung.level
        worn = len(rung.changes) >= MOST_TRANSITIONS_PER_HOUR and not by_hand
        if upwards and worn:
            if not rung.flapping:
                rung.flapping = True
                rung.why = f"{rung.why}; {len(rung.changes)} changes within an hour, staying here"
                self._publish(rung, rung.level, now, device)
            return
        if not (rung.flapping and level >= rung.level):
            rung.flapping = False
        old, rung.level, rung.why = rung.level, level, why
        if old is not level:
            rung.changes.append(now)
            self._publish(rung, old, now, device)

    def _publish(self, rung: _Rung, old: Level, now: datetime, device: str | None) -> None:
        self._hub.publish(
            LevelChange(time=now, old=old, new=rung.level, why=rung.why, device=device, flapping=rung.flapping)
        )

    def _worst(self, device: str | None, now: datetime) -> tuple[Level, str]:
        worst, why = Level.OPTIMISING, ""
        for (trouble, name), ailment in self._ailments.items():
            if (trouble is Trouble.DEVICE) == (device is not None) and name == (device or ""):
                level = ailment.level(now)
                if level > worst:
                    worst, why = level, ailment.text
        return worst, why

    def _next_due(self, now: datetime) -> datetime | None:
        """When time alone may change a level; None = never."""
        ends = [a.gone_at + a.rule.dwell for a in self._ailments.values() if a.gone_at is not None]
        calm = [rung.changes[0] + HOUR for rung in self._rungs.values() if rung.flapping and rung.changes]
        return min((when for when in [*ends, *calm] if when > now), default=None)

    async def run(self) -> None:
        """Rise when troubles have stayed away long enough, until cancelled."""
        while True:
            self._news.clear()
            due = self._next_due(self._clock.now())
            delay = None if due is None else (due - self._clock.now()).total_seconds()
            try:
                async with asyncio.timeout(delay):
                    await self._news.wait()
            except TimeoutError:
                self.settle()

"""What we want, hold and know of one writable point. Only dispatch and the device lines change it."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from config.site import Point
from config.units import Unit
from controller.arbiter import Request, Source, Winner
from controller.envelope import DISCRETE
from controller.outcome import Holder, PointStatus, Result, holder, same, taken
from controller.store.base import Lease
from controller.switches import Switches
from controller.wear import Wear
from drivers.base import Priority, ReadBack

DEADBAND_K = 0.2
DEADBAND_SHARE = 0.01  # of the span, for all but temperatures


class Work(Enum):
    """What a device line should do about a point."""

    WRITE = auto()
    GIVE = auto()  # hand back
    LOOK = auto()  # read back


class News(Enum):
    """What a look at the device told."""

    SAME = auto()
    HELD = auto()  # a stronger hand has taken it
    FREED = auto()  # and let go
    LOST = auto()  # our slot is empty: the device restarted, or somebody cleared it
    FOREIGN = auto()  # our slot holds another's value
    LEFT = auto()  # and is empty again


@dataclass(slots=True, kw_only=True, eq=False)
class Holding:
    """One writable point."""

    point: Point
    device: str
    slot: Priority
    requests: dict[Source, Request] = field(default_factory=dict)
    decided_until: datetime | None = None  # the winner may be another from then on; None = decide anew
    winner: Winner | None = None
    wanted: float | None = None  # after arbiter and envelope; None = nothing
    note: str = ""  # what arbiter and envelope made of the request
    trouble: str = ""  # what the device said against the last command; empty when it did as told
    target: float | None = None  # what should be in our slot now; None = nothing
    ours: float | None = None  # what we put there; None = nothing
    kept: float | None = None  # what the device made of it
    maybe: tuple[float | None, ...] = ()  # what may be there too, after a command without an answer
    lease: Lease | None = None  # as it stands in the table
    back: ReadBack | None = None  # the last look
    result: Result | None = None
    foreign: bool = False
    look: bool = False  # a look is due
    looked_at: datetime | None = None
    written_at: datetime | None = None
    not_before: datetime | None = None  # after a failure
    since: datetime | None = None
    wear: Wear | None = None  # None = writing does it no harm
    switches: Switches = field(default_factory=Switches)  # of an enable point
    recent: deque[tuple[datetime, float]] = field(default_factory=deque)  # values in force, with their beginnings

    @property
    def holds(self) -> bool:
        """Whether something of ours is, or may be, in the device."""
        return self.ours is not None or self.lease is not None

    @property
    def source(self) -> Source | None:
        return None if self.winner is None else self.winner.request.source

    @property
    def idle(self) -> bool:
        """Whether nothing is asked and nothing held."""
        return not self.requests and not self.holds and self.wanted is None

    @property
    def automatic(self) -> bool:
        """Whether a program asks, or nobody."""
        return self.winner is None or self.winner.request.source.automatic

    @property
    def deadband(self) -> float:
        """Changes smaller than this are not urgent, in the point's unit."""
        if self.point.unit in DISCRETE:
            return 0.0
        if self.point.unit is Unit.DEGC:
            return DEADBAND_K
        return DEADBAND_SHARE * ((self.point.high or 0.0) - (self.point.low or 0.0))

    def work(self, now: datetime) -> Work | None:
        """Say what is to be done at the device now; None = nothing."""
        if self.not_before is not None and now < self.not_before:
            return None
        if self.target is None and self.holds:
            return Work.GIVE
        if self.target is not None and not same(self.point, self.target, self.ours):
            # Under a stronger hand a write would change nothing now, and surprise when the hand lets go.
            free = not self.maybe and not self.foreign and not taken(self.back, self.slot)
            if free:
                return Work.WRITE
        return Work.LOOK if self.look else None

    def values_since(self, begin: datetime) -> tuple[float, ...]:
        """Values that were in force after `begin`, the present one last; older ones are forgotten."""
        while len(self.recent) > 1 and self.recent[1][0] <= begin:
            self.recent.popleft()
        return tuple(value for _, value in self.recent)

    def written(self, value: float, now: datetime, before: float | None) -> None:
        """Take note of a value that the device acknowledged; `before` was in force."""
        if self.ours is None:
            self.recent.clear()
            if before is not None:
                self.recent.append((now - timedelta(days=1), before))
        self.recent.append((now, value))
        self.switches.see(value, now)
        self.ours = self.kept = value
        self.maybe = ()
        self.written_at = now

    def given(self) -> None:
        """Take note that nothing of ours is in the device."""
        self.ours = self.kept = None
        self.maybe = ()
        self.recent.clear()

    def absorb(self, back: ReadBack, now: datetime) -> News:
        """Take in a look at the device that did not follow a command of ours."""
        was = self.result
        self.trouble = ""
        before = (self.holder, None if self.back is None else self.back.present)
        self.back, self.looked_at, self.look = back, now, False
        if back.present is not None:
            self.switches.see(back.present, now)
        news = self._compare(back, was) if back.array is not None else self._compare_without_array(back, was)
        if before != (self.holder, back.present) or self.since is None:
            self.since = now
        return news

    def _compare(self, back: ReadBack, was: Result | None) -> News:
        found = back.slot
        for possible in (self.ours, self.kept, *self.maybe):
            if found is not None and same(self.point, found, possible):
                self.ours = self.ours if same(self.point, possible, self.kept) else possible
                self.kept = found
                self.maybe = ()
                return self._held_or_free(was, stronger=taken(back, self.slot))
        if found is not None:
            self.given()
            self.result, self.foreign = Result.FOREIGN, True
            return News.SAME if was is Result.FOREIGN else News.FOREIGN
        lost = self.ours is not None and None not in self.maybe
        left = self.foreign
        self.foreign = False
        self.given()
        self.result = Result.HELD if taken(back, self.slot) and self.wanted is not None else None
        return News.LOST if lost else News.LEFT if left else News.SAME

    def _compare_without_array(self, back: ReadBack, was: Result | None) -> News:
        self.ours = next((m for m in self.maybe if m is not None and same(self.point, back.present, m)), self.ours)
        self.maybe = ()
        if self.ours is None:
            self.result = None
            return News.SAME
        if back.present is None:
            self.result = Result.UNKNOWN
            return News.SAME
        return self._held_or_free(was, stronger=not same(self.point, back.present, self.ours))

    def _held_or_free(self, was: Result | None, *, stronger: bool) -> News:
        if stronger:
            self.result = Result.HELD
            return News.SAME if was is Result.HELD else News.HELD
        clamped = not same(self.point, self.ours, self.kept)
        self.result = Result.CLAMPED if clamped else Result.APPLIED
        return News.FREED if was is Result.HELD else News.SAME

    @property
    def holder(self) -> Holder:
        """Whose value was in force at the last look."""
        return holder(self.point, self.ours, self.back, self.slot)

    def status(self) -> PointStatus:
        """Everything a person may want to know about it."""
        request = None if self.winner is None else self.winner.request
        return PointStatus(
            point=self.point.id,
            device=self.device,
            holder=self.holder,
            slot=None if self.back is None else self.back.holder,
            value=None if self.back is None else self.back.present,
            wanted=self.wanted,
            ours=self.ours,
            expires=None if self.lease is None else self.lease.expires,
            result=self.result,
            source="" if request is None else request.source.value,
            reason="" if request is None else request.reason,
            decision="" if request is None else request.decision,
            note="; ".join(text for text in (self.note, self.trouble) if text),
            since=self.since,
            worn=None if self.wear is None else self.wear.share(self.point),
        )

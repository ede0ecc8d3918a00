"""The driver contract: what every device speaks, whatever its protocol."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Flag, IntFlag, StrEnum, auto
from pathlib import Path
from typing import Any, ClassVar, NewType, Self

from config.base import Frozen
from config.site import Location, Point
from drivers.forecast import PointForecast

LOWEST, STRONGEST = 16, 9  # our slots; 1 to 8 belong to people and life safety

Priority = NewType("Priority", int)


def priority(value: int) -> Priority:
    """A validated BACnet write priority; raises ValueError outside 9..16."""
    if not STRONGEST <= value <= LOWEST:
        raise ValueError(f"priority {value} is not ours to use; allowed are {STRONGEST} to {LOWEST}")
    return Priority(value)


class Quality(StrEnum):
    """Only GOOD measurements are calculated with; the others are kept and shown, with the flags that say why."""

    GOOD = "good"
    SUSPECT = "suspect"  # a value, but not believed
    STALE = "stale"
    BAD = "bad"  # no value


class Flags(IntFlag):
    """Why a quality is what it is; stored beside the value."""

    NONE = 0
    IN_ALARM = auto()
    FAULT = auto()
    OVERRIDDEN = auto()
    OUT_OF_SERVICE = auto()
    OUT_OF_RANGE = auto()
    NOT_A_NUMBER = auto()
    NO_ANSWER = auto()
    UNKNOWN_POINT = auto()
    PUSHED = auto()
    FUTURE_TIME = auto()  # the device's clock is ahead; the time is ours
    SPIKE = auto()
    STUCK = auto()
    LATE = auto()  # older than its point's max_age when it came
    OUT_OF_ORDER = auto()  # older than what we had already
    SAME_TIME = auto()  # another value for a time that we had
    BACKWARDS = auto()  # a register below what it showed before
    ROLLED_OVER = auto()
    RESET = auto()  # the register begins at nought again
    REPLACED = auto()  # another meter, or a register that was set
    UNIT_JUMP = auto()
    SUBSTITUTED = auto()  # another value in place of one that was missing or not believed
    NO_SENSOR = auto()  # the device finds its sensor missing, open or shorted


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A point's value, when it was true and how good it is."""

    point: str
    time: datetime  # when the value was true at the device, UTC
    received: datetime  # when we had it, UTC
    value: float | None  # None exactly when quality is BAD
    quality: Quality = Quality.GOOD
    flags: Flags = Flags.NONE

    @property
    def is_current(self) -> bool:
        """It is good, and tells what is now: it came neither late nor after a newer one."""
        flags = self.flags
        return self.quality is Quality.GOOD and (flags is Flags.NONE or not flags & (Flags.LATE | Flags.OUT_OF_ORDER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is sent to a device: a leased value or a relinquish."""

    point: str
    value: float | None  # None = relinquish
    priority: Priority
    expires: datetime  # UTC; the lease's end
    reason: str
    source: str = "optimiser"  # who asked: emergency, manual, optimiser, rules


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What a device holds after a write."""

    present: float | None  # present value; None if it could not be read
    slot: float | None  # our slot in the priority array; None = empty, or no array
    array: tuple[float | None, ...] | None = None  # slots 1..16; None = the point has no priority array
    default: float | None = None  # relinquish default; None = unknown

    @property
    def holder(self) -> int | None:
        """The strongest occupied slot (1..16), None if all are empty or there is no array."""
        return next((n for n, v in enumerate(self.array or (), 1) if v is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What drivers may know of the site they serve."""

    location: Location | None = None
    base: Path = Path()  # folder of the site file: paths in options count from there
    keep: Path | None = None  # folder in which drivers may keep what they know; None = nothing is kept


class Can(Flag):
    READ = auto()
    WRITE = auto()
    PUSH = auto()  # the device reports changes by itself
    RELINQUISH = auto()  # a priority array, or its own default to fall back to
    FORECAST = auto()  # it knows the future of its points; what it reads is said by others, not measured


class DriverError(Exception):
    """Something about one device failed; the controller retries."""


class NotReachable(DriverError):  # noqa: N818  the vocabulary of the field
    """The device did not answer in time."""


class Rejected(DriverError):  # noqa: N818
    """The device answered and said no. Retrying the same command will not help."""


class Driver(ABC):
    """One physical device. `async with` opens and closes it; one task at a time uses it.

    Opening proves that the device is there (one cheap read). No I/O in `__init__`; closing never raises
    and never hangs. A bad point is a `Reading` of quality BAD, a missing device `NotReachable`, a refused
    write `Rejected`; anything else is a bug. Every wait has a time-out that the driver sets.
    """

    can: Can = Can.READ
    retry_max_s: ClassVar[float] = 60.0  # longest pause before a lost device is opened again
    Options: ClassVar[type[Frozen]] = Frozen  # model of `Device.options`
    PointOptions: ClassVar[type[Frozen]] = Frozen  # model of `Point.options`

    def __init__(self, points: Sequence[Point]) -> None:
        self.points: Mapping[str, Point] = {p.id: p for p in points}

    @classmethod  # noqa: B027  any address will do unless a driver says otherwise
    def check_address(cls, address: str) -> None:
        """Raise ValueError, with the cure in the text, if a point's address cannot be understood."""

    @classmethod  # noqa: B027  any role will do unless a driver says otherwise
    def check_role(cls, point: Point) -> None:
        """Raise ValueError, with the cure in the text, if what is at the point's address cannot have its role."""

    @classmethod  # noqa: B027  options that the model accepts will do unless a driver says otherwise
    def check_options(cls, options: Any, here: Here) -> None:
        """Raise ValueError, with the cure in the text, if the options cannot be used at this site; may read files."""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @abstractmethod
    async def read(self, points: Sequence[Point]) -> Sequence[Reading]:
        """Read now. One Reading per point, in order; a failed point is Quality.BAD, not an exception.

        A driver whose device only pushes returns the newest value it has heard.
        """

    def forecasts(self) -> Sequence[PointForecast]:
        """What is expected of points, by the newest answer, even if it could not be opened. Only with Can.FORECAST."""
        raise TypeError(f"{type(self).__name__} knows no forecasts")

    def changes(self) -> AsyncIterator[Reading]:
        """Readings as the device pushes them, until cancelled. Only with Can.PUSH."""
        raise TypeError(f"{type(self).__name__} cannot push")

    async def write(self, point: Point, value: float, priority: Priority) -> None:
        """Set the point and return once the device has acknowledged. Only with Can.WRITE."""
        raise TypeError(f"{type(self).__name__} cannot write {point.id}={value} at {priority}")

    async def relinquish(self, point: Point, priority: Priority) -> None:
        """Withdraw our value at this priority. Only with Can.RELINQUISH."""
        raise TypeError(f"{type(self).__name__} cannot relinquish {point.id} at {priority}")

    async def read_back(self, point: Point, priority: Priority) -> ReadBack:
        """Present value and, where there is one, the priority array. Only with Can.WRITE."""
        raise TypeError(f"{type(self).__name__} cannot read back {point.id} at {priority}")

"""What came of a command, and who holds a point: judged from what the device itself says. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from config.site import Point
from config.units import Unit
from drivers.base import LOWEST, ReadBack

LAST_OF_PEOPLE = 8  # slots 1 to 8 belong to people and life safety

_WHOLE = frozenset({Unit.BINARY, Unit.INDEX, Unit.COUNT})


class Result(StrEnum):
    """Judged after reading back; an acknowledgement alone proves nothing."""

    APPLIED = "applied"  # our value is in our slot and in force; for a relinquish: our slot is empty
    HELD = "held"  # a stronger hand overrules it
    CLAMPED = "clamped"  # the device keeps another value
    REJECTED = "rejected"  # the device, or the envelope, said no
    UNKNOWN = "unknown"  # no answer
    FOREIGN = "foreign"  # our slot holds a value that is not ours: another supervisor


class Holder(StrEnum):
    """Whose value is in force."""

    WE = "we"
    OPERATOR = "operator"
    BMS = "bms"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One command, or one change of hands, and what came of it."""

    time: datetime
    point: str
    device: str
    value: float | None  # what we asked for; None = to be handed back
    result: Result
    source: str
    reason: str
    decision: str
    present: float | None  # what the device says is in force; None = not known
    slot: int | None  # who holds it there; None = nobody, or not known


@dataclass(frozen=True, slots=True, kw_only=True)
class PointStatus:
    """Who holds a writable point, and why."""

    point: str
    device: str
    holder: Holder
    slot: int | None  # the strongest occupied slot at the last look; None = none, or not known
    value: float | None  # in force at the last look; None = not known
    wanted: float | None  # what we would have there, after arbiter and envelope; None = nothing
    ours: float | None  # what we have there; None = nothing
    expires: datetime | None  # end of our lease; None = we hold nothing
    result: Result | None  # of the last command or look; None = never looked
    source: str  # who asks; empty = nobody
    reason: str
    decision: str
    note: str  # what arbiter, envelope or device made of it; empty = nothing special
    since: datetime | None  # holder or value is so since; None = never looked
    worn: float | None = None  # share of its endurance that writes have used; None = they do it no harm


def tolerance(point: Point) -> float:
    """How far two values of a point may be apart and still be the same: half a bit of a 32-bit float, and noise."""
    if point.unit in _WHOLE:
        return 0.49
    return 1e-3 + 1e-6 * max(abs(point.low or 0.0), abs(point.high or 0.0))


def same(point: Point, a: float | None, b: float | None) -> bool:
    """Whether two values of a point are the same to the device; None equals only None."""
    if a is None or b is None or a == b:
        return a == b
    return abs(a - b) <= tolerance(point)


def judge(point: Point, value: float | None, back: ReadBack, slot: int) -> Result:
    """Judge what came of writing `value` (None = relinquish) into `slot`, by what was read afterwards."""
    if value is None:
        return Result.APPLIED if back.slot is None else Result.REJECTED
    if back.array is None:
        return _judge_without_array(point, value, back.present)
    if back.slot is None:
        return Result.REJECTED  # acknowledged, and yet not there
    if taken(back, slot):
        return Result.HELD
    kept = same(point, back.slot, value) and same(point, back.present, back.slot)
    return Result.APPLIED if kept else Result.CLAMPED


def _judge_without_array(point: Point, value: float, present: float | None) -> Result:
    if present is None:
        return Result.UNKNOWN
    return Result.APPLIED if same(point, present, value) else Result.HELD


def holder(point: Point, ours: float | None, back: ReadBack | None, slot: int) -> Holder:
    """Say whose value is in force, if `ours` is what we believe to hold in `slot`."""
    if back is None or (back.array is None and back.present is None):
        return Holder.UNKNOWN
    if back.array is None:
        mine = ours is not None and same(point, back.present, ours)
        return Holder.WE if mine else Holder.BMS if ours is None else Holder.UNKNOWN
    strongest = back.holder
    if strongest is not None and strongest <= LAST_OF_PEOPLE:
        return Holder.OPERATOR
    if strongest != slot:
        return Holder.BMS
    return Holder.UNKNOWN if ours is None else Holder.WE


def beneath(back: ReadBack | None, slot: int) -> float | None:
    """Return what the building would do without the value in `slot`; None = not known."""
    if back is None or back.array is None:
        return None
    weaker = back.array[slot:LOWEST]
    return next((value for value in weaker if value is not None), back.default)


def taken(back: ReadBack | None, slot: int) -> bool:
    """Whether somebody stronger than `slot` holds the point."""
    return back is not None and back.holder is not None and back.holder < slot

"""Who holds a point, in words (pure)."""

from config.site import Point
from config.units import Unit
from controller import outcome
from controller.arbiter import Source
from controller.leases import Override
from controller.naming import Names
from controller.outcome import LAST_OF_PEOPLE, PointStatus, Result
from controller.web.view import Hold, Holder, Slot
from drivers.base import ReadBack

_SLOTS = {1: "Life safety, by hand", 2: "Life safety", 5: "Protection of equipment", 6: "Least on and off times"}
_OURS = {
    Source.DEMAND_LIMIT: "for the limit on import",
    Source.OPTIMISER: "by the plan",
    Source.RULES: "by the rules",
    Source.EMERGENCY: "emergency",
}
_ASKED = {Result.REJECTED: "the device refused it", Result.UNKNOWN: "the device does not answer"}


def hold(point: Point, status: PointStatus, override: Override | None, names: Names, *, answers: bool) -> Hold:
    """Whose value a writable point follows, until when and why; `answers` False = its device is lost."""
    slot = status.slot
    if status.holder is outcome.Holder.OPERATOR:
        at = "" if status.value is None else f" at {amount(point, status.value)}"
        text = f"held at the building's own panel{at} (slot {slot})"
        return Hold(holder=Holder.OPERATOR, text=text, slot=slot, reason="Plenum leaves it alone and plans around it")
    if override is not None:
        text = f"by a person here, until {names.clock(override.expires)}"
        if status.ours is None:
            text += f"; not written yet{_because(status)}"
        return Hold(
            holder=Holder.OVERRIDE, text=text, slot=int(point.priority), until=override.expires, reason=override.reason
        )
    if status.holder is outcome.Holder.WE:
        by = _OURS.get(Source(status.source), "") if status.source else "until its lease ends"
        until = "" if status.expires is None else f", until {names.clock(status.expires)} unless renewed"
        text = f"{by} (slot {slot}){until}" if answers else f"{by} (slot {slot}) when last seen; no answer now"
        return Hold(holder=Holder.PLAN, text=text, slot=slot, until=status.expires, reason=_reason(status))
    if status.holder is outcome.Holder.BMS:
        where = "its own default" if slot is None else f"its own schedule (slot {slot})"
        return Hold(holder=Holder.BMS, text=where, slot=slot, reason=_reason(status))
    return Hold(holder=Holder.UNKNOWN, text="not looked at yet" if status.since is None else "", slot=slot)


def _because(status: PointStatus) -> str:
    why = _ASKED.get(status.result) if status.result is not None else None
    return f" ({why or status.note})" if why or status.note else ""


def _reason(status: PointStatus) -> str:
    return f"{status.reason} ({status.note})" if status.reason and status.note else status.reason or status.note


def amount(point: Point, value: float) -> str:
    """A value of a point with its unit, as people write it."""
    if point.unit is Unit.BINARY:
        return "on" if value else "off"
    if point.unit is Unit.DEGC:
        return f"{value:.1f} °C"
    return f"{value:g} {point.unit.value}"


def read_back(point: Point, status: PointStatus, names: Names) -> str:
    """What came of the last command or look; empty before the first."""
    if status.result is None:
        return ""
    words = {
        Result.APPLIED: "our value is in its slot and in force",
        Result.HELD: "a stronger hand overrules it",
        Result.CLAMPED: "the device keeps another value",
        Result.REJECTED: "the device said no",
        Result.UNKNOWN: "no answer",
        Result.FOREIGN: "our slot holds a value that is not ours",
    }[status.result]
    seen = "" if status.value is None else f", {amount(point, status.value)} seen"
    since = "" if status.since is None else f", since {names.clock(status.since)}"
    return f"{status.result.value}: {words}{seen}{since}"


def slots(point: Point, back: ReadBack | None) -> tuple[Slot, ...]:
    """The occupied places of a priority array, strongest first; empty without one."""
    if back is None or back.array is None:
        return ()
    ours = int(point.priority)
    return tuple(
        Slot(number=number, value=value, text=_who(number, ours))
        for number, value in enumerate(back.array, 1)
        if value is not None
    )


def _who(number: int, ours: int) -> str:
    if number == ours:
        return "Plenum"
    if number == LAST_OF_PEOPLE:
        return "Operator, by hand"
    if number < LAST_OF_PEOPLE:
        return _SLOTS.get(number, "The building, stronger than people")
    return "The building's schedule" if number > ours else "The building's program"

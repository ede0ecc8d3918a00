"""What the templates say: local times, money, states and choices, bound to one site and one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from controller.web import formats
from controller.web.view import Holder, NowView, Tone, ZoneView
from drivers.base import Quality
from optimiser.problem import Reason

CAUSES = {
    "price": "Price", "carbon": "Carbon", "comfort": "Comfort", "peak": "Peak", "limit": "Limit",
    "solar": "Sun", "occupancy": "People", "operator": "Operator",
}  # fmt: skip
HOLDERS = {
    Holder.PLAN: "Plenum",
    Holder.OVERRIDE: "Override",
    Holder.OPERATOR: "Operator",
    Holder.BMS: "Building",
    Holder.UNKNOWN: "Not known",
}
_FELT_K = 0.05  # half the step of a usual sensor
_COLD_K = 1.0  # from here on it is a problem, not a nuance


class Status(NamedTuple):
    tone: Tone
    word: str


class Choice(NamedTuple):
    """One way to say until when an override holds."""

    key: str
    label: str
    until: datetime


def status(zone: ZoneView) -> Status:
    """How a zone stands, in a word or two."""
    if zone.temperature_degc is None:
        return Status(Tone.BAD, "No reading")
    if zone.quality in {Quality.STALE, Quality.BAD}:
        return Status(Tone.WARN, "Old reading")
    if zone.quality is Quality.SUSPECT:
        return Status(Tone.WARN, "Doubtful reading")
    if zone.discomfort_k >= _FELT_K:
        tone = Tone.BAD if zone.discomfort_k >= _COLD_K else Tone.WARN
        way = "cold" if zone.temperature_degc < zone.low_degc else "warm"
        return Status(tone, f"{formats.number(zone.discomfort_k)} K too {way}")
    return Status(Tone.GOOD, "Comfortable") if zone.occupied else Status(Tone.OFF, "Empty")


def by_discomfort(zones: Sequence[ZoneView]) -> list[ZoneView]:
    """Worst first; then those with people; else in the order of the site."""
    return sorted(zones, key=lambda zone: (-zone.discomfort_k, not zone.occupied))


def choices(now: datetime, zone: ZoneInfo) -> tuple[Choice, ...]:
    """Ends of an override that people ask for, soonest first, none beyond 24 h."""
    local = now.astimezone(zone)
    found = [
        Choice("30m", "30 minutes", now + timedelta(minutes=30)),
        Choice("2h", "2 hours", now + timedelta(hours=2)),
        Choice("4h", "4 hours", now + timedelta(hours=4)),
    ]
    for at in (time(8), time(12), time(17), time(22)):
        on = local.date() if local.time() < at else local.date() + timedelta(days=1)
        until = datetime.combine(on, at, zone)
        if timedelta(minutes=15) < until - now <= timedelta(hours=24):
            tomorrow = "" if on == local.date() else " tomorrow"
            found.append(Choice(f"{at:%H:%M}", f"until {at:%H:%M}{tomorrow}", until))
    return tuple(found[:3] + sorted(found[3:], key=lambda choice: choice.until))


@dataclass(frozen=True, slots=True)
class Words:
    """Formats bound to a site's zone, currency and present moment; called `t` in the templates."""

    zone: ZoneInfo
    now: datetime
    currency: str

    @classmethod
    def of(cls, view: NowView) -> "Words":
        return cls(ZoneInfo(view.timezone), view.time, view.currency)

    def clock(self, when: datetime | None) -> str:
        return formats.clock(when, self.zone)

    def moment(self, when: datetime | None) -> str:
        return formats.moment(when, self.zone, self.now)

    def day(self, when: datetime | date) -> str:
        return formats.day(when, self.zone)

    def today(self) -> str:
        return formats.day(self.now, self.zone, year=True)

    def since(self, when: datetime | None) -> str:
        return formats.ago(None if when is None else self.now - when)

    def ago(self, age: timedelta | None) -> str:
        return formats.ago(age)

    def money(self, value: float | None, digits: int = 2) -> str:
        return formats.money(value, self.currency, digits)

    def rate(self, value: float | None) -> str:
        return formats.rate(value, self.currency)

    def status(self, zone: ZoneView) -> Status:
        return status(zone)

    def inside(self, words: str) -> str:
        """Words for the middle of a sentence: the first letter small."""
        return words[:1].lower() + words[1:]

    def choices(self) -> tuple[Choice, ...]:
        return choices(self.now, self.zone)

    def cause(self, reason: Reason) -> str:
        return CAUSES.get(reason.cause, reason.cause.capitalize())

    def holder(self, holder: Holder) -> str:
        return HOLDERS[holder]

    def iso(self, when: datetime) -> str:
        return when.isoformat(timespec="seconds").replace("+00:00", "Z")

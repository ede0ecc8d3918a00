"""Writes to points that keep every value in memory that wears out: counted for life, and few a day. Pure."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from config.site import Point
from drivers.base import Can, ReadBack

A_DAY = 24  # most writes within any 24 h: eleven years to 100,000
BURST = 4  # most of them at once
SPACING = timedelta(days=1) / (A_DAY - BURST)
ALARM_SHARE = 0.8  # of the endurance
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wear:
    """What writing has done to one point."""

    writes: int = 0  # ever
    due: datetime = _LONG_AGO  # when as many writes as were made would have been made evenly

    def after_write(self, now: datetime) -> "Wear":
        """The wear with one more write."""
        return replace(self, writes=self.writes + 1, due=max(self.due, now) + SPACING)

    def share(self, point: Point) -> float:
        """How much of the point's endurance is used; 1 or more = all of it."""
        return self.writes / point.endurance_writes

    def refusal(self, point: Point, now: datetime, *, automatic: bool) -> str:
        """Why the point may not be written now, empty if it may. The pace binds programs only, the end everybody."""
        if self.writes >= point.endurance_writes:
            return f"its memory has taken the {point.endurance_writes} writes it bears"
        if automatic and self.due > now + (BURST - 1) * SPACING:
            return f"at most {A_DAY} writes a day, to spare its memory"
        return ""


def wears(point: Point, can: Can, back: ReadBack | None) -> bool:
    """Whether each write wears the point: it has no slots, and is handed back by a write too."""
    if Can.RELINQUISH not in can:
        return True
    return point.safe_value is not None and back is not None and back.array is None

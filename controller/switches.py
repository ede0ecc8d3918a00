"""When a machine was switched on and off, by whomever. Pure."""

from collections import deque
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)
_LONG = timedelta(days=1)  # what is seen first is taken to have been so for long


class Switches:
    """The values in force on one enable point during the last hour."""

    def __init__(self) -> None:
        self._changes: deque[tuple[datetime, float]] = deque()

    def see(self, value: float, when: datetime) -> None:
        """Take note of the value in force; what is older than the last change is ignored."""
        changes = self._changes
        if not changes:
            changes.append((when - _LONG, value))
        elif value != changes[-1][1] and when >= changes[-1][0]:
            changes.append((when, value))
            while changes[1][0] <= when - HOUR:
                changes.popleft()

    def since(self, begin: datetime) -> tuple[float, ...]:
        """The values in force after `begin`, which is at most an hour ago; the present one last."""
        later = [value for when, value in self._changes if when > begin]
        before = [value for when, value in self._changes if when <= begin][-1:]
        return (*before, *later)

    def starts(self, begin: datetime) -> int:
        """How often it was switched on after `begin`, which is at most an hour ago."""
        return sum(value == 1.0 for n, (when, value) in enumerate(self._changes) if n and when > begin)

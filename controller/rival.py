"""Another supervisor of the same building: its beat on the heartbeat point, which is not ours. Pure."""

from collections.abc import Collection
from datetime import datetime, timedelta

from config.site import Point
from controller.outcome import same

QUIET = timedelta(seconds=150)  # two beats and a half: a supervisor that has not beaten so long is dead


class Rival:
    """What was seen of it on one heartbeat point."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._looked = False
        self._seen: float | None = None  # a value that is not ours
        self._moved_at: datetime | None = None

    def beats(self, found: float | None, ours: Collection[float | None], now: datetime, *, slotted: bool) -> bool:
        """Take a look and say whether another supervisor must be thought alive.

        `found` is what stands in our slot and `ours` is all that we may have put there. A foreign value may be a dead
        one's: it counts until it has stood still for `QUIET`. Where the point has no slots (not `slotted`) any value
        may have been there before anybody beat, so only one that changes counts.
        """
        mine = found is None or any(same(self._point, found, value) for value in ours)
        foreign = None if mine else found
        if foreign is not None and foreign != self._seen and (slotted or self._looked):
            self._moved_at = now
        self._looked, self._seen = True, foreign
        return self._moved_at is not None and now - self._moved_at < QUIET

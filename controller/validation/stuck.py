"""Sensors that have stuck: no change for half a day while those of the same kind moved."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from statistics import median

from controller.validation.steady import Steady

QUIET = timedelta(hours=12)
EVERY = timedelta(minutes=15)
MOVED = 3.0  # resolutions
SNAPSHOTS = int(QUIET / EVERY)


class Siblings:
    """Sensors of one role in one building, and what they showed in the last half day."""

    def __init__(self, sensors: Sequence[tuple[str, Steady]]) -> None:
        self._sensors = [(point, sensor, deque[float](maxlen=SNAPSHOTS)) for point, sensor in sensors]

    def look(self, now: datetime) -> Iterator[tuple[str, Steady, datetime]]:
        """Take a snapshot; points that have stuck, and since when they show the same. To be asked every EVERY."""
        for _, sensor, shown in self._sensors:
            if sensor.value is None or now - sensor.time > EVERY:
                shown.clear()  # a silent one tells nothing about the others, nor about itself
            else:
                shown.append(sensor.value)
        for point, sensor, shown in self._sensors:
            since = sensor.changed_at
            if sensor.stuck or since is None or len(shown) < SNAPSHOTS or now - since <= QUIET:
                continue
            if self._others_moved(sensor):
                yield point, sensor, since

    def _others_moved(self, sensor: Steady) -> bool:
        """Whether the typical one of the others moved by more than three resolutions, its own and theirs."""
        others = [
            (max(shown) - min(shown), other.resolution)
            for _, other, shown in self._sensors
            if other is not sensor and not other.stuck and len(shown) == SNAPSHOTS
        ]
        steps = [step for _, step in others if step is not None]
        if not steps:
            return False
        coarsest = max(median(steps), sensor.resolution or 0.0)
        return median(span for span, _ in others) > MOVED * coarsest

"""Quarter-hour means of every point, in memory: what the optimiser learns from and starts from."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from controller.store.base import Store
from drivers.base import Reading

STEP = timedelta(minutes=15)
STEP_S = STEP.total_seconds()


class History:
    """Means over quarter hours, labelled by their start; NaN where nothing good was heard.

    A point that only speaks on change (its max_age is longer than a step) keeps its last value.
    """

    def __init__(
        self, points: Sequence[str], *, held: Iterable[str] = (), keep: timedelta = timedelta(days=56)
    ) -> None:
        self._column = {point: n for n, point in enumerate(points)}
        holding = frozenset(held)
        self._held = np.array([point in holding for point in points], dtype=bool)
        self._sum = [0.0] * len(points)
        self._count = [0] * len(points)
        self._last = np.full(len(points), np.nan)
        self._open: int | None = None  # step number since 1970 being filled
        self._keep = int(keep / STEP)
        self._table = np.empty((min(self._keep, 512) * 2, len(points)))  # grows, then slides in its own slack
        self._filled = 0

    @property
    def end(self) -> datetime | None:
        """End of the last complete step; None before the first."""
        return None if self._open is None else datetime.fromtimestamp(self._open * STEP_S, UTC)

    def __len__(self) -> int:
        return min(self._filled, self._keep)

    def _append(self, rows: NDArray[np.float64]) -> None:
        rows = rows[-self._keep :]
        if self._filled + len(rows) > len(self._table):
            kept = self._table[max(0, self._filled - self._keep) : self._filled]
            grown = np.empty((max(2 * (len(kept) + len(rows)), len(self._table)), self._table.shape[1]))
            grown[: len(kept)] = kept
            self._table, self._filled = grown, len(kept)
        self._table[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)

    def copy(self) -> "History":
        """The same content, to go on separately."""
        return deepcopy(self)

    def add(self, readings: Sequence[Reading], now: datetime) -> bool:
        """Take readings in; True when at least one step was completed by `now`."""
        done = self.close(now)
        column, total, count = self._column, self._sum, self._count
        for reading in readings:
            value = reading.value
            if value is not None and reading.is_current:
                n = column.get(reading.point)
                if n is not None:
                    total[n] += value
                    count[n] += 1
                    self._last[n] = value
        return done

    def close(self, now: datetime) -> bool:
        """Complete the steps that ended before `now`; True if there was one."""
        step = int(now.timestamp() // STEP_S)
        if self._open is None:
            self._open = step
            return False
        if step <= self._open:
            return False
        count = np.array(self._count)
        with np.errstate(invalid="ignore", divide="ignore"):
            row = np.array(self._sum) / count
        row = np.where((count == 0) & self._held, self._last, row)
        self._append(row[None, :])
        silent = min(step - self._open - 1, self._keep)
        if silent:
            self._append(np.tile(np.where(self._held, self._last, np.nan), (silent, 1)))
        self._sum = [0.0] * len(count)
        self._count = [0] * len(count)
        self._open = step
        return True

    def forget(self, point: str, since: datetime) -> None:
        """Take back what was taken in of a point since then: it has turned out to be nonsense."""
        n = self._column.get(point)
        if n is None or self._open is None:
            return
        rows = max(0, self._open - int(since.timestamp() // STEP_S))
        self._table[max(0, self._filled - rows) : self._filled, n] = np.nan
        self._sum[n], self._count[n], self._last[n] = 0.0, 0, np.nan

    def column(self, point: str, steps: int | None = None) -> NDArray[np.float64]:
        """The last `steps` complete means of a point (all if None), oldest first; NaN for an unknown point."""
        return self.table([point], steps)[:, 0]

    def table(self, points: Sequence[str], steps: int | None = None) -> NDArray[np.float64]:
        """(steps, points) of complete means, oldest first."""
        rows = len(self) if steps is None else min(steps, len(self))
        result = np.full((rows, len(points)), np.nan)
        known = [(n, self._column[point]) for n, point in enumerate(points) if point in self._column]
        if rows and known:
            block = self._table[self._filled - rows : self._filled]
            result[:, [n for n, _ in known]] = block[:, [column for _, column in known]]
        return result

    def times_s(self, steps: int | None = None) -> NDArray[np.float64]:
        """Starts of those steps, seconds since 1970."""
        rows = len(self) if steps is None else min(steps, len(self))
        end = self._open or 0
        return (np.arange(end - rows, end) * STEP_S).astype(np.float64)

    async def load(self, store: Store, now: datetime, keep: timedelta) -> None:
        """Begin with what the store knows of the time before `now`."""
        end_step = int(now.timestamp() // STEP_S)
        rows = int(keep / STEP)
        start = datetime.fromtimestamp((end_step - rows) * STEP_S, UTC)
        table = np.full((rows, len(self._column)), np.nan)
        for point, n in self._column.items():
            means: Mapping[datetime, tuple[float, float, float, int]] = await store.aggregate(point, start, now, STEP)
            for when, (mean, *_rest) in means.items():
                row = int(when.timestamp() // STEP_S) - (end_step - rows)
                if 0 <= row < rows:
                    table[row, n] = mean
        heard = ~np.isnan(table)
        if not heard.any():
            return
        first = int(np.argmax(heard.any(axis=1)))
        for n in np.flatnonzero(self._held).tolist():
            last = np.nan
            for row in range(first, rows):
                last = table[row, n] if heard[row, n] else last
                table[row, n] = last
            self._last[n] = last
        self._append(table[first:])
        self._open = end_step

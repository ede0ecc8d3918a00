"""An estate of two buildings with meters of every kind, and a store in which they were read."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path

from config.load import draft_of
from config.site import Site
from controller.store.sqlite import SqliteStore
from drivers.base import Reading
from drivers.clock import Clock

ESTATE = (Path(__file__).parent / "data" / "estate.yaml").read_text(encoding="utf-8")

Registers = dict[str, Callable[[float], float | None]]  # point -> what it shows after so many hours; None = silent


def site_file(directory: Path, text: str = ESTATE) -> Path:
    path = directory / "estate.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def estate(text: str = ESTATE) -> Site:
    draft = draft_of(text, "estate.yaml")
    assert draft.site is not None, draft.findings
    return draft.site


def store(directory: Path, clock: Clock) -> AbstractAsyncContextManager[SqliteStore]:
    return SqliteStore(directory / "data", clock=clock)


async def fill(
    kept: SqliteStore, registers: Registers, start: datetime, hours: float, every: timedelta = timedelta(minutes=10)
) -> None:
    """Readings from `start` to `hours` later, both included."""
    for point, shown in registers.items():
        readings: list[Reading] = []
        for n in range(int(timedelta(hours=hours) / every) + 1):
            value = shown(n * every / timedelta(hours=1))
            if value is not None:
                at = start + n * every
                readings.append(Reading(point=point, time=at, received=at, value=value))
        await kept.append(readings)


def rising(kw: float, first: float = 0.0) -> Callable[[float], float]:
    return lambda hours: first + kw * hours


def every(points: Sequence[str], shown: Callable[[float], float | None]) -> Registers:
    return dict.fromkeys(points, shown)

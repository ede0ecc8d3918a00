"""The example town hall, as tests simulate it."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from config.load import load_site
from config.site import Site
from site_sims.building import SimulatedBuilding
from site_sims.truth import BmsTruth

EXAMPLE = Path(__file__).parent.parent / "config" / "examples" / "townhall.yaml"
MONDAY = datetime(2023, 1, 16, tzinfo=UTC)


@cache
def town_hall_site() -> Site:
    return load_site(EXAMPLE)


def town_hall(*, seed: int = 1, start: datetime = MONDAY, settings: BmsTruth | None = None) -> SimulatedBuilding:
    return SimulatedBuilding(town_hall_site(), seed=seed, start=start, settings=settings)

"""The example library, as tests simulate it."""

from datetime import datetime
from functools import cache
from pathlib import Path

from config.load import load_site
from config.site import Site
from site_sims.building import SimulatedBuilding
from site_sims.truth import BmsTruth

EXAMPLE = Path(__file__).parent.parent / "config" / "examples" / "library.yaml"


@cache
def library_site() -> Site:
    return load_site(EXAMPLE)


def library(start: datetime, *, seed: int = 1, settings: BmsTruth | None = None) -> SimulatedBuilding:
    return SimulatedBuilding(library_site(), seed=seed, start=start, settings=settings)

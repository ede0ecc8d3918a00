"""What lies behind a demonstration: days under the building's own control, and a model that was learned before.

`python -m site_sims.prelude SITE.yaml` learns the model anew, from 9 January to 5 February 2023, and writes it into
`data/`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from config.load import load_site
from config.site import Site
from controller.history import History
from drivers.base import Reading
from site_sims.building import SimulatedBuilding, key_of
from site_sims.learning import history_of, learning_weeks, observe
from site_sims.simulate import Span

SITE = Path(__file__).parents[1] / "config" / "examples" / "townhall.yaml"
DATA = Path(__file__).parent / "data"
LESSONS = (date(2023, 1, 9), date(2023, 2, 5))
BEGINS = datetime(2023, 2, 7, 5, 0)  # noqa: DTZ001  local time of the site: a Tuesday of school term, with a council meeting
WARM_UP = timedelta(days=2)
METERED_MIN = 5  # minutes between the meter readings that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a building went through before a demonstration begins."""

    building: SimulatedBuilding
    history: History
    readings: Sequence[Reading]  # of its meters


def model_file(site: Site) -> Path:
    """Where the model of a simulated site lies that was learned before; for others there is none."""
    return DATA / f"{site.id}_model.json"


def beginning(site: Site) -> datetime:
    """When demonstrations begin."""
    return BEGINS.replace(tzinfo=ZoneInfo(site.timezone))


def live_before(site: Site, *, seed: int, span: timedelta = WARM_UP) -> Past:
    """Some days, or `span`, under the building's own control, as our readings would have shown them."""
    start = beginning(site)
    building = SimulatedBuilding(site, seed=seed, start=start - span)
    history = history_of(site)
    meters = [(meter.point, building.field[key_of(site.points[meter.point])]) for meter in site.meters]
    readings: list[Reading] = []

    def each_minute() -> None:
        if building.minute % METERED_MIN == 0:
            at = building.time
            readings.extend(Reading(point=p, time=at, received=at, value=obj.value) for p, obj in meters)

    each_minute()
    observe(building, history, start, each_minute)
    return Past(building=building, history=history, readings=readings)


def main() -> int:
    """Learn a simulated site and keep the model."""
    parser = argparse.ArgumentParser(prog="plenum-prelude", description="Learn a simulated site and keep its model.")
    parser.add_argument("site", type=Path, nargs="?", default=SITE, help="site file (default: the town hall's)")
    site = load_site(parser.parse_args().site)
    lessons = Span.days(*LESSONS, site.timezone)
    building = SimulatedBuilding(site, seed=1, start=lessons.start)
    learned, _ = learning_weeks(building, lessons.end, until=lessons.end, seed=1)
    learned.save(model_file(site))
    print(learned.verdict)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

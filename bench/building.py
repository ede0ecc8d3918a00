"""How fast the simulated town hall lives: `python -m bench.building`."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.load import load_site
from drivers.clock import Clock
from site_sims.building import SimulatedBuilding
from site_sims.simulated_driver import simulated_drivers

EXAMPLE = Path(__file__).parent.parent / "config" / "examples" / "townhall.yaml"
START = datetime(2023, 2, 6, tzinfo=UTC)
DAYS, READS = 7, 200


def main() -> None:
    """Print microseconds a plant step and a simulated reading: least and median."""
    site = load_site(EXAMPLE)
    building = SimulatedBuilding(site, seed=1, start=START)
    steps = []
    for _ in range(DAYS * 24):
        begun = time.perf_counter()
        building.advance(timedelta(hours=1))
        steps.append((time.perf_counter() - begun) / 60 * 1e6)
    print(f"plant step of 60 s: {min(steps):.0f} us at least, {statistics.median(steps):.0f} us median")
    reads = asyncio.run(_reads(building))
    print(f"simulated reading: {min(reads):.2f} us at least, {statistics.median(reads):.2f} us median")


async def _reads(building: SimulatedBuilding) -> list[float]:
    make = simulated_drivers(building.field, clock=Clock.real())
    device = building.site.devices[0]
    driver, found = make(device), []
    for _ in range(READS):
        begun = time.perf_counter()
        await driver.read(device.points)
        found.append((time.perf_counter() - begun) / len(device.points) * 1e6)
    return found


if __name__ == "__main__":
    main()

"""One feed against the stand-in server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.site import Device, Location, Point
from drivers.base import Driver, Here
from drivers.clock import Clock
from drivers.feeds.driver import FeedDriver
from drivers.registry import Shared, driver_class, make_driver
from tests.feed_server import FeedServer

PLACE = Location(latitude=52.48, longitude=-1.9, postcode="B1")
UNITS = {
    "forecast": "g/kWh",
    "actual": "g/kWh",
    "temperature": "degC",
    "solar": "W/m2",
    "import": "money/kWh",
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    server: FeedServer
    shared: Shared
    device: Device
    clock: Clock

    @property
    def points(self) -> dict[str, Point]:
        """By address."""
        return {point.address: point for point in self.device.points}

    def driver(self) -> FeedDriver:
        made: Driver = make_driver(self.device, clock=self.clock, shared=self.shared)
        assert isinstance(made, FeedDriver)
        return made


def device(kind: str, options: dict[str, Any]) -> Device:
    """A device with a point for each address of the driver."""
    found = driver_class(kind)
    assert issubclass(found, FeedDriver)
    points = [{"id": f"hall.grid.{name}", "unit": UNITS[name], "address": name} for name in found.ROLES]
    return Device.model_validate({"id": kind, "driver": kind, "options": options, "points": points})


@asynccontextmanager
async def bench(
    kind: str, clock: Clock, options: dict[str, Any] | None = None, *, here: Here | None = None
) -> AsyncIterator[Bench]:
    """Options get the address of the server, unless they say otherwise."""
    async with FeedServer(clock).serve() as server, Shared(here or Here(location=PLACE)) as shared:
        told = {"url": server.address, **(options or {})}
        yield Bench(server=server, shared=shared, device=device(kind, told), clock=clock)


def kept(folder: Path) -> Here:
    """A site that keeps what its feeds know."""
    return Here(location=PLACE, keep=folder)

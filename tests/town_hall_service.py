"""The town hall under the service with a backend on it, in virtual time, for the tests of what people see and ask."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from config.load import load_site
from config.site import Site
from controller.backend.backend import Actions, ServiceBackend, Setting, backend
from controller.carbon.intensity import read_intensity
from controller.learned import load
from controller.service import Service
from controller.store.forward import Database
from drivers.clock import Clock
from optimiser.worker import InProcess
from site_sims.building import SimulatedBuilding, key_of
from site_sims.field import FieldObject
from site_sims.forecasts import INTENSITY
from site_sims.live import controlled
from site_sims.prelude import SITE, beginning, live_before, model_file

SOLVER = InProcess()  # compiles once for all tests
OURS = 13


@dataclass(frozen=True)
class Hall:
    """A town hall that is controlled and shown."""

    site: Site
    building: SimulatedBuilding
    service: Service
    backend: ServiceBackend
    clock: Clock

    def object(self, point: str) -> FieldObject:
        """The object on the simulated device."""
        return self.building.field[key_of(self.site.points[point])]

    def slot(self, point: str) -> float | None:
        """What stands in our slot on the simulated device."""
        return self.object(point).array[OURS - 1]


@asynccontextmanager
async def town_hall(
    directory: Path,
    *,
    site: Site | None = None,
    actions: Actions | None = None,
    database: Callable[[Clock], Database] | None = None,
) -> AsyncIterator[Hall]:
    """It begins on Tuesday 7 February 2023, 05:00, after three hours under its own control."""
    site = site or load_site(SITE)
    past = live_before(site, seed=1, span=timedelta(hours=3))
    clock = Clock(beginning(site))
    async with controlled(
        site,
        past.building,
        clock,
        directory=directory,
        learned=load(model_file(site), site),
        history=past.history,
        solver=SOLVER,
        database=database,
    ) as service:
        setting = Setting(intensity=read_intensity(INTENSITY), actions=actions, banner=lambda: "Simulated")
        async with backend(service, setting) as shown:
            await service.store.append(past.readings)
            yield Hall(site=site, building=past.building, service=service, backend=shown, clock=clock)

"""What a driver brings to the contract suite, and the cases whose device needs no broker.

`test_driver_contract.py` runs every case of the `CASES` of every `tests/contract_*.py`. To add a driver, add such a
module with a list of `Case`: a name, and a function from a clock to an async context manager of a `Subject`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from config.site import Point
from drivers.base import Driver
from drivers.clock import Clock
from site_sims.field import Field
from site_sims.simulated_driver import SimulatedDriver
from tests.bacnet_field import GHOST, SETPOINT, TEMPERATURE, bench, field_device

REFUSED = TEMPERATURE.model_copy(update={"writable": True, "low": 0.0, "high": 100.0})  # a sensor taken for a setpoint


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One device in a field, and drivers onto it."""

    make: Callable[[], Driver]  # a new driver with the four points below, not yet opened
    field: Field
    device: str  # its id in the field
    sensor: Point
    setpoint: Point  # relinquish default inside its limits; 21.5 and 22.5 are valid values
    refused: Point  # a point that the device refuses to write; its key is in the field
    missing: Point | None  # a point that the device does not have; None = cannot be told, as with MQTT
    slots: bool = True  # has a priority array
    settle_s: float = 1.0  # virtual seconds until a change in the field can be read
    silence_s: float = 0.0  # virtual seconds for which it must be gone, or talk nonsense, before that can be told

    def plug(self, *, into_the_wall: bool) -> None:
        self.field.devices[self.device].reachable = into_the_wall


class Case(NamedTuple):
    name: str
    subject: Callable[[Clock], AbstractAsyncContextManager[Subject]]
    writes: bool = True  # else it is read only: `setpoint` is a second sensor, and nothing is commanded


@asynccontextmanager
async def bacnet(clock: Clock) -> AsyncIterator[Subject]:
    async with bench(clock) as b:
        points = (TEMPERATURE, SETPOINT, GHOST)
        yield Subject(
            make=lambda: b.driver(points),
            field=b.field,
            device="box",
            sensor=TEMPERATURE,
            setpoint=SETPOINT,
            refused=REFUSED,
            missing=GHOST,
        )


@asynccontextmanager
async def bacnet_with_cov(clock: Clock) -> AsyncIterator[Subject]:
    async with bench(clock) as b:
        points = (TEMPERATURE, SETPOINT, GHOST)
        yield Subject(
            make=lambda: b.driver(points, cov=(TEMPERATURE.id, SETPOINT.id)),
            field=b.field,
            device="box",
            sensor=TEMPERATURE,
            setpoint=SETPOINT,
            refused=REFUSED,
            missing=GHOST,
        )


@asynccontextmanager
async def simulated(clock: Clock) -> AsyncIterator[Subject]:
    device = field_device()
    points = (TEMPERATURE, SETPOINT, GHOST)
    yield Subject(
        make=lambda: SimulatedDriver(points, device=device, clock=clock),
        field=Field([device]),
        device="box",
        sensor=TEMPERATURE,
        setpoint=SETPOINT,
        refused=REFUSED,
        missing=GHOST,
    )


CASES = [Case("bacnet", bacnet), Case("bacnet-cov", bacnet_with_cov), Case("simulated", simulated)]

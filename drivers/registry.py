"""Driver name -> class, through the entry points `plenum.drivers`; built-in drivers use the same way in."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.metadata import entry_points
from typing import Any, Protocol, Self, TypeVar, cast

from config.site import Device
from drivers.base import Driver, Here
from drivers.clock import Clock

T = TypeVar("T")
GROUP = "plenum.drivers"


class Shared:
    """Resources that several devices share, such as one UDP socket; opened on first use, closed with us.

    Used as `async with Shared() as shared`, around every driver that may use it.
    """

    def __init__(self, here: Here | None = None) -> None:
        self.here = here or Here()
        self._stack = AsyncExitStack()
        self._open: dict[object, Any] = {}
        self._opening = asyncio.Lock()  # two devices may ask for the same one at once

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._open.clear()
        await self._stack.aclose()

    async def get(self, key: object, make: Callable[[AsyncExitStack], Awaitable[T]]) -> T:
        """The resource of that key; `make` opens it once and pushes its closing on the stack it is given."""
        async with self._opening:
            if key not in self._open:
                self._open[key] = await make(self._stack)
        return cast("T", self._open[key])


class MakesDriver(Protocol):
    """The constructor every driver class offers."""

    def __call__(self, points: Any, *, options: Any, clock: Clock, shared: Shared) -> Driver: ...


def driver_names() -> list[str]:
    """Installed drivers, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def driver_class(name: str) -> type[Driver]:
    """The class of a driver; raises LookupError naming the installed ones."""
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return cast("type[Driver]", entry.load())
    raise LookupError(f"no driver called {name!r}; installed are {', '.join(driver_names())}")


def make_driver(device: Device, *, clock: Clock, shared: Shared) -> Driver:
    """A driver for one device of the site file, not yet opened; raises pydantic's error on bad options."""
    kind = driver_class(device.driver)
    options = kind.Options.model_validate(device.options)
    return cast("MakesDriver", kind)(device.points, options=options, clock=clock, shared=shared)

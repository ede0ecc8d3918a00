"""All devices of a site, open as long as anything of ours may be in them, even if one driver has a bug."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager


class DriverBug(Exception):  # noqa: N818  a state of the program
    """A driver failed in a way that its contract does not allow, so control must end."""


class Ends:
    """Which of the devices have ended."""

    def __init__(self, count: int) -> None:
        self.devices: list[str] = []
        self._count = count
        self._first, self._all = asyncio.Event(), asyncio.Event()

    def tell(self, device: str) -> None:
        """Say that a device's work has ended."""
        self.devices.append(device)
        self._first.set()
        if len(self.devices) == self._count:
            self._all.set()

    async def fail_at_first(self) -> None:
        """Wait for the first one, where none ought to end; raises DriverBug."""
        await self._first.wait()
        raise DriverBug(f"the driver of {self.devices[0]} failed; its traceback follows")

    async def all(self) -> None:
        """Wait for the last one."""
        if self._count:
            await self._all.wait()


@asynccontextmanager
async def serving_devices(work: Mapping[str, Coroutine[None, None, None]]) -> AsyncIterator[Ends]:
    """Do the work of every device, by its id, during the block.

    What goes wrong in one is told at once and raised only after the block: until then the others go on.
    """
    ends, over = Ends(len(work)), asyncio.Event()

    async def held(device: str, part: Coroutine[None, None, None]) -> None:
        try:
            await part
        finally:
            ends.tell(device)
            await over.wait()  # an exception that left now would stop all the others

    async with asyncio.TaskGroup() as tasks:
        running = {
            device: tasks.create_task(held(device, part), name=f"{device}:device") for device, part in work.items()
        }
        try:
            yield ends
        finally:
            over.set()
            for device, task in running.items():
                if device not in ends.devices:
                    task.cancel()
            await asyncio.sleep(0)  # the ended ones leave with their exceptions, which a cancellation would replace

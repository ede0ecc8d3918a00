"""Points a second by ReadPropertyMultiple, ours against the library's own, in one run: `python -m bench.bacnet`.

A simulated device answers from a process of its own over loopback; processor time is this process's alone. The
two clients take turns, so that a busy machine is equally busy for both.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import Address, IPv4Address
from bacpypes3.primitivedata import ObjectIdentifier, PropertyIdentifier

from config.site import Point
from config.units import Unit
from drivers.bacnet.driver import BacnetDriver, BacnetOptions
from drivers.clock import Clock
from drivers.registry import Shared
from site_sims.bacnet_devices import serve_bacnet
from site_sims.field import Field, FieldDevice, FieldObject

INSTANCE = 1
COUNTS = (10, 40, 60)  # points in one request
ROUNDS = 8
SECONDS = 0.4  # of each client in each round


@dataclass
class Tally:
    """What one client did in all its turns."""

    requests: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    times_s: list[float] = field(default_factory=list)

    async def turn(self, ask: Callable[[], Awaitable[object]]) -> None:
        cpu, began = time.process_time(), time.perf_counter()
        while (now := time.perf_counter()) - began < SECONDS:
            await ask()
            self.times_s.append(time.perf_counter() - now)
            self.requests += 1
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.perf_counter() - began

    def line(self, name: str, points: int) -> str:
        centiles = statistics.quantiles(self.times_s, n=100)
        read = self.requests * points
        return (
            f"  {name:<8} {read / self.wall_s:>9,.0f} points/s  {self.cpu_s / read * 1e6:>7.1f} us CPU a point"
            f"  request p50 {centiles[49] * 1e3:.2f} ms, p99 {centiles[98] * 1e3:.2f} ms"
        )


async def serve(count: int) -> None:
    """Be the device until the standard input closes; the first line out is the port."""
    objects = [FieldObject(key=f"z{n}", address=f"analog-input,{n}", default=20 + n / 10) for n in range(count)]
    device = FieldDevice(id="box", protocol="bacnet", instance=INSTANCE, objects={o.key: o for o in objects})
    async with serve_bacnet(Field([device]), clock=Clock.real()):
        print(device.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@asynccontextmanager
async def device(count: int) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bacnet", "serve", str(count),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        if process.stdout is None:
            raise RuntimeError("the device has no output")
        yield int(await process.stdout.readline())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def compare(count: int) -> float:
    """Print both clients' figures for requests of `count` points; return the ratio of processor times a point."""
    points = [Point(id=f"bench.z{n}.value", unit=Unit.DEGC, address=f"analog-input,{n}") for n in range(count)]
    props = [PropertyIdentifier("present-value"), PropertyIdentifier("status-flags")]
    wanted = [item for n in range(count) for item in (ObjectIdentifier(f"analog-input,{n}"), props)]
    own, stock = Tally(), Tally()
    async with device(count) as port, Shared() as shared:
        options = BacnetOptions(address=f"127.0.0.1:{port}", instance=INSTANCE, bind="127.0.0.1:0")
        client = DeviceObject(objectIdentifier=("device", 9), objectName="bench", maxApduLengthAccepted=1476)
        app, address = NormalApplication(client, IPv4Address(("127.0.0.1", 0))), Address(f"127.0.0.1:{port}")
        async with BacnetDriver(points, options=options, clock=Clock.real(), shared=shared) as driver:
            expected = [reading.value for reading in await driver.read(points)]
            found = await app.read_property_multiple(address, wanted)
            if [float(value) for _, prop, _, value in found if prop == props[0]] != expected:
                raise RuntimeError("the two clients read different values")
            for _ in range(ROUNDS):
                await own.turn(lambda: driver.read(points))
                await stock.turn(lambda: app.read_property_multiple(address, wanted))
        app.close()
    print(f"{count} points a request, present value and status flags, one request at a time:")
    print(own.line("ours", count))
    print(stock.line("library", count))
    ratio = (stock.cpu_s / stock.requests) / (own.cpu_s / own.requests)
    print(f"  {ratio:.1f} times less processor time a point")
    return ratio


async def main() -> None:
    for count in COUNTS:
        await compare(count)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[2])) if sys.argv[1:2] == ["serve"] else main())

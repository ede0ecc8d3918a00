"""The town hall's field as a process of its own, in real time: `python -m bench.field SITE [--broker] [--real]`.

Says `ready`, then one JSON line for each value of a supervisor that arrives at a BACnet device, with the moment
by the machine's monotonic clock, which all processes share. Takes `forget DEVICE` on its standard input, upon which
that device loses a supervisor's values as if its power had failed, and ends when that is closed.
"""

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from config.load import load_site
from config.site import Site
from drivers.clock import Clock
from site_sims.bacnet_devices import serve_bacnet
from site_sims.broker import Broker
from site_sims.building import SimulatedBuilding
from site_sims.field import FieldDevice, FieldObject
from site_sims.mqtt_devices import serve_mqtt
from site_sims.prelude import beginning

SLOT = 13
BUSY = timedelta(hours=3, minutes=30)  # after the beginning of demonstrations: people come, lights are on, little sun
LIVED = timedelta(hours=17)  # under its own control, until then
READY_S = 60.0


def building_before(site: Site) -> SimulatedBuilding:
    """The building as it stands when the field begins."""
    building = SimulatedBuilding(site, seed=1, start=beginning(site) + BUSY - LIVED)
    building.advance(LIVED)
    return building


def clock_of(site: Site) -> Clock:
    """The field's clock: the running loop's time, from the busy hour on."""
    return Clock(beginning(site) + BUSY - timedelta(seconds=asyncio.get_running_loop().time()))


def broker_of(site: Site) -> tuple[str, int]:
    """Host and port of the site's broker."""
    options = next(device.options for device in site.devices if device.driver == "mqtt")
    return str(options["host"]), int(options["port"])


async def serve(site: Site, *, with_broker: bool, real: bool) -> None:
    """Be the field until standard input is closed; if `real`, meters send the machine's time."""
    building, clock = building_before(site), clock_of(site)
    stamps = Clock.real() if real else clock
    host, port = broker_of(site)
    for device in building.field.of("bacnet"):
        for obj in device.objects.values():
            obj.watchers.append(teller())
    async with AsyncExitStack() as stack:
        if with_broker:
            await stack.enter_async_context(Broker(host, port))
        await stack.enter_async_context(serve_bacnet(building.field, clock=clock))
        await stack.enter_async_context(
            serve_mqtt(building.field, site.devices, clock=clock, stamps=stamps, host=host, port=port)
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        living = tasks.create_task(building.run(clock), name="building")
        print("ready", flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            _, _, name = line.decode().strip().partition(" ")
            forget(building.field.devices[name])
        living.cancel()


def teller() -> Callable[[FieldObject], None]:
    """A watcher that says what a supervisor has written."""
    last: float | None = None

    def tell(obj: FieldObject) -> None:
        nonlocal last
        ours, before = obj.array[SLOT - 1], last
        last = ours
        if ours is not None and ours != before:
            print(json.dumps({"at": time.perf_counter(), "key": obj.key, "value": ours}), flush=True)

    return tell


def forget(device: FieldDevice) -> None:
    """Lose what a supervisor has written."""
    for obj in device.objects.values():
        if obj.commandable and obj.array[SLOT - 1] is not None:
            obj.write(None, SLOT)


def mosquitto() -> str | None:
    """Mosquitto's program; None where it is not installed. Debian keeps it off people's path."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class FieldProcess:
    """The field beside us, with a broker: Mosquitto if it is installed, else the field's own."""

    def __init__(self, process: asyncio.subprocess.Process, broker: str) -> None:
        self._process, self.broker = process, broker

    async def write(self) -> tuple[float, str, float]:
        """The next value that arrived: when by `time.perf_counter`, where, and which. Raises EOFError at its end."""
        line = b"" if self._process.stdout is None else await self._process.stdout.readline()
        if not line:
            raise EOFError("the field has ended")
        said = json.loads(line)
        return said["at"], said["key"], said["value"]

    async def forget(self, device: str) -> None:
        """Let a device lose a supervisor's values."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"forget {device}\n".encode())
            await self._process.stdin.drain()


@asynccontextmanager
async def field_process(site_file: Path, *, real: bool = False) -> AsyncIterator[FieldProcess]:
    """Start the field of a site file, and end it; `real` if the service goes by the machine's clock."""
    site, program = load_site(site_file), mosquitto()
    async with AsyncExitStack() as stack:
        if program is not None:
            await stack.enter_async_context(_mosquitto(program, broker_of(site)[1]))
        switches = [*([] if program else ["--broker"]), *(["--real"] if real else [])]
        field = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.field", str(site_file), *switches,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(READY_S):
                if field.stdout is None or await field.stdout.readline() != b"ready\n":
                    raise RuntimeError("the field did not begin; its words are above")
            yield FieldProcess(field, "Mosquitto" if program else "amqtt")
        finally:
            await _end(field)


@asynccontextmanager
async def _mosquitto(program: str, port: int) -> AsyncIterator[None]:
    with TemporaryDirectory(prefix="plenum-") as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n", encoding="utf-8")
        process = await asyncio.create_subprocess_exec(program, "-c", str(config))
        try:
            yield
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    else:
        with suppress(ProcessLookupError):
            process.terminate()
    try:
        async with asyncio.timeout(5.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.field")
    parser.add_argument("site", type=Path)
    parser.add_argument("--broker", action="store_true", help="with a broker of its own")
    parser.add_argument("--real", action="store_true", help="meters send the machine's time")
    args = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(load_site(args.site), with_broker=args.broker, real=args.real))

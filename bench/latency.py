"""From an event to the wire, in real time over loopback: `python -m bench.latency [--samples N M]`.

The whole service with its pages controls the town hall, whose field is a process of its own. A third process sends
the demand limits and hears the dimmers' commands, so that no clock and no loop is shared with what is measured; what
it measures includes the broker's part both ways. A price change counts until the field has received the first
setpoint that differs.
"""

import argparse
import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import aiomqtt
import numpy as np

from bench.field import BUSY, FieldProcess, broker_of, clock_of, field_process
from bench.site import moved
from config.load import load_site
from config.roles import Role
from config.site import Site
from controller.backend.backend import Setting
from controller.carbon.intensity import read_intensity
from controller.learned import load
from controller.service import Service, Settings
from controller.serving import open_door, serving
from controller.web.pages import Renderer
from drivers.mqtt.client import NODELAY
from drivers.mqtt.mapping import parse_address
from drivers.registry import Shared, make_driver
from optimiser.worker import Worker
from site_sims.building import SimulatedBuilding
from site_sims.forecasts import INTENSITY, Forecasts
from site_sims.learning import history_of, observe
from site_sims.live import SimulatedOutlook
from site_sims.prelude import beginning, model_file

LIMITS, PRICES = 200, 50  # samples
TARGETS_MS = {"limit": 50.0, "price": 1000.0}
LIMIT_KW, NO_LIMIT_KW = 1, 1000
RATES = (0.02, 0.90)  # per kWh for the next hours, in turn
PRICE_FOR = timedelta(hours=2)
KNOWN = timedelta(days=14)  # of history, as much as a plan rests on
ANSWER_S = 5.0
KNOWN_WITHIN_S = 75.0
REST_S = 4.0  # between prices, so that one plan's writes are over before the next


def line(name: str, samples_s: Sequence[float], asked: int) -> str:
    """Percentiles in milliseconds beside the target for the 99th."""
    least, half, most, worst = (1e3 * float(np.percentile(samples_s, p)) for p in (0, 50, 99, 100))
    target = TARGETS_MS[name]
    met = "met" if most < target else "missed"
    return (
        f"  {len(samples_s)} of {asked} answered: min {least:.1f} ms, median {half:.1f} ms, p99 {most:.1f} ms,"
        f" worst {worst:.1f} ms (target p99 < {target:.0f} ms: {met})"
    )


# --- the third process ---------------------------------------------------------------------------------------------


async def probe(site: Site, samples: int) -> list[float]:
    """Seconds from each demand limit to the first dimmer's command; a limit that nobody answers is left out."""
    host, port = broker_of(site)
    (limit,) = (parse_address(point.address).topic for point in site.by_role(Role.DEMAND_LIMIT))
    commands = [point.options["command_topic"] for point in site.by_role(Role.LIGHT_LEVEL)]
    pause, found = random.Random(1), []
    # Ears and mouth apart: on one connection a broker's acknowledgement holds up what it sends next (Nagle's rule).
    async with (
        aiomqtt.Client(host, port, socket_options=[NODELAY]) as client,
        aiomqtt.Client(host, port, socket_options=[NODELAY]) as mouth,
    ):
        for topic in commands:
            await client.subscribe(topic, qos=1)
        for _ in range(samples):
            begun = time.perf_counter()
            await mouth.publish(limit, json.dumps({"kw": LIMIT_KW}), qos=1, retain=True)
            dimmed = await _heard(client, dimming=True)
            await mouth.publish(limit, json.dumps({"kw": NO_LIMIT_KW}), qos=1, retain=True)
            if dimmed is not None:
                found.append(dimmed - begun)
                await _heard(client, dimming=False)
            await asyncio.sleep(pause.uniform(0.3, 0.8))
            while len(client.messages):  # the other lamps
                await anext(client.messages)
    return found


async def _heard(client: aiomqtt.Client, *, dimming: bool) -> float | None:
    """When a command came that dims, or hands back; None if none did in time."""
    try:
        async with asyncio.timeout(ANSWER_S):
            async for message in client.messages:
                at = time.perf_counter()
                level = json.loads(bytes(message.payload))["level"]
                if (level is not None) == dimming:
                    return at
    except TimeoutError:
        pass
    return None


# --- the service ---------------------------------------------------------------------------------------------------


async def measure(site_file: Path, *, limits: int, prices: int) -> None:
    """Run the service against the field, and print both figures."""
    site = load_site(site_file)
    async with AsyncExitStack() as stack:
        field = await stack.enter_async_context(field_process(site_file))
        solver = stack.enter_context(Worker())
        shared = await stack.enter_async_context(Shared())
        clock = clock_of(site)
        past = SimulatedBuilding(site, seed=1, start=beginning(site) + BUSY - KNOWN)
        history = history_of(site)
        observe(past, history, clock.now(), lambda: None)
        forecasts = Forecasts(past.weather, seed=1)
        settings = Settings(
            directory=site_file.parent / "data",
            make_driver=lambda device: make_driver(device, clock=clock, shared=shared),
            outlook=lambda _site, _history: SimulatedOutlook(forecasts, clock),
            solver=solver,
            learned=load(model_file(site), site),
            history=history,
        )
        door = open_door("127.0.0.1", 0)
        stack.enter_context(door.socket)
        running = await stack.enter_async_context(
            serving(
                site,
                settings,
                clock,
                door=door,
                setting=Setting(intensity=read_intensity(INTENSITY)),
                renderer=Renderer(),
                real=False,
            )
        )
        await _settled(running.service)
        print(f"demand limit -> first dimmer's command, through {field.broker}:", flush=True)
        print(line("limit", await _probed(site_file, limits), limits), flush=True)
        print("price change -> new plan -> first changed setpoint at the BACnet device, solver in its worker:")
        print(line("price", await _priced(running.service, field, prices), prices), flush=True)


async def _settled(service: Service) -> None:
    """Wait until the import is known, which its meter tells once a minute, and the first plan's writes are over."""
    async with asyncio.timeout(KNOWN_WITHIN_S):
        while service.state.last_value(service.watch.import_point or "") is None:
            await asyncio.sleep(0.5)
    await asyncio.sleep(REST_S)


async def _probed(site_file: Path, samples: int) -> list[float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.latency", "--probe", str(site_file), str(samples),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the probe failed; its words are above")
    found: list[float] = json.loads(said)
    return found


async def _priced(service: Service, field: FieldProcess, samples: int) -> list[float]:
    found: list[float] = []
    for n in range(samples):
        now = service.clock.now()
        begun = time.perf_counter()
        service.gatherer.prices.replace(now, now + PRICE_FOR, RATES[n % 2])
        at = begun - 1.0
        try:
            async with asyncio.timeout(ANSWER_S):
                while at < begun:  # what came before is of an earlier plan
                    at, key, _ = await field.write()
                    at = begun - 1.0 if key.endswith("heartbeat") else at
            found.append(at - begun)
        except TimeoutError:
            pass
        await asyncio.sleep(REST_S)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.latency")
    parser.add_argument("--samples", type=int, nargs=2, default=(LIMITS, PRICES), metavar=("LIMITS", "PRICES"))
    parser.add_argument("--probe", nargs=2, metavar=("SITE", "SAMPLES"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if args.probe is not None:
        print(json.dumps(asyncio.run(probe(load_site(Path(args.probe[0])), int(args.probe[1])))))
        return
    with TemporaryDirectory(prefix="plenum-") as folder:
        site_file = Path(folder) / "townhall.yaml"
        site_file.write_text(moved(), encoding="utf-8")
        asyncio.run(measure(site_file, limits=args.samples[0], prices=args.samples[1]))


if __name__ == "__main__":
    main()

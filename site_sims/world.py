"""The simulated building behind its real protocols, and the buttons that disturb it.

In one loop with the controller, or as a process of its own in real time: `python -m site_sims.world`, which takes
`NAME on` and `NAME off` on its standard input.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from config.load import load_site
from config.roles import Role
from config.site import Site
from controller.guarding import LOCK_FILE
from controller.web.view import Action
from drivers.clock import Clock
from site_sims.bacnet_devices import serve_bacnet
from site_sims.broker import Broker
from site_sims.building import NO_LIMIT_KW, SimulatedBuilding, key_of
from site_sims.mqtt_devices import serve_mqtt
from site_sims.prelude import beginning, live_before

log = logging.getLogger(__name__)

OPERATOR_SLOT = 8
OPERATOR_DEGC = 22.5
LIMIT_KW = 12.0
OURS = range(9, 15)
LINGERS_S = 180.0  # after the controller is gone, so that the guard is seen at work
STAYS_S = 6.0  # after that, for whoever wants to look


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A disturbance and its end."""

    name: str
    begin: str
    end: str
    description: str


class Disturbances:
    """The buttons with their state; `press` carries one out: its name, and whether it begins."""

    def __init__(self, site: Site, press: Callable[[str, bool], Awaitable[None]]) -> None:
        self._press = press
        self._active: dict[str, bool] = {}
        self.buttons = {button.name: button for button in _buttons(site)}

    def actions(self) -> tuple[Action, ...]:
        return tuple(
            Action(
                name=button.name,
                label=button.end if self._active.get(button.name) else button.begin,
                description=button.description,
                active=self._active.get(button.name, False),
            )
            for button in self.buttons.values()
        )

    async def act(self, name: str) -> None:
        """Begin it, or end it if it is on. Raises LookupError."""
        button = self.buttons[name]
        begins = not self._active.get(button.name, False)
        await self._press(name, begins)
        self._active[name] = begins


def _buttons(site: Site) -> tuple[Button, ...]:
    zone = operated_zone(site)
    return (
        Button(
            name="boiler",
            begin="Unplug the boiler",
            end="Mend the boiler",
            description="It reports a fault and gives no heat: the next plan does without it.",
        ),
        Button(
            name="operator",
            begin="Take manual control at the panel",
            end="Release it at the panel",
            description=f"An operator sets {zone} to {OPERATOR_DEGC:g} °C at priority 8: Plenum leaves it alone and "
            "plans around it.",
        ),
        Button(
            name="broker",
            begin="Stop the MQTT broker",
            end="Start the MQTT broker",
            description="Meters, people and lights go silent; heating goes on over BACnet.",
        ),
        Button(
            name="cable",
            begin="Pull a network cable",
            end="Plug the cable in",
            description=f"The BACnet controller {cut_device(site)} does not answer any more: nothing is written there "
            "until it is back.",
        ),
        Button(
            name="limit",
            begin=f"Limit import to {LIMIT_KW:g} kW",
            end="Lift the limit",
            description="A demand limit comes by MQTT: lights dim at once, the plan follows.",
        ),
    )


def operated_zone(site: Site) -> str:
    """Name of the zone that the operator's button sets."""
    zone = site.buildings[0].zones[0]
    return zone.name or zone.id


def cut_device(site: Site) -> str:
    """The device whose cable the button pulls: the last BACnet one with zones."""
    names = [d.id for d in site.devices if any(p.role is Role.HEATING_SETPOINT for p in d.points)]
    return names[-1]


class World:
    """A living building on the wire; see `world`."""

    def __init__(self, building: SimulatedBuilding, broker: Broker) -> None:
        self.building, self.broker = building, broker
        self._boiler = next(p.id for p in building.building.plant if p.kind == "boiler")
        site = building.site
        self._setpoint = key_of(site.by_role(Role.HEATING_SETPOINT, building.building.zones[0].id)[0])
        self._limits = [key_of(point) for point in site.by_role(Role.DEMAND_LIMIT)]

    async def press(self, name: str, begins: bool) -> None:  # noqa: FBT001  the state asked for
        """Begin or end a disturbance. Raises LookupError."""
        field = self.building.field
        match name:
            case "boiler":
                (self.building.unplug if begins else self.building.mend)(self._boiler)
            case "operator":
                field[self._setpoint].write(OPERATOR_DEGC if begins else None, OPERATOR_SLOT)
            case "broker":
                await (self.broker.stop() if begins else self.broker.start())
            case "cable":
                field.devices[cut_device(self.building.site)].reachable = not begins
            case "limit":
                for key in self._limits:
                    field[key].sense(LIMIT_KW if begins else NO_LIMIT_KW)
            case _:
                raise LookupError(name)
        log.info("the building: %s %s", name, "begins" if begins else "ends")

    def ours(self) -> list[str]:
        """Objects in which a supervisor's value stands."""
        return [
            obj.key
            for obj in self.building.field
            if obj.commandable and any(obj.array[slot - 1] is not None for slot in OURS)
        ]


@asynccontextmanager
async def world(building: SimulatedBuilding, clock: Clock, *, stamps: Clock | None = None) -> AsyncIterator[World]:
    """Let the building live on its wires for the length of the block. Raises OSError if a port is taken.

    Meters that send their own time send that of `stamps` (None = of `clock`).
    """
    host, port = broker_address(building.site)
    async with Broker(host, port) as broker, serve_bacnet(building.field, clock=clock):
        devices = building.site.devices
        async with (
            serve_mqtt(building.field, devices, clock=clock, stamps=stamps, host=host, port=port),
            asyncio.TaskGroup() as tasks,
        ):
            living = tasks.create_task(building.run(clock), name="building")
            try:
                yield World(building, broker)
            finally:
                living.cancel()


def broker_address(site: Site) -> tuple[str, int]:
    """Host and port of the broker that the site's MQTT devices use."""
    options = next(device.options for device in site.devices if device.driver == "mqtt")
    return str(options["host"]), int(options["port"])


def field_ports(site: Site) -> dict[tuple[str, int], str]:
    """(protocol, port) that the simulated field and our client need, with what for."""
    found: dict[tuple[str, int], str] = {}
    for device in site.devices:
        if device.driver == "bacnet":
            found["udp", int(str(device.options["address"]).rpartition(":")[2])] = f"BACnet device {device.id}"
            found["udp", int(str(device.options["bind"]).rpartition(":")[2])] = "our own BACnet socket"
        elif device.driver == "mqtt":
            found["tcp", int(device.options["port"])] = "the MQTT broker"
    return found


def busy_port(site: Site) -> str:
    """The first port that somebody else uses, in words; empty if all are free."""
    for (kind, port), what in field_ports(site).items():
        family = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
        with closing(socket.socket(socket.AF_INET, family)) as probe:
            if kind == "tcp":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                if kind == "tcp":
                    probe.listen()
            except OSError as error:
                return f"{kind.upper()} port {port} ({what}) cannot be used: {error.strerror}"
    return ""


async def _obey(world_: World) -> None:
    """Take orders from standard input until it is closed, which happens when whoever started us is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        name, _, state = line.decode().strip().partition(" ")
        await world_.press(name, state == "on")


async def _live(site: Site, *, seed: int, directory: Path, real: bool) -> None:
    building = live_before(site, seed=seed).building
    clock = Clock(beginning(site) - timedelta(seconds=asyncio.get_running_loop().time()))
    async with world(building, clock, stamps=Clock.real() if real else None) as living:
        print("ready", flush=True)
        await _obey(living)
        if living.ours():
            log.info("the controller is gone; its values stand in %d points", len(living.ours()))
            begun = clock.now()
            async with asyncio.timeout(LINGERS_S):
                while living.ours():
                    await asyncio.sleep(0.5)
            log.info("all points are the building's again, %.0f s later", (clock.now() - begun).total_seconds())
            await asyncio.sleep(STAYS_S)
    _end_guard(directory)


def _end_guard(directory: Path) -> None:
    """End the guard that outlived a killed demonstration: its building is gone."""
    try:
        holder = (directory / LOCK_FILE).read_text(encoding="ascii").strip()
        os.kill(int(holder), signal.SIGTERM)
    except (OSError, ValueError):
        log.debug("no guard is left")


def main() -> int:
    """Run the building until standard input is closed and all is handed back."""
    parser = argparse.ArgumentParser(prog="plenum-world", description="A simulated building on its own wires.")
    parser.add_argument("site", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, required=True, help="data directory of the demonstration")
    parser.add_argument("--real", action="store_true", help="meters send the machine's time, as `plenum run` goes by")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s building %(message)s", datefmt="%H:%M:%S")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the controller, which needs us still
    try:
        asyncio.run(_live(load_site(args.site), seed=args.seed, directory=args.data, real=args.real))
    except TimeoutError:
        log.error("nobody handed the points back")  # noqa: TRY400  a finding, not a failure of ours
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

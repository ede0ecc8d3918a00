"""A site with its pages, from the first look at the devices until somebody says stop; how `run` and `demo` serve."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from config.site import Site
from controller.backend.backend import ServiceBackend, Setting, backend
from controller.backend.vitals import Vitals
from controller.guard import Heartbeat
from controller.guarding import GuardProcess, keep_beating
from controller.service import Service, Settings, running
from controller.web.pages import Renderer
from controller.web.serve import Pages, check_host
from drivers.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the pages are served: a bound socket and its address."""

    socket: socket.socket
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What was given back at the end."""

    points: tuple[str, ...]  # held when the stop came
    left: tuple[str, ...]  # not proven to be free


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service with its pages."""

    service: Service
    backend: ServiceBackend


def open_door(host: str, port: int, *, tries: int = 1) -> Door:
    """Take a port, or one of the next ones; port 0 takes any. Raises NotLoopback, OSError that says what to do."""
    host = check_host(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last: OSError | None = None
    for number in range(port, port + (tries if port else 1)):
        taken = socket.socket(family, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, number))
            taken.listen()  # a port that is only bound may be bound twice
        except OSError as error:
            taken.close()
            last = error
            continue
        shown = f"[{host}]" if ":" in host else host
        return Door(socket=taken, address=f"http://{shown}:{taken.getsockname()[1]}")
    why = last.strerror if last is not None else "no port tried"
    raise OSError(last.errno if last else None, f"cannot listen on {host}:{port} ({why}); choose another port")


@contextmanager
def told_to_stop() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set; call it inside the loop."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def serving(
    site: Site,
    settings: Settings,
    clock: Clock,
    *,
    door: Door,
    setting: Setting,
    renderer: Renderer,
    guard: GuardProcess | None = None,
    real: bool = True,
) -> AsyncIterator[Running]:
    """Run the site with its pages for the length of the block; `give_back` before its end tells what was held."""
    pace = setting.pace()
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running(site, settings, clock))
        vitals = Vitals(settings.directory, clock, service.ladder, service.hubs.triggers, service.state, real=real)
        checks = (vitals.checks, *([] if guard is None else [lambda: (guard.check(),)]), setting.checks)
        full = Setting(
            intensity=setting.intensity,
            actions=setting.actions,
            banner=setting.banner,
            pace=setting.pace,
            actor=setting.actor,
            checks=lambda: tuple(check for some in checks for check in some()),
        )
        shown = await stack.enter_async_context(backend(service, full))
        _count_faults(shown)
        from controller.web.app import make_app  # takes half a second, in which the first plan is made elsewhere

        registry = CollectorRegistry()
        registry.register(shown.measures)
        pages = Pages(make_app(shown, clock=clock, registry=registry, pace=pace, renderer=renderer), pace=pace)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        beside = [
            tasks.create_task(pages.run_until_stopped(door.socket), name="pages"),
            tasks.create_task(vitals.run(), name="vitals"),
            tasks.create_task(service.store.retain(), name="retention"),
        ]
        if guard is not None:
            heart = Heartbeat(settings.directory)
            beside.append(tasks.create_task(keep_beating(service, heart), name="heartbeat"))
            beside.append(tasks.create_task(guard.run(), name="guard"))
        try:
            yield Running(service=service, backend=shown)
        finally:
            for task in beside:
                task.cancel()


async def give_back(service: Service, reason: str) -> Handed:
    """Hand everything back now, before pages and devices are closed."""
    held = tuple(name for name, status in service.dispatch.status.items() if status.ours is not None)
    left = await service.dispatch.release_all(reason)
    return Handed(points=held, left=tuple(left))


def say_handed(handed: Handed, site: Site, say: Callable[[str], None]) -> None:
    """What was handed back, device by device, and what could not be."""
    free = [point for point in handed.points if point not in handed.left]
    say(f"Handed back {len(free)} of {len(set(handed.points) | set(handed.left))} points to the building.")
    for device in site.devices:
        names = [point.id for point in device.points if point.id in free]
        if names:
            say(f"  {device.id}: {', '.join(name.split('.', 1)[1] for name in names)}")
    for point in handed.left:
        say(f"  not proven free: {point}; the building's own watchdog takes it back when the heartbeat stays away")


def _count_faults(shown: ServiceBackend) -> None:
    """Count what only the event loop sees, and log each kind once."""
    said: set[str] = set()

    def caught(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        shown.measures.faults += 1
        what = f"{context.get('message')}: {context.get('exception')!r}"
        if what not in said:
            said.add(what)
            log.error("the event loop caught: %s", what, exc_info=context.get("exception"))

    asyncio.get_running_loop().set_exception_handler(caught)

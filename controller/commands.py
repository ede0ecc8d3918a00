"""`plenum run` and `plenum plan`: from a checked site file to an exit code."""

import asyncio
import json
import logging
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from config.site import Mode, Site
from controller.apart import apart
from controller.backend.backend import Setting
from controller.carbon.intensity import IntensityFile, site_intensity
from controller.events import Cause, Trigger
from controller.guard import own_way
from controller.guarding import GuardProcess
from controller.history import History
from controller.learned import MODEL_FILE, load
from controller.naming import Names
from controller.outlook import LocalOutlook
from controller.planner import Solver
from controller.pulse import first_beat
from controller.service import Service, Settings, running
from controller.serving import Door, Handed, give_back, open_door, say_handed, serving, told_to_stop
from controller.store.base import StoreError
from controller.store.claim import Claimed, claim
from controller.store.forward import Database
from controller.store.readings import READINGS_FILE
from controller.store.sqlite import SqliteStore
from controller.terminal import DONE, NO, TAKEN, WRONG_INPUT, complain, data_directory, say
from controller.web.encode import plain
from controller.web.pages import Renderer
from controller.web.serve import NotLoopback
from drivers.base import Here
from drivers.clock import Clock
from drivers.registry import Shared, make_driver
from optimiser.problem import Plan
from optimiser.worker import InProcess

log = logging.getLogger(__name__)

KNOWN_DAYS = timedelta(days=42)
FEEDS = "feeds"  # folder of what the feeds keep
ROWS_STEP = 4  # quarter hours between the rows of a printed plan


def here(site: Site, directory: Path, base: Path) -> Here:
    """What drivers may know of a site whose data is in `directory` and whose file is in `base`."""
    return Here(location=site.location, base=base, keep=directory / FEEDS)


def advisory(site: Site) -> Site:
    """The same site, of which nothing is written."""
    return site.model_copy(update={"control": site.control.model_copy(update={"mode": Mode.ADVISORY})})


# --- run -----------------------------------------------------------------------------------------------------------


def serve(site: Site, args: Namespace, solver: Solver) -> int:
    """Control the site until told to stop; the exit codes are those of `controller.cli`."""
    site = advisory(site) if args.advisory else site
    directory = data_directory(site, args.site)
    with ExitStack() as stack:
        try:
            stack.enter_context(claim(directory))
            intensity = site_intensity(site.carbon, args.site.parent)
            door = open_door(site.web.host, site.web.port)
            stack.enter_context(door.socket)
        except Claimed as error:
            complain(str(error))
            return TAKEN
        except (StoreError, OSError, NotLoopback, ValueError) as error:
            complain(str(error))
            return WRONG_INPUT
        guard = None if args.no_guard else stack.enter_context(GuardProcess(directory, args.site.resolve()))
        renderer, database = Renderer(), _database(site, args.site.parent)
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                handed = runner.run(
                    _serve(
                        site,
                        directory,
                        intensity,
                        base=args.site.parent,
                        door=door,
                        solver=solver,
                        guard=guard,
                        renderer=renderer,
                        database=database,
                    )
                )
        except StoreError as error:
            complain(str(error))
            return WRONG_INPUT
    say_handed(handed, site, say)
    return NO if handed.left else DONE


def _database(site: Site, base: Path) -> Callable[[Clock], Database] | None:
    """What makes the site's database. Its libraries take a second to import: not while control would wait for it."""
    options = site.store.influx
    if options is None:
        return None
    from controller.store.influx import InfluxStore

    return lambda clock: InfluxStore(options, site=site.id, base=base, clock=clock)


async def _serve(
    site: Site,
    directory: Path,
    intensity: IntensityFile | None,
    *,
    base: Path,
    door: Door,
    solver: Solver,
    guard: GuardProcess | None,
    renderer: Renderer,
    database: Callable[[Clock], Database] | None,
) -> Handed:
    clock = Clock.real()
    async with Shared(here(site, directory, base)) as shared:
        settings = Settings(
            directory=directory,
            make_driver=lambda device: make_driver(device, clock=clock, shared=shared),
            outlook=lambda known, history: LocalOutlook(known, history, intensity),
            solver=solver,
            learned=load(directory / MODEL_FILE, site),
            learn_at=apart,
            first_beat=first_beat(directory),
            database=database,
        )
        with told_to_stop() as told:
            async with serving(
                site, settings, clock, door=door, setting=Setting(intensity=intensity), renderer=renderer, guard=guard
            ) as running_:
                say(f"{site.name}: running, the pages are at {door.address}. Ctrl-C hands everything back.")
                await told.wait()
                return await give_back(running_.service, "the service stops")


# --- plan ----------------------------------------------------------------------------------------------------------


def plan_once(site: Site, args: Namespace) -> int:
    """Listen, make one plan, print it with its reasons; nothing is written to any device."""
    try:
        intensity = site_intensity(site.carbon, args.site.parent)
    except (OSError, ValueError) as error:
        complain(str(error))
        return WRONG_INPUT
    listen, directory = timedelta(seconds=args.listen), data_directory(site, args.site)
    with (
        TemporaryDirectory(prefix="plenum-plan-") as folder,
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
    ):
        try:
            plan, missing = runner.run(
                _plan(advisory(site), directory, Path(folder), intensity, base=args.site.parent, listen=listen)
            )
        except StoreError as error:
            complain(str(error))
            return WRONG_INPUT
    for text in missing:
        complain(text)
    if plan is None:
        complain("no plan; see the lines above")
        return NO
    if missing:
        complain("planned without what is named above")
    if args.json:
        say(json.dumps(plain(plan), indent=1))
    else:
        print_plan(site, plan)
    return DONE


async def _plan(
    site: Site, directory: Path, scratch: Path, intensity: IntensityFile | None, *, base: Path, listen: timedelta
) -> tuple[Plan | None, list[str]]:
    """A plan, and what was not heard. A service that controls the same devices meanwhile is not disturbed."""
    clock = Clock.real()
    if (directory / FEEDS).is_dir():
        copytree(directory / FEEDS, scratch / FEEDS)  # what the service keeps is its own
    async with Shared(here(site, scratch, base)) as shared:
        settings = Settings(
            directory=scratch,
            make_driver=lambda device: make_driver(own_way(device), clock=clock, shared=shared),
            outlook=lambda known, history: LocalOutlook(known, history, intensity),
            solver=InProcess(),
            learned=load(directory / MODEL_FILE, site),
            history=await _known(site, directory, clock),
            learn_nightly=False,
            durable=False,
        )
        async with running(site, settings, clock) as service:
            until = clock.now() + listen
            complain(f"listening for {listen.total_seconds():.0f} s at most; nothing is written")
            while clock.now() < until and _silent(service, clock.now()):
                await asyncio.sleep(0.5)
            heard, missing = _heard(service, clock.now())
            if not heard:
                return None, [*missing, "no device was heard: a plan would be made of nothing"]
            plan = await service.planner.plan(Trigger(cause=Cause.START, text="asked for", time=clock.now()))
            if plan is None:
                return None, [*missing, "the solver found no plan"]
    return plan, missing


def _silent(service: Service, now: datetime) -> list[str]:
    return [point for point in service.site.points if service.state.value(point, now) is None]


def _heard(service: Service, now: datetime) -> tuple[bool, list[str]]:
    """Whether any device was heard, and in words what was not."""
    silent, dumb, missing = set(_silent(service, now)), set[str](), []
    for device in service.site.devices:
        points = {point.id for point in device.points}
        if points <= silent:
            dumb |= points
            link = service.links[device.id]
            why = "its connection stands, but nothing of it came" if link.up else link.error
            missing.append(f"silent device: {device.id} ({why})")
    if some := [point for point in service.site.points if point in silent - dumb]:
        missing.append(f"not heard: {', '.join(some)}")
    return len(dumb) < len(service.site.points), missing


async def _known(site: Site, directory: Path, clock: Clock) -> History:
    """What the site's own store knows, if there is one."""
    points = site.points.values()
    history = History(list(site.points), held=[p.id for p in points if p.max_age > timedelta(minutes=15)])
    if (directory / READINGS_FILE).exists():
        async with SqliteStore(directory, clock=clock) as store:
            await history.load(store, clock.now(), KNOWN_DAYS)
    return history


def print_plan(site: Site, plan: Plan) -> None:
    """The plan as a table of hours and as sentences."""
    names = Names(site)
    console = Console()
    currency = site.tariffs[0].currency if site.tariffs else "GBP"
    columns = [
        ("import", "from the grid kW"),
        ("heat_pump", "heat pump kW"),
        ("boiler", "boiler kW"),
        ("tank", "tank kWh"),
    ]
    there = {"import"} | {plant.kind for building in site.buildings for plant in building.plant}
    shown = [(key, title) for key, title in columns if key in plan.series and key in there]
    table = Table(title=f"{site.name}: the next {len(plan.series['import'].values) // ROWS_STEP} hours")
    for title in ("from", *(title for _, title in shown)):
        table.add_column(title, justify="right")
    first = plan.series["import"]
    for n in range(0, len(first.values), ROWS_STEP):
        cells = [f"{sum(plan.series[key].values[n : n + ROWS_STEP]) / ROWS_STEP:.1f}" for key, _ in shown]
        table.add_row(names.clock(first.start + n * first.step), *cells)
    console.print(table)
    energy = ", ".join(f"{kwh:.0f} kWh {fuel}" for fuel, kwh in plan.energy_kwh.items())
    console.print(
        f"{plan.cost:.2f} {currency}, {plan.carbon_kg:.0f} kg at grid intensity, {energy}; "
        f"{plan.discomfort_kh:.1f} K h outside the band; {plan.status}, solved in {plan.solve_s * 1000:.0f} ms",
        markup=False,
    )
    for reason in plan.reasons:
        console.print(f"{names.clock(reason.time)}  {names.words(reason.text)}", markup=False, highlight=False)

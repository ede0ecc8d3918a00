"""Read this first: everything of one site, started in one TaskGroup and stopped in the right order.

Starting: store, leases and audit; supervisors; first contact with the devices (reconcile); then control. Stopping:
control ends first, everything we hold is handed back and read back while the devices are still open, then the
devices close, then the store.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from config.factors import Activity, factor
from config.site import Device, Mode, Site
from controller.apart import Place, here
from controller.arbiter import Request, Source
from controller.audit import Audit
from controller.devices import Ends, serving_devices
from controller.dispatch import Dispatch
from controller.estimate import Estimator
from controller.events import Trigger, Watch
from controller.feeds import FeedOutlook, Feeds
from controller.gather import Gatherer
from controller.history import History
from controller.hub import Hub
from controller.intake import GATHER, Reflex, follow_devices, follow_levels, follow_outcomes, keep_readings, take_in
from controller.ladder import Ladder, LevelChange, Trouble
from controller.learned import MODEL_FILE, Learned, plannable
from controller.learner import Learner
from controller.leases import Leases
from controller.occupancy import Occupancy
from controller.outcome import Outcome
from controller.outlook import Outlook, Prices
from controller.planner import Planner, Solver
from controller.rules import Rules
from controller.state import State
from controller.stopped import stopped_for
from controller.store.control import control_database
from controller.store.database import Synchronous
from controller.store.forward import Database, Forwarder, Forwarding, forwarding
from controller.store.outbox import Outbox
from controller.store.sqlite import SqliteStore
from controller.supervisor import DeviceEvent, Link, run_device
from controller.validation.gate import Gate
from controller.validation.take_back import Nonsense, take_back
from drivers.base import Command, Driver, Reading
from drivers.clock import Clock
from optimiser.problem import Plan

log = logging.getLogger(__name__)

LOOK_FOR_FORECASTS_S = 60.0
FIRST_CONTACT = timedelta(seconds=20)
FIRST_READINGS_S = 1.0  # what brokers kept for us arrives just after the first poll


@dataclass(frozen=True, slots=True, kw_only=True)
class Hubs:
    """Every channel of the program."""

    readings: Hub[Reading] = field(default_factory=Hub)
    nonsense: Hub[Nonsense] = field(default_factory=Hub)
    devices: Hub[DeviceEvent] = field(default_factory=Hub)
    triggers: Hub[Trigger] = field(default_factory=Hub)
    plans: Hub[Plan] = field(default_factory=Hub)
    outcomes: Hub[Outcome] = field(default_factory=Hub)
    commands: Hub[Command] = field(default_factory=Hub)
    levels: Hub[LevelChange] = field(default_factory=Hub)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a site is run, beside what its file says."""

    directory: Path  # holds the store, the leases and the heartbeat; claimed by the caller
    make_driver: Callable[[Device], Driver]  # not yet opened
    outlook: Callable[[Site, History], Outlook]
    solver: Solver
    learned: Learned
    optimise: bool = True  # False = the rule schedule alone
    first_beat: int = 0  # where the heartbeat begins to count; no two supervisors of a building should agree
    learn_nightly: bool = True
    learn_at: Place = here  # where that is computed
    history: History | None = None  # None = what the store knows
    durable: bool = True  # False = a simulation's throw-away files
    gather: timedelta = GATHER  # readings of that long share a commit
    database: Callable[[Clock], Database] | None = None  # makes what `store.influx` describes; None = send nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The parts of a running site, for its pages and for whoever started it."""

    site: Site
    clock: Clock
    hubs: Hubs
    gate: Gate
    state: State
    history: History
    store: SqliteStore
    leases: Leases
    audit: Audit
    links: dict[str, Link]
    feeds: Feeds
    dispatch: Dispatch
    ladder: Ladder
    watch: Watch
    rules: Rules
    planner: Planner
    gatherer: Gatherer
    estimator: Estimator
    occupancy: Occupancy
    settings: Settings
    forwarder: Forwarder | None  # None = readings stay here


@asynccontextmanager
async def running(site: Site, settings: Settings, clock: Clock) -> AsyncIterator[Service]:
    """Run the site for the length of the block; at its end, however it ends, everything is handed back.

    A part that fails in a way nobody foresaw ends the block with an ExceptionGroup.
    """
    control: Synchronous = "FULL" if settings.durable else "OFF"
    readings: Synchronous = "NORMAL" if settings.durable else "OFF"
    database = control_database(settings.directory, synchronous=control)
    store = SqliteStore(settings.directory, clock=clock, options=site.store, synchronous=readings)
    async with store, database, _sending(site, settings, clock, synchronous=readings) as forwarder:
        leases = Leases(database, clock=clock)
        await leases.begin()
        audit = Audit(database)
        service = _assemble(site, settings, clock, store=store, leases=leases, audit=audit, forwarder=forwarder)
        service.gate.remember((await store.newest()).values())
        if settings.history is None:
            await service.history.load(store, clock.now(), timedelta(days=42))
        async with serving_devices(_devices(service)) as devices, _controlling(service, devices):
            yield service


@asynccontextmanager
async def _sending(
    site: Site, settings: Settings, clock: Clock, *, synchronous: Synchronous
) -> AsyncIterator[Forwarder | None]:
    """Send readings on to the site's database, if it has one, for the length of the block."""
    if settings.database is None or site.store.influx is None:
        yield None
        return
    outbox = Outbox(
        settings.directory,
        site=site.id,
        clock=clock,
        budget_bytes=site.store.influx.outbox_mb * 1_000_000,
        synchronous=synchronous,
    )
    async with forwarding(outbox, settings.database(clock), clock) as forwarder:
        yield forwarder


@asynccontextmanager
async def _controlling(service: Service, devices: Ends) -> AsyncIterator[None]:
    """Take readings in and control for the length of the block, which a driver's bug ends; then hand all back."""
    async with asyncio.TaskGroup() as outer:
        taking = _intake(service, outer)
        try:
            async with asyncio.TaskGroup() as inner:
                core = [inner.create_task(devices.fail_at_first(), name="drivers"), *await _core(service, inner)]
                try:
                    yield
                finally:
                    for task in core:
                        task.cancel()
        finally:
            for point in await service.dispatch.release_all("the service stops"):
                log.error("%s: not proven free; its lease runs out and the guard goes on trying", point)
            for task in taking:
                task.cancel()


def _assemble(
    site: Site,
    settings: Settings,
    clock: Clock,
    *,
    store: SqliteStore,
    leases: Leases,
    audit: Audit,
    forwarder: Forwarder | None,
) -> Service:
    hubs = Hubs()
    state, occupancy = State(site), Occupancy(site)
    points = site.points.values()
    speaks_on_change = [p.id for p in points if p.max_age > timedelta(minutes=15)]
    history = settings.history or History([p.id for p in points], held=speaks_on_change)
    estimator = Estimator(site, history, occupancy)
    links = {device.id: Link(device) for device in site.devices}
    feeds = Feeds(site, links)
    watch, prices = Watch(site, occupancy), Prices(site, clock=clock, triggers=hubs.triggers, feed=feeds)
    ladder = Ladder(clock, changes=hubs.levels)
    dispatch = Dispatch(
        site,
        links,
        leases=leases,
        audit=audit,
        clock=clock,
        outcomes=hubs.outcomes,
        state=state,
        occupied=occupancy.occupied,
        events=hubs.devices,
        commands=hubs.commands,
        ladder=ladder,
        first_beat=settings.first_beat,
    )
    gatherer = Gatherer(
        site,
        state=state,
        estimator=estimator,
        occupancy=occupancy,
        outlook=FeedOutlook(feeds, settings.outlook(site, history), history),
        prices=prices,
        watch=watch,
        learned=settings.learned,
        gas_kg_per_kwh=float(factor(Activity.GAS, site.carbon.factor_year or clock.now().year).kg_per_kwh),
    )
    rules = Rules(site, state, occupancy)
    planner = Planner(
        site,
        clock=clock,
        gatherer=gatherer,
        solver=settings.solver,
        rules=rules,
        dispatch=dispatch,
        ladder=ladder,
        triggers=hubs.triggers,
        plans=hubs.plans,
        optimise=settings.optimise and plannable(site),
    )
    return Service(
        site=site,
        clock=clock,
        hubs=hubs,
        gate=Gate(site, hubs.readings, hubs.nonsense),
        state=state,
        history=history,
        store=store,
        leases=leases,
        audit=audit,
        links=links,
        feeds=feeds,
        dispatch=dispatch,
        ladder=ladder,
        watch=watch,
        rules=rules,
        planner=planner,
        gatherer=gatherer,
        estimator=estimator,
        occupancy=occupancy,
        settings=settings,
        forwarder=forwarder,
    )


def _devices(service: Service) -> dict[str, Coroutine[None, None, None]]:
    """The work of each device."""
    hubs = service.hubs
    return {
        device.id: run_device(
            device,
            partial(service.settings.make_driver, device),
            service.gate,
            events=hubs.devices,
            clock=service.clock,
            link=service.links[device.id],
        )
        for device in service.site.devices
    }


def _intake(service: Service, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
    """What becomes of readings, as long as any may come."""
    hubs, clock = service.hubs, service.clock
    reflex = Reflex(service.site, service.state, service.watch, service.dispatch, clock)
    taking = take_in(
        hubs.readings,
        hubs.triggers,
        state=service.state,
        history=service.history,
        watch=service.watch,
        reflex=reflex,
        clock=clock,
    )
    forwarder = service.forwarder
    kept_in = service.store if forwarder is None else Forwarding(service.store, forwarder.outbox)
    gather = service.settings.gather
    keeping = keep_readings(hubs.readings, kept_in, service.ladder, gather=gather)
    taking_back = take_back(
        hubs.nonsense, hubs.readings, history=service.history, store=service.store, after=2 * gather
    )
    return [
        tasks.create_task(taking, name="intake"),
        tasks.create_task(keeping, name="store"),
        tasks.create_task(taking_back, name="take back"),
    ]


async def _core(service: Service, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
    """Control itself, once the devices have been looked at."""
    hubs, ladder, dispatch, site = service.hubs, service.ladder, service.dispatch, service.site
    ladder.report(
        Trouble.ADVISORY_MODE, present=site.control.mode is Mode.ADVISORY, text="advisory: nothing is written"
    )
    stopped = stopped_for(service.settings.directory)
    ladder.report(Trouble.OPERATOR_STOP, present=bool(stopped), text=stopped)
    dispatch.allow(ladder.level)
    following = [
        tasks.create_task(ladder.run(), name="ladder"),
        tasks.create_task(follow_levels(hubs.levels, dispatch, service.audit, service.clock), name="levels"),
        tasks.create_task(follow_devices(hubs.devices, hubs.triggers, ladder), name="devices"),
        tasks.create_task(follow_outcomes(hubs.outcomes, hubs.triggers), name="outcomes"),
        tasks.create_task(dispatch.run(), name="dispatch"),
        tasks.create_task(_follow_forecasts(service), name="forecasts"),
    ]
    silent = await dispatch.wait_known(FIRST_CONTACT)
    if silent:
        log.warning("control begins without %s", ", ".join(silent))
    await _restore_overrides(service)
    await asyncio.sleep(FIRST_READINGS_S)
    learning = Learner(
        site,
        estimator=service.estimator,
        occupancy=service.occupancy,
        clock=service.clock,
        triggers=hubs.triggers,
        path=service.settings.directory / MODEL_FILE,
        gatherer=service.gatherer,
        place=service.settings.learn_at,
    )
    planning = tasks.create_task(service.planner.run(), name="planner")
    nightly = [tasks.create_task(learning.run(), name="learner")] if service.settings.learn_nightly else []
    return [planning, *nightly, *following]


async def _follow_forecasts(service: Service) -> None:
    """A forecast that is newer than the plan deserves another one. Until cancelled."""
    while True:
        await asyncio.sleep(LOOK_FOR_FORECASTS_S)
        issued, known = service.gatherer.outlook.issued(), service.planner.issued
        for cause in (cause for cause, when in issued.items() if known.get(cause) != when):
            text = f"new forecast of {cause}"
            service.hubs.triggers.publish(Trigger(cause=cause, text=text, time=service.clock.now()))


async def _restore_overrides(service: Service) -> None:
    """What people asked for outlives us, until it expires."""
    now = service.clock.now()
    for override in await service.leases.overrides():
        if override.expires <= now or override.point not in service.dispatch.status:
            await service.leases.drop_override(override.point)
            continue
        request = Request(
            source=Source.MANUAL,
            point=override.point,
            value=override.value,
            expires=override.expires,
            reason=override.reason,
            decision=f"override by {override.actor}",
        )
        service.dispatch.submit(request)

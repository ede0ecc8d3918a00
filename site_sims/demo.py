"""`plenum demo`: a simulated building on real BACnet/IP and MQTT packets, controlled live, with its pages.

At any pace but 1 building and controller share one loop and its time. At pace 1 the building is a process of its own,
beside the service and its guard as in production, so that one may kill the service and watch the guard hand back.
"""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter

from config.site import Site
from controller.backend.backend import Setting
from controller.carbon.intensity import read_intensity
from controller.check import check_site, format_findings
from controller.guarding import GuardProcess
from controller.learned import load
from controller.planner import Solver
from controller.service import Settings
from controller.serving import Door, Handed, give_back, open_door, say_handed, serving, told_to_stop
from controller.store.base import StoreError
from controller.store.claim import Claimed, claim
from controller.web.pages import Renderer
from controller.web.view import Action
from drivers.clock import Clock
from drivers.registry import Shared, make_driver
from optimiser.problem import Plan, Problem
from optimiser.worker import InProcess, Worker
from site_sims.forecasts import INTENSITY, Forecasts
from site_sims.live import SimulatedOutlook
from site_sims.prelude import SITE, Past, beginning, live_before, model_file
from site_sims.truth import unknown_building
from site_sims.virtual_time import VirtualTimeLoop
from site_sims.world import Disturbances, busy_port, world

MARK = "demo"
KEPT = frozenset({MARK, "lock", "guard.lock"})
FAST, SLOW = 60.0, 10.0
PORTS_TRIED = 20
GOODBYE_S = 10.0
PAGE_FIRST_S = 0.7  # real
DONE, NO, WRONG_INPUT, TAKEN = 0, 1, 2, 3


class NotOurs(Exception):  # noqa: N818  a directory a person must name anew
    """The directory was not made by the demonstration, so it is not cleared."""


class NotReady(Exception):  # noqa: N818
    """The building's own process did not begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """All that both kinds of demonstration need."""

    site: Site
    directory: Path
    door: Door
    renderer: Renderer
    past: Past
    forecasts: Forecasts


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)


def run_demo(args: Namespace) -> int:
    """The command; returns its exit code."""
    site_file = args.site or SITE
    site, findings = check_site(site_file)
    if site is None or findings:
        say(format_findings(findings))
        return WRONG_INPUT
    if unknown := unknown_building(site.id):
        say(f"plenum demo: {unknown}")
        return WRONG_INPUT
    if args.pace <= 0:
        say("plenum demo: --pace is simulated seconds a second, above 0; 60 is usual, 1 is real time")
        return WRONG_INPUT
    logging.getLogger("amqtt").setLevel(logging.ERROR)  # its farewells are not news
    busy = busy_port(site)
    if busy:
        say(f"plenum demo: {busy}. Stop what uses it: another demonstration, or a service on the same ports")
        return WRONG_INPUT
    try:
        with ExitStack() as stack:
            _make_room(args.data)
            stack.enter_context(claim(args.data))
            _clear(args.data)
            door = open_door(site.web.host, args.port, tries=PORTS_TRIED)
            stack.enter_context(door.socket)
            if args.port and not door.address.endswith(f":{args.port}"):
                say(f"Port {args.port} is taken, the page is at the next free one.")
            say(f"Plenum demo: {site.name}, simulated, at {args.pace:g} times real time. Its page: {door.address}")
            say("First the building lives through two days under its own control...")
            past = live_before(site, seed=args.seed)
            stage = _Stage(
                site=site,
                directory=args.data,
                door=door,
                renderer=Renderer(),
                past=past,
                forecasts=Forecasts(past.building.weather, seed=args.seed),
            )
            handed = _apart(stage, site_file, args.seed) if args.pace == 1 else _together(stage, args.pace)
    except (Claimed, NotOurs, NotReady, StoreError, OSError) as error:
        say(f"plenum demo: {error}")
        return TAKEN if isinstance(error, Claimed) else WRONG_INPUT
    say_handed(handed, site, say)
    return NO if handed.left else DONE


def _make_room(directory: Path) -> None:
    """A directory of our own; one that holds anything else is left alone."""
    if directory.exists() and any(directory.iterdir()) and not (directory / MARK).exists():
        raise NotOurs(f"{directory} holds something else; name another directory with --data")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARK).touch()


def _clear(directory: Path) -> None:
    for path in directory.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


async def _serve(
    stage: _Stage, clock: Clock, solver: Solver, setting: Setting, *, guard: GuardProcess | None = None
) -> Handed:
    """Control the building and show it until somebody says stop."""
    async with Shared() as shared:
        settings = Settings(
            directory=stage.directory,
            make_driver=lambda device: make_driver(device, clock=clock, shared=shared),
            outlook=lambda _site, _history: SimulatedOutlook(stage.forecasts, clock),
            solver=solver,
            learned=load(model_file(stage.site), stage.site),
            history=stage.past.history,
            durable=guard is not None,
        )
        with told_to_stop() as told:
            async with serving(
                stage.site, settings, clock, door=stage.door, setting=setting, renderer=stage.renderer, guard=guard,
                real=False,
            ) as running:  # fmt: skip
                await running.service.store.append(stage.past.readings)
                await running.backend.refresh()
                say(f"Running. Open {stage.door.address} and stop with Ctrl-C.")
                await told.wait()
                say("Stopping...")
                return await give_back(running.service, "the demonstration ends")


class _Timed:
    """The repeatable solver, with the real time it took: here nobody compares runs.

    The first solve takes seconds to load and compile, in which nothing else can run: it lets the page come first.
    """

    def __init__(self, pace: Callable[[], float]) -> None:
        self._solver, self._pace, self._first = InProcess(), pace, True

    async def solve(self, problem: Problem, time_out_s: float) -> Plan:
        """As InProcess; raises SolverFailed."""
        if self._first:
            self._first = False
            await asyncio.sleep(PAGE_FIRST_S * self._pace())
        began = perf_counter()
        plan = await self._solver.solve(problem, time_out_s)
        return replace(plan, solve_s=perf_counter() - began)


# --- building and controller in one loop ---------------------------------------------------------------------------


class PacedButtons:
    """The building's disturbances, and the pace of time."""

    def __init__(self, disturbances: Disturbances, loop: VirtualTimeLoop) -> None:
        self._disturbances, self._loop = disturbances, loop

    def pace(self) -> float:
        return self._loop.pace or FAST

    def banner(self) -> str:
        return f"Simulated building, {self.pace():g} times as fast as real time."

    def actions(self) -> tuple[Action, ...]:
        slow = self.pace() < FAST
        pace = Action(
            name="pace",
            label=f"Back to {FAST:g} times real time" if slow else f"Slow down to {SLOW:g} times real time",
            description="How fast the simulated day goes by.",
            active=slow,
        )
        return (*self._disturbances.actions(), pace)

    async def act(self, name: str) -> None:
        """Press one; raises LookupError."""
        if name == "pace":
            self._loop.set_pace(FAST if self.pace() < FAST else SLOW)
        else:
            await self._disturbances.act(name)


def _together(stage: _Stage, pace: float) -> Handed:
    loop = VirtualTimeLoop(pace=pace)

    async def live() -> Handed:
        clock = Clock(beginning(stage.site))
        async with world(stage.past.building, clock) as living:
            buttons = PacedButtons(Disturbances(stage.site, living.press), loop)
            setting = Setting(
                intensity=read_intensity(INTENSITY), actions=buttons, banner=buttons.banner, pace=buttons.pace
            )
            say("Building and controller share one process and its time: killing it ends both. See --pace 1.")
            return await _serve(stage, clock, _Timed(buttons.pace), setting)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(live())


# --- each in its own process, in real time -------------------------------------------------------------------------


@contextmanager
def _building_apart(stage: _Stage, site_file: Path, seed: int) -> Iterator[subprocess.Popen[bytes]]:
    """The building's own process, ready; it stays until its standard input is closed."""
    command = [sys.executable, "-m", "site_sims.world", str(site_file), "--seed", str(seed)]
    command += ["--data", str(stage.directory)]
    process = subprocess.Popen(  # noqa: S603  our own interpreter and module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise NotReady("the building's process did not begin; its words are above")
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()


def _apart(stage: _Stage, site_file: Path, seed: int) -> Handed:
    with (
        Worker() as solver,
        _building_apart(stage, site_file, seed) as building,
        GuardProcess(stage.directory, site_file, stays=False) as guard,
    ):

        async def press(name: str, begins: bool) -> None:  # noqa: FBT001  the state asked for
            if building.stdin is not None:
                building.stdin.write(f"{name} {'on' if begins else 'off'}\n".encode())
                building.stdin.flush()

        async def live() -> Handed:
            clock = Clock(beginning(stage.site) - timedelta(seconds=asyncio.get_running_loop().time()))
            setting = Setting(
                intensity=read_intensity(INTENSITY),
                actions=Disturbances(stage.site, press),
                banner=lambda: "Simulated building, in real time, in a process of its own.",
            )
            say(f"Service, guard and building are three processes: kill -9 {os.getpid()}, and the guard hands back.")
            return await _serve(stage, clock, solver, setting, guard=guard)

        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(live())

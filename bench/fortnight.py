"""A fortnight of the town hall under the whole service, in virtual time: `python -m bench.fortnight [--days N]`.

Once over real BACnet/IP and MQTT packets and once with simulated drivers, every point polled each minute, the store
included. The learning days before are lived and learned from first, and not counted.
"""

import argparse
import asyncio
import logging
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from bench.site import example
from config.site import Site
from controller.store.block import unpack
from controller.store.readings import READINGS_FILE
from drivers.clock import Clock
from optimiser.problem import Plan, Problem
from optimiser.worker import InProcess
from site_sims.building import SimulatedBuilding
from site_sims.live import controlled
from site_sims.score import Score, Scorer
from site_sims.simulate import Morning, Span, learn_first
from site_sims.virtual_time import VirtualTimeLoop

LEARN = date(2023, 1, 9), date(2023, 2, 5)
FIRST, DAYS = date(2023, 2, 6), 14
TARGETS_S = {"packets": 400.0, "simulated": 60.0}  # wall time of 14 days on two cores
SEED = 1


class TimedSolver:
    """Solves in-process and keeps count."""

    def __init__(self) -> None:
        self._solver = InProcess()
        self.plans = 0
        self.cpu_s = 0.0

    async def solve(self, problem: Problem, time_out_s: float) -> Plan:
        begun = time.process_time()
        plan = await self._solver.solve(problem, time_out_s)
        self.cpu_s += time.process_time() - begun
        self.plans += 1
        return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What a span took, and what was done in it."""

    days: int
    wall_s: float
    cpu_s: float
    readings: int
    dropped: int
    commands: int
    plans: int
    solver_cpu_s: float
    score: Score

    def report(self, name: str, target_s: float) -> str:
        """The figures beside their target."""
        met = "met" if self.wall_s <= target_s else f"missed by {self.wall_s - target_s:.0f} s"
        return (
            f"{name}: {self.days} days in {self.wall_s:.1f} s of wall time, {self.cpu_s:.1f} s of processor time"
            f" (target {target_s:.0f} s of wall time: {met})\n"
            f"  {self.readings:,} readings stored, {self.readings / self.wall_s:,.0f} a second, {self.dropped} dropped;"
            f" {self.commands:,} commands; {self.plans:,} plans\n"
            f"  the solver took {self.solver_cpu_s:.1f} s of that, {self.solver_cpu_s / self.cpu_s:.0%} of all,"
            f" {self.solver_cpu_s / max(self.plans, 1) * 1e3:.1f} ms a plan; cost of the span {self.score.cost:.2f}"
        )


def live_through(site: Site, morning: Morning, scored: Span, *, wire: bool) -> Lived:
    """The building under the production program from that morning on, counted and timed."""

    async def live() -> Lived:
        building = SimulatedBuilding(site, seed=SEED, start=scored.start)
        building.restore(morning.snapshot)
        scorer, solver, clock = Scorer(building), TimedSolver(), Clock(scored.start)
        history = morning.history.copy()
        with tempfile.TemporaryDirectory(prefix="plenum-") as folder:
            begun, cpu = time.perf_counter(), time.process_time()
            async with controlled(
                site,
                building,
                clock,
                directory=Path(folder),
                learned=morning.learned,
                history=history,
                wire=wire,
                seed=SEED,
                solver=solver,
            ) as service:
                await clock.sleep_until(scored.end + timedelta(seconds=1))  # the last minute is lived at that instant
                score = scorer.score()
                dropped = service.hubs.readings.dropped
            wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
            return Lived(
                days=round((scored.end - scored.start) / timedelta(days=1)),
                wall_s=wall_s,
                cpu_s=cpu_s,
                readings=stored(Path(folder) / READINGS_FILE),
                dropped=dropped,
                commands=score.commands,
                plans=solver.plans,
                solver_cpu_s=solver.cpu_s,
                score=score,
            )

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(live())


def stored(file: Path) -> int:
    """Readings in a store's file."""
    with closing(sqlite3.connect(file)) as db:
        table = "SELECT series, time FROM recent UNION SELECT series, time FROM reading"
        (fresh,) = db.execute(f"SELECT count(*) FROM ({table})").fetchone()  # noqa: S608  constants
        return int(fresh) + sum(len(unpack(data).time) for (data,) in db.execute("SELECT data FROM block"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.fortnight")
    parser.add_argument("--days", type=int, default=DAYS, help="of the fortnight (default: all %(default)s)")
    parser.add_argument("--only", choices=[*TARGETS_S], help="one kind of run")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    site = example()
    learning = Span.days(*LEARN, site.timezone)
    scored = Span.days(FIRST, FIRST + timedelta(days=args.days - 1), site.timezone)
    begun = time.perf_counter()
    morning = learn_first(site, learning, scored.start, seed=SEED, tick=lambda _: None)
    print(f"learned from {LEARN[0]} to {LEARN[1]} in {time.perf_counter() - begun:.1f} s, not counted", flush=True)
    for name in ("simulated", "packets") if args.only is None else (args.only,):
        lived = live_through(site, morning, scored, wire=name == "packets")
        print(lived.report(name, TARGETS_S[name] * lived.days / DAYS), flush=True)


if __name__ == "__main__":
    main()

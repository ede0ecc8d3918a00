"""`plenum simulate`: a building under its own BMS, under our rules and under Plenum, from one and the same morning."""

import asyncio
import json
import tempfile
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from config.site import Site
from controller.check import check_site, format_findings
from controller.history import History
from controller.learned import Learned
from drivers.clock import Clock
from site_sims.building import SimulatedBuilding
from site_sims.learning import learning_weeks
from site_sims.live import controlled
from site_sims.report import as_json, as_table
from site_sims.score import HeatValue, Score, Scorer
from site_sims.truth import SITES, unknown_building
from site_sims.tune import tune_baseline, write_settings
from site_sims.virtual_time import VirtualTimeLoop

Tick = Callable[[timedelta], None]
HOUR = timedelta(hours=1)
BMS_SLOT = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Whole local days, as UTC instants."""

    start: datetime
    end: datetime

    @classmethod
    def days(cls, first: date, last: date, timezone: str) -> "Span":
        """From midnight before `first` to midnight after `last`. Raises ValueError if they are in the wrong order."""
        if last < first:
            raise ValueError(f"{first} to {last} is no span of days: the first comes after the last")
        zone = ZoneInfo(timezone)
        return cls(
            start=datetime.combine(first, time.min, zone),
            end=datetime.combine(last + timedelta(days=1), time.min, zone),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Morning:
    """Where every run begins: the building's state, what was learned, and the history until then."""

    snapshot: dict[str, Any]
    learned: Learned
    history: History


def learn_first(site: Site, learning: Span, start: datetime, *, seed: int, tick: Tick) -> Morning:
    """Live through the learning days, then under the BMS alone until `start`."""
    building = SimulatedBuilding(site, seed=seed, start=learning.start)
    learned, history = learning_weeks(building, learning.end, until=start, seed=seed, tick=tick)
    return Morning(snapshot=building.snapshot(), learned=learned, history=history)


def run_bms(site: Site, morning: Morning, scored: Span, *, seed: int, tick: Tick) -> Score:
    """The building under its own control."""
    building = SimulatedBuilding(site, seed=seed, start=scored.start)
    building.restore(morning.snapshot)
    scorer = Scorer(building, slots=(BMS_SLOT,))
    while building.time < scored.end:
        building.advance(HOUR)
        tick(HOUR)
    return scorer.score()


def run_controlled(
    site: Site,
    morning: Morning,
    scored: Span,
    *,
    seed: int,
    tick: Tick,
    optimise: bool,
    wire: bool,
    heat: HeatValue | None,
) -> Score:
    """The building under the production program, in virtual time; stored heat is valued at `heat`."""

    async def live() -> Score:
        building = SimulatedBuilding(site, seed=seed, start=scored.start)
        building.restore(morning.snapshot)
        scorer = Scorer(building)
        clock = Clock(scored.start)
        with tempfile.TemporaryDirectory(prefix="plenum-") as folder:
            async with controlled(
                site,
                building,
                clock,
                directory=Path(folder),
                learned=morning.learned,
                history=morning.history.copy(),
                optimise=optimise,
                wire=wire,
                seed=seed,
            ):
                now = scored.start
                while now < scored.end:
                    now += HOUR
                    await clock.sleep_until(now)
                    tick(HOUR)
                await clock.sleep_until(scored.end + timedelta(seconds=1))  # the last minute is lived at that instant
                return scorer.score(heat)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(live())


def simulate(
    site: Site, args: Namespace, *, learning: Span, scored: Span, seed: int, progress: Progress
) -> dict[str, Any]:
    """All runs of one seed, in the shape of `plenum simulate --json`."""
    began = perf_counter()

    def bar(name: str, span: timedelta) -> Tick:
        task = progress.add_task(f"seed {seed} {name}", total=span / HOUR)
        return lambda lived: progress.advance(task, lived / HOUR)

    morning = learn_first(site, learning, scored.start, seed=seed, tick=bar("learning", scored.start - learning.start))
    length = scored.end - scored.start
    scores: dict[str, Score] = {}
    value: HeatValue | None = None
    for name in args.only:
        tick = bar(name, length)
        if name == "bms":
            scores[name] = run_bms(site, morning, scored, seed=seed, tick=tick)
        else:
            scores[name] = run_controlled(
                site,
                morning,
                scored,
                seed=seed,
                tick=tick,
                optimise=name == "plenum",
                wire=args.wire,
                heat=value,
            )
        value = value or scores[name].heat
    return as_json(
        site,
        scores,
        start=scored.start,
        days=args.days,
        seed=seed,
        learn=(learning.start, learning.end),
        verdict=morning.learned.verdict,
        wall_s=perf_counter() - began,
    )


def run_simulate(args: Namespace) -> int:
    """The command; returns its exit code."""
    console = Console(stderr=True)
    site, findings = check_site(args.site)
    if site is None or findings:
        console.print(format_findings(findings), markup=False, highlight=False)
        return 2
    if unknown := unknown_building(site.id):
        console.print(f"plenum simulate: {unknown}", markup=False)
        return 2
    if args.tune_baseline:
        return _tune(site, args, console)
    try:
        learning, scored = _spans(site, args)
    except ValueError as error:
        console.print(
            f"plenum simulate: {error}; write --start 2023-02-06 --learn 2023-01-09..2023-02-05", markup=False
        )
        return 2
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console, transient=True) as progress:
        results = [
            simulate(site, args, learning=learning, scored=scored, seed=seed, progress=progress) for seed in args.seed
        ]
    if args.json:
        print(json.dumps(results if len(results) > 1 else results[0], indent=1))
    else:
        for result in results:
            print(as_table(result))
    return 0


def _tune(site: Site, args: Namespace, console: Console) -> int:
    """Tune the baseline on the learning days and write it into the site's truth."""
    trial = tune_baseline(site, seed=args.seed[0])
    path = SITES / f"{site.id}.yaml"
    write_settings(trial, path, command=f"plenum simulate {args.site} --tune-baseline")
    console.print(f"tuned settings written to {path.name}; objective {trial.objective:.1f}", markup=False)
    return 0


def _spans(site: Site, args: Namespace) -> tuple[Span, Span]:
    """The days to learn from and the days to score; raises ValueError if they make no sense."""
    first, last = (date.fromisoformat(day) for day in args.learn.split(".."))
    learning = Span.days(first, last, site.timezone)
    start = date.fromisoformat(args.start)
    scored = Span.days(start, start + timedelta(days=args.days - 1), site.timezone)
    if learning.end > scored.start:
        raise ValueError("the scored days must come after the days to learn from: a model is not scored on its lessons")
    return learning, scored

"""Tune a simulated building's own control as an expert would, so that what it is compared with is worth beating.

A coordinate search over every knob of the BMS on the learning period, under the site's own tariff: step each knob up
and down, keep what lowers cost plus a price on discomfort, stale air and darkness, go on while it helps.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import Progress
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from config.site import Site
from site_sims.building import SimulatedBuilding
from site_sims.score import BMS_SLOTS, Score, Scorer
from site_sims.truth import SITES, BmsTruth, load_truth

LEARN_FROM = datetime(2023, 1, 9, tzinfo=UTC)
LEARN_DAYS = 28
WARM_UP_DAYS = 4
PER_KH = 4.0  # currency per K h outside the comfort band
PER_PPM_H = 0.005  # per ppm h of CO2 above 1,000
PER_DIM_H = 0.5  # per zone-hour with people and little light

TUNED_BY = "Tuned by"

log = logging.getLogger(__name__)

Knob = tuple[str, tuple[float, ...]]

KNOBS: tuple[Knob, ...] = (
    ("curve_slope", (0.7, 0.85, 1.0, 1.1, 1.2, 1.3, 1.4, 1.55, 1.7, 1.85)),
    ("curve_offset", (18.0, 20.0, 22.0, 24.0, 26.0, 28.0, 31.0, 34.0, 38.0)),
    ("start_margin", (0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)),
    ("longest_start_h", (3.0, 4.5, 6.0, 8.0, 10.0, 12.0, 16.0)),
    ("boost_k", (0.0, 2.0, 4.0, 6.0, 9.0, 12.0, 16.0)),
    ("setback_degc", (12.0, 14.0, 15.0, 16.0, 17.0, 18.0)),
    ("occupied_degc", (20.0, 20.1, 20.2, 20.3, 20.4, 20.5, 20.7, 21.0)),
    ("night_degc", (0.0, 16.0, 17.0, 18.0, 19.0, 20.0, 20.5, 21.0, 21.5)),
    ("stop_early_min", (0.0, 15.0, 30.0, 45.0, 60.0, 90.0)),
    ("bias_day", (0.7, 0.85, 0.93, 1.0, 1.07, 1.15, 1.4)),
    ("bias_peak", (0.6, 0.8, 1.0, 1.3)),
    ("bias_night", (0.3, 1.0)),
    ("tank_margin_k", (0.0, 1.0, 2.0, 3.0, 5.0)),
    ("tank_night_degc", (35.0, 40.0, 45.0, 50.0, 55.0)),
    ("tank_peak_degc", (25.0, 30.0, 35.0, 40.0, 55.0)),
    ("backup_k", (2.0, 3.0, 4.0, 6.0, 9.0)),
    ("backup_min", (5.0, 15.0, 30.0, 60.0)),
    ("fan_percent", (40.0, 45.0, 50.0, 55.0, 60.0, 70.0)),
    ("fan_before_min", (0.0, 15.0, 30.0)),
    ("cooling_degc", (23.0, 23.5, 24.0, 24.5)),
    ("set_up_degc", (26.0, 28.0, 30.0)),
    ("supply_low_degc", (12.0, 13.0, 14.0, 15.0)),
    ("supply_high_degc", (15.0, 16.0, 17.0, 18.0, 19.0, 20.0)),
    ("supply_warm_degc", (18.0, 22.0, 25.0, 28.0, 31.0)),
    ("fresh_percent", (15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0, 60.0)),
    ("free_cooling_below_degc", (11.0, 13.0, 15.0, 17.0)),
    ("light_margin_min", (0.0, 5.0, 10.0, 15.0, 20.0, 30.0)),
)

ONLY_WITH = {  # knobs, plant
    "bias_": "heat_pump",
    "tank_": "tank",
    "backup_": "heat_pump",
    "fan_": "air_handler",
    "cooling_": "chiller",
    "set_up_": "chiller",
    "supply_": "air_box",
    "fresh_": "air_box",
    "free_cooling_": "chiller",
}


def knobs_of(site: Site) -> tuple[Knob, ...]:
    """The knobs that turn something in this site's plant."""
    kinds = {item.kind for item in site.buildings[0].plant}
    idle = tuple(prefix for prefix, kind in ONLY_WITH.items() if kind not in kinds)
    return tuple(knob for knob in KNOBS if not knob[0].startswith(idle))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One setting tried on the learning period."""

    settings: BmsTruth
    score: Score

    @property
    def objective(self) -> float:
        """Cost, with discomfort, stale air and darkness at their prices."""
        score = self.score
        discomfort = score.discomfort_kh["below"] + score.discomfort_kh["above"]
        return score.cost + PER_KH * discomfort + PER_PPM_H * score.stuffy_ppm_h + PER_DIM_H * score.dim_h


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker needs to try one setting."""

    site: Site
    truth: Path
    settings: BmsTruth
    seed: int
    start: datetime
    days: int
    warm_up_days: int = WARM_UP_DAYS


def attempt(task: Task) -> Trial:
    """Run the building under its own control alone and score it, after a few days of settling."""
    warm_up = timedelta(days=task.warm_up_days)
    building = SimulatedBuilding(
        task.site, task.truth, seed=task.seed, start=task.start - warm_up, settings=task.settings
    )
    building.advance(warm_up)
    scorer = Scorer(building, slots=BMS_SLOTS)
    building.advance(timedelta(days=task.days))
    return Trial(settings=task.settings, score=scorer.score())


class _Search:
    """Remembers what was tried; runs what was not on the workers."""

    def __init__(self, first: Task, workers: Executor, progress: Progress, bar: Any) -> None:
        self._first, self._workers, self._progress, self._bar = first, workers, progress, bar
        self._tried: dict[BmsTruth, Trial] = {}
        self.best = self.attempts([first.settings])[0]

    def attempts(self, settings: Sequence[BmsTruth]) -> list[Trial]:
        new = [one for one in settings if one not in self._tried]
        tasks = [self._task(one) for one in new]
        for one, trial in zip(new, self._workers.map(attempt, tasks), strict=True):
            self._tried[one] = trial
        return [self._tried[one] for one in settings]

    def _task(self, settings: BmsTruth) -> Task:
        first = self._first
        return Task(
            site=first.site,
            truth=first.truth,
            settings=settings,
            seed=first.seed,
            start=first.start,
            days=first.days,
        )

    def improve(self, knob: Knob) -> bool:
        """Step one knob both ways, then on in the better direction while it helps."""
        name, values = knob
        helped = False
        directions: tuple[int, ...] = (-1, 1)
        while True:
            now = getattr(self.best.settings, name)
            at = min(range(len(values)), key=lambda n: abs(values[n] - now))
            places = [at + way for way in directions if 0 <= at + way < len(values)]
            trials = self.attempts([self.best.settings.model_copy(update={name: values[place]}) for place in places])
            better = min(zip(trials, places, strict=True), key=lambda pair: pair[0].objective, default=None)
            if better is None or better[0].objective >= self.best.objective:
                return helped
            self.best, helped, directions = better[0], True, (1 if better[1] > at else -1,)
            log.info("%s = %g: %.1f", name, values[better[1]], self.best.objective)
            self._progress.update(self._bar, description=f"{name} {values[better[1]]:g}: {self.best.objective:.0f}")


def tune_baseline(
    site: Site,
    *,
    truth: Path | None = None,
    seed: int = 1,
    start: datetime = LEARN_FROM,
    days: int = LEARN_DAYS,
    rounds: int = 3,
    workers: int = 2,
) -> Trial:
    """The best settings found for the site's BMS, from those in its truth file; shows a progress bar.

    Worker processes are started afresh, so call this under `if __name__ == "__main__"`.
    """
    knobs = knobs_of(site)
    path = truth or SITES / f"{site.id}.yaml"
    first = Task(site=site, truth=path, settings=load_truth(path).bms, seed=seed, start=start, days=days)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool, Progress() as progress:
        bar = progress.add_task("Tuning the building's own control", total=rounds * len(knobs))
        search = _Search(first, pool, progress, bar)
        for _ in range(rounds):
            helped = [search.improve(knob) for knob in knobs if _advance(progress, bar)]
            if not any(helped):
                break
        progress.update(bar, completed=rounds * len(knobs))
    return search.best


def _advance(progress: Progress, bar: Any) -> bool:
    progress.advance(bar)
    return True


def write_settings(trial: Trial, path: Path, *, command: str) -> None:
    """Put tuned settings into a truth file, with the command that found them in a comment beside them.

    Settings that neither stood in the file nor were changed are left out: they are the usual ones.
    """
    yaml = YAML()
    yaml.width = 140
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    content = yaml.load("".join(line for line in lines if not line.startswith(f"# {TUNED_BY}")))
    changed = trial.settings.model_dump(mode="json", exclude_unset=True)
    content.pop("bms", None)
    content["bms"] = CommentedMap(changed)
    content.yaml_set_comment_before_after_key("bms", before=f"{TUNED_BY} `{command}`")
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)

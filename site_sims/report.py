"""The result of a simulation, for machines (05: `plenum simulate --json`) and as a table for people."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from config.site import Site
from site_sims.score import Score

NAMES = {"bms": "its own BMS, tuned", "rules": "our rules alone", "plenum": "Plenum"}


def _change_pct(of: Score, against: Score) -> dict[str, float]:
    """Change of cost, carbon and energy in per cent; negative is less."""

    def pct(new: float, old: float) -> float:
        return round(100.0 * (new - old) / old, 2)

    return {
        "cost": pct(of.cost, against.cost),
        "carbon_grid": pct(of.carbon_kg["grid"], against.carbon_kg["grid"]),
        "energy": pct(sum(of.energy_kwh.values()), sum(against.energy_kwh.values())),
    }


def as_json(
    site: Site,
    scores: Mapping[str, Score],
    *,
    start: datetime,
    days: int,
    seed: int,
    learn: tuple[datetime, datetime],
    verdict: str,
    wall_s: float,
) -> dict[str, Any]:
    """One seed's runs and how Plenum compares."""
    change = {
        f"plenum_vs_{other}": _change_pct(scores["plenum"], scores[other])
        for other in ("bms", "rules")
        if other in scores and "plenum" in scores
    }
    return {
        "site": site.id,
        "start": f"{start:%Y-%m-%d}",
        "days": days,
        "seed": seed,
        "learn": {"from": f"{learn[0]:%Y-%m-%d}", "to": f"{learn[1] - timedelta(days=1):%Y-%m-%d}", "verdict": verdict},
        "runs": {name: score.as_json() for name, score in scores.items()},
        "change_pct": change,
        "wall_s": round(wall_s, 1),
    }


def as_table(result: Mapping[str, Any]) -> str:
    """The same for people."""
    table = Table(title=f"{result['site']}, {result['days']} days from {result['start']}, seed {result['seed']}")
    table.add_column("")
    runs: Mapping[str, Any] = result["runs"]
    for name in runs:
        table.add_column(NAMES[name], justify="right")
    machines = " / ".join(kind.replace("_", " ") for kind in next(iter(runs.values()))["starts"])
    rows: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
        ("electricity, kWh", lambda run: f"{run['energy_kwh']['electricity']:,.0f}"),
        ("gas, kWh", lambda run: f"{run['energy_kwh']['gas']:,.0f}"),
        ("cost", lambda run: f"{run['cost']:,.2f}"),
        ("carbon, kgCO2, half-hourly grid", lambda run: f"{run['carbon_kg']['grid']:,.0f}"),
        ("carbon, kgCO2e, annual factor", lambda run: f"{run['carbon_kg']['annual']:,.0f}"),
        ("too cold while occupied, K h", lambda run: f"{run['discomfort_kh']['below']:.1f}"),
        ("too warm while occupied, K h", lambda run: f"{run['discomfort_kh']['above']:.1f}"),
        (
            "mean while occupied, degC",
            lambda run: "-" if run["mean_occupied_degc"] is None else f"{run['mean_occupied_degc']:.2f}",
        ),
        ("peak import, kW", lambda run: f"{run['peak_kw']:.0f}"),
        ("commands", lambda run: f"{run['commands']:,}"),
        (f"starts: {machines}", lambda run: " / ".join(str(n) for n in run["starts"].values())),
    )
    for label, cell in rows:
        table.add_row(label, *(cell(run) for run in runs.values()))
    out = StringIO()
    console = Console(file=out, width=110)
    console.print(table)
    for pair, change in result["change_pct"].items():
        other = NAMES[pair.removeprefix("plenum_vs_")]
        console.print(
            f"Plenum against {other}: cost {change['cost']:+.1f} %, grid carbon {change['carbon_grid']:+.1f} %, "
            f"energy {change['energy']:+.1f} %"
        )
    console.print(f"models: {result['learn']['verdict'].partition(';')[0]}; {result['wall_s']:.0f} s of wall time")
    return out.getvalue()

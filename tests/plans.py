"""The town hall as a Problem, and plans for it with values one can see."""

from optimiser.problem import Plan, Problem, Series, Status
from tests.problems import START, STEP, problem, zone
from tests.town_hall import town_hall_site

BUILDING = town_hall_site().buildings[0]
STEPS = 8


def cold_house(**changes: object) -> Problem:
    """The town hall at 20 degC inside and 10 outside."""
    zones = tuple(zone(z.id, steps=STEPS, max_heat_kw=0.7 * (z.emitter_kw or 0.0)) for z in BUILDING.zones)
    return problem(zones, steps=STEPS, outdoor_degc=(10.0,) * STEPS, **changes)


def planned(asked: Problem, **series: float | tuple[float, ...]) -> Plan:
    """A plan with these values (`heat_hall` for `heat:hall`); what is not named is nought, and 20 degC."""
    rows = {f"temperature:{z.id}": 20.0 for z in asked.zones} | {f"heat:{z.id}": 0.0 for z in asked.zones}
    rows |= dict.fromkeys(("heat_pump", "boiler", "tank", "import", "export", "electricity"), 0.0)
    rows |= {
        name.replace("_", ":", 1) if name.startswith(("heat_h", "temp")) else name: v for name, v in series.items()
    }
    made = {
        name: Series(
            start=START, step=STEP, unit="kW", values=value if isinstance(value, tuple) else (float(value),) * STEPS
        )
        for name, value in rows.items()
    }
    return Plan(
        made_at=START, trigger="test", status=Status.OPTIMAL, series=made, cost=0, carbon_kg=0, energy_kwh={},
        discomfort_kh=0, objective=0, solve_s=0,
    )  # fmt: skip

"""The result of a simulation, for machines and for people."""

import json
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from site_sims.report import as_json, as_table
from site_sims.score import HeatValue, Score
from tests.town_hall import town_hall_site

SITE = town_hall_site()
LONDON = ZoneInfo("Europe/London")
BMS = Score(
    energy_kwh={"electricity": 1000.0, "gas": 3000.0},
    cost=460.0,
    carbon_kg={"grid": 700.0, "annual": 750.0},
    discomfort_kh={"below": 3.14159, "above": 0.0},
    mean_occupied_degc=20.4321,
    peak_kw=41.5,
    commands=900,
    starts={"heat_pump": 10, "boiler": 20},
    stored_kwh={"tank": 1.0, "fabric": -2.0},
    stuffy_ppm_h=0.0,
    dim_h=0.0,
    heat=HeatValue(price=0.08, grid_kg=0.2, annual_kg=0.2),
    hours=336.0,
)
OURS = replace(
    BMS, energy_kwh={"electricity": 1500.0, "gas": 1500.0}, cost=414.0, carbon_kg={"grid": 560.0, "annual": 600.0}
)


def result(**runs: Score) -> dict[str, object]:
    return as_json(
        SITE,
        runs,
        start=datetime(2023, 2, 6, tzinfo=LONDON),
        days=14,
        seed=1,
        learn=(datetime(2023, 1, 9, tzinfo=LONDON), datetime(2023, 2, 6, tzinfo=LONDON)),
        verdict="9 of 10 zones; details",
        wall_s=61.234,
    )


def test_the_json_has_the_agreed_keys() -> None:
    found = result(bms=BMS, rules=BMS, plenum=OURS)
    assert list(found) == ["site", "start", "days", "seed", "learn", "runs", "change_pct", "wall_s"]
    assert (found["site"], found["start"], found["days"], found["wall_s"]) == ("townhall", "2023-02-06", 14, 61.2)
    assert found["learn"] == {"from": "2023-01-09", "to": "2023-02-05", "verdict": "9 of 10 zones; details"}
    run = found["runs"]["bms"]
    for key in (
        "energy_kwh",
        "cost",
        "carbon_kg",
        "discomfort_kh",
        "mean_occupied_degc",
        "peak_kw",
        "commands",
        "starts",
    ):
        assert key in run
    assert run["discomfort_kh"] == {"below": 3.14, "above": 0.0}
    json.dumps(found)


def test_changes_are_against_each_of_the_others() -> None:
    change = result(bms=BMS, rules=OURS, plenum=OURS)["change_pct"]
    assert change["plenum_vs_bms"] == {"cost": -10.0, "carbon_grid": -20.0, "energy": -25.0}
    assert change["plenum_vs_rules"] == {"cost": 0.0, "carbon_grid": 0.0, "energy": 0.0}


@pytest.mark.parametrize("runs", [{"bms": BMS}, {"rules": BMS}, {"bms": BMS, "rules": BMS}])
def test_without_plenum_nothing_is_compared(runs: dict[str, Score]) -> None:
    assert result(**runs)["change_pct"] == {}


def test_the_table_says_the_same_in_words() -> None:
    text = as_table(result(bms=BMS, plenum=OURS))
    assert "Plenum against its own BMS, tuned: cost -10.0 %, grid carbon -20.0 %, energy -25.0 %" in text
    assert "models: 9 of 10 zones; 61 s of wall time" in text
    assert "10 / 20" in text
    assert "460.00" in text
    assert max(map(len, text.splitlines())) <= 110

"""Scores add up and value what is stored."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from site_sims.score import BMS_SLOTS, HeatValue, Scorer
from tests.town_hall import town_hall

TUESDAY = datetime(2023, 1, 17, tzinfo=UTC)


def test_energy_and_money_agree_with_the_registers() -> None:
    building = town_hall(start=TUESDAY)
    scorer = Scorer(building, slots=BMS_SLOTS)
    building.advance(timedelta(hours=5))
    score, registers = scorer.score(), building.registers
    assert score.energy_kwh["electricity"] == pytest.approx(registers.imported - registers.exported)
    assert score.energy_kwh["gas"] == pytest.approx(registers.gas)
    assert score.hours == 5
    free = scorer.score(HeatValue(price=0.0, grid_kg=0.0, annual_kg=0.0))
    day_rate = 0.25 * sum(scorer._bins.imported[:1])
    night = 0.09 * sum(scorer._bins.imported[1:10])
    assert free.cost == pytest.approx(day_rate + night + 0.07 * registers.gas)
    assert free.carbon_kg["annual"] == pytest.approx(0.20707 * registers.imported + 0.18293 * registers.gas)


def test_heat_left_over_is_worth_what_heat_cost() -> None:
    building = town_hall(start=TUESDAY)
    scorer = Scorer(building, slots=BMS_SLOTS)
    building.advance(timedelta(hours=1))
    before = scorer.score(HeatValue(price=0.1, grid_kg=0.2, annual_kg=0.3))
    building.plant.tank.layers = [layer + 10 for layer in building.plant.tank.layers]
    after = scorer.score(HeatValue(price=0.1, grid_kg=0.2, annual_kg=0.3))
    kwh = 3000 * 4.186 * 10 / 3600
    assert after.stored_kwh["tank"] - before.stored_kwh["tank"] == pytest.approx(kwh)
    assert before.cost - after.cost == pytest.approx(0.1 * kwh)
    assert before.carbon_kg["grid"] - after.carbon_kg["grid"] == pytest.approx(0.2 * kwh)


def test_discomfort_is_kelvin_hours_outside_the_band_in_the_site_files_hours() -> None:
    building = town_hall(start=TUESDAY + timedelta(hours=12))
    scorer = Scorer(building)
    building.plant.fabric.temperature[:] = 10.0
    building.advance(timedelta(hours=1))
    cold = scorer.score()
    occupied = sum(any(low > 0 for low in (pair[0],)) for pair in scorer.discomfort_by_zone.values())
    assert occupied == 9  # all but the council chamber, which sits in the evening
    assert 6 * 9 < cold.discomfort_kh["below"] < 10 * 9
    assert cold.discomfort_kh["above"] == 0
    assert 10 < cold.mean_occupied_degc < 14
    building.plant.fabric.temperature[:] = 25.0
    building.advance(timedelta(hours=1))
    assert scorer.score().discomfort_kh["above"] > 5


def test_empty_hours_do_not_count() -> None:
    building = town_hall(start=TUESDAY + timedelta(hours=1))
    scorer = Scorer(building)
    building.plant.fabric.temperature[:] = 8.0
    building.advance(timedelta(hours=2))
    assert scorer.score().discomfort_kh == {"below": 0.0, "above": 0.0}


def test_commands_are_those_of_the_slots_asked_for() -> None:
    building = town_hall(start=TUESDAY)
    ours, bms = Scorer(building), Scorer(building, slots=BMS_SLOTS)
    building.field["hall.heating_setpoint"].write(19.0, 13)
    building.field["hall.heating_setpoint"].write(None, 13)
    building.field["hall.heating_setpoint"].write(21.0, 8)
    building.advance(timedelta(hours=1))
    assert ours.score().commands == 2
    assert bms.score().commands > 5


def test_people_in_the_dark_and_stale_air_are_counted() -> None:
    found = []
    for spoilt in (False, True):
        building = town_hall(start=datetime(2023, 1, 17, 18, 0, tzinfo=UTC))  # the council sits
        scorer = Scorer(building)
        if spoilt:
            building.field["council.light_level"].write(0.0, 13)
            building.field["ahu.fan_speed"].write(0.0, 13)
            building.plant.state.co2 = 1800.0
        building.advance(timedelta(hours=1))
        found.append(scorer.score())
    assert found[1].dim_h - found[0].dim_h == pytest.approx(1.0, abs=0.02)
    assert found[0].stuffy_ppm_h == 0
    assert found[1].stuffy_ppm_h > 400


def test_a_score_begins_on_the_half_hour_and_can_be_ended() -> None:
    building = town_hall(start=TUESDAY + timedelta(minutes=7))
    with pytest.raises(ValueError, match="half-hour"):
        Scorer(building)
    building.advance(timedelta(minutes=23))
    scorer = Scorer(building)
    building.advance(timedelta(minutes=30))
    scorer.close()
    building.advance(timedelta(minutes=60))
    assert scorer.score().hours == 0.5


def test_the_json_has_the_agreed_keys() -> None:
    building = town_hall(start=TUESDAY)
    scorer = Scorer(building)
    building.advance(timedelta(hours=1))
    shown = scorer.score().as_json()
    agreed = {"energy_kwh", "cost", "carbon_kg", "discomfort_kh", "mean_occupied_degc", "peak_kw", "commands", "starts"}
    assert agreed <= set(shown)
    assert set(shown["carbon_kg"]) == {"grid", "annual"}
    assert set(shown["starts"]) == {"heat_pump", "boiler"}


def test_where_nobody_is_expected_there_is_no_mean_temperature() -> None:
    building = town_hall(start=TUESDAY + timedelta(hours=1))
    scorer = Scorer(building)
    building.advance(timedelta(minutes=30))
    shown = scorer.score().as_json()
    assert shown["mean_occupied_degc"] is None
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown

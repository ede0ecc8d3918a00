from dataclasses import replace
from zoneinfo import ZoneInfo

from problems import MODEL, problem, zone

from optimiser.explain import explain
from optimiser.problem import Problem, Reason
from optimiser.solve import Sessions

LONDON = ZoneInfo("Europe/London")
NAMES = {"hall": "Main hall", "heat_pump": "heat pump", "boiler": "boiler", "tank": "buffer tank"}
STEPS = 48
MORNING = (12.0,) * 31 + (20.0,) * (STEPS - 31)  # to be warm at 08:00
HEAVY = replace(MODEL, outdoor=0.02, mass_rate=0.02)


def told(case: Problem) -> tuple[Reason, ...]:
    return explain(case, Sessions().solve(case), names=NAMES, tz=LONDON)


def about(reasons: tuple[Reason, ...], part: str, word: str) -> list[Reason]:
    return [reason for reason in reasons if reason.part == part and word in reason.text]


def cold_morning(**changes: object) -> Problem:
    state = zone(steps=STEPS, model=HEAVY, low_degc=MORNING, temperature_degc=17.0, mass_degc=17.0)
    return problem((state,), steps=STEPS, **changes)


def test_what_cannot_be_reached_names_time_temperature_and_limit() -> None:
    state = zone(steps=STEPS, model=HEAVY, low_degc=MORNING, temperature_degc=8.0, mass_degc=8.0, max_heat_kw=60.0)
    case = problem((state,), steps=STEPS, tank=None)
    assert case.boiler is not None
    reasons = told(replace(case, boiler=replace(case.boiler, available=False)))
    now = about(reasons, "hall", "is below 12.0 degC")
    assert now[0].text.startswith("Main hall is below 12.0 degC until 0")
    found = about(reasons, "hall", "cannot reach")
    assert found[0].cause == "limit"
    assert found[0].text.startswith("Main hall cannot reach 20.0 degC by 08:00; best 1")
    assert found[0].text.endswith("limit: heat pump 8 kW and boiler off")


def test_small_radiators_are_named_as_the_limit() -> None:
    state = zone(steps=STEPS, low_degc=MORNING, temperature_degc=14.0, mass_degc=14.0, max_heat_kw=2.0)
    found = about(told(problem((state,), steps=STEPS)), "hall", "cannot reach")
    assert found[0].text.endswith("limit: its own radiators (2 kW)")


def test_heating_ahead_in_cheap_hours_gives_both_prices() -> None:
    price = (0.09,) * 22 + (0.38,) * (STEPS - 22)
    reasons = told(cold_morning(import_price=price, gas_price=(0.5,) * STEPS, tank=None))
    found = about(reasons, "hall", "electricity costs")
    assert found[0].cause == "price"
    assert "to be at 20.0 degC by 08:00" in found[0].text
    assert "electricity costs 0.09 per kWh" in found[0].text
    assert "0.38 from" in found[0].text


def test_heating_ahead_on_a_clean_grid_gives_both_intensities() -> None:
    grams = (60.0,) * 22 + (400.0,) * (STEPS - 22)
    case = cold_morning(intensity_g_per_kwh=grams, gas_price=(0.5,) * STEPS, tank=None, carbon_price_per_kg=2.0)
    found = about(told(case), "hall", "the grid is cleaner")
    assert found[0].cause == "carbon"
    assert "60 g per kWh, later 400" in found[0].text


def test_a_zone_at_its_lower_limit_says_so() -> None:
    reasons = told(problem((zone(steps=STEPS, model=HEAVY),), steps=STEPS))
    assert reasons[0].part == "hall"
    assert reasons[0].cause == "comfort"
    assert (
        reasons[0].text
        == "Main hall is heated now to stay at 20.0 degC, the lowest allowed; warmer would only cost more"
    )


def test_a_zone_without_heat_says_until_when() -> None:
    found = about(told(cold_morning()), "hall", "needs no heat")
    assert found[0].text.startswith("Main hall needs no heat until 0")
    assert "it stays above 12.0 degC" in found[0].text


def test_the_dear_hours_are_coasted_through() -> None:
    price = (0.2,) * 16 + (0.6,) * 12 + (0.2,) * 20
    low = (19.0,) * STEPS
    state = zone(steps=STEPS, model=HEAVY, low_degc=low)
    reasons = told(problem((state,), steps=STEPS, import_price=price, gas_price=(0.5,) * STEPS, tank=None))
    found = about(reasons, "heat_pump", "rests from 04:00 to 07:00")
    assert found[0].cause == "price"
    assert "electricity costs 0.60 per kWh (just before 0.20)" in found[0].text
    assert "rooms coast on stored heat, Main hall from" in found[0].text


def test_a_charged_tank_is_explained() -> None:
    price = (0.09,) * 22 + (0.38,) * (STEPS - 22)
    reasons = told(cold_morning(import_price=price, gas_price=(0.5,) * STEPS))
    found = about(reasons, "tank", "is charged")
    assert found[0].cause == "price"
    assert found[0].text.startswith("Buffer tank is charged with ")
    assert "electricity costs 0.09 per kWh" in found[0].text


def test_the_import_limit_is_named() -> None:
    reasons = told(cold_morning(import_cap_kw=3.0, gas_price=(0.5,) * STEPS, tank=None))
    found = about(reasons, "grid", "at its limit of 3 kW")
    assert found
    assert {reason.cause for reason in found} == {"peak"}
    passed = told(problem(base_load_kw=(5.0,) * 8, import_cap_kw=3.0))
    assert "and passed: 5 kW" in about(passed, "grid", "limit of 3 kW")[0].text


def test_a_held_zone_and_missing_plant_are_named() -> None:
    case = problem((zone(held_degc=21.0),))
    assert case.boiler is not None
    reasons = told(replace(case, boiler=replace(case.boiler, available=False)))
    assert about(reasons, "hall", "is held at 21.0 degC")[0].cause == "limit"
    assert about(reasons, "boiler", "cannot be used")


def test_sun_and_overheating_are_named() -> None:
    state = zone(temperature_degc=23.0, mass_degc=23.0, people=(80.0,) * 8)
    reasons = told(problem((state,), outdoor_degc=(22.0,) * 8))
    assert "over 23.0: sun and people warm it" in about(reasons, "hall", "gets to")[0].text
    sunny = told(problem(pv_kw=(12.0,) * 8, base_load_kw=(1.0,) * 8, outdoor_degc=(-10.0,) * 8, tank=None))
    assert about(sunny, "heat_pump", "up to 11 kW to spare")[0].cause == "solar"


def test_times_are_local_in_the_text_and_utc_in_the_reason() -> None:
    case = cold_morning(import_price=(0.09,) * 22 + (0.38,) * (STEPS - 22), gas_price=(0.5,) * STEPS)
    plan = Sessions().solve(case)
    local = explain(case, plan, names=NAMES, tz=ZoneInfo("Asia/Tokyo"))
    assert any("by 17:00" in reason.text for reason in local)
    assert all(reason.time.utcoffset() == case.start.utcoffset() for reason in local)
    assert [reason.time for reason in local] == sorted(reason.time for reason in local)


def test_a_part_without_a_name_is_called_by_its_id() -> None:
    case = problem((zone(held_degc=21.0),))
    reasons = explain(case, Sessions().solve(case), names={}, tz=LONDON)
    assert reasons[0].text.startswith("Hall is held")

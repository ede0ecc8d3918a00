"""Fabric: balances, steady states, time constants."""

import numpy as np
import pytest

from site_sims.physics import STEP_S, FabricModel
from site_sims.truth import site_truth
from site_sims.weather import Column
from tests.town_hall import town_hall_site

ZONES = town_hall_site().buildings[0].zones
NOBODY = np.zeros(len(ZONES))


def fabric(start_degc: float = 18.0) -> FabricModel:
    return FabricModel(ZONES, site_truth("townhall"), start_degc=start_degc)


def sky(outdoor: float, *, wind: float = 0.0, sun: float = 0.0) -> np.ndarray:
    row = np.zeros(len(Column))
    row[Column.OUTDOOR], row[Column.WIND] = outdoor, wind
    row[Column.HORIZONTAL : Column.PV] = sun
    return row


def test_every_step_conserves_energy() -> None:
    model, rng = fabric(), np.random.default_rng(1)
    before, put_in = model.stored_kj, 0.0
    for _ in range(1440):
        inside, air = rng.uniform(0, 8, NOBODY.size), rng.uniform(-1, 1, NOBODY.size)
        people = rng.integers(0, 20, NOBODY.size).astype(float)
        weather = sky(rng.uniform(-5, 15), wind=rng.uniform(0, 12), sun=rng.uniform(0, 600))
        model.step(weather, inside_kw=inside, air_kw=air, people=people)
        put_in += STEP_S * (float(inside.sum() + air.sum()) + model.sun_kw - model.loss_kw)
    assert model.stored_kj - before == pytest.approx(put_in, rel=1e-9)


def test_the_design_load_is_that_of_an_old_masonry_building() -> None:
    load = fabric().design_load_kw(indoor=20, outdoor=-3)
    assert 70 < load < 95


def test_held_at_the_design_load_it_stays_at_the_design_temperature() -> None:
    model = fabric(20.0)
    for _ in range(8 * 1440):
        heat = 6.0 * (20.0 - model.air) + 4.0
        model.step(sky(-3, wind=4), inside_kw=np.zeros(NOBODY.size), air_kw=heat, people=NOBODY)
    needed = float((6.0 * (20.0 - model.air) + 4.0).sum())
    expected = model.design_load_kw(indoor=float(model.air.mean()), outdoor=-3)
    assert needed == pytest.approx(expected, rel=0.05)


def test_left_alone_it_cools_over_days_towards_outdoors() -> None:
    model, middle = fabric(20.0), []
    for _ in range(4):
        for _ in range(1440):
            model.step(sky(0, wind=3), inside_kw=NOBODY, air_kw=NOBODY, people=NOBODY)
        middle.append(float(model.air.mean()))
    assert middle == sorted(middle, reverse=True)
    hours = 24 * 3 / np.log(middle[0] / middle[3])
    assert 40 < hours < 120  # a heavy building's time constant


def test_wind_and_open_doors_let_air_in() -> None:
    model = fabric()
    calm = model.infiltration(0.0, 0.0, NOBODY)
    assert (model.infiltration(0.0, 8.0, NOBODY) > calm).all()
    assert (model.infiltration(0.0, 0.0, NOBODY + 10) > calm).all()


def test_southern_zones_gain_from_the_southern_sun() -> None:
    model, row = fabric(), sky(18.0)
    row[Column.SOUTH] = 600.0
    for _ in range(240):
        model.step(row, inside_kw=NOBODY, air_kw=NOBODY, people=NOBODY)
    names = [zone.id for zone in ZONES]
    assert model.air[names.index("office_s1")] > model.air[names.index("office_n1")] + 0.5


def test_neighbours_share_their_heat() -> None:
    heated, cold, names = fabric(), fabric(), [zone.id for zone in ZONES]
    heat = np.array([10.0 if name == "office_n1" else 0.0 for name in names])
    for _ in range(600):
        heated.step(sky(18.0), inside_kw=heat, air_kw=NOBODY, people=NOBODY)
        cold.step(sky(18.0), inside_kw=NOBODY, air_kw=NOBODY, people=NOBODY)
    rise = heated.air - cold.air
    assert rise[names.index("office_n1")] > rise[names.index("office_n2")] > rise[names.index("registry")] > 0


def test_windows_are_opened_by_people_when_it_is_warm_inside_and_cooler_outside() -> None:
    truth = site_truth("townhall")
    fabric_ = truth.fabric.model_copy(update={"window_m3_s": 0.03})
    model, somebody = FabricModel(ZONES, truth.model_copy(update={"fabric": fabric_})), np.ones(NOBODY.size)
    closed = FabricModel(ZONES, truth)

    def more(degc: float, outdoor: float, people: np.ndarray) -> float:
        for one in (model, closed):
            one.temperature[:] = degc
        both = [one.infiltration(outdoor, 2.0, people).sum() for one in (model, closed)]
        return float(both[0] - both[1])

    glass = sum(truth.zones[zone.id].glass_m2.total for zone in ZONES)
    assert more(26.0, 20.0, somebody) == pytest.approx(0.03 * glass)
    assert 0 < more(24.0, 20.0, somebody) < 0.03 * glass
    assert [more(22.0, 10.0, somebody), more(26.0, 20.0, NOBODY), more(26.0, 30.0, somebody)] == [0, 0, 0]

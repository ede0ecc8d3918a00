"""Learning weeks of a simulated building: a mild programme at quiet hours, and only what the sensors show."""

from datetime import timedelta

import numpy as np
import pytest

from config.roles import Role
from controller.occupancy import Occupancy
from site_sims.building import SimulatedBuilding, key_of
from site_sims.learning import PROGRAMME_SLOT, Programme, history_of, learning_weeks, observe
from tests.town_hall import MONDAY, town_hall, town_hall_site

SITE = town_hall_site()
SETPOINTS = [point for point in SITE.points.values() if point.role is Role.HEATING_SETPOINT]


def in_slot(building: SimulatedBuilding) -> dict[str, float]:
    found = {p.part: building.field[key_of(p)].array[PROGRAMME_SLOT - 1] for p in SETPOINTS}
    return {zone: value for zone, value in found.items() if value is not None}


def test_the_programme_moves_setpoints_only_while_nobody_is_due_and_never_out_of_the_band() -> None:
    building, occupancy = town_hall(), Occupancy(SITE)
    programme = Programme(building, occupancy, seed=1)
    held: dict[str, list[float]] = {}
    for half_hour in range(14 * 48):
        now = MONDAY + half_hour * timedelta(minutes=30)
        programme.step(now)
        for zone, value in in_slot(building).items():
            due = occupancy.next_start(zone, now)
            assert not occupancy.occupied(zone, now)
            assert due is None or due - now > timedelta(hours=1)
            assert 18.0 <= value <= 22.5
            held.setdefault(zone, []).append(value)
    assert len(held) == len(SETPOINTS), "every zone is moved at some time"
    assert all(len(set(values)) > 5 for values in held.values())
    programme.end()
    assert in_slot(building) == {}


def test_the_same_seed_gives_the_same_programme() -> None:
    def lived(seed: int) -> list[dict[str, float]]:
        building = town_hall()
        programme = Programme(building, Occupancy(SITE), seed)
        found = []
        for half_hour in range(96):
            programme.step(MONDAY + half_hour * timedelta(minutes=30))
            found.append(in_slot(building))
        return found

    assert lived(1) == lived(1)
    assert lived(1) != lived(2)


def test_what_is_observed_is_what_the_sensors_showed() -> None:
    building = town_hall()
    shown: list[float] = []
    history = history_of(SITE)

    def each_minute() -> None:
        if building.minute % 3 == 0:
            shown.append(building.field["hall.temperature"].value)

    observe(building, history, MONDAY + timedelta(hours=2), each_minute)
    assert building.time == MONDAY + timedelta(hours=2)
    assert len(history) == 8
    assert history.end == MONDAY + timedelta(hours=2)
    expected = [np.mean(shown[5 * n : 5 * n + 5]) for n in range(8)]
    np.testing.assert_allclose(history.column("townhall.hall.temperature"), expected)
    assert not np.isnan(history.column("townhall.hall.people")).any()


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_fortnight_teaches_and_leaves_the_building_as_it_was_found() -> None:
    building = town_hall()
    ticks: list[timedelta] = []
    end = MONDAY + timedelta(days=14)
    learned, history = learning_weeks(building, end, until=end + timedelta(days=1), seed=1, tick=ticks.append)
    assert building.time == end + timedelta(days=1)
    assert sum(ticks, timedelta(0)) >= timedelta(days=14)
    assert len(history) == 15 * 96
    assert learned.accepted_at == end
    taught = [model for model in learned.zones.values() if model.fitted_rmse_k is not None]
    assert len(taught) >= 5
    assert max(model.fitted_rmse_k or 0.0 for model in taught) < 1.5
    assert in_slot(building) == {}
    assert 0.6 <= learned.heat_pump_cop <= 1.2

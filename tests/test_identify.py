from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from toy_building import AREAS, DAY, EMITTERS_KW, STEP, toy_history

from optimiser.history import History, bridged, emitter_scale, filtered, heat_kw, without_stuck
from optimiser.identify import Learnt, disturbance, fit, learn
from optimiser.problem import ZoneModel
from optimiser.thermal import coefficients, prior_model, stable
from optimiser.verdict import accept

PRIOR = tuple(prior_model(area, emitter, STEP) for area, emitter in zip(AREAS, EMITTERS_KW, strict=True))
ONES = (1.0, 1.0, 1.0)
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def history() -> History:
    return toy_history(28)


@pytest.fixture(scope="module")
def learnt(history: History) -> Learnt:
    return learn(history, old=PRIOR, old_scale=ONES, prior=PRIOR)


def test_a_day_ahead_is_predicted_far_better_than_before(learnt: Learnt) -> None:
    for decision in learnt.decisions:
        assert decision.accepted, decision.reason
        assert decision.rmse_new < 0.6
        assert decision.rmse_new < 0.5 * decision.rmse_old
        assert decision.rmse_new < 0.3 * decision.rmse_persistence


def test_what_is_learned_is_a_building(learnt: Learnt, history: History) -> None:
    assert stable(coefficients(learnt.models, history.neighbours))
    for model, decision in zip(learnt.models, learnt.decisions, strict=True):
        assert min(model.outdoor, model.mass, model.heat_k_per_kw, model.mass_rate) > 0
        assert model.fitted_rmse_k == decision.rmse_new
        assert len(model.offset_k) == DAY


def test_ordinary_thermostats_are_enough_to_learn_from() -> None:
    quiet = toy_history(28, seed=2, excited=False)
    found = learn(quiet, old=PRIOR, old_scale=ONES, prior=PRIOR)
    assert all(decision.accepted and decision.rmse_new < 0.5 for decision in found.decisions)
    strange = toy_history(28, seed=3)
    judged = accept(found.models, PRIOR, strange, first=DAY, scale=np.array(found.emitter_scale), old_scale=np.ones(3))
    assert all(decision.rmse_new < 1.0 for decision in judged)


def test_holes_and_a_stuck_sensor_poison_nothing(history: History, learnt: Learnt) -> None:
    temperature, outdoor = history.temperature_degc.copy(), history.outdoor_degc.copy()
    heat, solar, meter = history.heat_kw.copy(), history.solar_kw_m2.copy(), history.metered_heat_kw
    assert meter is not None
    random = np.random.default_rng(5)
    temperature[random.random(temperature.shape) < 0.05] = np.nan
    temperature[300:500, 0] = np.nan
    temperature[900:1100, 1] = 19.3  # stuck for two days
    outdoor[1000:1004] = np.nan
    solar[200:260] = np.nan
    heat[1200:1250, 2] = np.nan
    meter = np.where(random.random(len(meter)) < 0.1, np.nan, meter)
    torn = replace(
        history,
        temperature_degc=temperature,
        outdoor_degc=outdoor,
        heat_kw=heat,
        solar_kw_m2=solar,
        metered_heat_kw=meter,
    )
    found = learn(torn, old=PRIOR, old_scale=ONES, prior=PRIOR)
    for decision, whole in zip(found.decisions, learnt.decisions, strict=True):
        assert decision.accepted, decision.reason
        assert decision.rmse_new < whole.rmse_new + 0.2


def test_a_zone_without_a_sensor_keeps_its_model(history: History) -> None:
    temperature = history.temperature_degc.copy()
    temperature[:, 1] = np.nan
    found = learn(replace(history, temperature_degc=temperature), old=PRIOR, old_scale=ONES, prior=PRIOR)
    assert found.models[1] == PRIOR[1]
    assert found.decisions[1].reason == "refused: no day left out to judge it by"
    assert found.decisions[0].accepted


def test_emitters_are_scaled_to_the_heat_meter(history: History) -> None:
    meter = history.metered_heat_kw
    assert meter is not None
    scaled = heat_kw(history, emitter_scale(history)).sum(axis=1)
    assert scaled.sum() == pytest.approx(meter.sum(), rel=0.05)
    assert emitter_scale(replace(history, metered_heat_kw=None)).tolist() == [1.0, 1.0, 1.0]


def test_scales_of_single_emitters_are_found_where_the_meter_tells_them_apart() -> None:
    random = np.random.default_rng(1)
    estimate = random.uniform(0, 10, (DAY * 10, 3)) * (random.random((DAY * 10, 3)) < 0.6)
    base = toy_history(10)
    told = replace(base, heat_kw=estimate, metered_heat_kw=estimate @ np.array([0.6, 1.0, 1.4]))
    assert emitter_scale(told) == pytest.approx([0.6, 1.0, 1.4], abs=0.03)


def test_a_model_that_is_no_better_is_refused(history: History, learnt: Learnt) -> None:
    first = 21 * DAY
    scale = np.array(learnt.emitter_scale)
    again = accept(learnt.models, learnt.models, history, first=first, scale=scale, old_scale=scale)
    assert [decision.accepted for decision in again] == [False] * 3
    assert "no better than the old model" in again[0].reason
    worse = accept(PRIOR, learnt.models, history, first=first, scale=scale, old_scale=scale)
    assert not any(decision.accepted for decision in worse)


def test_a_model_that_loses_to_no_change_is_refused(history: History) -> None:
    cold = tuple(replace(model, outdoor=4 * model.outdoor) for model in PRIOR)
    found = accept(cold, cold, history, first=21 * DAY, scale=np.ones(3), old_scale=np.ones(3))
    assert all("if nothing changed" in decision.reason for decision in found)


def test_an_unstable_model_is_refused(history: History, learnt: Learnt) -> None:
    wild = (replace(learnt.models[0], outdoor=0.6, mass=1.8), *learnt.models[1:])
    with np.errstate(over="ignore", invalid="ignore"):
        found = accept(wild, PRIOR, history, first=21 * DAY, scale=np.ones(3), old_scale=np.ones(3))
    assert {decision.reason for decision in found} == {"refused: the new models together are not stable"}


def test_a_model_that_heat_does_not_warm_is_refused(history: History, learnt: Learnt) -> None:
    wrong = (replace(learnt.models[0], heat_k_per_kw=-0.01), *learnt.models[1:])
    found = accept(wrong, PRIOR, history, first=21 * DAY, scale=np.ones(3), old_scale=np.ones(3))
    assert not found[0].accepted
    assert "heat would not warm" in found[0].reason


def test_two_days_are_too_short_to_learn_from(history: History) -> None:
    with pytest.raises(ValueError, match="three days"):
        learn(history.last(2 * DAY), old=PRIOR, old_scale=ONES, prior=PRIOR)


def test_fitting_repeats_to_the_bit(history: History) -> None:
    short = history.last(10 * DAY)
    assert fit(short, np.ones(3), PRIOR) == fit(short, np.ones(3), PRIOR)


def kept(model: ZoneModel, history: History, **changes: float) -> dict[str, ZoneModel]:
    return dict.fromkeys(NAMES, replace(model, **changes))


def told(history: History, models: dict[str, ZoneModel], gain_k: float) -> list[float]:
    """Disturbance found where each step adds `gain_k` to what the models say."""
    steps = 4 * DAY
    values = next(iter(models.values()))
    air, slow = np.full(3, 20.0), np.full(3, 20.0)
    temperature = np.empty((steps, 3))
    for step in range(steps):
        temperature[step] = air
        change = values.outdoor * (5.0 - air) + values.mass * (slow - air) + gain_k
        slow, air = slow + values.mass_rate * (air - slow), air + change
    found = disturbance(
        models,
        neighbours={},
        temperature_degc=temperature,
        outdoor_degc=np.full(steps, 5.0),
        solar_kw_m2=np.zeros(steps),
        people=np.zeros((steps, 3)),
        heat_kw=np.zeros((steps, 3)),
        local_step=np.arange(steps) % DAY,
    )
    return list(found)


def test_the_disturbance_is_the_heat_that_nothing_explains(history: History) -> None:
    assert told(history, kept(PRIOR[0], history), 0.03) == pytest.approx([0.03] * 3, abs=0.003)
    assert told(history, kept(PRIOR[0], history), 5.0) == pytest.approx([0.15] * 3)


def test_the_disturbance_of_an_unknown_zone_is_none(history: History) -> None:
    temperature = history.temperature_degc.copy()
    temperature[:, 2] = np.nan
    found = disturbance(
        dict(zip(NAMES, PRIOR, strict=True)),
        neighbours={"a": ("b",), "b": ("a", "c")},
        temperature_degc=temperature,
        outdoor_degc=history.outdoor_degc,
        solar_kw_m2=history.solar_kw_m2,
        people=history.people,
        heat_kw=history.heat_kw,
        local_step=history.local_step,
    )
    assert found[2] == 0.0
    assert np.isfinite(found).all()


def test_a_stuck_sensor_is_taken_out_and_a_steady_one_is_not() -> None:
    column = np.concatenate([np.full(50, 20.0), [20.1], np.full(120, 20.2), [20.3]])[:, None]
    found = without_stuck(column, 96)
    assert np.isfinite(found[:51]).all()
    assert np.isnan(found[51:171]).all()
    assert found[171, 0] == 20.3


def test_only_short_holes_are_bridged() -> None:
    series = np.array([np.nan, 1.0, np.nan, 3.0, np.nan, np.nan, np.nan, 7.0])
    assert bridged(series, 2) == pytest.approx([1.0, 1.0, 2.0, 3.0, np.nan, np.nan, np.nan, 7.0], nan_ok=True)


def test_the_slow_state_follows_at_its_rate() -> None:
    found = filtered(np.concatenate([np.zeros(20), np.ones(380)]), 0.05)
    assert found[20] == pytest.approx(0.0, abs=1e-9)
    assert found[21] == pytest.approx(0.05)
    assert found[40] == pytest.approx(1 - 0.95**20)


def test_a_history_of_mixed_lengths_is_refused(history: History) -> None:
    with pytest.raises(ValueError, match="outdoor_degc must have"):
        replace(history, outdoor_degc=history.outdoor_degc[:-1])
    with pytest.raises(ValueError, match="people must have"):
        replace(history, people=history.people[:, :2])
    assert history.day_steps == timedelta(days=1) / STEP

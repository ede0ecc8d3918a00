"""Heat pumps and boilers: a rated curve, and what the meters say against it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KELVIN = 273.15
RATED_OUTDOOR_DEGC = 7.0
RATED_FLOW_DEGC = 35.0
CONDENSER_K = 4.0  # refrigerant over flow
EVAPORATOR_K = 8.0  # refrigerant under air
CAPACITY_PER_K_OUTDOOR = 0.022
CAPACITY_PER_K_FLOW = 0.004
DEFROST_DEGC = 1.0  # where frost costs most; about 8 % of output and of COP
DEFROST_WIDTH_K = 3.5
DEFROST_SHARE = 0.08
FEWEST = 48  # running quarter hours from which a fit is believed
SCALES = (0.6, 1.4)
EFFICIENCIES = (0.6, 1.08)


def heat_pump_curve(heat_kw: float, cop: float, outdoor_degc: Any, flow_degc: Any) -> tuple[Any, Any]:
    """Return largest heat (kW) and COP of an air-water heat pump, shaped as outdoor and flow together.

    Both are exact at the rating point (air 7 degC, flow 35 degC). The COP keeps the rated share of Carnot's between
    the refrigerant's temperatures, the output falls with colder air and hotter flow, and frost takes its part.
    """
    outdoor, flow = np.broadcast_arrays(np.asarray(outdoor_degc, dtype=float), np.asarray(flow_degc, dtype=float))
    rated = _carnot(np.array(RATED_OUTDOOR_DEGC), np.array(RATED_FLOW_DEGC))
    frost = _frost(outdoor) / _frost(np.array(RATED_OUTDOOR_DEGC))
    efficiency = cop * _carnot(outdoor, flow) / rated * frost
    share = 1.0 + CAPACITY_PER_K_OUTDOOR * (outdoor - RATED_OUTDOOR_DEGC)
    share = share * (1.0 - CAPACITY_PER_K_FLOW * (flow - RATED_FLOW_DEGC)) * frost
    return heat_kw * np.clip(share, 0.3, 1.35), np.clip(efficiency, 1.0, 1.6 * cop)


def _carnot(outdoor_degc: Floats, flow_degc: Floats) -> Floats:
    hot = flow_degc + CONDENSER_K + KELVIN
    lift: Floats = np.maximum(hot - (outdoor_degc - EVAPORATOR_K + KELVIN), 15.0)
    return hot / lift


def _frost(outdoor_degc: Floats) -> Floats:
    share: Floats = 1.0 - DEFROST_SHARE * np.exp(-(((outdoor_degc - DEFROST_DEGC) / DEFROST_WIDTH_K) ** 2))
    return share


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantFit:
    """What the meters say; scales are true over rated, and what could not be learned is 1."""

    heat_pump_cop: float = 1.0
    heat_pump_capacity: float = 1.0
    boiler_efficiency: float = 1.0
    samples: int = 0  # running quarter hours of the heat pump that were used
    reason: str = "rated curve: nothing measured"


def identify_plant(
    *,
    rated_cop: Floats,
    rated_max_kw: Floats,
    heat_pump_heat_kw: Floats,
    heat_pump_electricity_kw: Floats,
    auxiliary_kw: float,
    flat_out: NDArray[np.bool_] | None = None,
    rated_efficiency: float = 1.0,
    boiler_heat_kw: Floats | None = None,
    gas_kw: Floats | None = None,
) -> PlantFit:
    """Return scales of the rated curves from means of the same quarter hours, each (steps,) and NaN where unknown.

    `rated_cop` and `rated_max_kw` are the curve at the weather and flow of each step. The COP is the least-squares
    slope of electricity without auxiliaries over heat at rated COP. The capacity is the median of the steps in which
    it was `flat_out`; without enough of these it follows the hardest-run hundredth, and only upwards, since a heat
    pump that was never asked for everything has not shown its limit. Falls back to the rated curve for what has too
    few running steps.
    """
    known = np.isfinite(rated_cop) & np.isfinite(heat_pump_heat_kw) & np.isfinite(heat_pump_electricity_kw)
    steady = known & (np.nan_to_num(heat_pump_heat_kw) > 0.15 * rated_max_kw)
    count = int(steady.sum())
    cop, capacity, reason = 1.0, 1.0, f"rated curve: {count} running quarter hours are too few"
    if count >= FEWEST:
        heat, power = heat_pump_heat_kw[steady], heat_pump_electricity_kw[steady]
        expected = heat / rated_cop[steady]
        driven = power - auxiliary_kw
        slope = float((expected * driven).sum() / (expected * expected).sum())
        cop = float(np.clip(1.0 / max(slope, 1e-3), *SCALES))
        capacity = _capacity(heat / rated_max_kw[steady], None if flat_out is None else flat_out[steady])
        reason = f"{count} running quarter hours: COP {cop:.2f} and capacity {capacity:.2f} of the rated curve"
    return PlantFit(
        heat_pump_cop=cop,
        heat_pump_capacity=capacity,
        boiler_efficiency=_boiler(boiler_heat_kw, gas_kw, rated_efficiency),
        samples=count,
        reason=reason,
    )


def identify_boiler(*, rated_efficiency: float, heat_kw: Floats, gas_kw: Floats) -> PlantFit:
    """Return the scale of a boiler's rated efficiency where there is no heat pump; else as `identify_plant`."""
    scale = _boiler(heat_kw, gas_kw, rated_efficiency)
    if scale == 1.0:
        return PlantFit()
    return PlantFit(boiler_efficiency=scale, reason=f"boiler efficiency {scale:.2f} of the rated one")


def _capacity(shares: Floats, flat_out: NDArray[np.bool_] | None) -> float:
    if flat_out is not None and flat_out.sum() >= FEWEST:
        return float(np.clip(np.median(shares[flat_out]), *SCALES))
    return float(np.clip(np.quantile(shares, 0.99), 1.0, SCALES[1]))


def _boiler(heat_kw: Floats | None, gas_kw: Floats | None, rated: float) -> float:
    """Scale of the rated efficiency: all heat over all gas of the steps in which it ran."""
    if heat_kw is None or gas_kw is None:
        return 1.0
    ran = np.isfinite(heat_kw) & np.isfinite(gas_kw) & (np.nan_to_num(heat_kw) > 1.0) & (np.nan_to_num(gas_kw) > 1.0)
    if ran.sum() < FEWEST:
        return 1.0
    efficiency = float(np.clip(heat_kw[ran].sum() / gas_kw[ran].sum(), *EFFICIENCIES))
    return efficiency / rated

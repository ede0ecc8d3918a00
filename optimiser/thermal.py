"""The zone model in time: what temperatures follow from heat, weather and people.

The equations are those of `problem.ZoneModel`, one explicit step after the other and all zones at once. A step's heat,
weather and people act during the step; the temperatures are at its end. The optimiser's model is the same to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from optimiser.problem import ZoneModel
from optimiser.structure import mutual

Floats = NDArray[np.float64]

HOUR = timedelta(hours=1)

# Cold start, per m2 of floor; mid values of heavy and light offices, corrected by what identification finds.
AIR_WH_PER_K = 14.0  # air, furniture and the first centimetres of everything
MASS_WH_PER_K = 90.0  # what lies behind
AIR_TO_MASS_W_PER_K = 6.0
NEXT_DOOR_W_PER_K = 0.7
LOSS_W_PER_K = 2.2
DESIGN_K = 25.0  # indoors over outdoors for which emitters are sized
RATING_SHARE = 0.5  # of an emitter's 50 K rating that is needed on the design day
APERTURE = 0.05  # of the horizontal irradiance on the floor's area that ends in the room
PERSON_KW = 0.075  # sensible


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """The models of all zones as arrays over the zones, and who is next to whom."""

    outdoor: Floats
    mass: Floats
    neighbour: Floats
    heat: Floats
    solar: Floats
    people: Floats
    mass_rate: Floats
    beside: Floats  # (zones, zones): rows add up to 1, or to 0 where nobody is next door

    def transition(self) -> Floats:
        """Return the matrix that takes all air and mass temperatures one step on, without inputs."""
        count = len(self.outdoor)
        matrix = np.zeros((2 * count, 2 * count))
        own = np.arange(count)
        matrix[:count, :count] = self.neighbour[:, None] * self.beside
        matrix[own, own] += 1.0 - self.outdoor - self.mass - self.neighbour
        matrix[own, count + own] = self.mass
        matrix[count + own, count + own] = 1.0 - self.mass_rate
        matrix[count + own, own] = self.mass_rate
        return matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What acts on the zones: (steps,) for the weather, (steps, ..., zones) for the rest."""

    outdoor_degc: Floats
    solar_kw_m2: Floats
    people: Floats
    heat_kw: Floats
    gain_k: Floats  # K per step: time-of-day offset and disturbance


def coefficients(models: Sequence[ZoneModel], neighbours: Sequence[Sequence[int]]) -> Coefficients:
    """Return the arrays of these models; `neighbours` gives indices by zone, and nobody means no coupling.

    A link conducts the same from both of its ends, whatever the two models say: the mean of both, each by its own
    heat capacity. Otherwise a plan could draw more heat out of one room than it put into the next.
    """
    count = len(models)
    heat = np.array([model.heat_k_per_kw for model in models])
    usable = np.maximum(heat, 0.0)
    conductance = np.zeros((count, count))  # K per step and K, over the zone's K per step and kW
    for own, places in enumerate(mutual(neighbours)):
        for place in places:
            if usable[own] > 0 and usable[place] > 0:
                conductance[own, place] = models[own].neighbour / len(places) / usable[own]
    rates = 0.5 * (conductance + conductance.T) * usable[:, None]
    neighbour = rates.sum(axis=1)
    beside = rates / np.where(neighbour > 0, neighbour, 1.0)[:, None]
    return Coefficients(
        outdoor=np.array([model.outdoor for model in models]),
        mass=np.array([model.mass for model in models]),
        neighbour=neighbour,
        heat=heat,
        solar=np.array([model.solar_k_per_kw_m2 for model in models]),
        people=np.array([model.people_k for model in models]),
        mass_rate=np.array([model.mass_rate for model in models]),
        beside=beside,
    )


def predict(zones: Coefficients, temperature_degc: Floats, mass_degc: Floats, inputs: Inputs) -> Floats:
    """Return the temperatures at the end of each step, (steps, ..., zones).

    The starting temperatures are (..., zones); leading axes run many starts at once, with heat, people and gains
    shaped to match and weather (steps,) or (steps, ...).
    """
    steps = len(inputs.heat_kw)
    temperature, mass = np.asarray(temperature_degc, dtype=float), np.asarray(mass_degc, dtype=float)
    weather = (inputs.outdoor_degc, inputs.solar_kw_m2)
    outdoor, solar = (series[..., None] for series in weather)
    known = zones.outdoor * outdoor + zones.solar * solar
    known = known.reshape(known.shape[:1] + (1,) * (inputs.heat_kw.ndim - known.ndim) + known.shape[1:])
    known = known + zones.heat * inputs.heat_kw + zones.people * inputs.people + inputs.gain_k
    keep = 1.0 - zones.outdoor - zones.mass - zones.neighbour
    beside = (zones.neighbour[:, None] * zones.beside).T
    result = np.empty((steps, *temperature.shape))
    for step in range(steps):
        mass_next = mass + zones.mass_rate * (temperature - mass)
        temperature = keep * temperature + zones.mass * mass + temperature @ beside + known[step]
        mass = mass_next
        result[step] = temperature
    return result


def stable(zones: Coefficients) -> bool:
    """Whether any disturbance dies out: the largest eigenvalue lies inside the unit circle."""
    return bool(np.abs(np.linalg.eigvals(zones.transition())).max() < 1.0)


def prior_model(area_m2: float, emitter_kw: float, step: timedelta) -> ZoneModel:
    """Return a zone's model before anything is known but its floor area and its emitters' rating at 50 K.

    The loss is what the emitters were sized for, within a factor of what is usual for the area.
    """
    hours = step / HOUR
    air = AIR_WH_PER_K * area_m2 / 1000.0  # kWh/K
    mass = MASS_WH_PER_K * area_m2 / 1000.0
    usual = LOSS_W_PER_K * area_m2 / 1000.0  # kW/K
    loss = float(np.clip(emitter_kw * RATING_SHARE / DESIGN_K, 0.6 * usual, 1.6 * usual))
    return ZoneModel(
        outdoor=loss * hours / air,
        mass=AIR_TO_MASS_W_PER_K * area_m2 / 1000.0 * hours / air,
        neighbour=NEXT_DOOR_W_PER_K * area_m2 / 1000.0 * hours / air,
        heat_k_per_kw=hours / air,
        solar_k_per_kw_m2=APERTURE * area_m2 * hours / air,
        people_k=PERSON_KW * hours / air,
        mass_rate=AIR_TO_MASS_W_PER_K * area_m2 / 1000.0 * hours / mass,
    )

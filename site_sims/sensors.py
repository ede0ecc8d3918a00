"""From the plant's truth to what instruments show: noise, resolution, meter registers."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.roles import Role
from site_sims.field import FieldObject
from site_sims.weather import MINUTES_A_DAY

KEPT_DAYS = 4
NOISE: dict[Role, tuple[float, float]] = {  # resolution, standard deviation
    Role.ZONE_TEMPERATURE: (0.1, 0.04),
    Role.CO2: (1.0, 8.0),
    Role.OUTDOOR_TEMPERATURE: (0.1, 0.05),
    Role.SOLAR_IRRADIANCE: (1.0, 2.0),
    Role.FLOW_TEMPERATURE: (0.1, 0.1),
    Role.SUPPLY_TEMPERATURE: (0.1, 0.1),
    Role.AIRFLOW: (0.01, 0.0),
    Role.DAMPER_POSITION: (1.0, 0.0),
    Role.TANK_TEMPERATURE: (0.1, 0.05),
    Role.VALVE_POSITION: (1.0, 0.0),
    Role.HEAT_OUTPUT: (0.1, 0.15),
    Role.ELECTRICITY_POWER: (0.01, 0.0),
    Role.PV_POWER: (0.01, 0.0),
    Role.LIGHTING_POWER: (0.01, 0.0),
    Role.OCCUPANCY: (1.0, 0.0),
    Role.ELECTRICITY_METER: (0.1, 0.0),
    Role.GAS_METER: (0.1, 0.0),
    Role.HEAT_METER: (0.1, 0.0),
    Role.PV_METER: (0.1, 0.0),
    Role.OTHER: (0.1, 0.05),
}
REGISTERS = frozenset({Role.ELECTRICITY_METER, Role.GAS_METER, Role.HEAT_METER, Role.PV_METER})
NOT_BELOW_ZERO = frozenset({Role.SOLAR_IRRADIANCE, Role.HEAT_OUTPUT, Role.CO2})


@dataclass(frozen=True, slots=True)
class Sensor:
    """One instrument: the object that shows it and where the truth comes from."""

    obj: FieldObject
    role: Role
    truth: Callable[[], float]


class Instruments:
    """All sensors of a building; `show` measures them. Noise depends on seed and minute alone."""

    def __init__(self, sensors: Sequence[Sensor], *, seed: int) -> None:
        self._sensors, self._seed = list(sensors), seed
        rows = [NOISE.get(sensor.role, (1.0, 0.0)) for sensor in sensors]
        self._resolution = np.array([row[0] for row in rows])
        self._spread = np.array([row[1] for row in rows])
        self._down = np.array([0.5 if sensor.role in REGISTERS else 0.0 for sensor in sensors])  # registers round down
        self._quiet_at_zero = np.array([sensor.role in NOT_BELOW_ZERO for sensor in sensors])
        self._truths = [sensor.truth for sensor in sensors]
        self._objects = [sensor.obj for sensor in sensors]
        self._days: OrderedDict[int, NDArray[np.float64]] = OrderedDict()

    def show(self, minute: int) -> None:
        """Put this minute's measured values on the field."""
        true = np.array([truth() for truth in self._truths])
        day, within = divmod(minute, MINUTES_A_DAY)
        noise = self._noise(day)[within]
        noisy = np.where(self._quiet_at_zero & (true == 0), true, true + noise)
        steps = np.rint(noisy / self._resolution - self._down + 1e-9)
        for obj, value in zip(self._objects, np.round(steps * self._resolution, 3).tolist(), strict=True):
            if value != obj.sensed:
                obj.sense(value)

    def _noise(self, day: int) -> NDArray[np.float64]:
        noise = self._days.get(day)
        if noise is None:
            rng = np.random.default_rng([self._seed, 7, day])
            noise = rng.standard_normal((MINUTES_A_DAY, self._spread.size)) * self._spread
            self._days[day] = noise
            if len(self._days) > KEPT_DAYS:
                self._days.popitem(last=False)
        return noise

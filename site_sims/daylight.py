"""How light it is in the rooms of a simulated building: windows by orientation, walls by their brightness.

Mean illuminance = glass x transmittance x illuminance on the facade / (inner surfaces x (1 - reflectance^2)), the
lumped form behind the average daylight factor (Lynes; BRE).
"""

import numpy as np
from numpy.typing import NDArray

from config.site import Zone
from site_sims.truth import Truth
from site_sims.weather import Column

Array = NDArray[np.float64]

LUMEN_PER_W = 110.0  # luminous efficacy of daylight
TRANSMITTANCE = 0.5  # of visible light: secondary glazing, frames, dirt and half-drawn blinds
REFLECTANCE = 0.5  # area-weighted, of all inner surfaces
SURFACES = 2.6  # all inner surfaces by floor area
ELECTRIC_LUX = 500.0  # all lights at full power (EN 12464-1, offices)
DIM_LUX = 400.0  # people are counted as sitting in the dark below this


class Daylight:
    """Illuminance in each zone, lux."""

    def __init__(self, zones: tuple[Zone, ...], truth: Truth) -> None:
        sides = [truth.zones[zone.id].glass_m2 for zone in zones]
        glass = np.array([[side.n, side.e, side.s, side.w] for side in sides])
        inner = np.array([SURFACES * zone.area_m2 for zone in zones])[:, None]
        self._per_w_m2 = LUMEN_PER_W * TRANSMITTANCE * glass / (inner * (1 - REFLECTANCE**2))

    def lux(self, weather: Array, light_percent: Array) -> Array:
        """Daylight and electric light together, by zone, under one row of weather."""
        facades = weather[[Column.NORTH, Column.EAST, Column.SOUTH, Column.WEST]]
        return np.asarray(self._per_w_m2 @ facades + ELECTRIC_LUX / 100 * light_percent)

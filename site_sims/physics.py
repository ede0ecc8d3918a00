"""The fabric of a building: five heat-storing nodes a zone, stepped implicitly with a factor made once.

Nodes of each zone: air (with furniture), internal mass, and three layers of the outside wall. Windows, roofs and the
ground floor conduct without storing. Infiltration follows wind and buoyancy (Sherman and Grimsrud 1980).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from config.site import Zone
from site_sims.truth import Truth
from site_sims.weather import Column

Array = NDArray[np.float64]

STEP_S = 60.0
AIR_KJ = 1.206  # kJ/m3K
STACK, WIND = 0.000290, 0.000231  # (l/s)2/cm4/K and (l/s)2/cm4/(m/s)2, two storeys in a town
AIRED_DEGC, AIRED_OVER_K = 23.0, 2.5  # people begin to open windows, and have them open so far above
FILM_IN, FILM_OUT = 0.13, 0.04  # m2K/W
ABSORBED = 0.6  # of the sun on a wall
SUN_TO_AIR = 0.35  # of the sun through the glass; the rest falls on floors and walls
RADIANT = 0.35  # of every other gain
AIR, MASS, INNER, MIDDLE, OUTER = range(5)
KINDS = 5


class FabricModel:
    """All zones' temperatures, degC, and the heat they hold.

    `step` conserves energy exactly: the change of `stored_kj` is STEP_S times (heat and gains - `loss_kw`).
    """

    def __init__(self, zones: Sequence[Zone], truth: Truth, *, start_degc: float = 18.0) -> None:
        self.count = n = len(zones)
        rows, fabric = [truth.zones[zone.id] for zone in zones], truth.fabric
        area = np.array([zone.area_m2 for zone in zones])
        self.volume_m3 = area * [row.height_m for row in rows]
        wall = np.array([row.walls_m2.total for row in rows])
        self._leak = np.array([row.leak_cm2 for row in rows]) / 1000  # with l/s, m3/s
        self._fresh_m3_s = fabric.fresh_m3_s
        capacity = np.empty((KINDS, n))
        capacity[AIR] = self.volume_m3 * AIR_KJ * fabric.air_factor
        capacity[MASS] = area * fabric.mass_capacity
        capacity[INNER:] = wall * fabric.wall_capacity / 3 + 1e-6
        self.capacity = capacity.reshape(-1)  # kJ/K
        self._direct = np.zeros((KINDS, n))  # kW/K to outdoors
        glass = np.array([row.glass_m2.total for row in rows])
        self._windows = glass * fabric.window_m3_s if fabric.window_m3_s > 0 else None  # m3/s, all open
        roof, ground = (np.array([getattr(row, name) for row in rows]) for name in ("roof_m2", "ground_m2"))
        self._direct[AIR] = (glass * fabric.glass_u + roof * fabric.roof_u) / 1000
        self._ground = np.zeros((KINDS, n))
        self._ground[MASS] = ground * fabric.ground_u / 1000
        self._ground_degc = fabric.ground_degc
        layers = 1 / fabric.wall_u - FILM_IN - FILM_OUT  # m2K/W of the wall itself
        self._direct[OUTER] = wall / (FILM_OUT + layers / 6) / 1000
        links = np.zeros((KINDS * n, KINDS * n))

        def join(a: int, b: int, kw_per_k: float) -> None:
            links[a, a] += kw_per_k
            links[b, b] += kw_per_k
            links[a, b] -= kw_per_k
            links[b, a] -= kw_per_k

        for z in range(n):
            join(AIR * n + z, MASS * n + z, area[z] * fabric.mass_area * fabric.mass_film / 1000)
            join(AIR * n + z, INNER * n + z, wall[z] / (FILM_IN + layers / 6) / 1000)
            join(INNER * n + z, MIDDLE * n + z, wall[z] / (layers / 3) / 1000)
            join(MIDDLE * n + z, OUTER * n + z, wall[z] / (layers / 3) / 1000)
        place = {zone.id: z for z, zone in enumerate(zones)}
        for a, b, w_per_k in fabric.links:
            join(AIR * n + place[a], AIR * n + place[b], w_per_k / 1000)
        outside = (self._direct + self._ground).reshape(-1)
        self._rate = self.capacity / STEP_S
        self._factor = np.linalg.inv(np.diag(self._rate + outside) + links)
        self._sun = self._solar(truth, zones, roof)
        self._edge = np.stack([self._direct.reshape(-1), self._ground.reshape(-1)])
        self.temperature = np.full(KINDS * n, start_degc)
        self.loss_kw = 0.0  # to outdoors and the ground, last step
        self.sun_kw = 0.0  # absorbed, last step
        self.leak_m3_s = np.zeros(n)

    def _solar(self, truth: Truth, zones: Sequence[Zone], roof: Array) -> Array:
        """Heat into each node, kW for each W/m2 on horizontal, north, east, south, west."""
        fabric, n = truth.fabric, self.count
        layers = 1 / fabric.wall_u - FILM_IN - FILM_OUT
        sun = np.zeros((KINDS, n, 5))
        for z, zone in enumerate(zones):
            row = truth.zones[zone.id]
            for side, name in enumerate("nesw", start=1):
                through = getattr(row.glass_m2, name) * fabric.glass_gain / 1000
                sun[AIR, z, side] = through * SUN_TO_AIR
                sun[MASS, z, side] = through * (1 - SUN_TO_AIR) * 0.7
                sun[INNER, z, side] = through * (1 - SUN_TO_AIR) * 0.3
                reaches = FILM_OUT / (FILM_OUT + layers / 6)
                sun[OUTER, z, side] = getattr(row.walls_m2, name) * ABSORBED * reaches / 1000
            sun[AIR, z, 0] = roof[z] * ABSORBED * fabric.roof_u * FILM_OUT / 1000
        return sun.reshape(KINDS * n, 5)

    @property
    def air(self) -> Array:
        """Air temperature by zone, degC; a view."""
        return self.temperature[: self.count]

    @property
    def stored_kj(self) -> float:
        """Heat held above 0 degC."""
        return float(self.capacity @ self.temperature)

    def infiltration(self, outdoor: float, wind: float, people: Array) -> Array:
        """Outdoor air through cracks and opened doors, m3/s by zone."""
        apart = np.abs(self.air - outdoor)
        leak: Array = self._leak * np.sqrt(STACK * apart + WIND * wind * wind) + self._fresh_m3_s * people
        if self._windows is not None:
            wanted = np.clip((self.air - AIRED_DEGC) / AIRED_OVER_K, 0.0, 1.0) * (people > 0) * (self.air > outdoor)
            leak = leak + self._windows * wanted
        return leak

    def step(self, weather: Array, *, inside_kw: Array, air_kw: Array, people: Array) -> None:
        """Advance STEP_S. By zone: `inside_kw` from emitters, people and equipment, `air_kw` from supply air alone."""
        n, outdoor = self.count, float(weather[Column.OUTDOOR])
        self.leak_m3_s = self.infiltration(outdoor, float(weather[Column.WIND]), people)
        leak_kw = AIR_KJ * self.leak_m3_s * (self.air - outdoor)
        sun = self._sun @ weather[Column.HORIZONTAL : Column.PV]
        flow = self._rate * self.temperature + sun
        flow += self._edge[0] * outdoor + self._edge[1] * self._ground_degc
        flow[:n] += (1 - RADIANT) * inside_kw + air_kw - leak_kw
        flow[n : 2 * n] += RADIANT * inside_kw
        self.temperature = self._factor @ flow
        lost = self._edge[0] @ (self.temperature - outdoor) + self._edge[1] @ (self.temperature - self._ground_degc)
        self.loss_kw = float(lost + leak_kw.sum())
        self.sun_kw = float(sun.sum())

    def design_load_kw(self, *, indoor: float, outdoor: float, wind: float = 4.0) -> float:
        """Steady heat loss of the whole building without sun or gains."""
        apart = indoor - outdoor
        leak = float((self._leak * np.sqrt(STACK * apart + WIND * wind * wind)).sum()) * AIR_KJ * apart
        n, edge = self.count, self._edge[0] + self._edge[1]
        boundary = self._edge[0] * outdoor + self._edge[1] * self._ground_degc
        laplace = np.linalg.inv(self._factor) - np.diag(self._rate + edge)
        whole = laplace + np.diag(edge)
        rest = whole[n:, n:]
        inner = np.linalg.solve(rest, boundary[n:] - whole[n:, :n] @ np.full(n, indoor))
        temperature = np.concatenate([np.full(n, indoor), inner])
        return float(edge @ temperature - boundary.sum()) + leak

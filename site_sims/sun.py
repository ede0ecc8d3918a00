"""Where the sun stands and how much of it reaches a surface; pure formulas on arrays of UTC minutes.

Position after NOAA's solar calculator (Spencer's series); clear sky after Haurwitz (1945); clouds after Kasten and
Czeplak (1980); direct and diffuse split after Erbs, Klein and Duffie (1982); tilted surfaces with an isotropic sky
(Liu and Jordan 1963).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SOLAR_CONSTANT = 1361.0  # W/m2 outside the atmosphere
ALBEDO = 0.2  # share the ground reflects
LOWEST_SINE = 0.02  # below about one degree the split formulas mean nothing


@dataclass(frozen=True, slots=True)
class Sun:
    """Sine of the elevation, and the cosines of the angle to north, east and up of the sun's direction."""

    up: Array
    north: Array
    east: Array
    distance: Array  # extraterrestrial irradiance relative to the solar constant


def position(minutes: Array, *, latitude: float, longitude: float) -> Sun:
    """Direction of the sun at UTC minutes since 1970; longitude is positive to the east."""
    days = minutes / 1440.0
    years = (days - 0.5) / 365.2425
    angle = 2 * np.pi * (years % 1.0)  # fractional year from 1 January, rad
    declination = (
        0.006918
        - 0.399912 * np.cos(angle)
        + 0.070257 * np.sin(angle)
        - 0.006758 * np.cos(2 * angle)
        + 0.000907 * np.sin(2 * angle)
        - 0.002697 * np.cos(3 * angle)
        + 0.00148 * np.sin(3 * angle)
    )
    equation_of_time = 229.18 * (  # minutes
        0.000075
        + 0.001868 * np.cos(angle)
        - 0.032077 * np.sin(angle)
        - 0.014615 * np.cos(2 * angle)
        - 0.040849 * np.sin(2 * angle)
    )
    hour_angle = np.radians((minutes % 1440.0 + equation_of_time + 4 * longitude) / 4 - 180)
    lat = np.radians(latitude)
    up = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour_angle)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    return Sun(up=up, north=north, east=east, distance=1 + 0.033 * np.cos(angle))


def clear_sky(sun: Sun) -> Array:
    """Horizontal irradiance under a clear sky, W/m2 (Haurwitz)."""
    up = np.maximum(sun.up, LOWEST_SINE)
    return np.where(sun.up > LOWEST_SINE, 1098.0 * up * np.exp(-0.059 / up), 0.0)


def clouded(clear: Array, cover: Array) -> Array:
    """Horizontal irradiance under a cloud cover of 0 to 1 (Kasten and Czeplak)."""
    return clear * (1 - 0.75 * cover**3.4)


def split(horizontal: Array, sun: Sun) -> tuple[Array, Array]:
    """Direct normal and diffuse horizontal irradiance, W/m2 (Erbs)."""
    outside = SOLAR_CONSTANT * sun.distance * np.maximum(sun.up, LOWEST_SINE)
    kt = np.clip(horizontal / outside, 0.0, 1.0)
    middle = 0.9511 - 0.1604 * kt + 4.388 * kt**2 - 16.638 * kt**3 + 12.336 * kt**4
    share = np.where(kt <= 0.22, 1 - 0.09 * kt, np.where(kt <= 0.8, middle, 0.165))
    diffuse = horizontal * share
    direct = np.where(sun.up > LOWEST_SINE, (horizontal - diffuse) / np.maximum(sun.up, LOWEST_SINE), 0.0)
    return np.minimum(direct, SOLAR_CONSTANT * 0.85), diffuse


def on_surface(
    sun: Sun, *, horizontal: Array, direct: Array, diffuse: Array, tilt_deg: float, azimuth_deg: float
) -> Array:
    """Irradiance on a tilted surface, W/m2; azimuth clockwise from north, tilt 90 = a wall."""
    tilt, azimuth = np.radians(tilt_deg), np.radians(azimuth_deg)
    facing = (
        sun.up * np.cos(tilt)
        + (sun.north * np.cos(azimuth) + sun.east * np.sin(azimuth)) * np.sin(tilt)
    )  # fmt: skip
    sky, ground = (1 + np.cos(tilt)) / 2, (1 - np.cos(tilt)) / 2
    return np.asarray(direct * np.maximum(facing, 0.0) + diffuse * sky + horizontal * ALBEDO * ground)

"""The units a point may have, one stored unit for each quantity."""

from enum import StrEnum


class Unit(StrEnum):
    """Unit of a point's value; drivers convert at the edge, everything inside uses these."""

    DEGC = "degC"
    KW = "kW"
    KWH = "kWh"
    M3 = "m3"
    PPM = "ppm"
    PERCENT = "%"
    W_PER_M2 = "W/m2"
    M_PER_S = "m/s"
    M3_PER_S = "m3/s"
    LUX = "lux"
    PEOPLE = "people"
    BINARY = "0/1"
    INDEX = "index"
    COUNT = "count"
    G_PER_KWH = "g/kWh"
    MONEY_PER_KWH = "money/kWh"

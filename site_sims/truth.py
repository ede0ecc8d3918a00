"""What a simulated site is really like: fabric and the settings of its own control; the controller never sees it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from ruamel.yaml import YAML

from config.base import Frozen, Name

SITES = Path(__file__).parent / "sites"

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Sides(Frozen):
    """Areas by the direction they face, m2."""

    n: float = 0.0
    e: float = 0.0
    s: float = 0.0
    w: float = 0.0

    @property
    def total(self) -> float:
        return self.n + self.e + self.s + self.w


class ZoneTruth(Frozen):
    height_m: Positive = 3.2
    walls_m2: Sides
    glass_m2: Sides
    roof_m2: float = 0.0
    ground_m2: float = 0.0
    leak_cm2: float = 500.0  # effective leakage area at 4 Pa
    plug_w_per_person: Positive | None = None  # what people use here; None = as everywhere, see Gains
    plug_share_inside: Share = 1.0  # of its heat; the rest leaves with a kitchen's extract air


class Fabric(Frozen):
    """Properties common to all zones; conductances W/m2K, capacities kJ/m2K."""

    wall_u: Positive = 1.3
    wall_capacity: Positive = 640.0  # half a metre of brick
    glass_u: Positive = 2.8
    glass_gain: Share = 0.38  # solar transmittance with frames, dirt and blinds
    roof_u: Positive = 0.4
    ground_u: Positive = 0.3
    ground_degc: float = 10.0
    mass_capacity: Positive = 260.0  # floors and partitions, by floor area
    mass_area: Positive = 2.2  # their surface by floor area
    mass_film: Positive = 3.5  # W/m2K
    air_factor: Positive = 4.0  # furniture and surfaces that follow the air, times the air's own capacity
    fresh_m3_s: Positive = 0.0015  # outdoor air through doors and windows, by person
    window_m3_s: float = 0.0  # more through windows that people open when it is warm, by m2 of glass
    links: tuple[tuple[Name, Name, float], ...] = ()  # zone, zone, W/K through doors and floors


class Gains(Frozen):
    person_w: float = 75.0  # sensible
    plug_w_per_person: float = 110.0
    always_on_kw: float = 4.5
    always_on_share_inside: Share = 0.5  # the rest is outdoors, in the roof or the lift shaft


class BmsTruth(Frozen):
    """Settings of the building's own control. The command that chose them stands beside them in the site's truth."""

    occupied_degc: float = 20.5  # of the zones whose band begins highest; others as much lower as theirs does
    setback_degc: float = 15.0
    start_margin: float = 1.0  # multiplies the learnt warm-up time
    longest_start_h: float = 8.0
    stop_early_min: float = 0.0
    night_degc: float = 0.0  # setpoint in the cheap hours before an occupied day; 0 = setback as ever
    curve_slope: float = 1.2  # K of flow per K below 20 degC outdoors
    curve_offset: float = 22.0  # flow at 20 degC outdoors
    heating_limit_degc: float | None = None  # no heating while a day's mean is warmer; None = whenever a valve opens
    boost_k: float = 4.0  # added to the flow while a zone warms up
    bias_night: float = 1.0  # the heat pump's cost of heat is multiplied by these in the changeover
    bias_day: float = 1.0
    bias_peak: float = 1.0
    backup_k: float = 4.0  # boiler joins the heat pump when the flow lies this far below its setpoint
    backup_min: float = 15.0  # for this long
    tank_margin_k: float = 2.0  # tank setpoint above the flow setpoint
    tank_night_degc: float = 45.0  # at least this in the cheap hours
    tank_peak_degc: float = 30.0  # at most this in the dear hours
    fan_percent: float = 60.0
    fan_before_min: float = 15.0
    cooling_degc: float = 24.0  # this and the rest before the lights: of an all-air building
    set_up_degc: float = 28.0  # cooling setpoint while nobody is due
    supply_low_degc: float = 13.0  # at 22 degC outdoors and above
    supply_high_degc: float = 18.0  # at 12 degC outdoors and below
    supply_warm_degc: float = 28.0  # while zones are warmed up and nobody is there
    fresh_percent: float = 25.0  # least outdoor air while somebody is due
    free_cooling_below_degc: float = 15.0  # the chiller rests below it
    light_percent: float = 100.0
    light_margin_min: float = 30.0


class Truth(Frozen):
    zones: dict[Name, ZoneTruth]
    fabric: Fabric = Fabric()
    gains: Gains = Gains()
    bms: BmsTruth = BmsTruth()


def load_truth(path: Path) -> Truth:
    """Read a truth file; raises OSError or pydantic's ValidationError."""
    content: Any = YAML(typ="safe").load(path)
    return Truth.model_validate(content)


def unknown_building(site_id: str) -> str:
    """Why a site cannot be simulated, with what can be; empty if its truth is known."""
    if (SITES / f"{site_id}.yaml").exists():
        return ""
    known = ", ".join(sorted(path.stem for path in SITES.glob("*.yaml")))
    return f"nothing is known of the building behind {site_id!r}; simulated ones are: {known}"


def site_truth(site_id: str) -> Truth:
    """The truth that ships with a site."""
    return load_truth(SITES / f"{site_id}.yaml")

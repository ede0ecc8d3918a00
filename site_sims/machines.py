"""Heat pump, boiler and tank of the simulated plant, each stepped by one minute with its own local control.

The curves are generic: a share of Carnot between condenser and evaporator for the heat pump, a condensing boiler's
efficiency by return temperature, three mixed layers for the tank.
"""

from dataclasses import dataclass, field
from math import exp

WATER = 4.186  # kJ/kgK
STEP_S = 60.0
MINUTE = 1.0

CARNOT_SHARE = 0.50
CONDENSER_K, EVAPORATOR_K = 3.0, 7.0  # temperature differences at the two ends
DEFROST_SHARE, DEFROST_AT, DEFROST_WIDTH = 0.13, 1.0, 3.5  # loss around damp freezing air
LOWEST_PART = 0.30  # the inverter's least load
RAMP = 0.12  # change of part load a minute
STARTING_MIN = 3.0  # heat rises over these minutes after a start; electricity does not wait
HOTTEST_OUTLET = 60.0  # degC, high-pressure switch
PUMP_KG_S = 2.6  # heat pump to tank
ON_MIN, OFF_MIN = 15.0, 10.0


def defrost(outdoor: float) -> float:
    """Share of capacity and performance left while the outdoor coil ices."""
    return 1 - DEFROST_SHARE * exp(-(((outdoor - DEFROST_AT) / DEFROST_WIDTH) ** 2))


def full_capacity_kw(nominal_kw: float, outdoor: float, outlet: float) -> float:
    """Heat at full speed; `nominal_kw` holds at 7 degC outdoors and 35 degC water."""
    below = 1 + 0.02 * (outdoor - 7) if outdoor < 7 else 1 + 0.01 * min(outdoor - 7, 15)
    return nominal_kw * max(0.3, below - 0.005 * (outlet - 35)) * defrost(outdoor)


def performance(outdoor: float, outlet: float, part: float, *, rated: float = 4.1) -> float:
    """Heat by compressor electricity at a part load of 0.3 to 1; `rated` holds at 7/35 degC and full load."""
    carnot = (outlet + 273.15 + CONDENSER_K) / max(outlet + CONDENSER_K - outdoor + EVAPORATOR_K, 12.0)
    speed = 1.06 - 0.3 * (part - 0.55) ** 2  # best at middling speed
    return max(1.0, rated / 4.1 * CARNOT_SHARE * carnot * speed * defrost(outdoor))


@dataclass(slots=True)
class HeatPumpUnit:
    """An inverter heat pump that keeps a tank at a setpoint."""

    nominal_kw: float
    rated_cop: float
    auxiliary_kw: float
    fault: bool = False
    running: bool = False
    part: float = 0.0
    since_min: float = 1e6  # since the last start or stop
    heat_kw: float = 0.0
    electricity_kw: float = 0.0
    starts: int = 0
    outlet: float = 30.0

    def step(self, *, enable: bool, limit: float, setpoint: float, tank: "TankUnit", outdoor: float) -> None:
        """One minute. `limit` is 0 to 1; below half the least part load the unit stays off."""
        self.since_min += MINUTE
        allowed = enable and not self.fault and limit >= LOWEST_PART / 2
        mean, bottom = tank.mean, tank.layers[-1]
        if self.running:
            done = self.since_min >= ON_MIN and (not allowed or mean > setpoint + 1.5)
            if done or self.fault or self.outlet > HOTTEST_OUTLET:
                self.running, self.since_min, self.part = False, 0.0, 0.0
        elif allowed and self.since_min >= OFF_MIN and mean < setpoint - 3.0:
            self.running, self.since_min, self.part = True, 0.0, LOWEST_PART
            self.starts += 1
        if not self.running:
            self.heat_kw = self.electricity_kw = 0.0
            self.outlet = bottom
            return
        wanted = min(max((setpoint + 1.0 - mean) / 4.0, LOWEST_PART), max(limit, LOWEST_PART), 1.0)
        self.part += min(max(wanted - self.part, -RAMP), RAMP)
        capacity = full_capacity_kw(self.nominal_kw, outdoor, self.outlet)
        heat = capacity * self.part
        self.outlet = bottom + heat / (PUMP_KG_S * WATER)
        draw = heat / performance(outdoor, self.outlet, self.part, rated=self.rated_cop)
        rising = min(1.0, (self.since_min + MINUTE) / STARTING_MIN)
        self.heat_kw = heat * rising
        self.electricity_kw = draw + self.auxiliary_kw
        tank.charge(self.heat_kw)


@dataclass(slots=True)
class TankUnit:
    """A buffer in three equal layers, top first; water is pushed through them and they conduct a little."""

    volume_kg: float
    loss_kw_per_k: float
    around: float = 15.0  # plant room, degC
    layers: list[float] = field(default_factory=lambda: [35.0, 34.0, 33.0])
    lost_kw: float = 0.0

    @property
    def mean(self) -> float:
        a, b, c = self.layers
        return (a + b + c) / 3

    @property
    def stored_kj(self) -> float:
        """Heat above 0 degC."""
        return self.mean * self.volume_kg * WATER

    def charge(self, heat_kw: float) -> None:
        """Draw from the bottom, heat, return to the top, for one minute."""
        a, b, c = self.layers
        mass = self.volume_kg / 3
        share = PUMP_KG_S * STEP_S / mass
        self.layers = [
            a + share * (c - a) + heat_kw * STEP_S / (mass * WATER),
            b + share * (a - b),
            c + share * (b - c),
        ]

    def discharge(self, flow_kg_s: float, back: float) -> float:
        """Draw `flow_kg_s` from the top and return it at `back` to the bottom; returns the heat drawn, kW."""
        a, b, c = self.layers
        share = flow_kg_s * STEP_S / (self.volume_kg / 3)
        self.layers = [a + share * (b - a), b + share * (c - b), c + share * (back - c)]
        return flow_kg_s * WATER * (a - back)

    def settle(self) -> None:
        """Loss to the room, conduction, and turning over where a lower layer is warmer."""
        mass_kj = self.volume_kg / 3 * WATER
        mixed = [t - self.loss_kw_per_k / 3 * (t - self.around) * STEP_S / mass_kj for t in self.layers]
        self.lost_kw = self.loss_kw_per_k * (self.mean - self.around)
        a, b, c = mixed
        ab, bc = 0.0006 * (a - b), 0.0006 * (b - c)
        a, b, c = a - ab, b + ab - bc, c + bc
        if b > a:
            a = b = (a + b) / 2
        if c > b:
            b = c = (b + c) / 2
            if b > a:
                a = b = c = (a + b + c) / 3
        self.layers = [a, b, c]


@dataclass(slots=True)
class BoilerUnit:
    """A modulating gas boiler in line after the tank; efficiency on the gross calorific value."""

    nominal_kw: float
    least_part: float = 0.2
    standby_kw: float = 0.5  # gas, while enabled and waiting
    fault: bool = False
    running: bool = False
    since_min: float = 1e6
    heat_kw: float = 0.0
    gas_kw: float = 0.0
    electricity_kw: float = 0.0
    starts: int = 0

    @staticmethod
    def efficiency(back: float, part: float) -> float:
        """Falls as the return warms out of condensing, and a little at low load."""
        condensing = min(max((55.0 - back) / 25.0, 0.0), 1.0)
        return 0.855 + 0.10 * condensing - 0.03 * (1 - part) ** 2

    def step(self, *, enable: bool, setpoint: float, flow_kg_s: float, entering: float, back: float) -> float:
        """One minute; returns the heat given to the flow, kW. It burns while the flow is below the setpoint."""
        self.since_min += MINUTE
        allowed = enable and not self.fault
        per_k = flow_kg_s * WATER
        wanted = per_k * (setpoint - entering)
        least = self.nominal_kw * self.least_part
        if self.running:
            overheated = wanted < least - per_k * 5.0  # the flow would pass the setpoint by 5 K
            if self.fault or flow_kg_s < 0.05 or (self.since_min >= 5.0 and (not allowed or overheated)):
                self.running, self.since_min = False, 0.0
        elif allowed and flow_kg_s >= 0.05 and self.since_min >= 8.0 and setpoint - entering > 3.0:
            self.running, self.since_min = True, 0.0
            self.starts += 1
        if not self.running:
            self.heat_kw = self.electricity_kw = 0.0
            self.gas_kw = self.standby_kw if allowed else 0.0
            return 0.0
        hottest = max(per_k * (80.0 - entering), 0.0)
        self.heat_kw = min(max(wanted, least), self.nominal_kw, hottest)
        self.gas_kw = self.heat_kw / self.efficiency(back, self.heat_kw / self.nominal_kw)
        self.electricity_kw = 0.15
        return self.heat_kw

"""The air-cooled chiller of the simulated plant, stepped by one minute with its own local control."""

from dataclasses import dataclass

MINUTE = 1.0
RATED_DEGC = 35.0
LEAST_PART = 0.2  # below it the compressor only runs part of the time
CAPACITY_PER_K, COP_PER_K = 0.008, 0.028  # gained for each kelvin below the rating point
MOST_GAIN = 0.8  # cold weather does not help beyond it: condensing pressure is held up
CYCLING_LOSS = 0.15
ON_MIN, OFF_MIN = 8.0, 5.0


def capacity_share(outdoor: float) -> float:
    """Of the rated cooling that can be had."""
    return min(max(1 + CAPACITY_PER_K * (RATED_DEGC - outdoor), 0.7), 1.2)


def performance(outdoor: float, part: float, *, rated: float) -> float:
    """Cooling by compressor electricity at a part load of 0 to 1; `rated` holds at 35 degC and full load."""
    weather = min(max(1 + COP_PER_K * (RATED_DEGC - outdoor), 0.7), 1 + MOST_GAIN)
    speed = 1.12 - 0.3 * (max(part, LEAST_PART) - 0.4) ** 2 / 0.9  # best at middling speed, 1.0 at full
    cycling = 1 - CYCLING_LOSS * (1 - min(part / LEAST_PART, 1.0))
    return rated * weather * speed * cycling


@dataclass(slots=True)
class ChillerUnit:
    """A chiller that carries what the cooling coil asks for, as far as it can."""

    nominal_kw: float
    rated_cop: float
    auxiliary_kw: float
    fault: bool = False
    running: bool = False
    since_min: float = 1e6  # since the last start or stop
    cool_kw: float = 0.0
    electricity_kw: float = 0.0
    starts: int = 0

    def step(self, *, enable: bool, wanted_kw: float, outdoor: float) -> float:
        """One minute; returns the heat taken from the water, kW."""
        self.since_min += MINUTE
        allowed = enable and not self.fault
        least = LEAST_PART * self.nominal_kw
        if self.running:
            if self.fault or (self.since_min >= ON_MIN and (not allowed or wanted_kw < 0.1 * least)):
                self.running, self.since_min = False, 0.0
        elif allowed and self.since_min >= OFF_MIN and wanted_kw > 0.3 * least:
            self.running, self.since_min = True, 0.0
            self.starts += 1
        if not self.running:
            self.cool_kw = self.electricity_kw = 0.0
            return 0.0
        capacity = self.nominal_kw * capacity_share(outdoor)
        self.cool_kw = min(wanted_kw, capacity)
        draw = self.cool_kw / performance(outdoor, self.cool_kw / capacity, rated=self.rated_cop)
        self.electricity_kw = draw + self.auxiliary_kw
        return self.cool_kw

"""What a ledger says: lines, sums that add up, statements of meters and bills of sites."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from config.intensity import Kind
from config.site import Fuel, Meter
from controller.carbon.slots import NOTHING, Code, Coverage

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One half-hour of one meter, as charged and as counted."""

    start: datetime
    end: datetime
    kwh: Decimal | None  # None = missing
    code: Code
    rate: Decimal | None  # currency per kWh; None = no tariff
    cost: Decimal | None  # None = missing, or no tariff; negative = income
    annual_kg: Decimal | None  # kgCO2e; None = missing, or no factor
    grid_kg: Decimal | None  # of the intensity's gas; None = missing, or no intensity
    intensity_kind: Kind | None  # how the grid's intensity is known; None = not of the grid, or unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """Carbon in one ledger. Sums of known parts; what is not known is counted in kWh, never as zero carbon."""

    ledger: str  # which factor or intensity, which gas, which boundary
    kg: Decimal
    estimated_kwh: Decimal  # energy whose intensity is substituted or a day's mean
    unknown_kwh: Decimal  # energy without any factor or intensity

    def __add__(self, other: "Mass") -> "Mass":
        names = dict.fromkeys([*self.ledger.split(" + "), *other.ledger.split(" + ")])
        return Mass(
            ledger=" + ".join(name for name in names if name),
            kg=self.kg + other.kg,
            estimated_kwh=self.estimated_kwh + other.estimated_kwh,
            unknown_kwh=self.unknown_kwh + other.unknown_kwh,
        )


NO_MASS = Mass(ledger="", kg=ZERO, estimated_kwh=ZERO, unknown_kwh=ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A period's sums; two periods, or two meters, add up."""

    kwh: Decimal
    cost: Decimal
    unpriced_kwh: Decimal  # energy without a tariff; it is not in the cost
    annual: Mass
    grid: Mass
    coverage: Coverage

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            kwh=self.kwh + other.kwh,
            cost=self.cost + other.cost,
            unpriced_kwh=self.unpriced_kwh + other.unpriced_kwh,
            annual=self.annual + other.annual,
            grid=self.grid + other.grid,
            coverage=self.coverage + other.coverage,
        )


EMPTY = Totals(kwh=ZERO, cost=ZERO, unpriced_kwh=ZERO, annual=NO_MASS, grid=NO_MASS, coverage=NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One meter in a period."""

    meter: Meter
    lines: tuple[Line, ...]
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The site in a period: its main meters only, what it exported apart."""

    currency: str
    imported: Totals  # bought energy of all main meters
    by_fuel: dict[Fuel, Totals]
    exported: Totals  # energy that left the site; its cost is negative, its carbon zero
    pv: Totals  # generated on site
    standing: Decimal
    statements: tuple[Statement, ...]  # of every meter, sub-meters too

    @property
    def cost(self) -> Decimal:
        """Energy and standing charges less what export brought."""
        return self.imported.cost + self.exported.cost + self.standing

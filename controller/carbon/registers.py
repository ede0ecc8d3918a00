"""Differences of meter registers: roll-over, reset, exchange, multipliers; and gas volumes as energy.

A register that runs backwards is a roll-over if it stood within 10 % of its full scale, else a reset, whose energy
nobody knows. A rise faster than 1.2 times the meter's capacity is refused.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

ROLLS_FROM = Decimal("0.9")  # of full scale
CAPACITY_MARGIN = Decimal("1.2")
GAS_CORRECTION = Decimal("1.02264")  # volume at the meter -> standard conditions, as UK bills state it
CUBIC_METRES_PER_HUNDRED_FT3 = Decimal("2.83")  # as UK bills state it
MJ_PER_KWH = Decimal("3.6")


class Rise(StrEnum):
    PLAIN = "plain"
    ROLLED_OVER = "rolled over"
    RESET = "reset"
    TOO_FAST = "too fast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What a meter counted between two readings."""

    kwh: Decimal | None  # None = unknown: reset, or refused as too fast
    rise: Rise


def register_delta(
    old: Decimal,
    new: Decimal,
    *,
    digits: int | None = None,
    multiplier: Decimal = Decimal(1),
    capacity_kw: Decimal | None = None,
    elapsed: timedelta | None = None,
) -> Delta:
    """The energy between two registers; `multiplier` applies to the difference.

    `digits` before the point say where the register rolls over (None = never); `capacity_kw` and `elapsed` together
    bound the rise.
    """
    counts, rise = new - old, Rise.PLAIN
    if counts < 0:
        scale = Decimal(10) ** digits if digits is not None else None
        if scale is None or old < scale * ROLLS_FROM:
            return Delta(kwh=None, rise=Rise.RESET)
        counts, rise = counts + scale, Rise.ROLLED_OVER
    kwh = counts * multiplier
    if capacity_kw is not None and elapsed is not None:
        hours = Decimal(str(elapsed.total_seconds())) / 3600
        if kwh > capacity_kw * hours * CAPACITY_MARGIN:
            return Delta(kwh=None, rise=Rise.TOO_FAST)
    return Delta(kwh=kwh, rise=rise)


def exchange_delta(
    old: Decimal, closing: Decimal, opening: Decimal, new: Decimal, *, multiplier: Decimal = Decimal(1)
) -> Decimal:
    """Energy across a meter exchange: the old meter to its closing read, the new one from its opening read."""
    if closing < old or new < opening:
        raise ValueError(f"closing {closing} below {old}, or {new} below opening {opening}; mend the exchange's reads")
    return (closing - old + new - opening) * multiplier


def gas_kwh(
    volume: Decimal,
    *,
    calorific_value: Decimal,
    correction: Decimal = GAS_CORRECTION,
    hundreds_of_ft3: bool = False,
) -> Decimal:
    """Gas volume in m3 (or hundreds of cubic feet) -> kWh by gross calorific value in MJ/m3.

    `correction` is 1 behind a pressure and temperature corrector.
    """
    cubic_metres = volume * CUBIC_METRES_PER_HUNDRED_FT3 if hundreds_of_ft3 else volume
    return cubic_metres * correction * calorific_value / MJ_PER_KWH

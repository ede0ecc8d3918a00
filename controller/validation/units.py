"""Values that suddenly come in another unit: thousands for ones, degrees Fahrenheit for Celsius."""

from collections.abc import Callable
from dataclasses import dataclass

Convert = Callable[[float], float]

RATIO_MARGIN = 0.15  # of a ratio of 1000, for a quantity that changes slowly
DEGC_MARGIN = 1.5
LEAST_COMPARED = 1.0  # around nought a factor means nothing


@dataclass(frozen=True, slots=True)
class Jump:
    """How a value must be converted to be again what it was before."""

    name: str  # what the values look like now
    back: Convert


THOUSANDFOLD = Jump("1000 times too large", lambda value: value / 1000.0)
THOUSANDTH = Jump("1000 times too small", lambda value: value * 1000.0)
FAHRENHEIT = Jump("in degF", lambda value: (value - 32.0) / 1.8)
CELSIUS = Jump("in degC where degF was meant", lambda value: value * 1.8 + 32.0)


def ratio_jump(value: float, before: float, *, margin: float = RATIO_MARGIN) -> Jump | None:
    """A jump by a factor of 1000 either way, told by the ratio of the two values."""
    if abs(before) < LEAST_COMPARED:
        return None
    ratio = value / before
    if abs(ratio / 1000.0 - 1.0) <= margin:
        return THOUSANDFOLD
    return THOUSANDTH if abs(ratio * 1000.0 - 1.0) <= margin else None


def degree_jump(value: float, before: float) -> Jump | None:
    """A jump between the two scales of temperature."""
    if abs(FAHRENHEIT.back(value) - before) <= DEGC_MARGIN:
        return FAHRENHEIT
    return CELSIUS if abs(CELSIUS.back(value) - before) <= DEGC_MARGIN * 1.8 else None


def lasts(jump: Jump, value: float, before: float, *, step: float) -> bool:
    """Whether a value still comes in the other unit; `before` is the last one, in the right unit."""
    change = abs(jump.back(value) - before)
    return change <= step and change < abs(value - before)

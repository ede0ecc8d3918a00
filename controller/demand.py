"""Answer to a demand limit, at once and without a plan: dim the lights as far as needed and decent."""

import math
from collections.abc import Mapping

FLOOR_PERCENT = 40.0  # people must still see what they do


def dimmed(
    levels_percent: Mapping[str, float], *, import_kw: float, limit_kw: float, lighting_kw: float
) -> dict[str, float]:
    """New light levels (percent by point) that bring the import towards the limit.

    All lights are dimmed by the same share; none below 40 %, none raised. Empty if nothing need change.
    """
    excess_kw = import_kw - limit_kw
    if excess_kw <= 0 or lighting_kw <= 0:
        return {}
    share = max(0.0, 1.0 - excess_kw / lighting_kw)
    return {
        point: max(FLOOR_PERCENT, float(math.floor(level * share)))
        for point, level in levels_percent.items()
        if level > FLOOR_PERCENT
    }

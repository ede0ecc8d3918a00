"""Decides whether newly learned zone models may replace those in use."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimiser.history import Floats, History, filtered, grid
from optimiser.problem import ZoneModel
from optimiser.thermal import Inputs, coefficients, predict, stable
from optimiser.windows import profile, windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a zone's new model replaces the old one; errors are of 24-hour predictions on days left out, in K."""

    accepted: bool
    reason: str
    rmse_new: float
    rmse_old: float
    rmse_persistence: float


def accept(
    new: Sequence[ZoneModel],
    old: Sequence[ZoneModel],
    history: History,
    *,
    first: int,
    scale: Floats,
    old_scale: Floats,
) -> tuple[Decision, ...]:
    """Return a Decision by zone from the days after step `first`, which `new` has not seen.

    Whole buildings are predicted, neighbours included, as in planning. A new model must beat the old one and
    "nothing changes", must warm by heat, and all together must be stable.
    """
    error_new, persistence = _errors(new, history, first, scale)
    error_old, _ = _errors(old, history, first, old_scale)
    steady = stable(coefficients(new, history.neighbours))
    decisions = []
    for zone, model in enumerate(new):
        found, before, nothing = error_new[zone], error_old[zone], persistence[zone]
        if not steady:
            reason = "refused: the new models together are not stable"
        elif model.heat_k_per_kw <= 0 or model.outdoor <= 0:
            reason = "refused: heat would not warm the zone, or cold not cool it"
        elif not np.isfinite(found):
            reason = "refused: no day left out to judge it by"
        elif found >= nothing:
            reason = f"refused: {found:.2f} K over 24 h is no better than {nothing:.2f} K if nothing changed"
        elif found >= before:
            reason = f"refused: {found:.2f} K over 24 h is no better than the old model's {before:.2f} K"
        else:
            reason = f"accepted: {found:.2f} K over 24 h, before {before:.2f} K"
        decisions.append(
            Decision(
                accepted=reason.startswith("accepted"),
                reason=reason,
                rmse_new=float(found),
                rmse_old=float(before),
                rmse_persistence=float(nothing),
            )
        )
    return tuple(decisions)


def _errors(models: Sequence[ZoneModel], history: History, first: int, scale: Floats) -> tuple[Floats, Floats]:
    """RMSE by zone of 24-hour predictions from `first` on, and of no change; NaN where none can be made."""
    data = grid(history, scale)
    days = windows(data, history.day_steps, first=first)
    zones = coefficients(models, history.neighbours)
    offset = profile(models, history.day_steps)
    slow = np.column_stack(
        [filtered(data.temperature[:, zone], rate)[days.first] for zone, rate in enumerate(zones.mass_rate)]
    )
    begin = data.temperature[days.first]
    found = predict(
        zones,
        begin,
        slow,
        Inputs(
            outdoor_degc=days.outdoor[..., 0],
            solar_kw_m2=days.solar[..., 0],
            people=days.people,
            heat_kw=days.heat,
            gain_k=offset[days.slot],
        ),
    )
    return _rmse(found - days.truth, days.weight), _rmse(begin - days.truth, days.weight)


def _rmse(error: Floats, weight: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.sqrt((weight * error**2).sum(axis=(0, 1)) / weight.sum(axis=(0, 1)))
    return result

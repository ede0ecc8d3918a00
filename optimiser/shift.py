"""A plan moved on in time, for when there is no newer one."""

from dataclasses import replace
from datetime import datetime

from optimiser.problem import Plan, Status


def shifted(plan: Plan, start: datetime) -> Plan:
    """Return what is left of a plan at `start`, as a plan of its own with status SHIFTED.

    It keeps its making time, trigger and figures, so that one sees how old it is; the figures are of the whole plan.
    Raises ValueError where the plan does not reach `start`, or starts after it.
    """
    series = {}
    skipped = 0
    for name, whole in plan.series.items():
        skipped = (start - whole.start) // whole.step
        if not 0 <= skipped < len(whole.values):
            made = f"{plan.made_at:%Y-%m-%d %H:%M}"
            raise ValueError(f"the plan made at {made} UTC does not cover {start:%Y-%m-%d %H:%M}")
        series[name] = replace(whole, start=whole.start + skipped * whole.step, values=whole.values[skipped:])
    return replace(
        plan,
        status=Status.SHIFTED,
        series=series,
        marginal_heat_price=plan.marginal_heat_price[skipped:],
        reasons=tuple(reason for reason in plan.reasons if reason.time >= start),
    )

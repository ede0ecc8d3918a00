"""What the health of the service depends on, each with its state in words (pure)."""

from datetime import timedelta

from controller.backend.sending import check
from controller.ladder import Level
from controller.naming import Names
from controller.service import Service
from controller.web.view import Check
from drivers.forecast import FRESH
from optimiser.problem import Plan

LATE = timedelta(minutes=5)  # a plan that is due for longer


def checks(service: Service, plan: Plan | None, *, readings: int, stopped: bool, names: Names) -> tuple[Check, ...]:
    """Control, devices, plan, store and database; `plan` is the newest, `readings` those since the start."""
    level, due, now = service.ladder.level, service.planner.next_at, service.clock.now()
    down = [name for name, link in service.links.items() if not link.up]
    made = "none yet"
    if plan is not None:
        made = f"made at {names.clock(plan.made_at)} in {plan.solve_s * 1000:.0f} ms"
    dropped = service.hubs.readings.dropped
    words = (
        "stopped by a person"
        if stopped
        else f"level {level.label}" + (f": {why}" if (why := service.ladder.why) else "")
    )
    return (
        Check(name="Control", ok=level <= Level.ADVISORY or stopped, text=words),
        Check(
            name="Devices",
            ok=not down,
            text=f"no answer from {', '.join(down)}" if down else f"all {len(service.links)} answer",
        ),
        *_feeds(service, names),
        Check(name="Plan", ok=due is None or now <= due + LATE, text=made),
        Check(
            name="Store",
            ok=not dropped and not service.store.upkeep.trouble,
            text=f"{readings:,} readings since the start, {dropped} dropped; {_room(service)}",
        ),
        *(() if service.forwarder is None else (check(service.forwarder),)),
    )


def _room(service: Service) -> str:
    """How much the data take."""
    upkeep = service.store.upkeep
    if upkeep.trouble:
        return upkeep.trouble
    return f"{upkeep.used_bytes / 1e6:,.0f} of {service.site.store.budget_mb:,} MB"


def _feeds(service: Service, names: Names) -> tuple[Check, ...]:
    """When each feed's source stood by its word last; nothing without feeds."""
    heard = {
        link.device.id: max((forecast.checked_at for forecast in link.forecasts), default=None)
        for link in service.feeds.links
    }
    if not heard:
        return ()
    now = service.clock.now()
    text = ", ".join(
        f"{name} never heard" if when is None else f"{name} heard at {names.clock(when)}"
        for name, when in heard.items()
    )
    return (Check(name="Feeds", ok=all(w is not None and now - w <= FRESH for w in heard.values()), text=text),)

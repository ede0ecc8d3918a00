"""The rung of the fall-back ladder in words, with what happens next (pure)."""

from datetime import datetime

from controller.ladder import Level
from controller.naming import Names
from controller.web.view import Control, Tone
from optimiser.problem import Plan

_WORDS = {
    Level.OPTIMISING: ("Optimising", Tone.GOOD, ""),
    Level.DEGRADED: ("Optimising on old forecasts", Tone.NOTE, ""),
    Level.SHIFTED: ("Following the last plan", Tone.WARN, "A new one could not be made."),
    Level.RULES: ("Rule schedule", Tone.WARN, "The built-in rules control until plans can be made again."),
    Level.ADVISORY: ("Advisory", Tone.NOTE, "Plans are shown, nothing is written: the building controls itself."),
    Level.HOLD: ("Holding", Tone.WARN, "Nothing new is written; what we hold runs out and goes back to the building."),
    Level.RELEASED: ("Released", Tone.BAD, "The building controls itself, Plenum only watches."),
    Level.DEAD: ("Dead", Tone.BAD, "The guard has handed everything back."),
}


def control(
    level: Level,
    why: str,
    *,
    since: datetime | None,
    stopped: bool,
    plan: Plan | None,
    next_plan: datetime | None,
    held: tuple[str, ...],
    names: Names,
) -> Control:
    """Words for the top of every page; `held` are devices on which nothing new is written."""
    word, tone, meaning = _WORDS[level]
    if stopped:
        word, tone = "Stopped", Tone.WARN
    elif level is Level.OPTIMISING and plan is None:
        word, tone, meaning = "Starting", Tone.NOTE, "Looking at every device before the first plan."
    text = meaning if not why else f"{why[:1].upper()}{why[1:]}. {meaning}".strip()
    writes = level.writes and plan is not None
    if writes:
        text = " ".join(part for part in (text, _next(plan, next_plan, names)) if part)
    if held and writes:
        text += f" Without {', '.join(held)}."
        tone = Tone.WARN if tone in (Tone.GOOD, Tone.NOTE) else tone
    return Control(
        level=level.label,
        word=word,
        text=text,
        tone=tone,
        since=since,
        next_action=next_plan if writes else None,
        stopped=stopped,
    )


def _next(plan: Plan | None, next_plan: datetime | None, names: Names) -> str:
    if plan is None:
        return ""
    made = f"Plan of {names.clock(plan.made_at)} ({plan.trigger.partition(': ')[2] or plan.trigger})"
    return made + ("." if next_plan is None else f"; the next at {names.clock(next_plan)} or when something happens.")

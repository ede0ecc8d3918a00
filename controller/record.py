"""Commands, leases, outcomes and audit lines made from a holding: the same words everywhere."""

from collections.abc import Mapping
from datetime import datetime

from controller.holding import Holding, News
from controller.outcome import Outcome, Result
from controller.store.base import AuditEntry, Lease
from drivers.base import Command

WORDS: Mapping[News, str] = {
    News.HELD: "a stronger hand has taken it; we wait",
    News.FREED: "the stronger hand let go",
    News.LOST: "our value is gone from the device, it may have restarted",
    News.FOREIGN: "our slot holds a value that is not ours: is another supervisor at work?",
    News.LEFT: "the other supervisor's value is gone from our slot",
}


def command(holding: Holding, expires: datetime) -> Command:
    """Make the command for a holding's target, which expires with its request at the latest."""
    request = None if holding.winner is None else holding.winner.request
    return Command(
        point=holding.point.id,
        value=holding.target,
        priority=holding.slot,
        expires=expires if request is None else min(expires, request.expires),
        reason=reason(holding),
        source="" if request is None else request.source.value,
    )


def lease(order: Command, holding: Holding, epoch: int) -> Lease:
    """Make the lease of a command that carries a value."""
    if order.value is None:
        raise ValueError(f"{order.point}: a relinquish takes no lease")
    return Lease(
        point=order.point,
        device=holding.device,
        priority=order.priority,
        value=order.value,
        expires=order.expires,
        decision=decision(holding),
        epoch=epoch,
    )


def decision(holding: Holding) -> str:
    """Return the id of what is behind a holding's winner; empty if nobody asks."""
    return "" if holding.winner is None else holding.winner.request.decision


def reason(holding: Holding) -> str:
    """Say why, in words: who asked, and what arbiter, envelope or device made of it."""
    asked = "" if holding.winner is None else holding.winner.request.reason
    return f"{asked} ({holding.note})" if asked and holding.note else asked or holding.note


def outcome(holding: Holding, now: datetime, *, value: float | None, result: Result, why: str = "") -> Outcome:
    """Tell what came of a command, or of a look; `why` in place of the request's own words."""
    return Outcome(
        time=now,
        point=holding.point.id,
        device=holding.device,
        value=value,
        result=result,
        source="" if holding.source is None else holding.source.value,
        reason=why or reason(holding),
        decision=decision(holding),
        present=None if holding.back is None else holding.back.present,
        slot=None if holding.back is None else holding.back.holder,
    )


def written(
    holding: Holding, now: datetime, *, old: float | None, new: float | None, result: Result, why: str = ""
) -> AuditEntry:
    """Make the audit line of a write, or of a relinquish if `new` is None."""
    return AuditEntry(
        time=now,
        actor="plenum" if holding.source is None else holding.source.value,
        action="relinquish" if new is None else "write",
        subject=holding.point.id,
        old=text(old),
        new=text(new),
        reason=why or reason(holding),
        result=result.value,
    )


def seen(holding: Holding, now: datetime, *, old: float | None, news: News) -> AuditEntry:
    """Make the audit line of something the building did."""
    return AuditEntry(
        time=now,
        actor="building",
        action=news.name.lower(),
        subject=holding.point.id,
        old=text(old),
        new=text(None if holding.back is None else holding.back.present),
        reason=WORDS[news],
        result="" if holding.result is None else holding.result.value,
    )


def text(value: float | None) -> str:
    """Write a value as people read it; empty for none."""
    return "" if value is None else f"{value:g}"

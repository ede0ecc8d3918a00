"""What people and Prometheus see of the readings that are on their way to the site's database."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from controller.store.forward import RECENT, Forwarder
from controller.web.view import Check, Tone

LATE = timedelta(minutes=15)  # that the oldest reading has waited
NEARLY_FULL = 0.8  # of the budget


class Problem(NamedTuple):
    """Something a person should know, with its next step."""

    id: str
    tone: Tone
    text: str
    next_step: str
    since: datetime | None = None  # None = from when it was first seen


def problems(forwarder: Forwarder, now: datetime) -> Iterator[Problem]:
    """What is wrong with the way to the database."""
    backlog, name = forwarder.outbox.backlog, forwarder.database.name
    share = _share(forwarder)
    waits = timedelta(0) if backlog.oldest is None else now - backlog.oldest
    if waits >= LATE:
        yield Problem(
            "database-late",
            Tone.WARN,
            f"{backlog.lines:,} readings wait for {name}, the oldest for {_span(waits)}"
            + (f": it {forwarder.why.removeprefix(name).strip()}" if forwarder.why else ""),
            "Mend the database or its address; nothing is lost, and what waits follows by itself",
            backlog.oldest,
        )
    if share >= NEARLY_FULL:
        yield Problem(
            "outbox-full",
            Tone.BAD,
            f"The outbox has used {min(share, 1):.0%} of its {forwarder.outbox.budget_bytes / 1e6:,.0f} MB"
            + (f"; {backlog.thinned:,} of the oldest readings gave way" if share >= 1 else ""),
            "Mend the database, or write a larger 'outbox_mb'; beyond it the oldest readings are thinned",
        )
    if backlog.refused_at is not None and now < backlog.refused_at + RECENT:
        yield Problem(
            "database-refuses",
            Tone.WARN,
            f"{name} refused {backlog.refused:,} readings so far: {backlog.reason.removeprefix(name).strip()}",
            "Look at the lines kept aside in table 'refused' of outbox.sqlite, and at the database's own log",
            backlog.refused_at,
        )


def check(forwarder: Forwarder) -> Check:
    """Whether readings are in danger; a database that is merely away is no illness of ours."""
    waiting = f"{forwarder.outbox.backlog.lines:,} readings wait"
    text = f"{forwarder.why}; {waiting}" if forwarder.why else f"{forwarder.database.name}: {waiting}"
    return Check(name="Database", ok=_share(forwarder) < NEARLY_FULL, text=text)


def metrics(forwarder: Forwarder, now: datetime) -> Iterator[Metric]:
    """The same as figures."""
    backlog = forwarder.outbox.backlog
    age_s = 0.0 if backlog.oldest is None else (now - backlog.oldest).total_seconds()
    for name, help_, value in (
        ("database_up", "Whether the last attempt to send succeeded.", float(forwarder.down_since is None)),
        ("outbox_readings", "Readings that wait for the database.", backlog.lines),
        ("outbox_age_seconds", "How long the oldest of them has waited.", age_s),
        ("outbox_bytes", "What they take on disk.", backlog.bytes),
    ):
        yield GaugeMetricFamily(f"plenum_{name}", help_, value=value)
    for name, help_, value in (
        ("database_sent", "Readings the database has taken since the start.", forwarder.sent),
        ("database_refused", "Readings it refused for good.", backlog.refused),
        ("outbox_thinned", "Readings that gave way to the outbox's budget.", backlog.thinned),
    ):
        yield CounterMetricFamily(f"plenum_{name}", help_, value=value)


def _share(forwarder: Forwarder) -> float:
    """Of the outbox's budget that what waits has used."""
    outbox = forwarder.outbox
    return outbox.backlog.bytes / outbox.budget_bytes if outbox.backlog.lines else 0.0


def _span(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"

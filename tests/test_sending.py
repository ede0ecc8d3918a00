"""Alarms, health and figures of the way to the database."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from controller.backend.sending import check, metrics, problems
from controller.store.forward import Forwarder
from controller.store.outbox import Backlog
from controller.web.view import Tone

NOW = datetime(2023, 2, 6, 12, tzinfo=UTC)
NAME = "InfluxDB 1 at https://influx.example.org"


@dataclass
class _Outbox:
    backlog: Backlog
    budget_bytes: int = 1_000_000


@dataclass
class _Database:
    name: str = NAME


@dataclass
class _Forwarder:
    outbox: _Outbox
    database: _Database = field(default_factory=_Database)
    why: str = ""
    down_since: datetime | None = None
    sent: int = 7


def a_forwarder(why: str = "", **backlog: object) -> Forwarder:
    waiting = Backlog(**backlog)  # type: ignore[arg-type]
    return cast("Forwarder", _Forwarder(_Outbox(waiting), why=why, down_since=NOW if why else None))


def test_a_quick_database_is_no_alarm() -> None:
    forwarder = a_forwarder(lines=40, oldest=NOW - timedelta(minutes=14), bytes=1000)
    assert list(problems(forwarder, NOW)) == []
    assert check(forwarder).text == f"{NAME}: 40 readings wait"


@pytest.mark.parametrize(
    ("waits", "words"),
    [(timedelta(minutes=15), "15 min"), (timedelta(hours=30), "30 h"), (timedelta(days=5), "5 days")],
)
def test_what_waits_for_long_is_an_alarm_since_then(waits: timedelta, words: str) -> None:
    forwarder = a_forwarder(f"{NAME} answers 503: starting", lines=12_000, oldest=NOW - waits, bytes=1000)
    (problem,) = problems(forwarder, NOW)
    assert problem.text == f"12,000 readings wait for {NAME}, the oldest for {words}: it answers 503: starting"
    assert (problem.id, problem.tone, problem.since) == ("database-late", Tone.WARN, NOW - waits)
    assert check(forwarder).ok, "a database that is away is no illness of ours"


def test_a_budget_that_runs_out_is_an_alarm_before_anything_is_lost() -> None:
    nearly = a_forwarder(lines=9, oldest=NOW, bytes=800_000)
    (problem,) = problems(nearly, NOW)
    assert (problem.id, problem.tone) == ("outbox-full", Tone.BAD)
    assert problem.text == "The outbox has used 80% of its 1 MB"
    assert not check(nearly).ok
    full = a_forwarder(lines=9, oldest=NOW, bytes=1_000_000, thinned=1234)
    assert (
        next(problems(full, NOW)).text == "The outbox has used 100% of its 1 MB; 1,234 of the oldest readings gave way"
    )
    assert list(problems(a_forwarder(bytes=990_000), NOW)) == [], "an empty outbox is never full"


def test_refused_readings_are_told_of_for_a_day() -> None:
    forwarder = a_forwarder(refused=3, refused_at=NOW, reason=f"{NAME} answers 400: partial write")
    (problem,) = problems(forwarder, NOW + timedelta(hours=23))
    assert problem.text == f"{NAME} refused 3 readings so far: answers 400: partial write"
    assert list(problems(forwarder, NOW + timedelta(hours=25))) == []


def test_the_same_is_there_as_figures() -> None:
    forwarder = a_forwarder("away", lines=5, oldest=NOW - timedelta(minutes=2), bytes=77, thinned=3, refused=2)
    found = {metric.name: metric.samples[0].value for metric in metrics(forwarder, NOW)}
    assert found == {
        "plenum_database_up": 0,
        "plenum_outbox_readings": 5,
        "plenum_outbox_age_seconds": 120,
        "plenum_outbox_bytes": 77,
        "plenum_database_sent": 7,
        "plenum_database_refused": 2,
        "plenum_outbox_thinned": 3,
    }

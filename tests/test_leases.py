"""Leases, commands and overrides survive a restart; authority that has passed on is not used."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.leases import (
    Fenced,
    Intent,
    Leases,
    Override,
    forget_leases,
    raise_epoch,
    read_leases,
)
from controller.store.base import Lease, StoreError
from controller.store.control import CONTROL_FILE, control_database
from controller.store.database import Database
from drivers.base import Command, priority
from drivers.clock import Clock

EPOCH = datetime(2023, 2, 6, tzinfo=UTC)  # the fixture clock's beginning
HOUR = timedelta(hours=1)


def lease(point: str = "town.hall.heating_setpoint", value: float = 20.5, **more: object) -> Lease:
    facts: dict[str, object] = {"device": "zone_controller", "priority": 13, "expires": EPOCH + HOUR, "epoch": 0}
    return Lease(point=point, value=value, decision="plan 7", **facts | more)  # type: ignore[arg-type]


def intent(point: str = "town.hall.heating_setpoint", value: float | None = 20.5) -> Intent:
    command = Command(
        point=point, value=value, priority=priority(13), expires=EPOCH + HOUR, reason="cheap hours end at 05:30"
    )
    return Intent(command=command, device="zone_controller", decision="plan 7")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with control_database(tmp_path) as opened:
        yield opened


@pytest.fixture
async def leases(database: Database, clock: Clock) -> Leases:
    made = Leases(database, clock=clock)
    await made.begin()
    return made


async def test_commits_are_safe_against_a_power_cut(database: Database) -> None:
    assert await database.read(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (2,)


async def test_a_lease_is_kept_under_the_present_epoch(leases: Leases) -> None:
    await leases.take(lease(expires=EPOCH + timedelta(microseconds=1)))
    assert await leases.all() == (lease(expires=EPOCH + timedelta(microseconds=1), epoch=1),) != ()
    await leases.take(lease(value=19.0))
    assert [held.value for held in await leases.all()] == [19.0]


async def test_leases_are_renewed_and_dropped_by_point(leases: Leases) -> None:
    await leases.take_many(lease(f"town.{zone}.heating_setpoint") for zone in ("office", "hall", "library"))
    await leases.renew(EPOCH + 2 * HOUR, "town.hall.heating_setpoint", "town.hall.unknown")
    await leases.drop("town.office.heating_setpoint", "town.hall.unknown")
    assert [(held.point, held.expires) for held in await leases.all()] == [
        ("town.hall.heating_setpoint", EPOCH + 2 * HOUR),
        ("town.library.heating_setpoint", EPOCH + HOUR),
    ]


async def test_a_value_that_is_no_number_is_refused(leases: Leases) -> None:
    with pytest.raises(StoreError, match="NOT NULL"):
        await leases.take_many([lease("town.office.x"), lease(value=float("nan"))])
    assert await leases.all() == ()


async def test_a_restart_finds_the_leases_and_takes_a_higher_epoch(tmp_path: Path, clock: Clock) -> None:
    async with control_database(tmp_path) as database:
        leases = Leases(database, clock=clock)
        assert await leases.begin() == 1
        await leases.take(lease())
    async with control_database(tmp_path) as database:
        leases = Leases(database, clock=clock)
        assert await leases.begin() == 2
        assert [held.epoch for held in await leases.all()] == [1]
        await leases.renew(EPOCH + 2 * HOUR, lease().point)
        assert [held.epoch for held in await leases.all()] == [2]


async def test_a_higher_epoch_fences_every_change_but_answers(leases: Leases, tmp_path: Path) -> None:
    await leases.take(lease())
    (number,) = await leases.intend([intent()])
    assert raise_epoch(tmp_path) == 2
    for change in (
        leases.take(lease(value=25.0)),
        leases.renew(EPOCH + 9 * HOUR, lease().point),
        leases.drop(lease().point),
        leases.intend([intent()]),
        leases.check(),
    ):
        with pytest.raises(Fenced, match=r"authority 1 has ended, 2 is in force"):
            await change
    assert read_leases(tmp_path) == (lease(epoch=1),)
    await leases.answer({number: "applied"})
    assert await leases.unresolved() == ()
    assert await leases.begin() == 3
    await leases.check()
    await leases.take(lease(value=21.0))
    assert [held.epoch for held in await leases.all()] == [3]


async def test_before_begin_nothing_may_be_taken(database: Database, clock: Clock) -> None:
    raised = Leases(database, clock=clock)
    await raised.begin()
    with pytest.raises(Fenced):
        await Leases(database, clock=clock).take(lease())


async def test_an_intent_and_its_lease_are_kept_together(leases: Leases, clock: Clock) -> None:
    await asyncio.sleep(60)
    one, two = await leases.intend([intent(), intent("town.office.heating_setpoint", None)], leases=[lease()])
    assert one < two
    assert len(await leases.all()) == 1
    left = await leases.unresolved()
    assert [(item.id, item.intent, item.epoch) for item in left] == [
        (one, intent(), 1),
        (two, intent("town.office.heating_setpoint", None), 1),
    ]
    assert {item.time for item in left} == {EPOCH + timedelta(seconds=60)}
    await leases.answer({one: "applied"}, drop=[lease().point])
    assert [item.id for item in await leases.unresolved()] == [two]
    assert await leases.all() == ()


async def test_an_intent_fails_with_its_lease(leases: Leases) -> None:
    with pytest.raises(StoreError):
        await leases.intend([intent()], leases=[lease(value=float("nan"))])
    assert await leases.unresolved() == ()


async def test_overrides_survive_a_restart_until_they_expire(tmp_path: Path, clock: Clock) -> None:
    mine = Override(
        point="town.hall.heating_setpoint",
        value=22.0,
        expires=EPOCH + HOUR,
        reason="concert \ud83c",  # half of a surrogate pair: no text a file could hold
        actor="caretaker",
        made=EPOCH,
    )
    async with control_database(tmp_path) as database:
        leases = Leases(database, clock=clock)
        await leases.keep_override(replace(mine, value=25.0))
        await leases.keep_override(mine)
        await leases.keep_override(replace(mine, point="town.office.heating_setpoint"))
        await leases.drop_override("town.office.heating_setpoint")
    async with control_database(tmp_path) as database:
        leases = Leases(database, clock=clock)
        assert await leases.overrides() == (replace(mine, reason="concert ?"),)
        await asyncio.sleep(3600)
        assert await leases.overrides() == ()


# --- the guard's way in --------------------------------------------------------------------------------------------


async def test_another_process_reads_the_leases_while_the_service_runs(leases: Leases, tmp_path: Path) -> None:
    await leases.take(lease())
    script = (
        "import sys, pathlib; from controller.leases import read_leases;"
        "print([x.point for x in read_leases(pathlib.Path(sys.argv[1]))])"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['town.hall.heating_setpoint']"


async def test_released_leases_are_forgotten_from_outside(leases: Leases, tmp_path: Path) -> None:
    await leases.take_many([lease("town.hall.a"), lease("town.hall.b")])
    forget_leases(tmp_path, ["town.hall.a"])
    assert [held.point for held in await leases.all()] == ["town.hall.b"]


async def test_a_service_stopped_in_a_commit_does_not_hide_its_leases(leases: Leases, tmp_path: Path) -> None:
    await leases.take(lease())
    with closing(sqlite3.connect(tmp_path / CONTROL_FILE, isolation_level=None)) as stopped:
        stopped.execute("BEGIN IMMEDIATE")
        stopped.execute("UPDATE lease SET value = 99")
        assert read_leases(tmp_path) == (lease(epoch=1),)


def test_no_control_file_yet_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        read_leases(tmp_path)


async def test_a_control_file_of_another_format_is_left_alone(leases: Leases, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / CONTROL_FILE)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="has format 99"):
        read_leases(tmp_path)

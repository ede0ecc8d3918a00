"""The audit is only ever added to, and every tampering shows."""

import asyncio
import csv
import io
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.audit import Audit, export, record_now, verify
from controller.store.base import AuditEntry, StoreError
from controller.store.control import CONTROL_FILE, control_database
from controller.store.database import Database
from site_sims.virtual_time import VirtualTimeLoop

EPOCH = datetime(2023, 2, 6, tzinfo=UTC)
ENTRY = AuditEntry(
    time=EPOCH,
    actor="optimiser",
    action="write",
    subject="town.hall.heating_setpoint",
    old="20.0",
    new="21.5",
    reason="pre-heat before the dear hours",
    result="applied",
)


def entry(n: int) -> AuditEntry:
    return replace(ENTRY, time=EPOCH + timedelta(minutes=n), new=f"{n}.5")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with control_database(tmp_path) as opened:
        yield opened


async def test_entries_come_back_newest_first(database: Database) -> None:
    audit = Audit(database)
    await audit.record(*(entry(n) for n in range(5)))
    await audit.record(replace(entry(5), subject="town.office.heating_setpoint"))
    await audit.record()
    assert await audit.entries(limit=2) == (replace(entry(5), subject="town.office.heating_setpoint"), entry(4))
    assert await audit.entries(since=EPOCH + timedelta(minutes=3), subject=ENTRY.subject) == (entry(4), entry(3))
    assert await audit.entries(subject="nothing") == ()


async def test_an_untouched_chain_holds_over_restarts(tmp_path: Path) -> None:
    for run in range(3):
        async with control_database(tmp_path) as database:
            assert verify(tmp_path) is None
            await Audit(database).record(entry(run), entry(run))
    assert verify(tmp_path) is None


async def test_another_process_adds_to_the_same_chain(database: Database, tmp_path: Path) -> None:
    audit = Audit(database)
    await audit.record(entry(0))
    record_now(tmp_path, entry(1), entry(2))
    await audit.record(entry(3))
    assert verify(tmp_path) is None
    assert await audit.entries() == tuple(entry(n) for n in (3, 2, 1, 0))


async def test_entries_made_together_share_a_commit(database: Database, tmp_path: Path) -> None:
    audit = Audit(database)
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    await database.read(lambda db: db.set_trace_callback(count))
    async with asyncio.TaskGroup() as tasks:
        for n in range(30):
            tasks.create_task(audit.record(entry(n)), name=f"entry {n}")
    assert commits == 1
    assert verify(tmp_path) is None
    assert await audit.entries() == tuple(entry(n) for n in reversed(range(30)))


async def test_the_table_refuses_changes(database: Database) -> None:
    await Audit(database).record(entry(0))
    for statement in ("UPDATE audit SET new = '9'", "DELETE FROM audit"):
        with pytest.raises(StoreError, match="only ever added to"):
            await database.write(lambda db, s=statement: db.execute(s))


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE audit SET reason = 'none' WHERE id = 4", 4),
        ("UPDATE audit SET time = time + 1 WHERE id = 1", 1),
        ("UPDATE audit SET old = '20.021.5', new = '' WHERE id = 2", 2),
        ("UPDATE audit SET hash = x'00' WHERE id = 5", 5),
        ("DELETE FROM audit WHERE id = 3", 3),
        ("DELETE FROM audit WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id >= 5", 5),
        ("DELETE FROM audit", 1),
        (
            "INSERT INTO audit SELECT 7, time, actor, action, subject, old, new, reason, '', hash FROM audit LIMIT 1",
            7,
        ),
        ("UPDATE audit SET id = 100 - id WHERE id IN (2, 3)", 2),
    ],
)
async def test_tampering_shows_where_it_begins(tmp_path: Path, tampering: str, broken: int) -> None:
    async with control_database(tmp_path) as database:
        await Audit(database).record(*(entry(n) for n in range(6)))
    assert verify(tmp_path) is None
    with closing(sqlite3.connect(tmp_path / CONTROL_FILE)) as db, db:
        db.execute("DROP TRIGGER audit_keeps")
        db.execute("DROP TRIGGER audit_holds")
        db.execute(tampering)
    assert verify(tmp_path) == broken


async def test_an_empty_chain_holds(database: Database, tmp_path: Path) -> None:
    assert verify(tmp_path) is None
    await Audit(database).entries()


async def test_the_export_holds_every_row_and_its_seal(database: Database, tmp_path: Path) -> None:
    await Audit(database).record(*(replace(entry(n), reason='says "no",\nthen yes') for n in range(3)))
    file = io.StringIO()
    assert export(tmp_path, file) == 3
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert rows[1]["time"] == "2023-02-06T00:01:00+00:00"
    assert rows[2]["reason"] == 'says "no",\nthen yes'
    assert len(rows[0]["sha256"]) == 64


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec=None), max_size=20), min_size=1, max_size=5))
def test_any_text_can_be_recorded(texts: list[str]) -> None:
    async def check(directory: Path) -> None:
        async with control_database(directory, synchronous="OFF") as database:
            for text in texts:
                await Audit(database).record(replace(ENTRY, actor=text, reason=text))
            assert verify(directory) is None
            stored = [found.reason for found in await Audit(database).entries()]
            assert stored == [text.encode("utf-8", "replace").decode() for text in reversed(texts)]

    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(check(Path(directory)))

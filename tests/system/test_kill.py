"""Killed with -9 at random moments, the store loses nothing it has acknowledged."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from controller.audit import verify
from controller.leases import read_leases
from controller.store.readings import READINGS_FILE, every_reading

KILLS = 20
POINTS = 20  # in each of the child's batches
CHILD = Path(__file__).with_name("kill_child.py")


def killed_after(seconds: float, directory: Path, run: int) -> list[dict[str, object]]:
    """What a child acknowledged before it was killed so long after its beginning."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(directory), str(run)], stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdout is not None
        began = child.stdout.readline()
        assert began, "the child did not begin"
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        lines = [began, *child.stdout.read().splitlines()]
    assert child.returncode == -signal.SIGKILL
    return [json.loads(line) for line in lines]


def table(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return db.execute(query).fetchall()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_nothing_acknowledged_is_lost_in_twenty_kills(tmp_path: Path) -> None:
    seeded = random.Random(20)
    said: list[dict[str, object]] = []
    for run in range(1, KILLS + 1):
        heard = killed_after(seeded.uniform(0.0, 0.6), tmp_path, run)
        assert heard[0]["epoch"] == run
        assert heard[0]["left"] in range(run)  # each kill leaves at most one command unanswered
        said += heard
        if run % 5 == 0:  # in between the child itself has to recover what its predecessor left
            check(tmp_path, said)
    counts = {kind: sum(line["kind"] == kind for line in said) for kind in ("readings", "command", "result", "audit")}
    assert min(counts.values()) > 200, counts


def check(directory: Path, said: list[dict[str, object]]) -> None:
    def of(kind: str) -> list[dict[str, object]]:
        return [line for line in said if line["kind"] == kind]

    assert table(directory / READINGS_FILE, "SELECT 1") == [(1,)]
    with closing(sqlite3.connect(directory / READINGS_FILE)) as db:
        stored = {(point, time) for point, time, *_ in every_reading(db)}
    assert {(line["point"], line["time"]) for line in of("readings")} <= stored
    batches = Counter(time for _, time in stored)
    assert set(batches.values()) == {POINTS}, "a batch was stored in part"

    control = directory / "control.sqlite"
    commands = {row[0]: row[1:] for row in table(control, "SELECT id, decision, point, result FROM command")}
    assert all(commands[line["id"]][:2] == (line["decision"], line["point"]) for line in of("command"))
    assert all(commands[line["id"]][2] == "applied" for line in of("result"))
    assert {(line["reason"],) for line in of("audit")} <= set(table(control, "SELECT reason FROM audit"))
    assert {line["point"] for line in of("command")} <= {lease.point for lease in read_leases(directory)}
    assert verify(directory) is None

"""A backup holds everything, a restore brings it back, and neither does anything by halves."""

import fcntl
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.audit import Audit, verify
from controller.backup import MANIFEST, back_up, restore
from controller.cli import run
from controller.guarding import LOCK_FILE
from controller.leases import Leases
from controller.stopped import STOP_FILE
from controller.store.base import AuditEntry, Lease, StoreError
from controller.store.claim import UNFINISHED, claim
from controller.store.control import CONTROL_FILE, control_database
from controller.store.readings import READINGS_FILE, every_reading
from controller.store.sqlite import SqliteStore
from drivers.base import Reading
from drivers.clock import Clock

NOW = datetime(2023, 2, 6, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POINT = "hall.zone.temperature"
EXAMPLE = Path(__file__).parent.parent / "config" / "examples" / "first_site.yaml"


def silent(_what: str, _share: float) -> None:
    pass


def readings(start: datetime, count: int) -> list[Reading]:
    times = [start + n * MINUTE for n in range(count)]
    return [Reading(point=POINT, time=t, received=t, value=float(n)) for n, t in enumerate(times)]


async def lived_in(directory: Path) -> None:
    """Two sealed days and a hot one, a lease, an audit and a model."""
    clock = Clock(NOW)
    async with SqliteStore(directory, clock=clock) as store, control_database(directory) as database:
        await store.append(readings(NOW - timedelta(days=2), 2 * 1440))
        await store.upkeep.tend()
        leases = Leases(database, clock=clock)
        await leases.begin()
        await leases.take(
            Lease(point=POINT, device="d", priority=13, value=20.5, expires=NOW, decision="plan", epoch=0)
        )
        await Audit(database).record(*(entry(n) for n in range(5)))
    (directory / "model.json").write_text('{"zones": {}}')


def entry(n: int) -> AuditEntry:
    return AuditEntry(
        time=NOW, actor="optimiser", action="write", subject=POINT, old="", new=str(n), reason="test", result="applied"
    )


def content(directory: Path) -> dict[str, object]:
    with closing(sqlite3.connect(directory / READINGS_FILE)) as db:
        found: dict[str, object] = {"readings": sorted(every_reading(db))}
    with closing(sqlite3.connect(directory / CONTROL_FILE)) as db:
        for table in ("lease", "command", "audit", "epoch", "override"):
            found[table] = db.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  constants
    return found | {"model": (directory / "model.json").read_text()}


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    await lived_in(tmp_path / "data")
    return tmp_path / "data"


def saved(data: Path, name: str = "a.plenum") -> Path:
    file = data.parent / name
    back_up(data, file, site="library", now=NOW, told=silent)
    return file


def put_back(file: Path, directory: Path, *, force: bool = False) -> None:
    restore(file, directory, site="library", force=force, now=NOW, told=silent)


def test_what_was_backed_up_comes_back(data: Path, tmp_path: Path) -> None:
    before = content(data)
    file = saved(data)
    put_back(file, tmp_path / "new")
    assert content(tmp_path / "new") == before
    assert verify(tmp_path / "new") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.plenum", "data", "new"]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "control.sqlite",
        "lock",
        "model.json",
        READINGS_FILE,
    ]


async def test_a_backup_beside_a_running_store_is_of_one_moment(data: Path, tmp_path: Path) -> None:
    before = content(data)
    async with SqliteStore(data, clock=Clock(NOW)) as store, control_database(data) as database:
        await store.append(readings(NOW, 10))
        await Audit(database).record(entry(5))
        copies = []

        def meddle(what: str, share: float) -> None:
            """Another program writes while it is copied."""
            if what.startswith("copying") and share < 1:
                with closing(sqlite3.connect(data / what.split()[1])) as db, db:
                    db.execute("CREATE TABLE IF NOT EXISTS later (n)")
                    db.executemany("INSERT INTO later VALUES (?)", [(n,) for n in range(5000)])
                    copies.append(what)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("controller.backup._PAGES", 3)
            back_up(data, tmp_path / "b.plenum", site="library", now=NOW, told=meddle)
        assert len(copies) > 5
        await store.append(readings(NOW + 20 * MINUTE, 10))
    put_back(tmp_path / "b.plenum", tmp_path / "new")
    after = content(tmp_path / "new")
    assert len(after["readings"]) == len(before["readings"]) + 10  # type: ignore[arg-type]
    assert len(after["audit"]) == 6  # type: ignore[arg-type]
    with closing(sqlite3.connect(tmp_path / "new" / READINGS_FILE)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'later'").fetchone() == (0,)


def test_a_backup_overwrites_nothing(data: Path) -> None:
    saved(data)
    with pytest.raises(StoreError, match="exists already; choose another name"):
        saved(data)


def test_a_directory_without_data_has_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no data"):
        saved(tmp_path / "data")


def spoil_audit(data: Path) -> None:
    with closing(sqlite3.connect(data / CONTROL_FILE)) as db, db:
        db.execute("DROP TRIGGER audit_keeps")
        db.execute("UPDATE audit SET new = '30' WHERE id = 3")


def spoil_block(data: Path) -> None:
    with closing(sqlite3.connect(data / READINGS_FILE)) as db, db:
        db.execute("UPDATE block SET data = substr(data, 1, 30)")


@pytest.mark.parametrize(
    ("spoil", "words"), [(spoil_audit, "chain does not hold at row 3"), (spoil_block, "a sealed day is damaged")]
)
def test_damage_is_found_before_a_backup_is_made(data: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(data)
    with pytest.raises(StoreError, match=words):
        saved(data)
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def flip(file: Path) -> None:
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 255
    file.write_bytes(body)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40_000])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def other(file: Path) -> None:
    file.write_bytes(b"not a backup" * 100)


def climb(file: Path) -> None:
    body = file.read_bytes()
    file.write_bytes(body.replace(b'"model.json"', b'"../mo.json"'))


def later(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"format": 1', b'"format": 9'))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (flip, "damaged or altered"),
        (cut, "cut short|damaged or altered|is missing"),
        (empty, "no backup of ours"),
        (other, "no backup of ours"),
        (climb, "names files that no data directory has"),
        (later, "has format 9, this program reads 1"),
    ],
)
def test_a_spoilt_backup_is_refused_and_changes_nothing(
    data: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    file, before = saved(data), content(data)
    spoil(file)
    with pytest.raises(StoreError, match=words):
        put_back(file, data, force=True)
    assert content(data) == before
    assert sorted(path.name for path in data.iterdir()) == ["control.sqlite", "lock", "model.json", READINGS_FILE]
    assert not (tmp_path / "mo.json").exists()


def test_data_are_only_replaced_with_force_and_then_moved_aside(data: Path) -> None:
    file, before = saved(data), content(data)
    with closing(sqlite3.connect(data / READINGS_FILE)) as db, db:
        db.execute("DELETE FROM block")
    changed = content(data)
    with pytest.raises(StoreError, match=r"holds data already .*--force"):
        put_back(file, data)
    assert content(data) == changed
    put_back(file, data, force=True)
    assert content(data) == before
    assert content(data / "before-restore-20230206T120000") == changed


def test_a_persons_stop_outlives_a_restore(data: Path) -> None:
    file = saved(data)
    (data / STOP_FILE).write_text('{"text": "stopped by ann"}')
    put_back(file, data, force=True)
    assert "ann" in (data / STOP_FILE).read_text()
    saved(data, "b.plenum")
    (data / STOP_FILE).unlink()
    put_back(data.parent / "b.plenum", data, force=True)
    assert "ann" in (data / STOP_FILE).read_text(), "one that was backed up comes back"


def test_another_sites_backup_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is of the site 'library', not 'school'"):
        restore(saved(data), tmp_path / "new", site="school", force=False, now=NOW, told=silent)


def test_an_exchange_cut_short_keeps_controllers_away_until_it_is_done_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, before, moved = saved(data), content(data), []
    rename = Path.replace

    def fails_in_the_middle(path: Path, target: Path) -> Path:
        moved.append(path.name)
        if len(moved) == 3:
            raise OSError(28, "No space left on device", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", fails_in_the_middle)
    with pytest.raises(StoreError, match="cut short, the former files are in"):
        put_back(file, data, force=True)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="plenum restore --force"), claim(data):
        pass
    put_back(file, data, force=True)
    assert content(data) == before
    assert not (data / UNFINISHED).exists()
    with claim(data):
        pass


# --- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def site_file(data: Path) -> Path:
    path = data.parent / "library.yaml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_by_command_and_by_the_book(site_file: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(data.parent / "c.plenum")
    assert run(["backup", str(site_file), file]) == 0
    assert "control.sqlite, model.json, readings.sqlite of Branch library, verified" in capsys.readouterr().out
    with tarfile.open(file) as archive:
        assert archive.getnames()[0] == MANIFEST
    assert run(["backup", str(site_file), file]) == 2
    assert run(["restore", file, str(site_file)]) == 2
    assert "--force moves it aside" in capsys.readouterr().err
    with claim(data):
        assert run(["restore", file, str(site_file), "--force"]) == 3
    assert "already controlling" in capsys.readouterr().err
    with (data / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(["restore", file, str(site_file), "--force"]) == 3
    assert "a guard still hands back" in capsys.readouterr().err
    before = content(data)
    assert run(["restore", file, str(site_file), "--force"]) == 0
    after = content(data)
    noted = after["audit"][-1]  # type: ignore[index]
    assert after["audit"][:-1] == before["audit"]  # type: ignore[index]
    assert noted[3:4] + noted[7:9] == ("restore", "plenum restore c.plenum", "restored")
    assert verify(data) is None
    assert run(["restore", str(data.parent / "nowhere"), str(site_file)]) == 2
    assert "No such file" in capsys.readouterr().err

"""A data directory as one file and back: readings, commands, leases, audit and models together, verified both ways."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from controller.audit import verify
from controller.stopped import STOP_FILE
from controller.store.base import StoreError
from controller.store.block import unpack
from controller.store.claim import UNFINISHED, claim
from controller.store.control import CONTROL, CONTROL_FILE
from controller.store.database import store_error
from controller.store.outbox import OUTBOX, OUTBOX_FILE
from controller.store.readings import READINGS, READINGS_FILE

Told = Callable[[str, float], None]  # what is being done, and how much of it: 0 to 1

FORMAT = 1
MANIFEST = "manifest.json"
KEPT = ("*.sqlite", "*.json")  # of a data directory; the rest is of the moment
_VERSIONS = {READINGS_FILE: READINGS.version, CONTROL_FILE: CONTROL.version, OUTBOX_FILE: OUTBOX.version}
_PAGES = 2_000  # copied between two words to the person who waits
_CHUNK = 1 << 20
_LARGEST_MANIFEST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says of itself; its first member."""

    format: int
    site: str
    made_at: str  # ISO 8601, UTC
    sha256: dict[str, str]  # by file name


def back_up(directory: Path, target: Path, *, site: str, now: datetime, told: Told) -> Manifest:
    """Write what a data directory holds into one new file, whole or not at all; a service that runs is not disturbed.

    Each database is copied as of one moment, and checked. Raises StoreError.
    """
    if not (directory / CONTROL_FILE).exists():
        raise StoreError(f"{directory}: holds no data to back up; is store.path in the site file right?")
    if target.exists():
        raise StoreError(f"{target}: exists already; choose another name, nothing is overwritten")
    with _plainly(target), tempfile.TemporaryDirectory(prefix=".plenum-", dir=target.absolute().parent) as folder:
        draft = Path(folder)
        names = sorted(path.name for pattern in KEPT for path in directory.glob(pattern))
        for name in names:
            if name.endswith(".sqlite"):
                _copy(directory / name, draft / name, told)
            else:
                shutil.copyfile(directory / name, draft / name)
        _check(draft, names, told)
        sums = {name: _sum(draft / name) for name in names}
        manifest = Manifest(format=FORMAT, site=site, made_at=now.isoformat(timespec="seconds"), sha256=sums)
        packed = draft / "packed"
        _pack(packed, draft, manifest)
        with _opened(packed) as archive:
            for name in names:
                told(f"reading {name} back", 0.0)
                _read(archive, name, manifest, None)
        packed.replace(target)
        _sync(target.absolute().parent)
    return manifest


def restore(file: Path, directory: Path, *, site: str, force: bool, now: datetime, told: Told) -> Manifest:
    """Put a backup in place of what a data directory holds, which is moved aside, never deleted.

    Nothing is touched before the backup has been unpacked and checked; `force` allows for a directory that holds
    data. Raises Claimed while a controller works there, StoreError for whatever else is in the way.
    """
    with claim(directory, unfinished=True), _plainly(file), _opened(file) as archive:
        manifest = _manifest(archive, file)
        if manifest.site != site:
            raise StoreError(f"{file}: is of the site {manifest.site!r}, not {site!r}; give that site's file")
        old = sorted({path.name for pattern in KEPT for path in directory.glob(pattern)} - {STOP_FILE})
        if old and not force:
            raise StoreError(
                f"{directory}: holds data already ({', '.join(old)}); --force moves it aside into a folder beside it"
            )
        with tempfile.TemporaryDirectory(prefix="restore-", dir=directory) as folder:
            draft, names = Path(folder), sorted(manifest.sha256)
            for name in names:
                told(f"unpacking {name}", 0.0)
                _read(archive, name, manifest, draft / name)
            _check(draft, names, told)
            if (directory / STOP_FILE).exists():
                names = [name for name in names if name != STOP_FILE]  # a person's stop outlives this too
            _exchange(directory, draft, old=old, new=names, aside=f"before-restore-{now:%Y%m%dT%H%M%S}")
    return manifest


def _exchange(directory: Path, draft: Path, *, old: Sequence[str], new: Sequence[str], aside: str) -> None:
    """Move the old files aside and the new ones in. Cut short by the power, no controller starts on the mixture."""
    (directory / UNFINISHED).write_text(f"the former files are in {aside}\n", encoding="utf-8")
    _sync(directory)
    try:
        if old:
            (directory / aside).mkdir(exist_ok=True)
        for name in old:
            for path in (directory / name, directory / f"{name}-wal", directory / f"{name}-shm"):
                if path.exists():
                    path.replace(directory / aside / path.name)
        for name in new:
            (draft / name).replace(directory / name)
        _sync(directory)
        (directory / UNFINISHED).unlink()
    except OSError as err:
        raise StoreError(
            f"{err.filename}: {err.strerror}; the exchange was cut short, the former files are in {directory / aside}:"
            " cure that and restore again with --force"
        ) from err


def _copy(source: Path, target: Path, told: Told) -> None:
    """Copy a database as of one moment, whoever writes meanwhile."""
    uri = f"{source.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db, closing(sqlite3.connect(target)) as copy:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the moment: later commits are not seen
        db.backup(
            copy, pages=_PAGES, progress=lambda _, left, of: told(f"copying {source.name}", 1 - left / max(of, 1))
        )
    _sync(target)


def _check(draft: Path, names: Sequence[str], told: Told) -> None:
    """Raise StoreError unless every file is whole."""
    for missing in {CONTROL_FILE, READINGS_FILE} - set(names):
        raise StoreError(f"{missing}: is missing")
    for name in names:
        if name.endswith(".sqlite"):
            told(f"checking {name}", 0.0)
            _check_database(draft / name, told)
    broken = verify(draft) if _version(draft / CONTROL_FILE) == CONTROL.version else None  # else when it is migrated
    if broken is not None:
        raise StoreError(f"{CONTROL_FILE}: the audit's chain does not hold at row {broken}: was it altered?")


def _check_database(file: Path, told: Told) -> None:
    with closing(sqlite3.connect(file)) as db:
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise StoreError(f"{file.name}: is damaged: {found}")
        version = _version(file)
        if version > _VERSIONS.get(file.name, version):
            raise StoreError(f"{file.name}: is of a later program (format {version}); install that one")
        if file.name == READINGS_FILE and version > 1:
            (count,) = db.execute("SELECT count(*) FROM block").fetchone()
            for number, (data,) in enumerate(db.execute("SELECT data FROM block")):
                unpack(data)
                if number % _PAGES == 0:
                    told(f"checking {file.name}", number / count)


def _version(file: Path) -> int:
    with closing(sqlite3.connect(file)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def _pack(target: Path, draft: Path, manifest: Manifest) -> None:
    content = json.dumps(asdict(manifest), indent=1).encode()
    with tarfile.open(target, "w") as archive:
        head = tarfile.TarInfo(MANIFEST)
        head.size = len(content)
        archive.addfile(head, io.BytesIO(content))
        for name in manifest.sha256:
            archive.add(draft / name, name)
    _sync(target)


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:") as archive:
            yield archive
    except tarfile.TarError as err:
        raise StoreError(f"{file}: is no backup of ours, or is cut short ({err})") from err


def _manifest(archive: tarfile.TarFile, file: Path) -> Manifest:
    try:
        member = archive.next()
        body = archive.extractfile(member) if member is not None and member.name == MANIFEST else None
        if body is None:
            raise StoreError(f"{file}: is no backup of ours")
        manifest = Manifest(**json.loads(body.read(_LARGEST_MANIFEST)))
        names = list(manifest.sha256)
    except (ValueError, TypeError, AttributeError) as err:
        raise StoreError(f"{file}: its list of contents cannot be read ({err})") from err
    if manifest.format != FORMAT:
        raise StoreError(f"{file}: has format {manifest.format}, this program reads {FORMAT}")
    if not all(any(PurePosixPath(name).match(kind) for kind in KEPT) and "/" not in name for name in names):
        raise StoreError(f"{file}: names files that no data directory has")
    return manifest


def _read(archive: tarfile.TarFile, name: str, manifest: Manifest, target: Path | None) -> None:
    """Compare a member with its sum, and write it if a target is given."""
    try:
        body = archive.extractfile(name)
    except KeyError:
        body = None
    if body is None:
        raise StoreError(f"{name}: is missing in the backup")
    total = hashlib.sha256()
    with (target or Path(os.devnull)).open("wb") as out:
        while part := body.read(_CHUNK):
            total.update(part)
            out.write(part)
    if total.hexdigest() != manifest.sha256[name]:
        raise StoreError(f"{name}: is not what was backed up; the file was damaged or altered")
    if target is not None:
        _sync(target)


def _sum(file: Path) -> str:
    with file.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Have a file, or a directory's entries, on the disk itself."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _plainly(file: Path) -> Iterator[None]:
    """Say what the system or SQLite complained of in our words."""
    try:
        yield
    except sqlite3.Error as err:
        raise store_error(file, err) from err
    except OSError as err:
        raise StoreError(f"{err.filename or file}: {err.strerror}; nothing was changed") from err

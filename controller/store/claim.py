"""One controller to a data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.store.base import StoreError


class Claimed(StoreError):  # noqa: N818  a state a person must resolve
    """Another controller works with this directory."""


UNFINISHED = "restore-unfinished"  # a file that stands while files are exchanged


@contextmanager
def claim(directory: Path, *, unfinished: bool = False) -> Iterator[None]:
    """Keep the directory for this process; it falls free when the process ends, however it ends.

    Makes the directory if need be. Raises Claimed at once if it is taken, StoreError if it cannot be used, or if a
    restore was cut short there, unless `unfinished` says that it is about to be done again.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as err:
        raise StoreError(f"{directory}: cannot be used to keep data: {err.strerror}") from err
    try:
        _lock(file, directory)
        if (directory / UNFINISHED).exists() and not unfinished:
            raise StoreError(f"{directory}: a restore was cut short here: run `plenum restore --force` again")
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


def _lock(file: int, directory: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 20, 0).decode(errors="replace").strip() or "unknown"
        raise Claimed(
            f"{directory}: process {holder} is already controlling with this data."
            " Stop it first, or give the second site a directory of its own (store.path)."
        ) from None

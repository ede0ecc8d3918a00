"""`plenum backup` and `plenum restore`: from a checked site file to an exit code."""

import asyncio
import fcntl
import getpass
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from config.site import Site
from controller.audit import Audit
from controller.backup import Manifest, Told, back_up, restore
from controller.guarding import LOCK_FILE
from controller.store.base import AuditEntry, StoreError
from controller.store.claim import Claimed
from controller.store.control import control_database
from controller.terminal import DONE, TAKEN, WRONG_INPUT, complain, data_directory, say
from drivers.clock import Clock


def back_up_site(site: Site, args: Namespace) -> int:
    """Write the site's data into one file, beside a service that may be running."""
    directory = data_directory(site, args.site)

    def work(now: datetime, told: Told) -> Manifest:
        return back_up(directory, args.file, site=site.id, now=now, told=told)

    return _done(work, lambda made: f"{args.file}: {', '.join(made.sha256)} of {site.name}, verified")


def restore_site(site: Site, args: Namespace) -> int:
    """Put a backup in place of the site's data, while no service runs."""
    directory = data_directory(site, args.site)

    def work(now: datetime, told: Told) -> Manifest:
        if not _unguarded(directory):
            raise Claimed(f"{directory}: a guard still hands back what a service held; stop the service, then wait")
        made = restore(args.file, directory, site=site.id, force=args.force, now=now, told=told)
        asyncio.run(_note(directory, args.file, made, now))
        return made

    return _done(work, lambda made: f"{directory}: as it was at {made.made_at}; `plenum run` may start")


def _done(work: Callable[[datetime, Told], Manifest], words: Callable[[Manifest], str]) -> int:
    try:
        with _progress() as told:
            made = work(asyncio.run(_now()), told)
    except Claimed as error:
        complain(str(error))
        return TAKEN
    except StoreError as error:
        complain(str(error))
        return WRONG_INPUT
    say(words(made))
    return DONE


@contextmanager
def _progress() -> Iterator[Told]:
    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=1.0)
        yield lambda what, share: shown.update(task, description=what, completed=share)


async def _now() -> datetime:
    return Clock.real().now()


async def _note(directory: Path, file: Path, made: Manifest, now: datetime) -> None:
    """Who put it back, in the audit that was put back."""
    entry = AuditEntry(
        time=now,
        actor=getpass.getuser(),
        action="restore",
        subject=str(directory),
        old="",
        new=f"as of {made.made_at}",
        reason=f"plenum restore {file.name}",
        result="restored",
    )
    async with control_database(directory) as database:
        await Audit(database).record(entry)


def _unguarded(directory: Path) -> bool:
    """Whether no guard lives that could write to what is replaced."""
    try:
        with (directory / LOCK_FILE).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True

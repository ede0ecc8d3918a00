"""The guard beside the service: started with it, watched by it, told by a counter that all is well."""

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.guard import BEAT, Heartbeat
from controller.leases import read_leases
from controller.service import Service
from controller.store.base import StoreError
from controller.store.control import CONTROL_FILE
from controller.web.view import Check

log = logging.getLogger(__name__)

LOCK_FILE = "guard.lock"
HOME = str(Path(__file__).parents[1])  # the child finds this package also when it is not installed
LOOK_EVERY_S = 10.0
STALE_S = 45.0  # without a beat; with the handing back itself all is free within a minute of a kill
STUCK = timedelta(minutes=15)  # a planner that is later than this is not well
SETTLE_S = 15.0  # in which a guard of an earlier run goes on: a restart has better things to do than to start another
TRY_EVERY_S = 1.0  # while an older guard has not ended
PATIENCE = 5
END_WITHIN_S = 5.0


class GuardProcess:
    """A guard of its own session, so that it outlives us when we are killed. `with` starts and ends it.

    It holds a lock of the data directory as long as it lives; one that an earlier run left goes on for a moment and is
    then replaced by ours, for which `run` must run. With `stays` False it ends with us whatever is left.
    """

    def __init__(self, directory: Path, site_file: Path, *, stale_s: float = STALE_S, stays: bool = True) -> None:
        self._directory, self._site_file, self._stale_s, self._stays = directory, site_file, stale_s, stays
        self._process: subprocess.Popen[bytes] | None = None
        self._older = False  # a guard of an earlier run watches still
        self._asked = 0  # times an older guard was told to end
        self.restarts = 0

    def __enter__(self) -> Self:
        self._start(replace=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it, unless something is still held: then it goes on trying to hand that back."""
        if self._older and not (self._stays and self._held()):
            self._start(begin=False)  # that of the earlier run is not needed any more
        if self._process is not None and self._process.poll() is None:
            if self._stays and self._held():
                log.warning("the guard, process %d, goes on trying to hand back what is left", self._process.pid)
                return
            self._process.terminate()
            try:
                self._process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id; None before the start."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Put it in an older one's place, and start it again should it die, until cancelled."""
        for _ in range(int(SETTLE_S / TRY_EVERY_S)):
            if self._older:
                await asyncio.sleep(TRY_EVERY_S)
                self._start(replace=False)  # it may end by itself
        while True:
            if not self.alive:
                if self._process is not None:
                    log.error("the guard has died; starting it again")
                    self.restarts += 1
                self._start()
            await asyncio.sleep(LOOK_EVERY_S if self.alive else TRY_EVERY_S)

    def check(self) -> Check:
        """How it is, for the health page."""
        text = f"process {self.pid} watches" if self.alive else "dead; it is started again within seconds"
        if self._older:
            text = "that of the earlier run watches, and is replaced within seconds"
        return Check(name="Guard", ok=self.alive or self._older, text=text)

    def _held(self) -> bool:
        """Whether anything is leased still; what cannot be read counts as held."""
        if not (self._directory / CONTROL_FILE).exists():
            return False
        try:
            return bool(read_leases(self._directory))
        except StoreError:
            return True

    def _start(self, *, replace: bool = True, begin: bool = True) -> None:
        """Begin one, if no guard of an earlier run holds the lock; to `replace` such a one it is told to end."""
        self._process, self._older = None, False
        lock = os.open(self._directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._older = not replace
                if replace:
                    self._replace(os.pread(lock, 20, 0).decode(errors="replace").strip())
                return
            if not begin:
                return
            command = [sys.executable, "-m", "controller.guard", "--data", str(self._directory)]
            command += ["--site", str(self._site_file)]
            command += ["--stale", f"{self._stale_s:g}"]
            paths = [HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                command,
                pass_fds=(lock,),  # the lock falls free when the guard ends, however it ends
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._asked = 0
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{self._process.pid}\n".encode(), 0)
        finally:
            os.close(lock)

    def _replace(self, holder: str) -> None:
        """End the guard of an earlier run, whose lock proves that it lives; gently first."""
        if holder.isdecimal():
            self._asked += 1
            how = signal.SIGTERM if self._asked <= PATIENCE else signal.SIGKILL
            log.info("the guard of an earlier run, process %s, is replaced", holder)
            with suppress(ProcessLookupError):
                os.kill(int(holder), how)


async def keep_beating(service: Service, heart: Heartbeat) -> None:
    """Tell the guard that all is well while plans are made in time, until cancelled."""
    while True:
        due, now = service.planner.next_at, service.clock.now()
        if due is not None and now > due + STUCK:
            log.error("no plan since %s: the guard is left to judge", due)
        else:
            try:
                heart.beat()
            except OSError as error:
                log.warning("the heartbeat cannot be written: %s", error)
        await asyncio.sleep(BEAT.total_seconds())

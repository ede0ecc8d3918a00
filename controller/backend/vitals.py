"""The machine under the service: disk space, the clock, the guard; looked at regularly, told to the ladder."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from controller.events import Cause, Trigger
from controller.hub import Hub
from controller.ladder import Ladder, Trouble
from controller.state import State
from controller.web.view import Check
from drivers.clock import Clock

log = logging.getLogger(__name__)

EVERY = timedelta(seconds=30)
LEAST_BYTES = 100_000_000
DRIFT_S = 5.0  # beyond this the clock is set anew and a plan is made
MADE_IN = 2026  # no clock that is right shows an earlier year
UNTRUSTED_S = 600.0  # beyond this nothing is written until somebody has looked


class Vitals:
    """Watches disk and clock; `real` False in a simulation, whose clock is its own."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        ladder: Ladder,
        triggers: Hub[Trigger],
        state: State,
        *,
        real: bool,
        made_in: int = MADE_IN,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._directory, self._clock, self._ladder, self._triggers = directory, clock, ladder, triggers
        self._state, self._real, self._made_in, self._free_bytes = state, real, made_in, free_bytes
        self._drift_s = 0.0  # when last looked at
        self.free_bytes: int | None = None  # None = not looked at yet

    async def run(self) -> None:
        """Look every half minute, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(EVERY.total_seconds())

    def look(self) -> None:
        """Look at disk and clock now, and tell the ladder."""
        self._look_at_disk()
        if self._real:
            self._look_at_clock()

    def _look_at_disk(self) -> None:
        try:
            self.free_bytes = self._free_bytes(self._directory)
        except OSError as error:
            self._ladder.report(Trouble.DISK, present=True, text=f"the disk cannot be looked at: {error}")
            return
        low = self.free_bytes < LEAST_BYTES
        text = f"only {self.free_bytes / 1e6:.0f} MB left on the disk of {self._directory}" if low else ""
        self._ladder.report(Trouble.DISK, present=low, text=text)

    def _look_at_clock(self) -> None:
        """Follow the machine's clock where it was set by a little; distrust it where it was set by much.

        A clock that shows a year before this program was made was never set; once it has been, it is followed.
        """
        drift_s = self._clock.drift_s()
        step_s, self._drift_s = drift_s - self._drift_s, drift_s
        if abs(step_s) > DRIFT_S:
            log.warning("the machine's clock was set by %.0f s", step_s)
        never_set = self._is_early(self._clock.now())
        jumped = abs(drift_s) > UNTRUSTED_S and not (never_set and drift_s > 0)
        if not jumped and abs(drift_s) > DRIFT_S:
            self._follow(drift_s)
            never_set = self._is_early(self._clock.now())
        text = f"the machine's clock shows the year {self._clock.now().year}; set it" if never_set else ""
        if jumped:
            text = (
                f"the machine's clock jumped by {drift_s / 60:.0f} minutes; set it right, or start again if it is right"
            )
        self._ladder.report(Trouble.CLOCK, present=bool(text), text=text)

    def _is_early(self, when: datetime) -> bool:
        return when.year < self._made_in

    def _follow(self, drift_s: float) -> None:
        """Set our clock as the machine's was set, and have one plan made: nothing that was missed is made up for."""
        self._clock.move(timedelta(seconds=drift_s))
        self._drift_s = 0.0
        now = self._clock.now()
        if drift_s < 0:
            self._state.set_back(now)
        self._triggers.publish(Trigger(cause=Cause.CLOCK, text=f"the clock was set by {drift_s:.0f} s", time=now))

    def checks(self) -> tuple[Check, ...]:
        """What was seen last, for the health page."""
        free = self.free_bytes
        disk = Check(
            name="Disk",
            ok=free is None or free >= LEAST_BYTES,
            text="not looked at yet" if free is None else f"{free / 1e9:.1f} GB free",
        )
        if not self._real:
            return (disk,)
        away = abs(self._drift_s)
        clock = Check(
            name="Clock",
            ok=away <= UNTRUSTED_S and not self._is_early(self._clock.now()),
            text=f"within {max(1.0, away):.0f} s of the machine's",
        )
        return disk, clock

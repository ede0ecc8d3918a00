"""What should be in our slots now: the winner, inside the envelope, as far as level, pace and share allow."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from config.roles import Role
from config.site import Mode, Site
from controller.arbiter import decide
from controller.envelope import HEATING, RATE_WINDOW, STARTS_WINDOW, SWITCH_WINDOW, Allowed, check, within_share
from controller.facts import Surroundings
from controller.holding import Holding, Work
from controller.ladder import Level
from controller.outcome import beneath, same
from controller.state import State

log = logging.getLogger(__name__)

WRITE_GAP = timedelta(seconds=60)  # between small changes by a program
_AIR = frozenset({Role.FAN_SPEED})
LEAST_SHARE = 0.1  # of the deadband: what is smaller is never worth a write


class Aims:
    """Decides for every writable point of a site; writes nothing. `occupied` tells whether people are expected."""

    def __init__(
        self, site: Site, holdings: Mapping[str, Holding], state: State, occupied: Callable[[str, datetime], bool]
    ) -> None:
        self._holdings = [h for h in holdings.values() if h.point.role is not Role.HEARTBEAT]
        self._enables = [h for h in self._holdings if h.point.role is Role.ENABLE]
        self._state = state
        self._surroundings = Surroundings(site, state, occupied)
        self._share = site.control.change_share
        self.controls = site.control.mode is Mode.CONTROL  # False = advisory: nothing is aimed at
        self.stopped = False
        self._level = Level.OPTIMISING
        self._device_levels: dict[str, Level] = {}
        self._mood: tuple[object, ...] = ()
        self._changed: list[str] = []  # unscheduled changes of this round

    def allow(self, level: Level, device: str | None) -> None:
        """Follow the ladder; a site's level at which we write ends a stop."""
        if device is not None:
            self._device_levels[device] = level
            return
        self._level = level
        if level.writes:
            self.stopped = False

    def level(self, device: str) -> Level:
        """Return the level that holds for a device."""
        return max(self._level, self._device_levels.get(device, Level.OPTIMISING))

    def new_round(self) -> None:
        """Begin a cycle: as many points as the site's share may change again."""
        self._changed.clear()

    def restless(self, now: datetime) -> list[Holding]:
        """List the points about which time, or the building, may have changed the decision."""
        for holding in self._enables:
            reading = self._state.reading(holding.point.id)
            if holding.ours is None and reading is not None and reading.value is not None:
                holding.switches.see(reading.value, reading.received)  # of what we hold each change is looked at
        mood = self._surroundings.mood(now)
        watched = _AIR if mood == self._mood else _AIR | HEATING
        self._mood = mood
        return [h for h in self._holdings if not h.idle and not (h.point.role not in watched and _rests(h, now))]

    def settle(self, holdings: Iterable[Holding], now: datetime) -> list[Holding]:
        """Decide anew about these points, and about all heat sources if one is among them; all those it was about."""
        some = list(holdings)
        if any(h.point.role is Role.ENABLE for h in some):
            some += [h for h in self._enables if h not in some]
        for holding in some:
            self._choose(holding, now)
        asked = {h.point.id: h.winner.value for h in self._enables if h.winner is not None}
        for holding in some:
            self._limit(holding, asked, now)
            holding.target = self._target(holding, now)
        self._ration(some, now)
        return some

    def _choose(self, holding: Holding, now: datetime) -> None:
        if holding.decided_until is not None and now < holding.decided_until:
            return
        holding.requests = {s: r for s, r in holding.requests.items() if r.expires > now}
        holding.winner = decide(holding.requests.values(), now).get(holding.point.id)
        ends = [request.expires for request in holding.requests.values()]
        holding.decided_until = min(ends, default=datetime.max.replace(tzinfo=now.tzinfo))

    def _limit(self, holding: Holding, asked: Mapping[str, float], now: datetime) -> None:
        winner, point = holding.winner, holding.point
        if winner is None:
            holding.wanted, holding.note = None, ""
            return
        if enable := point.role is Role.ENABLE:
            recent = holding.switches.since(now - SWITCH_WINDOW)
        else:
            recent = holding.values_since(now - RATE_WINDOW)
        if not recent and holding.back is not None and holding.back.present is not None:
            recent = (holding.back.present,)
        facts = self._surroundings.facts(
            point,
            now,
            automatic=winner.request.source.automatic,
            recent=recent,
            starts=holding.switches.starts(now - STARTS_WINDOW) if enable else 0,
            building_value=beneath(holding.back, holding.slot),
            asked=asked,
        )
        verdict = check(point, winner.value, facts)
        if isinstance(verdict, Allowed):
            moved = "" if winner.bounded_by is None else f"limited by {winner.bounded_by.replace('_', ' ')}"
            holding.wanted = verdict.value
            holding.note = "; ".join(note for note in (moved, *verdict.notes) if note)
        else:
            if holding.wanted is not None or not holding.note:  # once: the reason's figures change all the time
                log.info("%s: %s", point.id, verdict.reason)
            holding.wanted, holding.note = None, verdict.reason

    def _target(self, holding: Holding, now: datetime) -> float | None:
        level = self.level(holding.device)
        wanted, ours = holding.wanted, holding.ours
        if not self.controls or self.stopped or level.releases or holding.foreign or wanted is None:
            return None
        if not level.writes:
            alive = holding.lease is not None and holding.lease.expires > now
            return ours if alive else None
        return wanted if same(holding.point, wanted, ours) else self._worth(holding, wanted, now)

    def _worth(self, holding: Holding, wanted: float, now: datetime) -> float | None:
        """What is wanted, if a write for it is worth its while and does no harm; else what is there."""
        ours = holding.ours
        if holding.wear is not None:
            refusal = holding.wear.refusal(holding.point, now, automatic=holding.automatic)
            if refusal:
                holding.note = "; ".join(note for note in (holding.note, refusal) if note)
                return ours
        if ours is None or not holding.automatic:
            return wanted
        change = abs(wanted - ours)
        lately = holding.written_at is not None and now < holding.written_at + WRITE_GAP
        if change < LEAST_SHARE * holding.deadband or (change < holding.deadband and lately):
            return ours
        return wanted

    def _ration(self, holdings: Sequence[Holding], now: datetime) -> None:
        """Put off the changes nobody announced that go beyond the share of points for this round."""
        fresh = [h.point.id for h in holdings if h.point.id not in self._changed and _unannounced(h, now)]
        if not fresh:
            return
        free, _ = within_share([*self._changed, *fresh], len(self._holdings), self._share)
        for holding in holdings:
            if holding.point.id in fresh and holding.point.id not in free:
                holding.target = holding.ours
        self._changed = list(free)


def _rests(holding: Holding, now: datetime) -> bool:
    """Whether what is wanted is in place, and time alone changes nothing yet."""
    if holding.note or not holding.wanted == holding.ours == holding.target:
        return False
    decided = holding.decided_until is not None and now < holding.decided_until
    return decided and holding.lease is not None and now < holding.lease.expires


def _unannounced(holding: Holding, now: datetime) -> bool:
    request = None if holding.winner is None else holding.winner.request
    if request is None or request.scheduled or not request.source.automatic or holding.target is None:
        return False
    return holding.work(now) is Work.WRITE

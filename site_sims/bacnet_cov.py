"""Change-of-value reports of a simulated BACnet device (clause 13.1)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.bacnet.objects import DEVICE, object_id
from drivers.bacnet.tags import context, unsigned
from site_sims.bacnet_objects import SimulatedPoint
from site_sims.field import FieldObject

Address = tuple[str, int]
_RETRY_S: Final = 3.0
_RETRIES: Final = 2


@dataclass(slots=True, eq=False)
class _Subscription:
    source: Address
    process: int
    point: SimulatedPoint
    confirmed: bool
    expires: float | None  # loop time; None = never
    told: float | None = None


class Reports:
    """The subscriptions of one device: who is told about which object, and until when."""

    def __init__(self, instance: int, send: Callable[[Address, bytes], None]) -> None:
        self._device, self._send = object_id(DEVICE, instance), send
        self._loop = asyncio.get_running_loop()
        self._by_point: dict[FieldObject, list[_Subscription]] = {}
        self._unanswered: dict[tuple[Address, int], asyncio.TimerHandle] = {}
        self._invoke = 0

    def subscribe(
        self, source: Address, process: int, point: SimulatedPoint, *, lifetime_s: int, confirmed: bool
    ) -> None:
        """Begin or renew; the first report follows the acknowledgement. `lifetime_s` 0 = for ever."""
        self.cancel(source, process, point)
        if point.point not in self._by_point:
            self._by_point[point.point] = []
            point.point.watchers.append(self._changed)
        expires = self._loop.time() + lifetime_s if lifetime_s else None
        one = _Subscription(source, process, point, confirmed, expires)
        self._by_point[point.point].append(one)
        self._loop.call_soon(self._first, one)

    def cancel(self, source: Address, process: int, point: SimulatedPoint) -> None:
        """End one subscription, if there is one."""
        known = self._by_point.get(point.point, [])
        known[:] = [one for one in known if (one.source, one.process) != (source, process)]

    def __len__(self) -> int:
        return sum(len(known) for known in self._by_point.values())

    def close(self) -> None:
        """Forget all subscriptions."""
        for point in self._by_point:
            point.watchers.remove(self._changed)
        self._by_point.clear()
        for timer in self._unanswered.values():
            timer.cancel()
        self._unanswered.clear()

    def answered(self, source: Address, invoke: int) -> None:
        """A confirmed report was acknowledged or refused; either way it is not repeated."""
        timer = self._unanswered.pop((source, invoke), None)
        if timer is not None:
            timer.cancel()

    def _first(self, one: _Subscription) -> None:
        if one in self._by_point.get(one.point.point, []):
            self._report(one)

    def _changed(self, point: FieldObject) -> None:
        now = self._loop.time()
        known = self._by_point[point]
        known[:] = [one for one in known if one.expires is None or one.expires > now]
        for one in known:
            increment = one.point.increment
            if one.told is None or not increment or abs(point.value - one.told) >= increment:
                self._report(one)

    def _report(self, one: _Subscription) -> None:
        one.told = one.point.point.value
        remaining = 0 if one.expires is None else max(1, round(one.expires - self._loop.time()))
        body = (
            context(0, unsigned(one.process))
            + context(1, self._device.to_bytes(4, "big"))
            + context(2, one.point.identifier.to_bytes(4, "big"))
            + context(3, unsigned(remaining))
            + b"\x4e\x09\x55\x2e"
            + one.point.present()
            + b"\x2f\x09\x6f\x2e"
            + one.point.status()
            + b"\x2f\x4f"
        )
        if not one.confirmed:
            self._send(one.source, b"\x10\x02" + body)
            return
        self._invoke = (self._invoke + 1) % 256
        self._confirm(one.source, self._invoke, bytes((0, 5, self._invoke, 1)) + body, _RETRIES)

    def _confirm(self, source: Address, invoke: int, apdu: bytes, retries: int) -> None:
        self._unanswered.pop((source, invoke), None)
        if retries:
            again = self._loop.call_later(_RETRY_S, self._confirm, source, invoke, apdu, retries - 1)
            self._unanswered[source, invoke] = again
        self._send(source, apdu)

"""Reads many objects of one device in as few requests as it can bear, and remembers what that is."""

import asyncio
import math
from collections.abc import Awaitable, Sequence
from typing import Final, NamedTuple, Protocol

from drivers.bacnet.access import Refused, TooLarge
from drivers.bacnet.codec import read_ack, read_multiple_ack, read_multiple_request, read_request
from drivers.bacnet.messages import Read, Service, WireError
from drivers.bacnet.objects import Prop
from drivers.bacnet.tags import Decoded, Unexpected, Value
from drivers.base import DriverError, Flags, NotReachable, Quality

_HEAD: Final = 3  # octets of an unsegmented answer before its first object, clause 20.1.5
_PER_OBJECT: Final = 16  # identifier 5, brackets 2, property 2, value 7 with its brackets: a Real
_PER_FLAGS: Final = 7
_GONE: Final = frozenset({31, 32})  # unknown-object, unknown-property


class Ask(Protocol):
    """A confirmed request to the device: its answer's body, or a DriverError."""

    def __call__(self, service: Service, body: bytes) -> Awaitable[bytes]: ...


class Sample(NamedTuple):
    """What a poll found out about one object."""

    value: float | None
    quality: Quality
    flags: Flags


class _Chunk(NamedTuple):
    objects: tuple[int, ...]
    body: bytes
    keys: list[tuple[int, int]]  # object and property of each value, in the order asked


def _judged(bits: tuple[bool, ...]) -> tuple[Quality, Flags]:
    alarm, fault, overridden, out_of_service = bits
    flags = (
        Flags.IN_ALARM * alarm
        | Flags.FAULT * fault
        | Flags.OVERRIDDEN * overridden
        | Flags.OUT_OF_SERVICE * out_of_service
    )
    quality = Quality.BAD if fault else Quality.SUSPECT if overridden or out_of_service else Quality.GOOD
    return quality, Flags(flags)


_STATUS: Final[dict[tuple[Value, ...], tuple[Quality, Flags]]] = {
    bits: _judged(bits) for n in range(16) for bits in [tuple(bool(n & (8 >> k)) for k in range(4))]
}
_FINE: Final = (Quality.GOOD, Flags.NONE)
_RELIABILITY: Final = {  # BACnetReliability, clause 21; the others say no more than that there is a fault
    1: Flags.NO_SENSOR,
    2: Flags.OUT_OF_RANGE,
    3: Flags.OUT_OF_RANGE,
    4: Flags.NO_SENSOR,  # open loop
    5: Flags.NO_SENSOR,  # shorted loop
    12: Flags.NO_ANSWER,  # communication failure
}


def sample(value: Decoded | WireError, status: Decoded | WireError = None) -> Sample:
    """A present value with its status flags, judged: a fault is BAD, overridden or out of service is SUSPECT."""
    if isinstance(value, WireError):
        return Sample(None, Quality.BAD, Flags.UNKNOWN_POINT if value.error_code in _GONE else Flags.FAULT)
    quality, flags = _STATUS.get(status, _FINE) if isinstance(status, tuple) else _FINE
    if not isinstance(value, float | int) or not math.isfinite(value):
        return Sample(None, Quality.BAD, flags | Flags.NOT_A_NUMBER)
    return Sample(None if quality is Quality.BAD else float(value), quality, flags)


class Poller:
    """The fall-back ladder of one device: a full ReadPropertyMultiple, smaller ones, single reads.

    The size that works is remembered while the device stays open, and so is an object that spoils the answers of
    others, which is read alone from then on.
    """

    def __init__(self, ask: Ask, *, max_apdu: int, most: int | None = None, status_flags: bool = True) -> None:
        self._ask = ask
        self._status = status_flags
        self._props = (Prop.PRESENT_VALUE, Prop.STATUS_FLAGS) if status_flags else (Prop.PRESENT_VALUE,)
        per_object = _PER_OBJECT + (_PER_FLAGS if status_flags else 0)
        self.size = max(1, (max_apdu - _HEAD) // per_object)  # objects a request; 0 = single reads
        if most is not None:
            self.size = min(self.size, most)
        self._proven = 0  # the largest size that was ever answered
        self._alone: set[int] = set()
        self._mute: set[int] = set()  # have no status flags
        self._why: dict[int, Flags] = {}  # of objects in fault
        self._plans: dict[tuple[int, ...], list[_Chunk]] = {}

    async def read(self, objects: tuple[int, ...]) -> list[Sample]:
        """A sample for each object, in order. Raises NotReachable."""
        chunks = self._plans.get(objects)
        if chunks is None:
            chunks = self._plans[objects] = self._plan(objects)
        if len(chunks) == 1:
            found = await self._fetch(chunks[0])
        else:
            found = await self._fetch_all(chunks)
        samples = [found[obj] for obj in objects]
        if self._why or any(each.quality is Quality.BAD for each in samples):
            return [await self._explained(obj, each) for obj, each in zip(objects, samples, strict=True)]
        return samples

    async def _explained(self, obj: int, found: Sample) -> Sample:
        """A sample with the reason of its fault, which is asked for once: a fault is a reliability that is not good."""
        if not found.flags & Flags.FAULT or not self._status:
            self._why.pop(obj, None)
            return found
        if obj not in self._why:
            try:
                answer = await self._property(obj, Prop.RELIABILITY)
            except (DriverError, Unexpected):  # the fault itself is known all the same
                answer = None
            self._why[obj] = _RELIABILITY.get(answer, Flags.NONE) if isinstance(answer, int) else Flags.NONE
        return found._replace(flags=found.flags | self._why[obj])

    def _plan(self, objects: Sequence[int]) -> list[_Chunk]:
        several = [obj for obj in dict.fromkeys(objects) if obj not in self._alone]
        alone = [obj for obj in dict.fromkeys(objects) if obj in self._alone]
        if not self.size:
            several, alone = [], [*several, *alone]
        groups = [several[n : n + self.size] for n in range(0, len(several), self.size or 1)]
        chunks = [self._chunk(group) for group in groups]
        return [*chunks, *(_Chunk((obj,), b"", []) for obj in alone)]

    def _chunk(self, objects: Sequence[int]) -> _Chunk:
        keys = [(obj, int(prop)) for obj in objects for prop in self._props]
        return _Chunk(tuple(objects), read_multiple_request(objects, self._props), keys)

    async def _fetch_all(self, chunks: list[_Chunk]) -> dict[int, Sample]:
        found: dict[int, Sample] = {}

        async def fetch(chunk: _Chunk) -> None:
            found.update(await self._fetch(chunk))

        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, chunk in enumerate(chunks):
                    tasks.create_task(fetch(chunk), name=f"bacnet:read:{number}")
        except* DriverError as errors:
            failure = errors.exceptions[0]
        if failure is not None:
            raise failure
        return found

    async def _fetch(self, chunk: _Chunk) -> dict[int, Sample]:
        if not chunk.body or not self.size:
            return {obj: await self._single(obj) for obj in chunk.objects}
        try:
            reads = read_multiple_ack(await self._ask(Service.READ_PROPERTY_MULTIPLE, chunk.body))
            found = self._match(chunk, reads)
        except (DriverError, Unexpected) as err:
            return await self._otherwise(chunk, err)
        self._proven = max(self._proven, len(chunk.objects))
        return found

    async def _otherwise(self, chunk: _Chunk, err: DriverError | Unexpected) -> dict[int, Sample]:
        """The next rung down after a request failed."""
        count, first = len(chunk.objects), chunk.objects[0]
        if isinstance(err, TooLarge):
            return await self._with_less(chunk, count // 2)
        if isinstance(err, NotReachable):
            if count <= max(1, self._proven) or not await self._answers_one(first):
                raise err
            return await self._with_less(chunk, count // 2)  # it drops what is too large for it
        if isinstance(err, Refused) and err.reject == 9:  # unrecognized-service
            return await self._with_less(chunk, 0)
        if count > 1:
            return await self._halves(chunk)
        self._alone.add(first)
        self._plans.clear()
        return {first: await self._single(first)}

    def _match(self, chunk: _Chunk, reads: list[Read]) -> dict[int, Sample]:
        if [(read.obj, read.prop) for read in reads] != chunk.keys:
            raise Unexpected("the answer is not what was asked for")
        step = len(self._props)
        if step == 1:
            return {read.obj: sample(read.value) for read in reads}
        return {
            value.obj: sample(value.value, status.value) for value, status in zip(reads[::2], reads[1::2], strict=True)
        }

    async def _with_less(self, chunk: _Chunk, size: int) -> dict[int, Sample]:
        self.size = min(self.size, size)
        self._plans.clear()
        found: dict[int, Sample] = {}
        for part in self._plan(chunk.objects):
            found.update(await self._fetch(part))
        return found

    async def _halves(self, chunk: _Chunk) -> dict[int, Sample]:
        middle = len(chunk.objects) // 2
        first = await self._fetch(self._chunk(chunk.objects[:middle]))
        return first | await self._fetch(self._chunk(chunk.objects[middle:]))

    async def _answers_one(self, obj: int) -> bool:
        try:
            await self._single(obj)
        except NotReachable:
            return False
        return True

    async def _single(self, obj: int) -> Sample:
        try:
            value = await self._property(obj, Prop.PRESENT_VALUE)
        except Unexpected:
            return Sample(None, Quality.BAD, Flags.NOT_A_NUMBER)
        status: Decoded | WireError = None
        if self._status and obj not in self._mute and not isinstance(value, WireError):
            try:
                status = await self._property(obj, Prop.STATUS_FLAGS)
            except Unexpected:
                status = None
            if not isinstance(status, tuple):
                self._mute.add(obj)
        return sample(value, status)

    async def _property(self, obj: int, prop: Prop) -> Decoded | WireError:
        """One property; a refusal is returned. Raises NotReachable, Unexpected."""
        try:
            return read_ack(await self._ask(Service.READ_PROPERTY, read_request(obj, prop))).value
        except Refused as err:
            return err.error or WireError(0, 0)

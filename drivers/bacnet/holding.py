"""Who holds a point: its present value, priority array and relinquish default."""

from collections.abc import Sequence
from typing import Final

from drivers.bacnet.access import Refused, TooLarge
from drivers.bacnet.codec import read_ack, read_multiple_ack, read_multiple_request, read_request
from drivers.bacnet.messages import Service, WireError
from drivers.bacnet.objects import Prop
from drivers.bacnet.poll import Ask
from drivers.bacnet.tags import Decoded, Unexpected
from drivers.base import ReadBack

SLOTS: Final = 16
_PROPS: Final = (Prop.PRESENT_VALUE, Prop.PRIORITY_ARRAY, Prop.RELINQUISH_DEFAULT)


class Holdings:
    """Reads them in one request where the device can, in several where it cannot."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._multiple = True
        self._bodies: dict[int, bytes] = {}

    async def read(self, obj: int, slot: int) -> ReadBack:
        """What the device holds for the object; `slot` is ours, 1 to 16. Raises NotReachable."""
        present, array, default = await self._values(obj)
        slots = _slots(array)
        return ReadBack(
            present=_number(present),
            slot=None if slots is None else slots[slot - 1],
            array=slots,
            default=_number(default),
        )

    async def _values(self, obj: int) -> Sequence[Decoded | WireError]:
        if self._multiple:
            body = self._bodies.setdefault(obj, read_multiple_request([obj], _PROPS))
            try:
                reads = read_multiple_ack(await self._ask(Service.READ_PROPERTY_MULTIPLE, body))
            except TooLarge:
                self._multiple = False
            except Refused as err:
                self._multiple = err.reject != 9  # unrecognized-service; other refusals concern this object
            except Unexpected:
                pass  # read one by one, this time
            else:
                if [(read.obj, read.prop) for read in reads] == [(obj, prop) for prop in _PROPS]:
                    return [read.value for read in reads]
        return [
            await self._single(obj, Prop.PRESENT_VALUE),
            await self._array(obj),
            await self._single(obj, Prop.RELINQUISH_DEFAULT),
        ]

    async def _array(self, obj: int) -> Decoded | WireError:
        try:
            return await self._single(obj, Prop.PRIORITY_ARRAY)
        except TooLarge:
            slots = [await self._single(obj, Prop.PRIORITY_ARRAY, n) for n in range(1, SLOTS + 1)]
            return tuple(None if isinstance(slot, WireError | tuple) else slot for slot in slots)

    async def _single(self, obj: int, prop: Prop, element: int | None = None) -> Decoded | WireError:
        try:
            return read_ack(await self._ask(Service.READ_PROPERTY, read_request(obj, prop, element))).value
        except Refused as err:
            return err.error or WireError(0, 0)
        except Unexpected:
            return ()


def _number(value: Decoded | WireError) -> float | None:
    return float(value) if isinstance(value, float | int) else None


def _slots(array: Decoded | WireError) -> tuple[float | None, ...] | None:
    if isinstance(array, WireError) or not isinstance(array, tuple) or len(array) != SLOTS:
        return None
    return tuple(_number(value) for value in array)

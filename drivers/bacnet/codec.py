"""Requests as bytes and answers from bytes: a fast path of our own with the library's decoder behind it.

A polled group never changes, so its request is encoded once; an answer is decoded by walking its octets, about a
hundred times as fast as building the library's objects. Whatever the walk does not know goes to the library.
"""

from collections.abc import Iterable

from drivers.bacnet import library
from drivers.bacnet.messages import Notification, Read, WireError
from drivers.bacnet.tags import Decoded, Unexpected, Value, context, decode, read_context, unsigned


def read_request(obj: int, prop: int, index: int | None = None) -> bytes:
    """A ReadProperty request."""
    request = context(0, obj.to_bytes(4, "big")) + context(1, unsigned(prop))
    return request if index is None else request + context(2, unsigned(index))


def read_multiple_request(objects: Iterable[int], props: Iterable[int]) -> bytes:
    """A ReadPropertyMultiple request for the same properties of each object."""
    wanted = b"\x1e" + b"".join(context(0, unsigned(prop)) for prop in props) + b"\x1f"
    return b"".join(context(0, obj.to_bytes(4, "big")) + wanted for obj in objects)


def write_request(obj: int, prop: int, value: bytes, priority: int) -> bytes:
    """A WriteProperty request; `value` is application-tagged."""
    head = context(0, obj.to_bytes(4, "big")) + context(1, unsigned(prop))
    return head + b"\x3e" + value + b"\x3f" + context(4, unsigned(priority))


def subscribe_request(process: int, obj: int, lifetime_s: int | None, *, confirmed: bool = False) -> bytes:
    """A SubscribeCOV request; `lifetime_s` None cancels the subscription."""
    request = context(0, unsigned(process)) + context(1, obj.to_bytes(4, "big"))
    if lifetime_s is None:
        return request
    return request + context(2, bytes((confirmed,))) + context(3, unsigned(lifetime_s))


def read_ack(data: bytes) -> Read:
    """The answer to a ReadProperty. Raises Unexpected if neither decoder can read it."""
    try:
        return fast_read_ack(data)
    except Unexpected:
        return library.read_ack(data)


def read_multiple_ack(data: bytes) -> list[Read]:
    """The answer to a ReadPropertyMultiple, in its order. Raises Unexpected if neither decoder can read it."""
    try:
        return fast_read_multiple_ack(data)
    except Unexpected:
        return library.read_multiple_ack(data)


def fast_read_ack(data: bytes) -> Read:
    """Our decoder alone; raises Unexpected."""
    obj, at = read_context(data, 0, 0)
    prop, at = read_context(data, at, 1)
    index = None
    if data[at : at + 1] and data[at] >> 4 == 2 and data[at] & 8:
        index, at = read_context(data, at, 2)
    value, at = _value_between(data, at, 0x3E, 0x3F)
    if at != len(data):
        raise Unexpected("octets left over")
    return Read(obj, prop, index, value)


def fast_read_multiple_ack(data: bytes) -> list[Read]:
    """Our decoder alone; raises Unexpected."""
    reads: list[Read] = []
    at, end = 0, len(data)
    if not end:
        raise Unexpected("an empty answer")
    try:
        while at < end:
            if data[at] != 0x0C or data[at + 5] != 0x1E:
                raise Unexpected(f"no object at {at}")
            obj = int.from_bytes(data[at + 1 : at + 5], "big")
            at += 6
            while data[at] != 0x1F:
                if data[at] == 0x29:  # the usual case: a property below 256
                    prop, at = data[at + 1], at + 2
                else:
                    prop, at = read_context(data, at, 2)
                index = None
                if data[at] & 0xF8 == 0x38 and data[at] & 7 < 6:
                    index, at = read_context(data, at, 3)
                value: Decoded | WireError
                if data[at] == 0x5E:
                    value, at = _error_between(data, at)
                else:
                    value, at = _value_between(data, at, 0x4E, 0x4F)
                reads.append(Read(obj, prop, index, value))
            at += 1
    except IndexError:
        raise Unexpected("the bytes end too early") from None
    return reads


def _value_between(data: bytes, at: int, opening: int, closing: int) -> tuple[Decoded, int]:
    try:
        if data[at] != opening:
            raise Unexpected(f"octet {data[at]:#04x} at {at} where a value opens")
        if data[at + 1] == closing:
            return (), at + 2
        value, at = decode(data, at + 1)
        if data[at] == closing:
            return value, at + 1
        values: list[Value] = [value]
        while data[at] != closing:
            value, at = decode(data, at)
            values.append(value)
    except IndexError:
        raise Unexpected("the bytes end too early") from None
    return tuple(values), at + 1


def _error_between(data: bytes, at: int) -> tuple[WireError, int]:
    error, at = _error_at(data, at + 1)
    if data[at : at + 1] != b"\x5f":
        raise Unexpected(f"no end of an error at {at}")
    return error, at + 1


def _error_at(data: bytes, at: int) -> tuple[WireError, int]:
    numbers: list[int] = []
    for part in ("class", "code"):
        if data[at : at + 1] not in {b"\x91", b"\x92"}:
            raise Unexpected(f"no error {part} at {at}")
        number, at = decode(data, at)
        numbers.append(number if isinstance(number, int) else 0)
    return WireError(*numbers), at


def error_of(data: bytes) -> WireError:
    """The error class and code that open `data`, as in the body of an Error PDU. Raises Unexpected."""
    return _error_at(data, 0)[0]


def notification(data: bytes) -> Notification:
    """The body of a COV notification, confirmed or not. Raises Unexpected."""
    process, at = read_context(data, 0, 0)
    _device, at = read_context(data, at, 1)
    obj, at = read_context(data, at, 2)
    _remaining, at = read_context(data, at, 3)
    if data[at : at + 1] != b"\x4e":
        raise Unexpected("no list of values")
    at += 1
    values: list[tuple[int, Decoded]] = []
    try:
        while data[at] != 0x4F:
            prop, at = read_context(data, at, 0)
            if data[at] & 0xF8 == 0x18 and data[at] & 7 < 6:
                _index, at = read_context(data, at, 1)
            value, at = _value_between(data, at, 0x2E, 0x2F)
            if data[at] & 0xF8 == 0x38 and data[at] & 7 < 6:
                _priority, at = read_context(data, at, 3)
            values.append((prop, value))
    except IndexError:
        raise Unexpected("the bytes end too early") from None
    return Notification(process, obj, tuple(values))

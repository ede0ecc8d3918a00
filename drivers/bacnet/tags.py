"""BACnet's primitive values as bytes and back (clause 20.2), without an object for every tag."""

from collections.abc import Callable, Iterable
from enum import Enum
from struct import Struct
from struct import error as struct_error
from typing import Final, NamedTuple

REAL: Final = Struct(">f")
DOUBLE: Final = Struct(">d")
_PRESENT_REAL: Final = 0x44  # application tag 4, four octets


class Unexpected(ValueError):  # noqa: N818  what the bytes are
    """Bytes that this decoder does not know; the library's decoder may."""


class Kind(Enum):
    """Application tag numbers of the values that a point may have."""

    NULL = 0
    BOOLEAN = 1
    UNSIGNED = 2
    SIGNED = 3
    REAL = 4
    DOUBLE = 5
    ENUMERATED = 9


class Raw(NamedTuple):
    """A value that no point can have: a date, a time or an object identifier, undecoded."""

    tag: int
    octets: bytes


class Opaque:
    """A constructed value that only the library could walk through; no point can have one."""


Value = float | int | bool | str | bytes | tuple[bool, ...] | Raw | Opaque | None  # None is BACnet's Null
Decoded = Value | tuple[Value, ...]

_FOUR_BITS: Final = tuple(tuple(bool(n & (8 >> k)) for k in range(4)) for n in range(16))


def unsigned(number: int) -> bytes:
    """The shortest big-endian form, at least one octet."""
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


def signed(number: int) -> bytes:
    """The shortest two's complement form, at least one octet."""
    return number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "big", signed=True)


def _tagged(first: int, octets: bytes) -> bytes:
    size = len(octets)
    if size < 5:
        return bytes((first | size,)) + octets
    if size < 254:
        return bytes((first | 5, size)) + octets
    return bytes((first | 5, 254)) + size.to_bytes(2, "big") + octets


def application(tag: int, octets: bytes) -> bytes:
    """An application-tagged value."""
    return _tagged(tag << 4, octets)


def context(tag: int, octets: bytes) -> bytes:
    """A context-tagged value of tag number 0 to 14."""
    return _tagged(tag << 4 | 8, octets)


def bit_string(bits: Iterable[bool]) -> bytes:
    """An application-tagged bit string, first bit first."""
    flags = tuple(bits)
    unused = -len(flags) % 8
    number = 0
    for bit in flags:
        number = number << 1 | bit
    return application(8, bytes((unused,)) + (number << unused).to_bytes((len(flags) + unused) // 8, "big"))


def text(characters: str) -> bytes:
    """An application-tagged character string in UTF-8."""
    return application(7, b"\0" + characters.encode())


def encode(kind: Kind, value: float) -> bytes:
    """An application-tagged number.

    Raises ValueError if the kind cannot hold it, as 1.5 in an enumeration; a Real keeps about seven digits.
    """
    if kind is Kind.NULL:
        return b"\0"
    if kind is Kind.REAL:
        try:
            return application(4, REAL.pack(value))
        except OverflowError:
            raise ValueError(f"{value} does not fit a Real") from None
    if kind is Kind.DOUBLE:
        return application(5, DOUBLE.pack(value))
    number = int(value)
    if number != value:
        raise ValueError(f"{value} is not a whole number")
    if kind is Kind.SIGNED:
        return application(3, signed(number))
    if number < 0 or (kind is Kind.BOOLEAN and number > 1):
        raise ValueError(f"{value} is not a valid {kind.name.lower()} value")
    return bytes((0x10 | number,)) if kind is Kind.BOOLEAN else application(kind.value, unsigned(number))


def decode(data: bytes, at: int) -> tuple[Value, int]:
    """The application-tagged value that starts at `at`, and where it ends. Raises Unexpected."""
    try:
        first = data[at]
        if first == _PRESENT_REAL:
            return REAL.unpack_from(data, at + 1)[0], at + 5
        if first & 8:
            raise Unexpected(f"context tag at {at}")
        tag, size, at = first >> 4, first & 7, at + 1
        if tag == 1:
            if size > 1:
                raise Unexpected(f"boolean of length {size}")
            return bool(size), at
        if size == 5:
            size, at = _long_size(data, at)
        elif size > 5:
            raise Unexpected(f"length {size} at {at - 1}")
        end = at + size
        if end > len(data):
            raise Unexpected("value runs past the end")
        if end == at and tag not in {0, 6}:
            raise Unexpected(f"application tag {tag} of no octets")
        return _DECODERS[tag](data[at:end]), end
    except (LookupError, struct_error, UnicodeDecodeError) as err:
        raise Unexpected(f"{err} at {at}") from None


def _long_size(data: bytes, at: int) -> tuple[int, int]:
    size = data[at]
    if size < 254:
        return size, at + 1
    width = 2 if size == 254 else 4
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def _null(octets: bytes) -> None:
    if octets:
        raise Unexpected("a Null with octets")


def _unsigned(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def _signed(octets: bytes) -> int:
    return int.from_bytes(octets, "big", signed=True)


def _real(octets: bytes) -> float:
    number: float = REAL.unpack(octets)[0]
    return number


def _double(octets: bytes) -> float:
    number: float = DOUBLE.unpack(octets)[0]
    return number


def _text(octets: bytes) -> str:
    if octets[0] != 0:
        raise Unexpected(f"character set {octets[0]}")
    return octets[1:].decode()  # a UnicodeDecodeError that `decode` translates


def _raw(tag: int, octets: bytes) -> Raw:
    if len(octets) != 4:
        raise Unexpected(f"application tag {tag} of {len(octets)} octets")
    return Raw(tag, octets)


def _bits(octets: bytes) -> tuple[bool, ...]:
    unused, count = octets[0], 8 * (len(octets) - 1)
    if unused == 4 and count == 8:
        return _FOUR_BITS[octets[1] >> 4]
    if unused > 7 or unused > count:
        raise Unexpected(f"bit string with {unused} unused bits of {count}")
    number = int.from_bytes(octets[1:], "big")
    return tuple(bool(number >> k & 1) for k in range(count - 1, unused - 1, -1))


_DECODERS: Final[dict[int, Callable[[bytes], Value]]] = {
    0: _null,
    2: _unsigned,
    3: _signed,
    4: _real,
    5: _double,
    6: bytes,
    7: _text,
    8: _bits,
    9: _unsigned,
    10: lambda octets: _raw(10, octets),
    11: lambda octets: _raw(11, octets),
    12: lambda octets: _raw(12, octets),
}


def read_context(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """The unsigned number under a context tag, and where it ends. Raises Unexpected."""
    try:
        first = data[at]
        size = first & 7
        if first >> 4 != tag or not first & 8 or not 1 <= size <= 4:
            raise Unexpected(f"octet {first:#04x} at {at} where context tag {tag} belongs")
        end = at + 1 + size
        if end > len(data):
            raise Unexpected("value runs past the end")
        return int.from_bytes(data[at + 1 : end], "big"), end
    except IndexError:
        raise Unexpected("the bytes end too early") from None

"""BACnet object types and properties, by name and number; what a point's address may say."""

from enum import IntEnum

from drivers.bacnet.tags import Kind

DEVICE = 8
WILDCARD = 4194303  # "you, whoever you are" as a device instance; the largest number there is


class Prop(IntEnum):
    """The properties that we read or write (clause 21, BACnetPropertyIdentifier)."""

    COV_INCREMENT = 22
    MAX_APDU_LENGTH_ACCEPTED = 62
    OBJECT_IDENTIFIER = 75
    PRESENT_VALUE = 85
    PRIORITY_ARRAY = 87
    RELIABILITY = 103
    RELINQUISH_DEFAULT = 104
    STATUS_FLAGS = 111


# Object types whose present value is a number: name -> (number, kind of the present value).
TYPES: dict[str, tuple[int, Kind]] = {
    "analog-input": (0, Kind.REAL),
    "analog-output": (1, Kind.REAL),
    "analog-value": (2, Kind.REAL),
    "binary-input": (3, Kind.ENUMERATED),
    "binary-output": (4, Kind.ENUMERATED),
    "binary-value": (5, Kind.ENUMERATED),
    "loop": (12, Kind.REAL),
    "multi-state-input": (13, Kind.UNSIGNED),
    "multi-state-output": (14, Kind.UNSIGNED),
    "multi-state-value": (19, Kind.UNSIGNED),
    "accumulator": (23, Kind.UNSIGNED),
    "pulse-converter": (24, Kind.REAL),
    "integer-value": (45, Kind.SIGNED),
    "large-analog-value": (46, Kind.DOUBLE),
    "positive-integer-value": (48, Kind.UNSIGNED),
    "lighting-output": (54, Kind.REAL),
    "binary-lighting-output": (55, Kind.ENUMERATED),
}
_KIND = dict(TYPES.values())


def object_id(kind: int, instance: int) -> int:
    """Type and instance in one 32-bit number, as on the wire."""
    return kind << 22 | instance


def kind_of(obj: int) -> Kind:
    """How an object's present value is written; a proprietary type is taken for analogue."""
    return _KIND.get(obj >> 22, Kind.REAL)


def parse(address: str) -> int:
    """The object identifier of `type,instance`; the type is a name or a proprietary number from 128.

    Raises ValueError with the cure in its text.
    """
    name, comma, number = (part.strip() for part in address.partition(","))
    if not comma or not number.isdecimal():
        raise ValueError(f"{address!r} is not a BACnet object; write type,instance such as analog-value,3")
    if int(number) >= WILDCARD:
        raise ValueError(f"{address!r}: an instance is between 0 and {WILDCARD - 1}")
    if name.isdecimal() and 128 <= int(name) < 1024:
        return object_id(int(name), int(number))
    if name not in TYPES:
        raise ValueError(f"{address!r}: unknown type {name!r}; types with a numeric value are {', '.join(TYPES)}")
    return object_id(TYPES[name][0], int(number))


def describe(obj: int) -> str:
    """An object identifier as people write it."""
    kind, instance = obj >> 22, obj & WILDCARD
    names = {number: name for name, (number, _) in TYPES.items()} | {DEVICE: "device"}
    return f"{names.get(kind, kind)},{instance}"

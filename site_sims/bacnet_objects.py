"""The objects of a simulated BACnet device: a field device's points as properties, encoded."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from drivers.bacnet.objects import DEVICE, TYPES, WILDCARD, Prop, kind_of, object_id, parse
from drivers.bacnet.tags import REAL, Kind, Unexpected, application, bit_string, decode, encode, text
from site_sims.field import SLOTS, FieldDevice, FieldObject, NotWritable, OutOfRange

ENUMERATED, OBJECT_ID = 9, 12
ALL, OPTIONAL, REQUIRED = 8, 80, 105
OBJECT_NAME, OBJECT_TYPE, OBJECT_LIST, PROPERTY_LIST = 77, 79, 76, 371
_UNITS: Final = {
    "degC": 62,
    "kW": 48,
    "kWh": 19,
    "m3": 80,
    "ppm": 96,
    "%": 98,
    "W/m2": 35,
    "m/s": 74,
    "lux": 37,
}
_NO_UNITS: Final = 95
_SERVICES: Final = frozenset({5, 12, 14, 15, 34})  # subscribe-cov, read, read-multiple, write, who-is
_RESERVED_SLOT: Final = 6  # minimum on and off time, clause 19.2.3
_RESERVED_PROPS: Final = frozenset({75, OBJECT_NAME, OBJECT_TYPE, PROPERTY_LIST})  # never in a property list


class Refusal(Exception):  # noqa: N818  an answer, not a failure
    """An error class and code (clause 18) to answer with."""

    def __init__(self, error_class: int, error_code: int) -> None:
        super().__init__(error_class, error_code)
        self.body = application(ENUMERATED, bytes((error_class,))) + application(ENUMERATED, bytes((error_code,)))


UNKNOWN_OBJECT: Final = (1, 31)
UNKNOWN_PROPERTY: Final = (2, 32)
INVALID_DATA_TYPE: Final = (2, 9)
VALUE_OUT_OF_RANGE: Final = (2, 37)
WRITE_ACCESS_DENIED: Final = (2, 40)
INVALID_ARRAY_INDEX: Final = (2, 42)
NOT_AN_ARRAY: Final = (2, 50)

Encoder = Callable[[], bytes]
Property = Encoder | list[Encoder]  # an array is a list of its elements


class SimulatedObject:
    """Anything with properties on the simulated device."""

    def __init__(self, identifier: int, properties: dict[int, Property]) -> None:
        octets = application(OBJECT_ID, identifier.to_bytes(4, "big"))
        kind = application(ENUMERATED, _shortest(identifier >> 22))
        self.identifier = identifier
        self.properties: dict[int, Property] = {
            Prop.OBJECT_IDENTIFIER: lambda: octets,
            OBJECT_TYPE: lambda: kind,
            **properties,
        }
        listed = [application(ENUMERATED, _shortest(p)) for p in self.properties if p not in _RESERVED_PROPS]
        self.properties[PROPERTY_LIST] = [_constant(prop) for prop in listed]

    def encoder(self, prop: int, element: int | None = None) -> Encoder:
        """What encodes a property, or an element of an array; element 0 is its length. Raises Refusal."""
        found = self.properties.get(prop)
        if found is None:
            raise Refusal(*UNKNOWN_PROPERTY)
        if not isinstance(found, list):
            if element is not None:
                raise Refusal(*NOT_AN_ARRAY)
            return found
        if element is None:
            return lambda: b"".join([one() for one in found])
        if element == 0:
            return _constant(encode(Kind.UNSIGNED, len(found)))
        if element > len(found):
            raise Refusal(*INVALID_ARRAY_INDEX)
        return found[element - 1]

    def read(self, prop: int, element: int | None = None) -> bytes:
        """A property encoded. Raises Refusal."""
        return self.encoder(prop, element)()

    def write(self, prop: int, element: int | None, value: bytes, priority: int) -> None:  # noqa: ARG002  overridden
        """Set a property. Raises Refusal."""
        self.encoder(prop, element)
        raise Refusal(*WRITE_ACCESS_DENIED)


def _shortest(number: int) -> bytes:
    return number.to_bytes(1 if number < 256 else 2, "big")


def _constant(octets: bytes) -> Encoder:
    return lambda: octets


class SimulatedPoint(SimulatedObject):
    """A field object as an analogue, binary or multi-state object, commandable or not."""

    def __init__(self, point: FieldObject, *, cov_increment: float) -> None:
        identifier = parse(point.address)
        self.point, self.kind = point, kind_of(identifier)
        self.increment = cov_increment if self.kind is Kind.REAL else 0.0
        super().__init__(identifier, self._properties())

    def _properties(self) -> dict[int, Property]:
        point, name = self.point, text(self.point.key)
        normal, no_fault = application(ENUMERATED, b"\0"), encode(Kind.BOOLEAN, 0)
        properties: dict[int, Property] = {
            OBJECT_NAME: lambda: name,
            Prop.PRESENT_VALUE: self.present,
            Prop.STATUS_FLAGS: self.status,
            36: lambda: normal,  # event-state
            Prop.RELIABILITY: lambda: application(ENUMERATED, bytes((point.reliability if point.fault else 0,))),
            81: lambda: no_fault,  # out-of-service
        }
        if self.kind is Kind.REAL:
            unit = application(ENUMERATED, bytes((_UNITS.get(point.unit, _NO_UNITS),)))
            properties[117] = lambda: unit
            properties[Prop.COV_INCREMENT] = lambda: self._encoded(self.increment)
            for prop, limit in ((69, point.low), (65, point.high)):  # min- and max-pres-value
                if limit is not None:
                    properties[prop] = _constant(self._encoded(limit))
        if self.kind is Kind.ENUMERATED:
            properties |= {84: lambda: normal, 46: _constant(text("off")), 4: _constant(text("on"))}
        if self.kind is Kind.UNSIGNED:
            properties[74] = _constant(encode(Kind.UNSIGNED, int(point.high or 1)))  # number-of-states
        if point.commandable:
            properties[Prop.PRIORITY_ARRAY] = [self._slot(n) for n in range(SLOTS)]
            properties[Prop.RELINQUISH_DEFAULT] = lambda: self._encoded(point.default)
        return properties

    def _encoded(self, value: float) -> bytes:
        return encode(self.kind, value if self.kind in {Kind.REAL, Kind.DOUBLE} else round(value))

    def _slot(self, number: int) -> Encoder:
        def held() -> bytes:
            value = self.point.array[number]
            return b"\0" if value is None else self._encoded(value)

        return held

    def present(self) -> bytes:
        """The present value; the hot path, so a Real is packed here."""
        if self.kind is Kind.REAL:
            return b"\x44" + REAL.pack(self.point.value)
        return self._encoded(self.point.value)

    def status(self) -> bytes:
        """In alarm, fault, overridden, out of service."""
        return b"\x82\x04\x40" if self.point.fault else b"\x82\x04\x00"

    def write(self, prop: int, element: int | None, value: bytes, priority: int) -> None:
        if prop != Prop.PRESENT_VALUE or element is not None or priority == _RESERVED_SLOT:
            super().write(prop, element, value, priority)
        try:
            self.point.write(self._number(value), priority)
        except NotWritable:
            raise Refusal(*WRITE_ACCESS_DENIED) from None
        except OutOfRange:
            raise Refusal(*VALUE_OUT_OF_RANGE) from None

    def _number(self, octets: bytes) -> float | None:
        try:
            value, end = decode(octets, 0)
        except Unexpected:
            raise Refusal(*INVALID_DATA_TYPE) from None
        if end != len(octets):
            raise Refusal(*INVALID_DATA_TYPE)
        if value is None:
            return None
        if octets[0] >> 4 != self.kind.value or not isinstance(value, float | int):
            raise Refusal(*INVALID_DATA_TYPE)
        if not abs(value) < 3.5e38 or (self.kind is Kind.ENUMERATED and value > 1):  # not a number, infinite, no state
            raise Refusal(*VALUE_OUT_OF_RANGE)
        return float(value)


class SimulatedDevice(SimulatedObject):
    """The device object of a field device, and the list of its objects."""

    def __init__(self, device: FieldDevice, *, max_apdu: int, increment: float, now: Callable[[], datetime]) -> None:
        self.points = [SimulatedPoint(point, cov_increment=increment) for point in device.objects.values()]
        identifier = object_id(DEVICE, device.instance)
        everything = [identifier, *(point.identifier for point in self.points)]
        number, enumerated = Kind.UNSIGNED, Kind.ENUMERATED
        constants: dict[int, bytes] = {
            OBJECT_NAME: text(device.id),
            112: encode(enumerated, 0),  # system-status: operational
            121: text("Plenum"),
            120: encode(number, 999),  # vendor-identifier, free for tests
            70: text("Simulated field device"),
            44: text("1.0"),
            12: text("1.0"),
            98: encode(number, 1),
            139: encode(number, 22),
            97: bit_string(n in _SERVICES for n in range(49)),
            96: bit_string(n == DEVICE or n in {t for t, _ in TYPES.values()} for n in range(60)),
            Prop.MAX_APDU_LENGTH_ACCEPTED: encode(number, max_apdu),
            107: encode(enumerated, 3),  # segmentation-supported: none
            11: encode(number, 3000),
            73: encode(number, 3),
            30: b"",  # device-address-binding: an empty list
            155: encode(number, 1),
        }
        properties: dict[int, Property] = {prop: _constant(octets) for prop, octets in constants.items()}
        properties[OBJECT_LIST] = [_constant(application(OBJECT_ID, o.to_bytes(4, "big"))) for o in everything]
        properties[56] = lambda: application(10, _date(now()))
        properties[57] = lambda: application(11, _time(now()))
        super().__init__(identifier, properties)
        self.objects: dict[int, SimulatedObject] = {point.identifier: point for point in self.points}
        self.objects[identifier] = self
        self.objects[object_id(DEVICE, WILDCARD)] = self  # "whoever you are", clause 15.5.2

    def find(self, identifier: int) -> SimulatedObject:
        """The object of that identifier. Raises Refusal."""
        found = self.objects.get(identifier)
        if found is None:
            raise Refusal(*UNKNOWN_OBJECT)
        return found


def _date(now: datetime) -> bytes:
    return bytes((now.year - 1900, now.month, now.day, now.isoweekday()))


def _time(now: datetime) -> bytes:
    return bytes((now.hour, now.minute, now.second, now.microsecond // 10_000))


def expanded(found: SimulatedObject, props: Iterable[int]) -> list[int]:
    """Property references with `all`, `required` and `optional` spelled out (clause 15.7.3.1.2)."""
    wanted: list[int] = []
    for prop in props:
        if prop in {ALL, REQUIRED}:
            wanted += [p for p in found.properties if p != PROPERTY_LIST]
        elif prop != OPTIONAL:
            wanted.append(prop)
    return wanted

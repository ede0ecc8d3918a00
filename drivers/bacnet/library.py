"""The library's decoders behind our own: slow, but they know constructed values."""

from struct import error as struct_error
from typing import Any

from bacpypes3.apdu import ComplexAckPDU, ErrorRejectAbortNack, ReadPropertyACK, ReadPropertyMultipleACK
from bacpypes3.errors import RejectException
from bacpypes3.primitivedata import (
    BitString,
    Boolean,
    CharacterString,
    Double,
    Enumerated,
    Integer,
    OctetString,
    Real,
    TagClass,
    TagList,
    Unsigned,
)

from drivers.bacnet.messages import Read, Service, WireError
from drivers.bacnet.tags import Decoded, Opaque, Raw, Unexpected, Value

# What the library's decoders raise on bytes that make no sense to them, found by fuzzing.
LIBRARY_ERRORS = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    RuntimeError,
    struct_error,
    RejectException,
    ErrorRejectAbortNack,
)


def _by_library(kind: Any, service: Service, data: bytes) -> Any:
    pdu = ComplexAckPDU(int(service), 0)
    pdu.pduData = bytearray(data)  # the library eats it from the front
    try:
        return kind.decode(pdu)
    except LIBRARY_ERRORS as err:
        raise Unexpected(f"{type(err).__name__}: {err}") from None


def read_ack(data: bytes) -> Read:
    """The library's decoder alone; raises Unexpected. A constructed value comes back as Opaque."""
    ack = _by_library(ReadPropertyACK, Service.READ_PROPERTY, data)
    return Read(
        _number(ack.objectIdentifier), int(ack.propertyIdentifier), ack.propertyArrayIndex, _values(ack.propertyValue)
    )


def read_multiple_ack(data: bytes) -> list[Read]:
    """The library's decoder alone; raises Unexpected. A constructed value comes back as Opaque."""
    ack = _by_library(ReadPropertyMultipleACK, Service.READ_PROPERTY_MULTIPLE, data)
    reads: list[Read] = []
    for result in ack.listOfReadAccessResults:
        obj = _number(result.objectIdentifier)
        for element in result.listOfResults:
            error = element.readResult.propertyAccessError
            value = (
                _values(element.readResult.propertyValue)
                if error is None
                else WireError(int(error.errorClass), int(error.errorCode))
            )
            reads.append(Read(obj, int(element.propertyIdentifier), element.propertyArrayIndex, value))
    return reads


def _number(identifier: Any) -> int:
    kind, instance = identifier
    return int(kind) << 22 | int(instance)


_CLASSES = {
    1: Boolean,
    2: Unsigned,
    3: Integer,
    4: Real,
    5: Double,
    6: OctetString,
    7: CharacterString,
    8: BitString,
    9: Enumerated,
}


def _values(wrapped: Any) -> Decoded:
    tags = list(wrapped.tagList or ())
    if tags and tags[0].tag_class == TagClass.opening:  # the pair around the value is kept by the library
        tags = tags[1:-1]
    if any(tag.tag_class != TagClass.application for tag in tags):
        return Opaque()
    try:
        values = tuple(_atom(tag) for tag in tags)
    except LIBRARY_ERRORS as err:
        raise Unexpected(f"{type(err).__name__}: {err}") from None
    return values[0] if len(values) == 1 else values


def _atom(tag: Any) -> Value:
    number = int(tag.tag_number)
    if number == 0:
        return None
    if number in {10, 11, 12}:
        return Raw(number, bytes(tag.tag_data))
    value = _CLASSES[number].decode(TagList([tag]))
    if number == 8:
        return tuple(bool(bit) for bit in value)
    plain = {1: bool, 4: float, 5: float, 6: bytes, 7: str}
    number_or_text: Value = plain.get(number, int)(value)
    return number_or_text

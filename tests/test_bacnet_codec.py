"""Two decoders on the same octets: ours and the library's must agree, whatever a device sends."""

import math
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from bacpypes3.apdu import (
    APCISequence,
    ConfirmedRequestPDU,
    ReadPropertyMultipleRequest,
    SubscribeCOVRequest,
    WritePropertyRequest,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bacnet import codec, library
from drivers.bacnet.messages import Read, WireError
from drivers.bacnet.objects import Prop, describe, object_id, parse
from drivers.bacnet.tags import (
    DOUBLE,
    REAL,
    Kind,
    Raw,
    Unexpected,
    application,
    bit_string,
    context,
    decode,
    encode,
    read_context,
    signed,
    text,
    unsigned,
)

numbers = st.integers(0, 2**32 - 1)
values = st.one_of(
    st.just(b"\0"),
    st.booleans().map(lambda b: encode(Kind.BOOLEAN, b)),
    numbers.map(lambda n: encode(Kind.UNSIGNED, n)),
    numbers.map(lambda n: encode(Kind.ENUMERATED, n)),
    st.integers(-(2**31), 2**31 - 1).map(lambda n: application(3, signed(n))),
    st.floats(width=32, allow_nan=False).map(lambda x: encode(Kind.REAL, x)),
    st.floats(allow_nan=False).map(lambda x: encode(Kind.DOUBLE, x)),
    st.binary(max_size=300).map(lambda b: application(6, b)),
    st.text(max_size=80).map(text),
    st.lists(st.booleans(), max_size=40).map(bit_string),
    st.binary(min_size=4, max_size=4).map(lambda b: application(12, b)),
)
errors = st.tuples(st.integers(0, 7), st.integers(0, 199)).map(
    lambda e: b"\x5e" + application(9, unsigned(e[0])) + application(9, unsigned(e[1])) + b"\x5f"
)
results = st.one_of(st.lists(values, min_size=1, max_size=3).map(lambda v: b"\x4e" + b"".join(v) + b"\x4f"), errors)
# Property numbers from 512 are proprietary; the library knows those below by name.
elements = st.builds(
    lambda prop, index, value: (
        context(2, unsigned(prop)) + (b"" if index is None else context(3, unsigned(index))) + value
    ),
    st.sampled_from([22, 62, 75, 77, 85, 87, 104, 111, 371, 512, 70000]),
    st.none() | st.integers(0, 300),
    results,
)
objects = st.builds(object_id, st.sampled_from([0, 1, 2, 3, 5, 8, 19, 128, 1023]), st.integers(0, 2**22 - 1))
answers = st.lists(st.tuples(objects, st.lists(elements, max_size=2)), min_size=1, max_size=3).map(
    lambda answer: b"".join(
        context(0, obj.to_bytes(4, "big")) + b"\x1e" + b"".join(parts) + b"\x1f" for obj, parts in answer
    )
)


def same(ours: Sequence[Read], theirs: Sequence[Read]) -> bool:
    return repr(ours) == repr(theirs)  # also equal for NaN, and 1 is not True


@settings(max_examples=60, deadline=None)
@given(answers)
def test_both_decoders_agree_on_every_valid_answer(data: bytes) -> None:
    assert same(codec.fast_read_multiple_ack(data), library.read_multiple_ack(data))


@settings(max_examples=100, deadline=None)
@given(answers, st.data())
def test_damaged_answers_are_refused_or_read_as_the_library_reads_them(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(damaged[: draw.draw(st.integers(0, len(damaged)))])
    try:
        ours = codec.fast_read_multiple_ack(cut)
    except Unexpected:
        return
    try:
        theirs = library.read_multiple_ack(cut)
    except Unexpected:
        return  # the library refuses some numbers that it has no name for
    assert same(ours, theirs)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_unexpected_and_nothing_worse(data: bytes) -> None:
    for read in (codec.read_ack, codec.read_multiple_ack, codec.notification, codec.error_of):
        with suppress(Unexpected):
            read(data)


@settings(max_examples=100, deadline=None)
@given(objects, st.sampled_from([85, 87, 371, 512]), st.none() | st.integers(0, 300), values)
def test_both_decoders_agree_on_a_single_read(obj: int, prop: int, index: int | None, value: bytes) -> None:
    head = context(0, obj.to_bytes(4, "big")) + context(1, unsigned(prop))
    data = head + (b"" if index is None else context(2, unsigned(index))) + b"\x3e" + value + b"\x3f"
    assert repr(codec.fast_read_ack(data)) == repr(library.read_ack(data))


def test_a_constructed_value_is_left_to_the_library_and_the_rest_is_read() -> None:
    constructed = b"\x4e\x0e\x44\x41\xa0\x00\x00\x0f\x4f"
    plain = b"\x29\x55\x4e" + encode(Kind.REAL, 20.5) + b"\x4f"
    data = context(0, object_id(2, 1).to_bytes(4, "big")) + b"\x1e\x29\x57" + constructed + plain + b"\x1f"
    with pytest.raises(Unexpected):
        codec.fast_read_multiple_ack(data)
    array, present = codec.read_multiple_ack(data)
    assert type(array.value).__name__ == "Opaque"
    assert present.value == 20.5


def decoded_by_library(service: int, body: bytes) -> Any:
    pdu = ConfirmedRequestPDU(service, 1)
    pdu.pduData = bytearray(body)
    return APCISequence.decode(pdu)


def test_the_library_reads_our_requests() -> None:
    two = [object_id(2, 3), object_id(5, 7)]
    many = decoded_by_library(14, codec.read_multiple_request(two, (Prop.PRESENT_VALUE, Prop.STATUS_FLAGS)))
    assert isinstance(many, ReadPropertyMultipleRequest)
    assert [str(spec.objectIdentifier) for spec in many.listOfReadAccessSpecs] == ["analog-value,3", "binary-value,7"]
    write = decoded_by_library(15, codec.write_request(two[0], 85, encode(Kind.REAL, 21.5), 13))
    assert isinstance(write, WritePropertyRequest)
    assert (write.priority, str(write.propertyIdentifier)) == (13, "present-value")
    subscribe = decoded_by_library(5, codec.subscribe_request(9, two[1], 300, confirmed=True))
    assert isinstance(subscribe, SubscribeCOVRequest)
    assert (subscribe.subscriberProcessIdentifier, subscribe.lifetime) == (9, 300)
    assert subscribe.issueConfirmedNotifications
    cancel = decoded_by_library(5, codec.subscribe_request(9, two[1], None))
    assert cancel.lifetime is None
    assert cancel.issueConfirmedNotifications is None


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_numbers_survive(number: int) -> None:
    assert decode(application(3, signed(number)), 0)[0] == number


@given(st.floats(width=32), st.floats())
def test_floating_numbers_survive(single: float, double: float) -> None:
    back, _ = decode(encode(Kind.REAL, single), 0)
    assert REAL.pack(back) == REAL.pack(single) or (math.isnan(back) and math.isnan(single))
    back, _ = decode(encode(Kind.DOUBLE, double), 0)
    assert DOUBLE.pack(back) == DOUBLE.pack(double) or (math.isnan(back) and math.isnan(double))


@given(st.integers(0, 254), st.integers(0, 2**32 - 1))
def test_context_numbers_survive(tag: int, number: int) -> None:
    tag %= 15
    assert read_context(context(tag, unsigned(number)), 0, tag)[0] == number


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Kind.ENUMERATED, 0.5), (Kind.UNSIGNED, -1), (Kind.BOOLEAN, 2), (Kind.REAL, 1e300), (Kind.SIGNED, 1.25)],
)
def test_a_number_that_its_kind_cannot_hold_is_refused(kind: Kind, value: float) -> None:
    with pytest.raises(ValueError, match="not "):
        encode(kind, value)


def test_a_captured_answer() -> None:
    # ReadPropertyMultiple-ACK of the standard's example F.3.7: analog-input 16, present-value 42.3 and reliability.
    data = bytes.fromhex("0c00000010 1e 2955 4e 4442293333 4f 2967 4e 9100 4f 1f".replace(" ", ""))
    value, reliability = codec.fast_read_multiple_ack(data)
    assert value == Read(object_id(0, 16), 85, None, struct.unpack(">f", struct.pack(">f", 42.3))[0])
    assert reliability.value == 0


def test_errors_are_told_in_words() -> None:
    assert str(codec.error_of(b"\x91\x01\x91\x1f")) == "object: unknown-object"
    assert codec.error_of(b"\x91\x02\x92\x01\x00") == WireError(2, 256)


@pytest.mark.parametrize(
    ("address", "cure"),
    [
        ("analog-value", "type,instance"),
        ("analog-value,x", "type,instance"),
        ("analog-value,4194303", "between 0 and 4194302"),
        ("calendar,1", "types with a numeric value"),
        ("127,1", "types with a numeric value"),
    ],
)
def test_a_bad_address_says_what_to_write(address: str, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        parse(address)


def test_addresses_are_read_and_written() -> None:
    assert parse(" analog-value , 3 ") == object_id(2, 3)
    assert describe(parse("binary-output,12")) == "binary-output,12"
    assert parse("128,5") == object_id(128, 5)


def test_dates_and_identifiers_stay_raw() -> None:
    assert decode(b"\xa4\x7b\x02\x06\x01", 0) == (Raw(10, b"\x7b\x02\x06\x01"), 5)

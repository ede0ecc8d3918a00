"""What requests and answers mean, whichever decoder read them."""

from enum import IntEnum
from typing import NamedTuple

from bacpypes3.apdu import ErrorCode
from bacpypes3.basetypes import ErrorClass

from drivers.bacnet.tags import Decoded


class Service(IntEnum):
    """Confirmed services that we use (clause 21, BACnetConfirmedServiceChoice)."""

    CONFIRMED_COV_NOTIFICATION = 1
    SUBSCRIBE_COV = 5
    READ_PROPERTY = 12
    READ_PROPERTY_MULTIPLE = 14
    WRITE_PROPERTY = 15


class WireError(NamedTuple):
    """An error class and code where a value was asked for."""

    error_class: int
    error_code: int

    def __str__(self) -> str:
        return f"{ErrorClass(self.error_class)}: {ErrorCode(self.error_code)}"


class Read(NamedTuple):
    """One property out of an answer; a list or an array is a tuple of values."""

    obj: int
    prop: int
    element: int | None  # of an array, from 1; None = the whole property
    value: Decoded | WireError


class Notification(NamedTuple):
    """A change of value that a device reports."""

    process: int
    obj: int
    values: tuple[tuple[int, Decoded], ...]  # property and value

"""Confirmed requests and their answers as bytes, through the library's transactions; COV notifications come in here."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from bacpypes3.apdu import (
    AbortPDU,
    AbortReason,
    ComplexAckPDU,
    ConfirmedRequestPDU,
    ErrorPDU,
    RejectPDU,
    RejectReason,
    SimpleAckPDU,
)
from bacpypes3.appservice import ABORTED, ApplicationServiceAccessPoint, ClientSSM
from bacpypes3.basetypes import Segmentation

from drivers.bacnet.codec import error_of, notification
from drivers.bacnet.messages import Notification, Service, WireError
from drivers.bacnet.tags import Unexpected
from drivers.base import NotReachable, Rejected

MAX_APDU: Final = 1476  # octets that BACnet/IP can carry, clause 6.2
MAX_SEGMENTS: Final = 64
SEGMENTS_S: Final = 10.0  # for an answer in many segments, beyond the time-outs of the first
_TOO_LARGE: Final = frozenset({1, 4, 9, 11})  # abort: buffer-overflow, no segmentation, resources, apdu-too-long
_TOO_MANY: Final = frozenset({1, 7})  # reject: buffer-overflow, too-many-arguments


class Refused(Rejected):
    """An Error, a Reject or nonsense in answer to a request."""

    def __init__(self, message: str, *, error: WireError | None = None, reject: int | None = None) -> None:
        super().__init__(message)
        self.error = error  # None = it was no Error
        self.reject = reject  # reason; None = it was no Reject


class Aborted(NotReachable):
    """The device broke the exchange off; another time it may not."""


class TooLarge(Aborted):
    """The device cannot answer that much at once."""


class Access(ApplicationServiceAccessPoint):  # type: ignore[misc]  # the library is not typed
    """Carries requests as bytes through the library's transactions, so that its slow codec is never used.

    Segmentation, retries and time-outs remain the library's; its decoding, and its search for a free invoke
    identifier (which never ends when 256 requests are open to one device), are replaced.
    """

    def __init__(self, cache: Any) -> None:
        super().__init__(None, cache)  # without a device object a transaction takes its limits from here, far faster
        self.maxApduLengthAccepted = MAX_APDU
        self.segmentationSupported = Segmentation.segmentedBoth
        self.maxSegmentsAccepted = MAX_SEGMENTS
        self._waiting: dict[tuple[Any, int], asyncio.Future[Any]] = {}
        self._next = 0
        self._processes = 0
        self._listeners: dict[int, tuple[Any, Callable[[Notification], None]]] = {}

    async def ask(self, address: Any, service: Service, body: bytes, *, timeout_s: float, retries: int) -> bytes:
        """Send a confirmed request and return the body of its answer, empty for a simple acknowledgement.

        Raises NotReachable after 1 + `retries` times `timeout_s` of silence, TooLarge and Aborted (kinds of
        NotReachable) and Refused (a kind of Rejected). Cancelling leaves nothing behind.
        """
        invoke = self._free_invoke_id(address)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = ConfirmedRequestPDU(int(service), invoke, destination=address)
        request.pduData = bytearray(body)
        transaction = ClientSSM(self, address)
        transaction.apduTimeout = int(timeout_s * 1000)
        transaction.numberOfApduRetries = retries
        self.clientTransactions.append(transaction)
        self._waiting[address, invoke] = answer
        try:
            async with asyncio.timeout(timeout_s * (1 + retries) + SEGMENTS_S):
                await transaction.indication(request)
                return _body(address, await answer)
        except TimeoutError:
            raise NotReachable(f"{address}: the answer did not end in {SEGMENTS_S} s") from None
        finally:
            del self._waiting[address, invoke]
            if transaction in self.clientTransactions:
                transaction.set_state(ABORTED)  # stops its timers and takes it off the list

    def _free_invoke_id(self, address: Any) -> int:
        for _ in range(256):
            invoke, self._next = self._next, (self._next + 1) % 256
            if (address, invoke) not in self._waiting:
                return invoke
        raise NotReachable(f"{address}: 256 requests are open already")

    async def sap_response(self, apdu: Any) -> None:
        """Hand an answer to who waits for it, undecoded; never suspends, so no retry can slip in between."""
        waiting = self._waiting.get((apdu.pduSource, apdu.apduInvokeID))
        if waiting is None:
            await super().sap_response(apdu)
        elif not waiting.done():
            waiting.set_result(apdu)

    def listen(self, address: Any, listener: Callable[[Notification], None]) -> int:
        """Call `listener` with each COV notification from `address`; subscribe with the process identifier returned."""
        self._processes += 1
        self._listeners[self._processes] = (address, listener)
        return self._processes

    def forget(self, process: int) -> None:
        """End what `listen` began."""
        self._listeners.pop(process, None)

    async def confirmation(self, pdu: Any) -> None:
        """Take COV notifications out of the stream; all else is the library's."""
        data = pdu.pduData
        if len(data) > 2 and data[0] == 0x10 and data[1] == 2:
            self._notify(pdu.pduSource, bytes(data[2:]))
        elif len(data) > 4 and data[0] & 0xF8 == 0 and data[3] == Service.CONFIRMED_COV_NOTIFICATION:
            if self._notify(pdu.pduSource, bytes(data[4:])):
                answer = SimpleAckPDU(int(data[3]), int(data[2]), destination=pdu.pduSource)
            else:  # services: unknown-subscription
                answer = ErrorPDU(int(data[3]), int(data[2]), destination=pdu.pduSource)
                answer.pduData = bytearray(b"\x91\x05\x91\x4f")
            await self.request(answer)
        else:
            await super().confirmation(pdu)

    def _notify(self, source: Any, body: bytes) -> bool:
        try:
            news = notification(body)
        except Unexpected:
            return False
        address, listener = self._listeners.get(news.process, (None, None))
        if listener is None or address != source:
            return False
        listener(news)
        return True

    def abandon(self) -> None:
        """Stop every open transaction, so that none fires after the socket is closed."""
        for transaction in [*self.clientTransactions, *self.serverTransactions]:
            transaction.set_state(ABORTED)


def _body(address: Any, apdu: Any) -> bytes:
    if isinstance(apdu, ComplexAckPDU):
        return bytes(apdu.pduData)
    if isinstance(apdu, SimpleAckPDU):
        return b""
    if isinstance(apdu, ErrorPDU):
        try:
            error = error_of(bytes(apdu.pduData))
        except Unexpected:
            raise Refused(f"{address}: an error that cannot be read") from None
        raise Refused(f"{address}: {error}", error=error)
    reason = int(apdu.apduAbortRejectReason)
    if isinstance(apdu, RejectPDU):
        if reason in _TOO_MANY:
            raise TooLarge(f"{address}: rejected, {RejectReason(reason)}")
        raise Refused(f"{address}: rejected, {RejectReason(reason)}", reject=reason)
    if isinstance(apdu, AbortPDU) and reason == AbortReason.noResponse:
        raise NotReachable(f"{address}: no answer")
    kind = TooLarge if reason in _TOO_LARGE else Aborted
    raise kind(f"{address}: aborted, {AbortReason(reason)}")

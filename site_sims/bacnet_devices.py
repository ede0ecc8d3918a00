"""Simulated BACnet/IP devices: a field's objects behind real packets, one UDP port for each device.

The answers are made by a responder of our own, since the library's server takes some 250 us a point. It does what
the standard asks of such a device, and on request the things that real devices do instead.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from drivers.bacnet.tags import Kind, Unexpected, application, context, decode, encode, read_context, unsigned
from drivers.clock import Clock
from site_sims.bacnet_cov import Address, Reports
from site_sims.bacnet_objects import ENUMERATED, OBJECT_ID, Encoder, Refusal, SimulatedDevice, SimulatedPoint, expanded
from site_sims.field import SLOTS, Field, FieldDevice

_MAX_APDU: Final = (50, 128, 206, 480, 1024, 1476)  # what a client may say it accepts, clause 20.1.2.5
_CACHED: Final = 64  # prepared answers; a poller repeats its requests
_SEGMENTATION_NOT_SUPPORTED: Final = 4  # abort reason
_INVALID_TAG, _PARAMETER_OUT_OF_RANGE, _UNRECOGNISED_SERVICE = 4, 6, 9  # reject reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a device differs from the standard's ideal; the default does not."""

    max_apdu: int = 1476  # octets it accepts and sends
    announced_apdu: int | None = None  # what it says it accepts; None = the truth
    read_multiple: bool = True  # False = ReadPropertyMultiple is not recognised
    cov: bool = True  # False = SubscribeCOV is not recognised
    cov_increment: float = 0.1  # of analogue objects
    all_or_nothing: bool = False  # one unknown object spoils a whole ReadPropertyMultiple
    silent_when_large: bool = False  # drops what does not fit instead of aborting
    delay_s: float = 0.0  # before each answer
    lose: Callable[[], bool] = lambda: False  # asked for each answer: lost on the way?


class _Reject(Exception):  # noqa: N818  an answer, not a failure
    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


class _Request(NamedTuple):
    source: Address
    invoke: int
    service: int
    room: int  # octets that the client accepts
    body: bytes


class BacnetServer(asyncio.DatagramProtocol):
    """One simulated device on its socket; made inside the running loop."""

    def __init__(self, device: FieldDevice, *, clock: Clock, behaviour: Behaviour) -> None:
        self.device, self.behaviour = device, behaviour
        self.requests = 0  # confirmed requests that reached the device
        self._announced = behaviour.announced_apdu or behaviour.max_apdu
        self._objects = SimulatedDevice(
            device, max_apdu=self._announced, increment=behaviour.cov_increment, now=clock.now
        )
        self._reports = Reports(device.instance, self._send)
        self._transport: asyncio.DatagramTransport | None = None
        self._prepared: dict[bytes, list[bytes | Encoder]] = {}
        self._services: dict[int, Callable[[_Request], bytes]] = {12: self._read, 15: self._write}
        if behaviour.read_multiple:
            self._services[14] = self._read_multiple
        if behaviour.cov:
            self._services[5] = self._subscribe

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # UDP only
        self._transport = transport

    @property
    def subscriptions(self) -> int:
        """How many subscriptions it holds."""
        return len(self._reports)

    def forget_subscriptions(self) -> None:
        """What a restart of the device does."""
        self._reports.close()

    def close(self) -> None:
        """Stop answering and reporting."""
        self._reports.close()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not self.device.reachable or len(data) < 8 or data[0] != 0x81 or data[1] not in {0x0A, 0x0B}:
            return
        control, at = data[5], 6
        if data[4] != 1 or control & 0x88:  # network messages, and sources behind a router
            return
        if control & 0x20:  # a destination network: a global broadcast
            at += 4 + data[8]
        apdu = data[at:]
        if not apdu:
            return
        kind = apdu[0] >> 4
        if kind == 0 and len(apdu) >= 4:
            self._confirmed(apdu, addr)
        elif kind == 1 and apdu[1:2] == b"\x08":
            self._who_is(apdu[2:], addr)
        elif kind in {2, 5, 6, 7} and len(apdu) > 1:
            self._reports.answered(addr, apdu[1])

    def _confirmed(self, apdu: bytes, addr: Address) -> None:
        self.requests += 1
        invoke, code = apdu[2], apdu[1] & 0x0F
        room = min(self.behaviour.max_apdu, _MAX_APDU[min(code, 5)])
        request = _Request(addr, invoke, apdu[3], room, apdu[4:])
        too_long = bytes((0x71, invoke, _SEGMENTATION_NOT_SUPPORTED))
        answer = too_long if apdu[0] & 8 else self._answer(request)
        if len(answer) > room:
            if self.behaviour.silent_when_large:
                return
            answer = too_long
        if self.behaviour.lose():
            return
        if self.behaviour.delay_s:
            asyncio.get_running_loop().call_later(self.behaviour.delay_s, self._send, addr, answer)
        else:
            self._send(addr, answer)

    def _answer(self, request: _Request) -> bytes:
        try:
            return self._services.get(request.service, _unrecognised)(request)
        except Refusal as refusal:
            return bytes((0x50, request.invoke, request.service)) + refusal.body
        except _Reject as reject:
            return bytes((0x60, request.invoke, reject.reason))
        except (Unexpected, IndexError):
            return bytes((0x60, request.invoke, _INVALID_TAG))

    def _send(self, addr: Address, apdu: bytes) -> None:
        if self._transport is None or not self.device.reachable:
            return
        expecting_reply = 4 if apdu[0] >> 4 == 0 else 0
        head = b"\x81\x0a" + (len(apdu) + 6).to_bytes(2, "big") + bytes((1, expecting_reply))
        self._transport.sendto(head + apdu, addr)

    def _who_is(self, body: bytes, addr: Address) -> None:
        if body:
            low, at = read_context(body, 0, 0)
            high, _ = read_context(body, at, 1)
            if not low <= self.device.instance <= high:
                return
        identifier = application(OBJECT_ID, self._objects.identifier.to_bytes(4, "big"))
        limits = encode(Kind.UNSIGNED, self._announced) + application(ENUMERATED, b"\3")
        self._send(addr, b"\x10\0" + identifier + limits + encode(Kind.UNSIGNED, 999))

    def _read(self, request: _Request) -> bytes:
        identifier, at = read_context(request.body, 0, 0)
        prop, at = read_context(request.body, at, 1)
        element = read_context(request.body, at, 2)[0] if at < len(request.body) else None
        found = self._objects.find(identifier)
        value = found.read(prop, element)
        head = context(0, found.identifier.to_bytes(4, "big")) + context(1, unsigned(prop))
        if element is not None:
            head += context(2, unsigned(element))
        return bytes((0x30, request.invoke, 12)) + head + b"\x3e" + value + b"\x3f"

    def _read_multiple(self, request: _Request) -> bytes:
        parts = self._prepared.get(request.body)
        if parts is None:
            if len(self._prepared) >= _CACHED:
                self._prepared.clear()
            parts = self._prepared[request.body] = self._prepare(request.body)
        values = [part if isinstance(part, bytes) else part() for part in parts]
        return bytes((0x30, request.invoke, 14)) + b"".join(values)

    def _prepare(self, body: bytes) -> list[bytes | Encoder]:
        """The answer to a ReadPropertyMultiple: fixed octets, and encoders for what changes."""
        parts: list[bytes | Encoder] = []
        at = 0
        while at < len(body):
            identifier, at = read_context(body, at, 0)
            if body[at] != 0x1E:
                raise Unexpected("no list of properties")
            at += 1
            wanted: list[tuple[int, int | None]] = []
            while body[at] != 0x1F:
                prop, at = read_context(body, at, 0)
                element = None
                if body[at] & 0xF8 == 0x18 and body[at] & 7 < 6:
                    element, at = read_context(body, at, 1)
                wanted.append((prop, element))
            at += 1
            parts += self._parts_of(identifier, wanted)
        return parts

    def _parts_of(self, identifier: int, wanted: list[tuple[int, int | None]]) -> list[bytes | Encoder]:
        found = self._objects.objects.get(identifier)
        if found is None and self.behaviour.all_or_nothing:
            self._objects.find(identifier)
        parts: list[bytes | Encoder] = [context(0, (found.identifier if found else identifier).to_bytes(4, "big"))]
        parts.append(b"\x1e")
        for asked, element in wanted:
            for prop in [asked] if found is None else expanded(found, [asked]):
                head = context(2, unsigned(prop)) + (b"" if element is None else context(3, unsigned(element)))
                try:
                    encoder = self._objects.find(identifier).encoder(prop, element)
                except Refusal as refusal:
                    parts.append(head + b"\x5e" + refusal.body + b"\x5f")
                else:
                    parts += [head + b"\x4e", encoder, b"\x4f"]
        return [*parts, b"\x1f"]

    def _write(self, request: _Request) -> bytes:
        body = request.body
        identifier, at = read_context(body, 0, 0)
        prop, at = read_context(body, at, 1)
        element = None
        if body[at] >> 4 == 2:
            element, at = read_context(body, at, 2)
        if body[at] != 0x3E:
            raise Unexpected("no value")
        start = at = at + 1
        while body[at] != 0x3F:
            _, at = decode(body, at)
        priority = read_context(body, at + 1, 4)[0] if at + 1 < len(body) else SLOTS
        if not 1 <= priority <= SLOTS:
            raise _Reject(_PARAMETER_OUT_OF_RANGE)
        self._objects.find(identifier).write(prop, element, body[start:at], priority)
        return bytes((0x20, request.invoke, 15))

    def _subscribe(self, request: _Request) -> bytes:
        process, at = read_context(request.body, 0, 0)
        identifier, at = read_context(request.body, at, 1)
        found = self._objects.find(identifier)
        if not isinstance(found, SimulatedPoint):
            raise Refusal(1, 45)  # object: optional-functionality-not-supported
        if at == len(request.body):
            self._reports.cancel(request.source, process, found)
        else:
            confirmed, at = read_context(request.body, at, 2)
            lifetime_s = read_context(request.body, at, 3)[0] if at < len(request.body) else 0
            self._reports.subscribe(request.source, process, found, lifetime_s=lifetime_s, confirmed=bool(confirmed))
        return bytes((0x20, request.invoke, 5))


def _unrecognised(_request: _Request) -> bytes:
    raise _Reject(_UNRECOGNISED_SERVICE)


@asynccontextmanager
async def serve_bacnet(
    field: Field, *, clock: Clock, host: str = "127.0.0.1", behaviours: Mapping[str, Behaviour] | None = None
) -> AsyncIterator[dict[str, BacnetServer]]:
    """Serve the BACnet devices of a field until left; yields the servers by device id.

    A device with port 0 is given a free one, which is written into its `port`. `behaviours` by device id. Raises
    OSError if a port is taken.
    """
    loop = asyncio.get_running_loop()
    servers: dict[str, BacnetServer] = {}
    try:
        for device in field.of("bacnet"):
            server = BacnetServer(device, clock=clock, behaviour=(behaviours or {}).get(device.id, Behaviour()))
            transport, _ = await loop.create_datagram_endpoint(lambda made=server: made, (host, device.port))  # type: ignore[misc]  # the default binds early
            device.port = transport.get_extra_info("sockname")[1]
            servers[device.id] = server
        yield servers
    finally:
        for server in servers.values():
            server.close()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop

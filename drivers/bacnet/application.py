"""One UDP socket for all BACnet devices, with the library's network layers on it."""

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any, Final

from bacpypes3.apdu import ConfirmedRequestPDU, RejectPDU
from bacpypes3.app import Application
from bacpypes3.comm import bind
from bacpypes3.errors import UnrecognizedService
from bacpypes3.ipv4.link import NormalLinkLayer
from bacpypes3.local.device import DeviceObject
from bacpypes3.netservice import NetworkServiceAccessPoint, NetworkServiceElement
from bacpypes3.pdu import IPv4Address

from drivers.bacnet.access import MAX_APDU, MAX_SEGMENTS, Access
from drivers.bacnet.objects import WILDCARD
from drivers.base import NotReachable
from drivers.registry import Shared

OWN_INSTANCE: Final = WILDCARD - 1
START_S: Final = 5.0
_SERVED: Final = frozenset({"ReadPropertyRequest", "ReadPropertyMultipleRequest", "WhoIsRequest"})


class Port(Application):  # type: ignore[misc]  # the library is not typed
    """The library's stack on one socket; it answers reads and Who-Is, and nobody may command it."""

    def __init__(self, own_socket: socket.socket) -> None:
        super().__init__()
        host, port = own_socket.getsockname()
        address = IPv4Address((host, port))
        device = DeviceObject(
            objectIdentifier=("device", OWN_INSTANCE),
            objectName="Plenum",
            maxApduLengthAccepted=MAX_APDU,
            segmentationSupported="segmentedBoth",
            maxSegmentsAccepted=MAX_SEGMENTS,
        )
        self.asap = self.access = Access(self.device_info_cache)
        self.nsap = NetworkServiceAccessPoint()
        self.nse = NetworkServiceElement()
        bind(self.nse, self.nsap)
        bind(self, self.asap, self.nsap)
        self.link = NormalLinkLayer(address, bind_socket=own_socket)
        self.nsap.bind(self.link, address=address)
        self.add_object(device)

    async def indication(self, apdu: Any) -> None:
        """Serve what a client must serve; a stranger's write or communication control is not recognised."""
        name = type(apdu).__name__
        if name in _SERVED:
            await super().indication(apdu)
        elif isinstance(apdu, ConfirmedRequestPDU):
            await self.response(RejectPDU(reason=UnrecognizedService.rejectReason, context=apdu))

    async def started(self) -> None:
        """Return when the socket is served; raises NotReachable after a while."""
        ready = self.link.server._local_transport_ready  # noqa: SLF001  the library has no public sign of it
        try:
            async with asyncio.timeout(START_S):
                await ready.wait()
        except TimeoutError:
            raise NotReachable(f"the BACnet socket did not start in {START_S} s") from None

    async def stop(self) -> None:
        """Close the socket and end all transactions."""
        self.access.abandon()
        self.link.close()
        await asyncio.sleep(0)  # the transport closes in the next turn of the loop


def _bound(host: str, port: int) -> socket.socket:
    """A socket of our own: the library's would share its port with a second process without a word."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.bind((host, port))
    except OSError as err:
        made.close()
        raise NotReachable(
            f"cannot open UDP {host}:{port} for BACnet ({err.strerror}); stop the program that uses it"
            " (`ss -ulpn` names it) or choose another `bind` in the device's options"
        ) from None
    return made


async def open_port(shared: Shared, host: str, port: int) -> Port:
    """The one port of that address, opened by the first device that asks. Raises NotReachable."""

    async def make(stack: AsyncExitStack) -> Port:
        opened = Port(_bound(host, port))
        try:
            await opened.started()
        except BaseException:
            await opened.stop()
            raise
        stack.push_async_callback(opened.stop)
        return opened

    return await shared.get(("bacnet", host, port), make)

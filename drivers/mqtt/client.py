"""aiomqtt with its gaps closed, for our connection and for the simulated devices alike.

Messages are handed over where they arrive instead of through a queue with a task each. A connection attempt that is
cancelled or times out leaves nothing behind, and no cancellation is lost: aiomqtt waits with `asyncio.wait_for`, which
in Python 3.11 swallows one that comes together with the answer. Who waits for an answer learns at once that the
connection is gone. A client wakes when its keep-alive is due, not every second, and notices a dead broker within 1.5
keep-alives. The only file that touches private attributes of aiomqtt.
"""

import asyncio
import logging
import math
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

T = TypeVar("T")
CONNECT_S = 10.0  # for the handshakes of TCP and TLS and the broker's word of welcome
ANSWER_S = 5.0  # for the broker to acknowledge
REFUSED = 0x80  # MQTT 3.1.1 clause 3.9.3: failure
IN_FLIGHT = 32  # messages on their way at once; more wait their turn
NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Nagle's rule holds an acknowledgement for 40 ms

Deliver = Callable[[str, bytes, bool], None]  # topic, payload, retained
log = logging.getLogger(__name__)
wire = logging.getLogger("drivers.mqtt.wire")  # paho's own words; lower its level to see them
wire.setLevel(logging.CRITICAL)  # its errors reach us as errors too, and a lost device is told of once


class _Socket(ssl.SSLSocket):
    """Closed when the handshake fails; paho forgets to."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  the base class has it so
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class Client(aiomqtt.Client):
    """One connection, used once: `await open()`, then `send` and `listen`, then `await close()`.

    `deliver` is called for each message, `lost` once when an open connection ends by itself; neither may wait.
    `keepalive` is in seconds, 0 for none.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        deliver: Deliver,
        lost: Callable[["Client", BaseException | None], None],
        identifier: str | None = None,
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        will: aiomqtt.Will | None = None,
        keepalive: int = 60,
    ) -> None:
        super().__init__(
            host,
            port,
            identifier=identifier,
            username=username,
            password=password,
            tls_context=tls,
            will=will,
            clean_session=identifier is None,  # a nameless client has nothing to come back to
            keepalive=int(keepalive * 0.7),  # paho asks after one of its own, and gives up after another
            timeout=math.inf,  # the waits here have time-outs of their own
            max_concurrent_outgoing_calls=IN_FLIGHT,
            socket_options=(NODELAY,),
            logger=wire,
        )
        self.pending_calls_threshold = 2 * IN_FLIGHT
        self._client.connect_timeout = CONNECT_S / 2
        if tls is not None:
            tls.sslsocket_class = _Socket
        self._deliver, self._lost = deliver, lost
        self._is_abandoned = False
        self._waits: dict[asyncio.Timeout, None] = {}  # an ordered set: who waits for an answer
        self.delivering: str | None = None  # topic whose message `deliver` is at; left standing if it raised

    async def open(self) -> None:
        """Connect; raises aiomqtt.MqttError and then leaves nothing behind."""
        try:
            await self._within(CONNECT_S, self.__aenter__())
        except BaseException:
            self.abandon()
            raise
        self._disconnected.add_done_callback(self._ended)

    async def close(self) -> None:
        """Disconnect in order, in at most ANSWER_S."""
        self._disconnected.remove_done_callback(self._ended)
        try:
            await self._within(ANSWER_S, self.__aexit__(None, None, None))
        except aiomqtt.MqttError as error:
            log.debug("closing: %s", error)
        finally:
            self.abandon()
        await self.settled()

    async def send(self, topic: str, payload: str | bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Return once the broker has acknowledged (QoS 1) or it is sent (QoS 0); raises aiomqtt.MqttError."""
        await self._within(ANSWER_S, self.publish(topic, payload, qos=qos, retain=retain))

    async def listen(self, topics: Mapping[str, int]) -> frozenset[str]:
        """Subscribe to topics with their QoS; returns those refused to us. Raises aiomqtt.MqttError."""
        granted = await self._within(ANSWER_S, self.subscribe(list(topics.items())))
        codes = [code if isinstance(code, int) else code.value for code in granted]
        return frozenset(topic for topic, code in zip(topics, codes, strict=True) if code >= REFUSED)

    async def _within(self, seconds: float, call: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer, as long as there can be one."""
        try:
            async with asyncio.timeout(seconds) as wait:
                self._waits[wait] = None
                try:
                    return await call
                finally:
                    del self._waits[wait]
        except TimeoutError:
            gone = self._disconnected.done()
            raise aiomqtt.MqttError("connection lost" if gone else f"no answer in {seconds:g} s") from None

    def abandon(self) -> None:
        """Drop the connection without a word, even while it is being made. Call it in the loop."""
        self._is_abandoned = True
        self._loop.call_soon(self._drop)  # after what paho's connecting thread has already asked of the loop

    async def settled(self) -> None:
        """Return once the task that aiomqtt keeps beside a connection has ended after `abandon`."""
        while self._misc_task is not None and not self._misc_task.done():
            await asyncio.sleep(0)

    def _ended(self, ended: "asyncio.Future[None]") -> None:
        reason = None if ended.cancelled() else ended.exception()
        self.abandon()
        for wait in self._waits:
            wait.reschedule(self._loop.time())
        self._lost(self, reason)

    def _drop(self) -> None:
        self._client._sock_close()  # noqa: SLF001  paho has no public way to close without a handshake
        for told in (self._connected, self._disconnected):
            if told.done() and not told.cancelled():
                told.exception()  # asyncio complains of errors that nobody looked at

    def _client_connect(self) -> None:
        super()._client_connect()
        if self._is_abandoned:  # nobody waits for this thread any more
            self._loop.call_soon_threadsafe(self._drop)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if self._connected.done():
            super()._on_disconnect(client, userdata, flags, reason_code, properties)
        else:  # aiomqtt would wait for the welcome until the end of its patience
            self._connected.set_exception(
                aiomqtt.MqttError("the broker hung up; does it speak TLS or want a certificate?")
            )

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ARG002
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self.delivering = topic
        self._deliver(topic, bytes(message.payload), message.retain)
        self.delivering = None

    async def _misc_loop(self) -> None:
        while self._keepalive > 0 and self._client.loop_misc() == paho.MQTT_ERR_SUCCESS:
            oldest = min(self._client._last_msg_out, self._client._last_bytes_received)  # noqa: SLF001
            left = oldest + self._keepalive - paho.time_func()
            await asyncio.sleep(max(1.0, left))

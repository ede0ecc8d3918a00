"""aiomqtt with its gaps closed, for our connection and for the simulated devices alike.

Messages are handed over where they arrive instead of through a queue with a task each; a connection attempt that is
cancelled or times out leaves nothing behind; a client wakes when its keep-alive is due, not every second; a dead
broker is noticed within 1.5 keep-alives. The only file that touches private attributes of aiomqtt.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiomqtt
import paho.mqtt.client as paho

CONNECT_S = 5.0  # for the TCP and TLS handshakes, and as long again for the broker's word of welcome
IN_FLIGHT = 32  # messages on their way at once; more wait their turn
NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Nagle's rule holds an acknowledgement for 40 ms

Deliver = Callable[[str, bytes, bool], None]  # topic, payload, retained
log = logging.getLogger(__name__)


class Client(aiomqtt.Client):
    """One connection, used once: `await open()`, then `publish` and `subscribe`, then `await close()`.

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
            timeout=CONNECT_S,
            max_concurrent_outgoing_calls=IN_FLIGHT,
            socket_options=(NODELAY,),
            logger=log,
        )
        self.pending_calls_threshold = 2 * IN_FLIGHT
        self._client.connect_timeout = CONNECT_S
        self._deliver, self._lost = deliver, lost
        self._is_abandoned = False
        self.delivering: str | None = None  # topic whose message `deliver` is at; left standing if it raised

    async def open(self) -> None:
        """Connect; raises aiomqtt.MqttError (OSError for files) and then leaves nothing behind."""
        try:
            await self.__aenter__()
        except BaseException:
            self.abandon()
            raise
        self._disconnected.add_done_callback(self._ended)

    async def close(self) -> None:
        """Say goodbye and disconnect, in at most CONNECT_S."""
        self._disconnected.remove_done_callback(self._ended)
        try:
            await self.__aexit__(None, None, None)
        except aiomqtt.MqttError as error:
            log.debug("closing: %s", error)
        finally:
            self.abandon()
        await self.settled()

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
        self._lost(self, reason)

    def _drop(self) -> None:
        self._client._sock_close()  # noqa: SLF001  paho has no public way to close without a handshake

    def _client_connect(self) -> None:
        super()._client_connect()
        if self._is_abandoned:  # nobody waits for this thread any more
            self._loop.call_soon_threadsafe(self._drop)

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

"""One connection to one broker, shared by the devices behind it.

There is no task here: whoever needs a lost connection opens it again, one at a time and not too often, and everybody
who used it is told at once when it goes.
"""

import asyncio
import os
import random
import ssl
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from drivers.base import NotReachable, Reading
from drivers.mqtt.client import Client
from drivers.mqtt.options import Broker

BACKOFF_S = (1.0, 2.0, 4.0, 8.0)  # mean pause between attempts, by failures so far
UNCLAIMED = 1000  # messages kept for devices that have not come back yet
UNSPECIFIED = 0x80  # paho's reason when the other end closes the connection


class Listener(Protocol):
    """A device behind the broker. Neither call may wait or raise."""

    def heard(self, topic: str, payload: bytes, *, retained: bool) -> None: ...

    def lost(self, reason: str, bug: BaseException | None) -> None:
        """Hear that the connection is gone; `bug` is what a listener raised, if that was why."""


class Connection:
    """A connection that devices share; `newest` outlives both its breaks and the drivers."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.newest: dict[str, Reading] = {}  # by point: what was last heard of it
        self.counts: Counter[str] = Counter()  # opened, lost, failed, unclaimed
        self._client: Client | None = None
        self._topics: dict[str, list[Listener]] = {}
        self._unclaimed: deque[tuple[str, bytes, bool]] = deque(maxlen=UNCLAIMED)
        self._opening = asyncio.Lock()
        self._random = random.Random(broker.identifier or f"{broker.host}:{broker.port}")
        self._failures = 0  # in a row
        self._not_before = 0.0  # loop time of the next attempt
        self._why = f"{self.name}: not connected"

    @property
    def name(self) -> str:
        return f"MQTT broker {self.broker.host}:{self.broker.port}"

    @property
    def is_up(self) -> bool:
        return self._client is not None

    async def open(self) -> None:
        """Return once connected; raises NotReachable.

        Attempts are paused for by at most 12 s, longer after each failure and by chance, so that the clients of a
        broker that comes back do not come all at once.
        """
        attempts = self.counts["failed"]
        async with self._opening:
            if self.is_up:
                return
            if self.counts["failed"] != attempts:
                raise NotReachable(self._why)  # somebody has just tried for us
            await asyncio.sleep(max(0.0, self._not_before - asyncio.get_running_loop().time()))
            try:
                await self._connect()
            except (aiomqtt.MqttError, OSError, UnicodeError) as error:
                self.counts["failed"] += 1
                self._why = f"{self.name}: {_reason(error)}"
                self._pause()
                raise NotReachable(self._why) from None

    async def subscribe(self, topics: Mapping[str, int], listener: Listener) -> frozenset[str]:
        """Hear these topics (with their QoS) from now on; what the broker has retained comes first.

        Returns the topics that the broker refuses to us. Raises NotReachable.
        """
        for topic in topics:
            listeners = self._topics.setdefault(topic, [])
            if listener not in listeners:
                listeners.append(listener)
        if not topics:
            return frozenset()
        for message in [kept for kept in self._unclaimed if kept[0] in topics]:
            self._unclaimed.remove(message)
            listener.heard(message[0], message[1], retained=message[2])
        try:
            return await self._up().listen(topics)
        except aiomqtt.MqttError as error:
            raise NotReachable(f"{self.name}: subscribing: {error}") from None

    def forget(self, listener: Listener) -> None:
        """Deliver nothing to that listener any more. The broker is not asked to stop: reopening asks it to repeat."""
        for topic, listeners in list(self._topics.items()):
            if listener in listeners:
                listeners.remove(listener)
            if not listeners:
                del self._topics[topic]

    async def publish(self, topic: str, payload: str, *, qos: int, retain: bool) -> None:
        """Return once the broker has acknowledged (QoS 1) or it is sent (QoS 0); raises NotReachable.

        Nothing is kept for later: a command that comes late may be worse than none, and its sender tries again.
        """
        try:
            await self._up().send(topic, payload, qos=qos, retain=retain)
        except aiomqtt.MqttError as error:
            raise NotReachable(f"{self.name}: {topic}: {error}") from None

    async def close(self) -> None:
        """Announce that we go, and disconnect."""
        if self._client is None:
            return
        will = self.broker.will
        try:
            if will is not None:
                await self.publish(will.topic, will.offline, qos=1, retain=True)
        except NotReachable:
            pass  # the broker announces it for us
        finally:
            client, self._client = self._client, None
            if client is not None:
                await client.close()

    def _up(self) -> Client:
        if self._client is None:
            raise NotReachable(self._why)
        return self._client

    async def _connect(self) -> None:
        broker, will = self.broker, self.broker.will
        client = Client(
            broker.host,
            broker.port,
            deliver=self._deliver,
            lost=self._lost,
            identifier=broker.identifier,
            username=broker.username,
            password=_password(broker),
            tls=_tls(broker),
            will=None if will is None else aiomqtt.Will(will.topic, will.offline, qos=1, retain=True),
            keepalive=broker.keepalive,
        )
        await client.open()
        self._client = client
        if will is not None:
            try:
                await self.publish(will.topic, will.online, qos=1, retain=True)
            except NotReachable as error:
                self._client = None
                client.abandon()
                raise aiomqtt.MqttError(str(error)) from None
        self._failures = 0
        self.counts["opened"] += 1

    def _deliver(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001  paho's order
        listeners = self._topics.get(topic)
        if listeners is None:
            self.counts["unclaimed"] += 1
            if self.broker.identifier is not None:  # what the broker kept for us comes before anybody has asked
                self._unclaimed.append((topic, payload, retained))
            return
        for listener in listeners:
            listener.heard(topic, payload, retained=retained)

    def _lost(self, client: Client, reason: BaseException | None) -> None:
        if client is not self._client:
            return
        self._client = None
        self.counts["lost"] += 1
        self._why = f"{self.name}: connection lost: {_reason(reason)}"
        self._pause()
        bug = reason if client.delivering is not None else None
        for listener in list({id(one): one for some in self._topics.values() for one in some}.values()):
            listener.lost(self._why, bug)

    def _pause(self) -> None:
        mean = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        self._failures += 1
        self._not_before = asyncio.get_running_loop().time() + mean * (0.5 + self._random.random())


def _reason(error: BaseException | None) -> str:
    if isinstance(error, MqttConnectError):
        return f"the broker refuses us ({error}); check identifier, username and password"
    if error is None or (isinstance(error, aiomqtt.MqttCodeError) and _code(error) == UNSPECIFIED):
        return "the broker hung up"
    return str(error) or type(error).__name__


def _code(error: aiomqtt.MqttCodeError) -> int | None:
    return error.rc if isinstance(error.rc, int) or error.rc is None else int(error.rc.value)


def _password(broker: Broker) -> str | None:
    """Read at each connection, so that it can be changed while we run. Raises OSError."""
    if broker.password_file is not None:
        return Path(broker.password_file).read_text().partition("\n")[0].strip()
    if broker.password_env is not None:
        if broker.password_env not in os.environ:
            raise OSError(f"the environment variable {broker.password_env} with the password is not set")
        return os.environ[broker.password_env]
    return None


def _tls(broker: Broker) -> ssl.SSLContext | None:
    """Build the context for the handshake; raises OSError (ssl.SSLError is one)."""
    if broker.tls is None:
        return None
    for file in (broker.tls.ca_file, broker.tls.cert_file, broker.tls.key_file):
        if file is not None and not Path(file).is_file():
            raise FileNotFoundError(f"no file {file}")
    context = ssl.create_default_context(cafile=broker.tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.tls.cert_file is not None:
        context.load_cert_chain(broker.tls.cert_file, broker.tls.key_file)
    return context

"""What people write about an MQTT device and its points in the site file."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from config.base import Frozen, is_loopback

Qos = Literal[0, 1]


def _plain_topic(topic: str) -> str:
    if not topic or any(sign in topic for sign in "+#\x00"):
        raise ValueError(f"{topic!r} is not a topic to publish to; write it out, without + and #")
    return topic


Topic = Annotated[str, AfterValidator(_plain_topic)]


class Tls(Frozen):
    """Encryption. An empty mapping trusts the certificate authorities of the machine."""

    ca_file: str | None = None  # None = the machine's own authorities
    cert_file: str | None = None  # our certificate, where the broker asks for one
    key_file: str | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; give both or neither")
        return self


class Will(Frozen):
    """How we announce ourselves: `online` retained once connected, `offline` when we go or are lost."""

    topic: Topic
    online: str = "online"
    offline: str = "offline"


class Availability(Frozen):
    """Where the device says whether it is there: `topic`, or `topic#path.into.json`, retained by the broker."""

    topic: Annotated[str, Field(min_length=1)]
    online: str = "online"
    offline: str = "offline"


class Broker(Frozen):
    """One connection to one broker. Devices with equal settings share one."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    identifier: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Our name at the broker, unique there. With it the broker keeps what it could not deliver (QoS 1) while we
    were away; None = a new name and a fresh start each time."""
    username: str | None = None
    password_file: str | None = None  # first line is the password
    password_env: str | None = None  # name of the environment variable that holds it
    tls: Tls | None = None  # None = not encrypted
    keepalive: Annotated[int, Field(ge=10, le=3600)] = 60  # s; a dead broker is noticed within 1.5 times this
    will: Will | None = None
    insecure: bool = False  # needed to send a password to another machine where everybody on the way can read it
    allow_anonymous: bool = False  # needed to go without credentials to a broker on another machine

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.password_file and self.password_env:
            raise ValueError("give password_file or password_env, not both")
        if (self.password_file or self.password_env) and self.username is None:
            raise ValueError("a password needs a username")
        secret = self.password_file or self.password_env
        if secret and self.tls is None and not (self.insecure or is_loopback(self.host)):
            raise ValueError(
                f"the password for {self.host} would cross the network unencrypted; add tls: {{}} (ca_file: where the"
                " broker's certificate is your own), or write insecure: true if you mean it"
            )
        certified = self.tls is not None and self.tls.cert_file is not None
        if not (self.username or certified or self.allow_anonymous or is_loopback(self.host)):
            raise ValueError(
                f"nobody may use the broker on {self.host} anonymously: give username and password_file, or"
                " tls with cert_file and key_file; or write allow_anonymous: true if you mean it"
            )
        return self


class Options(Broker):
    """Options of an MQTT device."""

    availability: Availability | None = None
    time: str | None = None  # path of the time inside the JSON of each message, for points that name none

    @property
    def broker(self) -> Broker:
        """What devices of one connection have in common."""
        return Broker.model_validate({name: getattr(self, name) for name in Broker.model_fields})


class PointOptions(Frozen):
    """Options of a point. Its value is `scale * raw + offset`, where raw may first be looked up in `values`."""

    scale: float = 1.0
    offset: float = 0.0
    values: dict[str, float] = Field(default_factory=dict)  # words the device uses, such as {heat: 1, off: 0}
    time: str | None = None  # path of the time inside the same message; None = the device's, else time of arrival
    command_topic: Topic | None = None
    command: str = "{value}"  # payload; `{value}` is the raw number or word
    relinquish: str | None = None  # payload that hands the point back; None = the device cannot
    confirm: str | None = None  # another `topic#path` on which the device reports the same value
    qos: Qos = 1
    retain: bool = False  # of our commands

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        if "{value}" not in self.command:
            raise ValueError(f"command {self.command!r} has no {{value}} in it")
        if self.relinquish is not None and self.command_topic is None:
            raise ValueError("relinquish needs a command_topic to be sent to")
        return self

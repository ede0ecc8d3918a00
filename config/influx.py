"""Where readings are sent on to: one InfluxDB of version 1, 2 or 3, or something that speaks like one."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AnyHttpUrl, Field, TypeAdapter, model_validator

from config.base import Frozen, is_loopback

_NEEDS = {1: ("database",), 2: ("bucket", "org"), 3: ("database",)}
_TAKES = {
    1: ("database", "username", "password_file", "password_env"),
    2: ("bucket", "org", "token_file", "token_env"),
    3: ("database", "token_file", "token_env"),
}
_OF_SOME = ("database", "bucket", "org", "username", "password_file", "password_env", "token_file", "token_env")
_HTTP = TypeAdapter(AnyHttpUrl)
Word = Annotated[str, Field(min_length=1)]


def _address(url: str) -> str:
    example = "such as https://influx.example.org:8086"
    try:
        _HTTP.validate_python(url)
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname or not url.isprintable():
        raise ValueError(f"this is not the address of a server; write one {example}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user or password stand in the address; write 'username:' and 'password_file:' instead")
    if parts.query or parts.fragment:
        raise ValueError(f"the address goes on after a '?' or '#'; write it without, {example}")
    return url.rstrip("/")


class Influx(Frozen):
    """A database that gets every reading, from an outbox on disk while it is away. Secrets only by file or variable."""

    version: Literal[1, 2, 3]
    url: Annotated[str, AfterValidator(_address)]
    database: Word | None = None  # versions 1 and 3
    bucket: Word | None = None  # version 2
    org: Word | None = None  # version 2
    username: Word | None = None  # version 1; None = the server asks nobody who he is
    password_file: Path | None = None  # relative to the site file; its first line is the password
    password_env: Word | None = None  # name of the environment variable that holds it
    token_file: Path | None = None  # versions 2 and 3
    token_env: Word | None = None
    ca_file: Path | None = None  # who vouches for the server; None = the machine's own authorities
    insecure: bool = False  # needed to send a password or token unencrypted to another machine
    outbox_mb: Annotated[int, Field(ge=10, le=100_000)] = 2000  # disk for what the database has not taken yet

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in _NEEDS[self.version]:
            if getattr(self, name) is None:
                raise ValueError(f"version {self.version} needs a {name}; add '{name}:' with its name")
        for name in _OF_SOME:
            if getattr(self, name) is not None and name not in _TAKES[self.version]:
                takes = ", ".join(_TAKES[self.version])
                raise ValueError(f"{name} has no meaning for version {self.version}; remove it, there are {takes}")
        return self

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        for secret in ("password", "token"):
            if getattr(self, f"{secret}_file") and getattr(self, f"{secret}_env"):
                raise ValueError(f"{secret}_file and {secret}_env are both given; remove one of the two")
        if self.username is None and (self.password_file or self.password_env):
            raise ValueError("a password needs a username; add 'username:'")
        if self.username is not None and not (self.password_file or self.password_env):
            raise ValueError("username needs a password; add 'password_file:' with the path of a file that holds it")
        if self.ca_file is not None and not self.url.startswith("https:"):
            raise ValueError("ca_file vouches for nobody on an unencrypted connection; write 'url: https://...'")
        if self.has_secret and not self.insecure and not self.is_protected:
            raise ValueError(
                "url would carry the secret unencrypted to another machine; write https, or 'insecure: true' if that"
                " network is yours alone"
            )
        return self

    @property
    def has_secret(self) -> bool:
        """Whether a password or token goes with each request."""
        return any((self.password_file, self.password_env, self.token_file, self.token_env))

    @property
    def is_protected(self) -> bool:
        """Whether nobody between us and the server can read along."""
        parts = urlsplit(self.url)
        return parts.scheme == "https" or is_loopback(parts.hostname or "")

    @property
    def files(self) -> dict[str, Path]:
        """Files that must be there, by key."""
        named = {name: getattr(self, name) for name in ("password_file", "token_file", "ca_file")}
        return {name: path for name, path in named.items() if path is not None}

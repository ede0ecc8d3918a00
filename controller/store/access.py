"""How we prove to the site's database who we are, and how it proves who it is."""

import os
import ssl
from pathlib import Path

from config.influx import Influx


class NoAccess(Exception):  # noqa: N818  a state a person must resolve
    """A secret, or who vouches for the server, is not where the site file says; the text never holds the secret."""


def secret_of(options: Influx, base: Path) -> str:
    """The password or token, empty where none is configured; files count from `base`. Raises NoAccess."""
    file, variable = options.password_file or options.token_file, options.password_env or options.token_env
    if file is not None:
        where = f"its secret in {file}"
        try:
            secret = (base / file).read_text(encoding="utf-8-sig").partition("\n")[0].strip()
        except (OSError, ValueError) as error:
            raise NoAccess(f"{where} cannot be read: {error}") from None
    elif variable is not None:
        where = f"its secret in the environment variable {variable}"
        secret = os.environ.get(variable, "").strip()
    else:
        return ""
    if not secret:
        raise NoAccess(f"{where} is not there")
    if options.username is None and not (secret.isascii() and secret.isprintable()):  # else no header holds it
        raise NoAccess(f"{where} holds characters that no token has")
    return secret


def tls_of(options: Influx, base: Path) -> ssl.SSLContext:
    """What a connection is encrypted with. Loading the authorities takes 30 ms: keep it. Raises NoAccess."""
    if not options.url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, but clients would make a dear one of their own
    try:
        context = ssl.create_default_context(cafile=None if options.ca_file is None else base / options.ca_file)
    except OSError as error:
        raise NoAccess(f"{options.ca_file} is of no use as an authority: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

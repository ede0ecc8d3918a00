"""Which version of the program this is."""

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """The version that is installed."""
    try:
        return version("plenum")
    except PackageNotFoundError:
        return "from the source tree"

"""What every command shares: its exit codes, its two voices, and where a site keeps its data."""

import sys
from pathlib import Path

from config.site import Site

DONE, NO, WRONG_INPUT, TAKEN = 0, 1, 2, 3


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Tell the person at the terminal what is wrong."""
    sys.stderr.write(f"plenum: {text}\n")
    sys.stderr.flush()


def data_directory(site: Site, site_file: Path) -> Path:
    """Where the site keeps its data, counted from its file."""
    return (site_file.parent / site.store.path).resolve()

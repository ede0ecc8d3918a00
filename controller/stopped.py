"""A person's stop, kept on disk so that it outlives a restart."""

import json
from datetime import datetime
from pathlib import Path

STOP_FILE = "stopped.json"


def stopped_for(directory: Path) -> str:
    """Why a person stopped control here, if nobody has resumed it since; empty if control may act.

    A file that cannot be understood counts as a stop.
    """
    try:
        content = json.loads((directory / STOP_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):
        return f"stopped by a person, but {STOP_FILE} cannot be read"
    return str(content.get("text")) if isinstance(content, dict) else "stopped by a person"


def keep_stop(directory: Path, text: str, time: datetime) -> None:
    """Write the file whole or not at all. Raises OSError."""
    draft = directory / f"{STOP_FILE}.new"
    draft.write_text(json.dumps({"text": text, "time": time.isoformat()}), encoding="utf-8")
    draft.replace(directory / STOP_FILE)


def forget_stop(directory: Path) -> None:
    """Let control act again. Raises OSError."""
    (directory / STOP_FILE).unlink(missing_ok=True)

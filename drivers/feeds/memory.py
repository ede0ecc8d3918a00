"""What a feed keeps on disk, so that it knows something at once after a start and while its source is silent."""

import hashlib
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from drivers.feeds.correction import LeadErrors
from drivers.feeds.series import Issue

log = logging.getLogger(__name__)

VERSION = 1


@dataclass(slots=True)
class Memory:
    """Everything that a feed knows, by the address of the quantity."""

    version: int = VERSION
    issues: dict[str, Issue] = field(default_factory=dict)
    errors: dict[str, LeadErrors] = field(default_factory=dict)  # by the address of the forecast


_FORMAT: TypeAdapter[Memory] = TypeAdapter(Memory)


class Keeper:
    """One file, replaced as a whole. What it replaces stays beside it, for a power cut may spoil the newest."""

    def __init__(self, folder: Path | None, name: str, settings: str) -> None:
        mark = hashlib.sha256(settings.encode()).hexdigest()[:8]  # other settings are another feed
        word = re.sub(r"[^a-z0-9_]+", "_", name.lower())
        self._path = None if folder is None else folder / f"{word}-{mark}.json"
        self._complained = False

    def load(self) -> Memory:
        """What was kept last and can be read; an empty memory if there is none."""
        if self._path is not None:
            for path in (self._path, self._older(self._path)):
                try:
                    found = _FORMAT.validate_json(path.read_bytes())
                except FileNotFoundError:
                    continue
                except (OSError, ValidationError) as error:
                    log.warning("%s cannot be used, so this feed begins with less: %s", path, str(error).split("\n")[0])
                    continue
                if found.version == VERSION:
                    return found
        return Memory()

    def keep(self, memory: Memory) -> None:
        """Write it; a disk that refuses is said once and harms nothing else."""
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(_FORMAT.dump_json(memory))
            if self._path.exists():
                self._path.replace(self._older(self._path))
            fresh.replace(self._path)
        except OSError as error:
            if not self._complained:
                log.warning("%s cannot be written: %s; after a restart this feed begins with less", self._path, error)
            self._complained = True
        else:
            self._complained = False

    @staticmethod
    def _older(path: Path) -> Path:
        return path.with_suffix(".old")

"""The town hall's file with ports of its own, for tests that run beside other things."""

import re
from pathlib import Path

from site_sims.prelude import SITE


def shifted_site(directory: Path, shift: int) -> Path:
    """A copy in `directory` whose field and page use ports that many higher, with data beside it."""
    text = SITE.read_text(encoding="utf-8")
    text = re.sub(r"\b(478\d\d|8080)\b", lambda found: str(int(found[0]) + shift), text)
    path = directory / "townhall.yaml"
    path.write_text(text.replace("path: data/townhall", "path: data"), encoding="utf-8")
    return path

"""YAML -> Site. Every mistake is found at once, each with its file, line, path inside the file and cure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from config.consistency import contradictions
from config.cures import findings_of, schema_at
from config.site import Site
from config.source import Finding, Source, parse, read_source


class SiteErrors(Exception):  # noqa: N818  it holds many
    """A site file cannot be used; `findings` says why, in the order of the file."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n".join(map(str, findings)))
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A site file as far as it could be read."""

    source: Source
    site: Site | None  # None = there are findings
    findings: tuple[Finding, ...]


def load_site(path: Path) -> Site:
    """Read a site file; raises SiteErrors with every mistake in it."""
    draft = read_draft(path)
    if draft.site is None:
        raise SiteErrors(list(draft.findings))
    return draft.site


def read_draft(path: Path) -> Draft:
    """Read a site file and keep what is right beside what is wrong; never raises for what the file says."""
    return _draft(*read_source(path))


def draft_of(text: str, file: str = "site.yaml") -> Draft:
    """Like `read_draft`, for a text."""
    return _draft(*parse(text, file))


def _draft(source: Source, found: list[Finding]) -> Draft:
    site = None
    if isinstance(source.data, dict):
        try:
            site = Site.model_validate(source.data)
        except ValidationError as err:
            found += findings_of(err, source, Site)
        found += _truths_as_numbers(source)
        found += contradictions(source)
    findings = tuple(sorted(set(found), key=lambda item: (item.line, item.column, item.path, item.text)))
    return Draft(source=source, site=None if findings else site, findings=findings)


def _truths_as_numbers(source: Source) -> Iterator[Finding]:
    """Pydantic takes true for 1; whoever writes `low: true` means something else."""
    for path, value in source.walk():
        if isinstance(value, bool) and schema_at(Site, path, source.data).get("type") in ("number", "integer"):
            yield source.finding(path, f"{str(value).lower()} is not a number", "write a number")

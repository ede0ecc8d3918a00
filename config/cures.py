"""What pydantic finds wrong -> where it is in the file, in plain words, with the cure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from config.source import Finding, Place, Source

SECRET = re.compile(r"passw|passphrase|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
_PATTERNS = {
    r"^[a-z][a-z0-9_]*$": "a word of small letters, digits and _ that begins with a letter",
    r"^[a-z0-9_]+\.[a-z0-9_]+(\.[a-z0-9_]+)+$": "an id of three words with dots, such as townhall.hall.temperature",
    r"^[A-Z]{3}$": "three capital letters, such as GBP",
}
_FORMATS = {
    "duration": "a duration such as '15 min', '2 h' or PT15M",
    "time": "a local time from '00:00' to '23:59'",
    "date": "a date such as 2023-12-25",
    "date-time": "a time with its zone, such as 2023-12-25T09:00Z",
    "path": "the path of a file",
}


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; None if none is close."""
    found = get_close_matches(str(word).lower(), sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None


def choice(word: object, known: Sequence[str]) -> str:
    """Cure for a word that is none of the known ones."""
    meant = nearest(word, known)
    return f"write {meant!r}" if meant else f"write one of {', '.join(known[:40])}" if known else "remove it"


@lru_cache(maxsize=64)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def schema_at(model: type[BaseModel], path: Place, data: Any) -> dict[str, Any]:
    """JSON schema of what belongs at a path of the model's data; empty if the model does not say."""
    root = _schema(model)
    here = _resolved(root, root, data)
    for part in path:
        if isinstance(part, int):
            data = data[part] if isinstance(data, list) and part < len(data) else None
            here = _resolved(root, here.get("items", {}), data)
        else:
            data = data.get(part) if isinstance(data, dict) else None
            here = _resolved(root, here.get("properties", {}).get(part, {}), data)
    return here


def _resolved(root: dict[str, Any], schema: Any, data: Any) -> dict[str, Any]:
    """Follow references, leave null out, and choose the branch of a tagged union."""
    while isinstance(schema, dict):
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        elif "discriminator" in schema:
            tag = data.get(schema["discriminator"]["propertyName"]) if isinstance(data, dict) else None
            branch = schema["discriminator"]["mapping"].get(tag) if isinstance(tag, str) else None
            if branch is None:
                return {"type": "object", "title": "one of several kinds"}
            schema = {"$ref": branch}
        elif "anyOf" in schema:
            schema = next(branch for branch in schema["anyOf"] if branch.get("type") != "null")
        else:
            return schema
    return {}


def described(schema: dict[str, Any]) -> str:  # noqa: PLR0911  one line for each type of JSON schema
    """What the schema wants, in words that follow "write"."""
    kind = schema.get("type")
    if "enum" in schema or "const" in schema:
        words = [str(word) for word in schema.get("enum", [schema.get("const")])]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if kind in ("number", "integer"):
        return _number(schema, "a number" if kind == "number" else "a whole number")
    if kind == "boolean":
        return "true or false"
    if kind == "array":
        return "a list: [one, two], or lines that begin with -"
    if kind == "object":
        return f"keys such as {', '.join(list(schema.get('properties', {}))[:4]) or 'name'} with their values"
    if kind == "string":
        return _PATTERNS.get(schema.get("pattern", ""), _FORMATS.get(schema.get("format", ""), "text"))
    return "what the guide says"


def _number(schema: dict[str, Any], word: str) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{word} from {low:g} to {high:g}"
    bounds = [f"{low:g} or more" if low is not None else "", f"{high:g} or less" if high is not None else ""]
    bounds += [f"above {above:g}" if above is not None else "", f"below {below:g}" if below is not None else ""]
    return " ".join([word, " and ".join(bound for bound in bounds if bound)]).strip()


def shown(value: Any, path: Place) -> str:
    """A value for a message: short, and never a secret."""
    if any(isinstance(part, str) and SECRET.search(part) for part in path):
        return "the value"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    words = "nothing" if value is None else repr(value)
    return words if len(words) <= 50 else f"{words[:47]}..."


def split(text: str) -> tuple[str, str]:
    """Text and cure of an error in words: "what is wrong; what to write instead", or with a colon between."""
    problem, *rest = re.split(r"; |: (?=(?:give|write|add|use) )", text, maxsplit=1)
    if not rest and re.match(r"(['\"]).*\1: ", text):
        problem, *rest = text.split(": ", maxsplit=1)
        problem = f"{problem} is not right"
    cure = rest[0] if rest else ""
    return problem.rstrip("."), cure.rstrip(".") or "mend it; config/examples has one that is right"


def findings_of(error: ValidationError, source: Source, model: type[BaseModel], *, at: Place = ()) -> Iterator[Finding]:
    """Pydantic's errors about the part of the file at `at`, which `model` was to describe."""
    problems = error.errors(include_url=False)
    meant = {_meant(problem["loc"], source, model, at) for problem in problems if problem["type"] == "extra_forbidden"}
    for problem in problems:
        if problem["type"] == "missing" and _path(problem["loc"], source.get(at), keep_last=True) in meant:
            continue  # it is there, misspelt, and reported as that
        if problem["type"] == "too_short" and problem["input"]:
            continue  # it is not empty: all that is in it is wrong, and reported by itself
        inner = _path(problem["loc"], source.get(at), keep_last=problem["type"] == "missing")
        yield _finding(dict(problem), source, model, at, inner)


def _meant(loc: tuple[str | int, ...], source: Source, model: type[BaseModel], at: Place) -> Place | None:
    """The path that an unknown key was probably meant to have."""
    inner = _path(loc, source.get(at), keep_last=True)
    known = schema_at(model, inner[:-1], source.get(at)).get("properties", {})
    word = nearest(inner[-1], [key for key in known if key not in (source.get((*at, *inner[:-1])) or {})])
    return None if word is None else (*inner[:-1], word)


def _path(loc: tuple[str | int, ...], data: Any, *, keep_last: bool) -> Place:
    """Pydantic's location without the tags of unions, which are no part of the file."""
    path: list[str | int] = []
    for n, part in enumerate(loc):
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif not (keep_last and n == len(loc) - 1):
            continue
        path.append(part)
    return tuple(path)


def _finding(  # noqa: PLR0911  one paragraph for each kind of error
    problem: dict[str, Any], source: Source, model: type[BaseModel], at: Place, inner: Place
) -> Finding:
    path = (*at, *inner)
    data, kind = source.get(at), problem["type"]
    wanted = schema_at(model, inner, data)
    value = source.get(path)
    if kind == "extra_forbidden":
        here = schema_at(model, inner[:-1], data)
        free = [key for key in here.get("properties", {}) if key not in (source.get(path[:-1]) or {})]
        meant = nearest(inner[-1], free)
        known = f"remove it; keys that may still be added are {', '.join(free) or 'none'}"
        return source.finding(path, "unknown key", f"write {meant!r}" if meant else known)
    if kind == "missing":
        return source.finding(path, "is missing", f"add '{inner[-1]}:' with {described(wanted)}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tags = [
            tag.strip().strip("'") for tag in str(problem["ctx"].get("expected_tags", "")).split(",") if tag.strip()
        ]
        tag = value.get("kind") if isinstance(value, dict) else None
        kinds = tags or ["heat_pump", "boiler", "tank", "pv", "circuit", "air_handler"]
        cure = choice(tag, kinds) if tag is not None else f"add 'kind:' with one of {', '.join(kinds)}"
        path = (*path, "kind") if tag is not None else path
        return source.finding(path, f"{shown(tag, path)} is not a kind of plant" if tag else "has no kind", cure)
    if kind in ("value_error", "assertion_error"):
        text, cure = split(str(problem["ctx"]["error"]))
        return source.finding(_pointed(path, value, text), text, cure)
    if kind in ("enum", "literal_error"):
        words = [str(word) for word in wanted.get("enum", [wanted.get("const")]) if word is not None]
        return source.finding(path, f"{shown(value, path)} is not known here", choice(value, words))
    if kind == "too_short":
        return source.finding(path, "is empty", "add at least one entry")
    text = f"{shown(value, path)} is not {described(wanted)}"
    return source.finding(path, text, _hint(value, wanted) or f"write {described(wanted)}")


def _pointed(path: Place, value: Any, text: str) -> Place:
    """The key of a mapping that the text names first, so that the line is the guilty one."""
    if isinstance(value, dict):
        words = re.findall(r"[A-Za-z_]\w*", text)
        return next(((*path, word) for word in words if word in value), path)
    return path


def _hint(value: Any, wanted: dict[str, Any]) -> str | None:
    """A better cure than the general one, made of what was written."""
    if isinstance(value, str) and wanted.get("type") in ("number", "integer"):
        number = re.match(r"\s*([-+]?\d+)(?:[.,](\d+))?(\s*[^\d.,].*)?$", value)
        if number:
            tail = " without the unit" if number[3] else ""
            return f"write {number[1]}{'.' + number[2] if number[2] else ''}{tail}"
    if isinstance(value, str) and wanted.get("pattern") == r"^[a-z][a-z0-9_]*$":
        slug = re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")[:60]
        return f"write {slug!r}" if slug[:1].isalpha() else None
    if wanted.get("type") == "array" and isinstance(value, (str, int, float)):
        return f"write a list: [{value}]"
    return None

"""A YAML 1.2 text -> plain data, with the position of every part and every fault of the text itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Place = tuple[str | int, ...]
MAX_BYTES = 20_000_000
MAX_REPEATED = 20_000  # parts written by aliases; aliases of aliases can write billions in a few lines
MAX_DEPTH = 40
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One mistake in a site file: where, what and what to write instead."""

    file: str
    line: int  # from 1
    column: int  # from 1
    path: str  # such as devices[2].points[0].low; empty for the file as a whole
    text: str
    cure: str

    def as_json(self) -> dict[str, str | int]:
        """The finding for a machine."""
        return {name: getattr(self, name) for name in ("file", "line", "column", "path", "text", "cure")}

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.path + ': ' if self.path else ''}{self.text}. {self.cure}."


def dotted(path: Place) -> str:
    """`("devices", 2, "id")` as people write it: `devices[2].id`."""
    words = ""
    for part in path:
        words += f"[{part}]" if isinstance(part, int) else f".{part}" if words else part
    return words


class Source:
    """What a file says and where it says it."""

    def __init__(self, file: str, data: Any, positions: dict[Place, tuple[int, int]]) -> None:
        self.file, self.data, self._positions = file, data, positions

    def position(self, path: Place) -> tuple[int, int]:
        """Line and column, from 1, of a part; of the nearest part around it if it is not in the file."""
        while path and path not in self._positions:
            path = path[:-1]
        return self._positions.get(path, (1, 1))

    def get(self, path: Place) -> Any:
        """What stands there; None if nothing does."""
        value = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def items(self, path: Place) -> Iterator[tuple[Place, Any]]:
        """Path and content of each element of the list that stands there; nothing if there is no list."""
        value = self.get(path)
        if isinstance(value, list):
            yield from (((*path, n), element) for n, element in enumerate(value))

    def finding(self, path: Place, text: str, cure: str) -> Finding:
        line, column = self.position(path)
        return Finding(file=self.file, line=line, column=column, path=dotted(path), text=text, cure=cure)

    def walk(self) -> Iterator[tuple[Place, Any]]:
        """Every part of the file, in its order."""
        for path in self._positions:
            yield path, self.get(path)


def read_source(path: Path) -> tuple[Source, list[Finding]]:
    """Read a file; data is None where it cannot be read or understood at all, and the findings say why."""
    try:
        raw = path.read_bytes()
    except OSError as err:
        return _empty(path, f"cannot be read: {err.strerror}", "give the path of a site file that you may read")
    if len(raw) > MAX_BYTES:
        return _empty(path, f"is larger than {MAX_BYTES // 1_000_000} MB", "split the site into several files")
    try:
        return parse(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as err:
        line = raw[: err.start].count(b"\n") + 1
        return _empty(path, "is not UTF-8 text", "save the file as UTF-8", line)


def _empty(path: Path, text: str, cure: str, line: int = 1) -> tuple[Source, list[Finding]]:
    return Source(str(path), None, {}), [Finding(file=str(path), line=line, column=1, path="", text=text, cure=cure)]


_CURES = (
    ("'\\t'", "indent with spaces, never with tabs"),
    ("another document", "keep one document in the file: remove the line '---' and what follows"),
    ("undefined alias", "put text that begins with * in quotes, or define it with & before"),
    ("mapping values are not allowed", "line the keys up, or put text that holds ': ' in quotes"),
    ("end of stream", "close the quote or bracket that is open at the end of the file"),
    ("stream end", "close the bracket that is open at the end of the file"),
    ("cannot start any token", "put text that begins with this character in quotes"),
    ("could not find expected ':'", "write 'key: value', with a space after the colon"),
    ("expected <block end>", "line this up with the entries above it"),
    ("duplicate anchor", "give each anchor its own name"),
    ("found duplicate", "give each anchor its own name"),
    ("expected ',' or", "separate the entries with commas and close the bracket"),
)


def parse(text: str, file: str) -> tuple[Source, list[Finding]]:
    """Parse a text; see `read_source`."""
    reader = YAML(typ="safe", pure=True)
    try:
        root = reader.compose(text)
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        problem = str(err.problem or err.context or "cannot be understood")
        cure = next((cure for word, cure in _CURES if word in problem), "mend the YAML at this place")
        at = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        return _broken(file, f"is not YAML: {problem}", cure, at)
    except YAMLError as err:
        before = text[: getattr(err, "position", 0) or 0]
        return _broken(file, "holds a character that YAML forbids", "remove the control character", _place(before))
    except (ValueError, RecursionError, AttributeError, TypeError) as err:
        return _broken(file, f"is not YAML: {err}", "mend the YAML; start from an example in config/examples", (1, 1))
    builder = _Builder(file)
    if any(line.startswith("%YAML 1.1") for line in text.splitlines()):
        builder.note((), "asks for YAML 1.1, which reads 17:30 as 1050 and off as false", "remove the line %YAML 1.1")
    data = None if root is None else builder.build(root, (), frozenset())
    if not isinstance(data, dict) and not builder.findings:
        builder.note((), "is not a mapping of keys to values", "begin with 'id: my_site'; see config/examples")
    return Source(file, data, builder.positions), builder.findings


def _place(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _broken(file: str, text: str, cure: str, at: tuple[int, int]) -> tuple[Source, list[Finding]]:
    finding = Finding(file=file, line=at[0], column=at[1], path="", text=" ".join(text.split()), cure=cure)
    return Source(file, None, {}), [finding]


class _Builder:
    """Walks the nodes once, keeps positions, and goes on after a fault."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.positions: dict[Place, tuple[int, int]] = {}
        self.findings: list[Finding] = []
        self._built: set[int] = set()
        self._repeated = 0

    def note(self, path: Place, text: str, cure: str, node: Node | None = None) -> None:
        line, column = self._at(node) if node is not None else self.positions.get(path, (1, 1))
        self.findings.append(Finding(file=self.file, line=line, column=column, path=dotted(path), text=text, cure=cure))

    @staticmethod
    def _at(node: Node) -> tuple[int, int]:
        return node.start_mark.line + 1, node.start_mark.column + 1

    def build(self, node: Node, path: Place, above: frozenset[int]) -> Any:
        self.positions.setdefault(path, self._at(node))
        self._repeated += id(node) in self._built
        self._built.add(id(node))
        if self._repeated > MAX_REPEATED:
            return None
        if id(node) in above or self._repeated == MAX_REPEATED or len(path) > MAX_DEPTH:
            self.note(path, "repeats itself without end", "write the value out instead of the alias *")
            return None
        if not str(node.tag).startswith(_TAG):
            self.note(path, f"has the tag {node.tag}, which is not read here", "write the value without the tag", node)
            return None
        if isinstance(node, ScalarNode):
            return _scalar(node)
        inside = above | {id(node)}
        if isinstance(node, SequenceNode):
            return [self.build(child, (*path, n), inside) for n, child in enumerate(node.value)]
        return self._mapping(node, path, inside) if isinstance(node, MappingNode) else None

    def _mapping(self, node: MappingNode, path: Place, inside: frozenset[int]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag) == f"{_TAG}merge":
                self.note(path, "merges with <<, which is not read here", "write the keys out", key_node)
                continue
            if not isinstance(key_node, ScalarNode) or str(key_node.tag) != f"{_TAG}str":
                self.note(path, "has a key that is not a word", "write 'key: value', and text in quotes", key_node)
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in found:
                first = self.positions[here][0]
                self.note(here, f"stands twice; first in line {first}", "remove one of the two", key_node)
                continue
            self.positions[here] = self._at(key_node)
            found[key] = self.build(value_node, here, inside)
        return found


def _scalar(node: ScalarNode) -> Any:
    """A plain value by the YAML 1.2 core schema; dates stay text, the models read them."""
    tag, text = str(node.tag).removeprefix(_TAG), str(node.value)
    try:
        if tag == "int":
            return int(text, 0) if text.lstrip("+-")[:2] in ("0x", "0o") else int(text)
        if tag == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text
    if tag == "bool":
        return text.lower() == "true"
    return None if tag == "null" else text

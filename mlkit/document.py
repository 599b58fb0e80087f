"""Strict YAML: what a reviewer sees is what is loaded, or it is an error with its line.

The grammar is the plain core of YAML 1.2: ``no`` is text, ``1e3`` is a number. What YAML 1.1 would
read as something else than it looks (``012``, ``1_000``, ``1:30``, ``yes``) is refused, as are
duplicate keys, tags, aliases, documents over 1 MiB and nesting over 50 levels.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mlkit.errors import ConfigError, SecurityError, StoreError

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_DIGITS = 1000
_ONE_LINE = 80

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_SPECIAL_FLOAT = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
_MISLEADING = re.compile(
    r"(yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF"
    r"|[-+]?0[0-9_]+|[-+]?0[xob][0-9a-fA-F_]+"
    r"|[-+]?[0-9][0-9_]*_[0-9_.]*|[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?)$"
)
_UNUSUAL_BREAK = re.compile("[\r\x85\u2028\u2029]")
SECRET = re.compile(
    r"((dapi|dose)[0-9a-f]{16,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}|AKIA[0-9A-Z]{16}|gh[pousr]_[0-9A-Za-z]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY)"
)


def read(path: Path) -> dict[str, Any]:
    """Read one YAML mapping from a file.

    Raises:
        ConfigError: Missing (CFG001), empty (CFG002), no mapping (CFG003), bad syntax (CFG004), a key
            twice (CFG005), a misleading scalar (CFG008), a key that is no text (CFG009), not UTF-8 (CFG020).
        SecurityError: A tag (SEC001), an alias or a document built to exhaust memory (SEC002), a secret
            (SEC003).
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        fix = "check the path; `mlkit plan` lists the names under models/"
        raise ConfigError("CFG001", f"cannot read the file: {exc.strerror}", path=str(path), fix=fix) from exc
    return parse(data, origin=str(path))


def parse(data: bytes, *, origin: str) -> dict[str, Any]:
    """Parse one YAML mapping; `origin` is the name that error messages give it.

    Raises:
        ConfigError: As for `read`.
        SecurityError: As for `read`.
    """
    text = decoded(data, origin)
    if secret := SECRET.search(text):
        line = text.count("\n", 0, secret.start()) + 1
        fix = "revoke it, take it out and name an environment variable instead"
        raise SecurityError("SEC003", f"line {line} looks like a secret", path=origin, fix=fix)
    value = _loaded(text, origin)
    if value is None:
        raise ConfigError("CFG002", "the document is empty", path=origin, fix="freeze a trial to write one")
    if not isinstance(value, dict):
        message = f"expected keys with values, found a {type(value).__name__}"
        raise ConfigError("CFG003", message, path=origin, fix="write key: value lines")
    return value


def write(values: dict[str, Any], *, header: str = "") -> str:
    """The document as text: keys in the given order, one value a line, the same bytes each time."""
    body = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2)
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return f"{comment}{body}"


def place(path: Path, field: str) -> str:
    """Where a field of a YAML file stands, or what it would stand in: ``models/flight_delay.yaml:14``.

    Args:
        path: The file.
        field: The way to it, as error messages and plans write it: ``model.params.steps[1]`` or ``key.0``.

    Returns:
        The place; the file alone if it holds nothing on that way; empty if it cannot be read.
    """
    try:
        node = _composed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    line = None
    for part in re.findall(r"[^.\[\]]+", field):
        found = _inside(node, part)
        if found is None:
            break
        line, node = found
    return f"{near(path)}:{line}" if line else near(path)


def near(path: Path) -> str:
    """A path as it is typed here: relative to the working directory if it is below that, with slashes."""
    here = path.absolute().is_relative_to(Path.cwd())
    return Path(os.path.relpath(path) if here else path).as_posix()


@functools.lru_cache(maxsize=1)
def _composed(text: str) -> yaml.Node | None:
    """The tree of a file; a plan asks for the places of many fields, and a tree takes as long as the plan."""
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _inside(node: yaml.Node | None, part: str) -> tuple[int, yaml.Node] | None:
    """The line and the value of a key, or of a position in a list."""
    if isinstance(node, yaml.MappingNode):
        pairs = ((key.value, key.start_mark.line, value) for key, value in node.value)
        return next(((line + 1, value) for name, line, value in pairs if name == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        value = node.value[int(part)]
        return value.start_mark.line + 1, value
    return None


def save(path: Path, text: str) -> None:
    """Write a small file whole or not at all, and make it durable.

    Raises:
        StoreError: The file cannot be written (STO023); what stood there before still does.
    """
    try:
        replace_file(path, text.encode("utf-8"))
    except OSError as exc:
        message = f"cannot write the file: {exc.strerror}"
        raise StoreError("STO023", message, path=str(path), fix="check the disk and its rights") from exc


def replace_file(path: Path, content: bytes) -> None:
    """Put a file under its name at once: no reader ever sees a part of it, not after a crash either.

    Raises:
        OSError: It cannot be written; what stood there before still does.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened, and a rename needs no such help
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def decoded(data: bytes, origin: str) -> str:
    """The text of a small file.

    Raises:
        ConfigError: Not plain UTF-8 (CFG020).
        SecurityError: Too large (SEC002).
    """
    fix = "save it as plain UTF-8"
    if len(data) > MAX_BYTES:
        message = f"{len(data):,} bytes; at most {MAX_BYTES:,} are read"
        raise SecurityError(
            "SEC002", message, path=origin, fix="a config is a few kilobytes: is it the right file?"
        )
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError("CFG020", "the file starts with a byte order mark", path=origin, fix=fix)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError("CFG020", "the file is not UTF-8", path=origin, fix=fix) from exc


def _loaded(text: str, origin: str) -> object:
    try:
        loader = _Loader(text)
    except yaml.YAMLError as exc:  # a character that no YAML holds
        raise _invalid("a control character", origin) from exc
    loader.name = origin
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        where = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark else origin
        raise _invalid(exc.problem or "bad syntax", where) from exc
    finally:
        loader.dispose()


def _invalid(cause: str, where: str) -> ConfigError:
    return ConfigError("CFG004", f"not valid YAML: {cause}", path=where, fix="correct it")


class _Loader(yaml.SafeLoader):
    """Safe loader with the core scalars of YAML 1.2 and without tags, aliases and duplicates."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in PyYAML
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse what could hide or multiply content before anything is built."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call] # the stubs leave it out
        line = f"{self.name}:{event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            fix = "write the value out where it is used"
            raise SecurityError("SEC002", "aliases are not read", path=line, fix=fix)
        if getattr(event, "tag", None) is not None:
            raise SecurityError("SEC001", "tags are not read", path=line, fix="remove the tag")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels"
            raise SecurityError("SEC002", message, path=line, fix="make it flatter")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - as in PyYAML
        """Build a mapping whose keys are distinct texts."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            place = f"{self.name}:{key_node.start_mark.line + 1}"
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConfigError("CFG009", "a key must be text", path=place, fix="put it in quotes")
            if key in seen:
                raise ConfigError("CFG005", f"the key {key!r} stands twice", path=place, fix="remove one")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """Refuse plain scalars that YAML 1.1 and 1.2 read differently."""
        value = str(super().construct_scalar(node))
        if isinstance(node, yaml.ScalarNode) and node.style is None and _MISLEADING.match(value):
            place = f"{self.name}:{node.start_mark.line + 1}"
            fix = f'write "{value}" for text, true or false for a truth value, plain digits for a number'
            raise ConfigError("CFG008", "this value reads differently by YAML version", path=place, fix=fix)
        return value


def _resolve(tag: str, pattern: re.Pattern[str], first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", pattern, list(first))


_resolve("bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), "tTfF")
_resolve("null", re.compile(r"(null|Null|NULL|~)$"), "nN~")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"$"), [""])
_resolve("int", _INT, "-+0123456789")
_resolve("float", _FLOAT, "-+.0123456789")
_resolve("float", _SPECIAL_FLOAT, "-+.")


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > MAX_DIGITS:  # Python itself refuses a few thousand
        place = f"{loader.name}:{node.start_mark.line + 1}"
        message = f"a number has at most {MAX_DIGITS} digits, found {len(text)}"
        raise ConfigError("CFG009", message, path=place, fix="put it in quotes if it is text")
    return int(text)


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


class _Dumper(yaml.SafeDumper):
    """Safe dumper that indents lists and never writes an alias."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - as in PyYAML
        """Write every value out."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - as in PyYAML
        """Indent list items below their key, so that a diff reads well."""
        super().increase_indent(flow, indentless=False)


def _flat_list(dumper: _Dumper, values: list[Any]) -> yaml.Node:
    """Short lists of scalars stay on one line; others take a line an item, for a diff to point at."""
    plain = all(value is None or isinstance(value, (str, int, float, bool)) for value in values)
    flat = plain and sum(len(str(value)) + 2 for value in values) <= _ONE_LINE
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)


def _quoted_where_needed(dumper: _Dumper, text: str) -> yaml.Node:
    """Text that the loader would take for something else, refuse, or fold, stands in quotes."""
    style = "'" if any(form.match(text) for form in (_INT, _FLOAT, _MISLEADING)) else None
    style = '"' if _UNUSUAL_BREAK.search(text) else style
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(list, _flat_list)
_Dumper.add_representer(str, _quoted_where_needed)

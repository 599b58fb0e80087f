r"""Regular expressions that mean the same in Python, in Java and in the engines without a JVM.

A pattern of a contract is Python's. Spelled out (each character by its code, each class by its members,
`.` as "no line feed", `^` and `$` as the ends of the text) it is read alike by every engine; what some of
them do not have, such as look-ahead or back references, is refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mlkit.errors import ConfigError

MOST_REPEATS = 1000
"""Engines that run in linear time take no more."""

_TOKEN = re.compile(
    r"""
    (?P<set>\[\^?(?:\\.|[^\\])(?:\\.|[^\]\\])*\])
  | (?P<escape>\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.))
  | (?P<open>\((?:\?:|\?P<\w+>|(?!\?)))
  | (?P<repeat>(?:[*+?]|\{\d+\}|\{\d*,\d*\})[?+]?)
  | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|.", re.DOTALL)
_CONTROLS = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_SPACES = (
    r"\x{9}-\x{D}\x{1C}-\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
)
_CLASSES = {"d": r"\p{Nd}", "s": _SPACES, "w": r"\p{L}\p{N}_"}
_ANY, _LINE = r"[\x{0}-\x{10FFFF}]", r"[^\x{A}]"
_START, _END, _LAST_LINE = r"\A", r"\z", r"\x{A}?\z"


class _Token(NamedTuple):
    kind: str
    text: str
    rest: str
    """What follows it in the pattern."""
    depth: int
    """How many groups it stands in."""


def portable(pattern: str, *, anchored: bool, path: str) -> str:
    r"""The same pattern for any engine.

    Args:
        pattern: A regular expression of Python, without flags.
        anchored: Whether it must match from the first character on, as `re.match` does.
        path: The column, for an error.

    Raises:
        ConfigError: CFG035, a part of it that engines do not read alike.

    Example:
        >>> portable(r"a.$", anchored=False, path="x")
        '\\x{61}[^\\x{A}]\\x{A}?\\z'
    """
    parts: list[str] = []
    previous = ""
    for token in _tokens(pattern):
        parts.append(_portable(token, previous, path))
        previous = token.kind if token.text not in {"^", "$"} else "anchor"
    text = "".join(parts)
    return rf"\A(?:{text})" if anchored else text


def _tokens(pattern: str) -> list[_Token]:
    tokens, depth = [], 0
    for found in _TOKEN.finditer(pattern):
        kind = str(found.lastgroup)
        depth += (kind == "open") - (found[0] == ")")
        tokens.append(_Token(kind, found[0], pattern[found.end() :], depth))
    return tokens


def _portable(token: _Token, previous: str, path: str) -> str:
    if token.kind == "set":
        return _set(token.text, path)
    if token.kind == "escape":
        return _escape(token.text, path)
    if token.kind == "open":
        return "(?:"
    if token.kind == "repeat":
        return _repeat(token.text, previous, path)
    return _plain(token, path)


def _plain(token: _Token, path: str) -> str:
    character = token.text
    if character == "(":
        raise _refused("(?" + token.rest[1:2], path)
    if character in {")", "|"}:
        return character
    if character == ".":
        return _LINE
    if character == "^":
        return _START
    if character == "$":
        # It also matches before a last line feed, which is taken in here: nothing may follow that wants it.
        ends = not token.rest.strip(")") or (token.rest.startswith("|") and not token.depth)
        if not ends:
            raise _refused("$ before the end", path)
        return _LAST_LINE
    return _code(ord(character))


def _escape(text: str, path: str) -> str:
    name = text[1]
    if name == "A":
        return _START
    if name == "Z":
        return _END
    if name.lower() in _CLASSES:
        return f"[{'^' if name.isupper() else ''}{_CLASSES[name.lower()]}]"
    if name in "bB":
        raise _refused(text, path)
    return _code(_number(text, path))


def _repeat(text: str, previous: str, path: str) -> str:
    if previous == "anchor" or (len(text) > 1 and text.endswith("+")):
        raise _refused(text, path)
    text = text[:-1] if len(text) > 1 and text.endswith("?") else text
    if not text.startswith("{"):
        return text
    least, comma, most = text[1:-1].partition(",")
    if max(int(least or 0), int(most or 0)) > MOST_REPEATS:
        raise _refused(f"more than {MOST_REPEATS:,} repeats", path)
    return f"{{{int(least or 0)}{comma}{most}}}"


def _set(text: str, path: str) -> str:
    inner = text[1:-1]
    negated = inner.startswith("^")
    members = _MEMBER.findall(inner[negated:])
    names = {member[1] for member in members if member[0] == "\\" and member[1].lower() in _CLASSES}
    if names & {name.swapcase() for name in names}:
        # Such as [\s\S]: everything, or nothing.
        return r"(?:\z\A\x{0})" if negated else _ANY
    if wrong := names & {"S", "W"}:
        raise _refused(f"[..\\{wrong.pop()}..]", path)
    return f"[{'^' if negated else ''}{''.join(_member(member, path) for member in _ranges(members))}]"


def _ranges(members: list[str]) -> list[tuple[str, ...]]:
    """Members of a set one by one, and both ends of a range together."""
    found: list[tuple[str, ...]] = []
    position = 0
    while position < len(members):
        is_range = position + 2 < len(members) and members[position + 1] == "-"
        found.append((members[position], members[position + 2]) if is_range else (members[position],))
        position += 3 if is_range else 1
    return found


def _member(ends: tuple[str, ...], path: str) -> str:
    first = ends[0]
    if first[0] == "\\" and first[1] in "dDsw":
        return r"\P{Nd}" if first[1] == "D" else _CLASSES[first[1]]
    return "-".join(_code(_number(end, path)) for end in ends)


def _number(text: str, path: str) -> int:
    """The code of the character that is written so."""
    if text[0] != "\\":
        return ord(text)
    if text[1] in "xuU":
        return int(f"0x{text[2:]}", 0)
    if text[1].isalnum() and text[1] not in _CONTROLS:
        raise _refused(text, path)
    return _CONTROLS.get(text[1], ord(text[1]))


def _code(number: int) -> str:
    return rf"\x{{{number:X}}}"


def _refused(part: str, path: str) -> ConfigError:
    message = f"Spark does not read the pattern of a check as Python does: {part}"
    fix = "write it without, or add a column in prepare that says whether the text is right"
    return ConfigError("CFG035", message, path=path, fix=fix)

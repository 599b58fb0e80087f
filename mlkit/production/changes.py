"""What is different between a config with its code and data and those behind the champion, input by input."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlkit import document
from mlkit.code import user_files
from mlkit.production.build import MODEL_FIELDS, model_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlkit.production.build import Build
    from mlkit.production.ledger import Entry

Effect = Literal["new model", "new code", "new rule"]

_SHORT = 14
_DIGEST = re.compile(r"(d1:)?[0-9a-f]{32,}")


@dataclasses.dataclass(frozen=True)
class Change:
    """One input that is not what the champion was made of.

    Attributes:
        field: Its name: a field of the config with the way to it, ``train rows``, ``code``, a package.
        before: The champion's; None where it was unset.
        after: What it is now; None where it is unset.
        effect: What follows from it: ``new model``, ``new code`` or ``new rule``.
        place: Where it stands, e.g. ``models/flight_delay.yaml:14``; empty where that is not known.
        note: What helps to understand it, e.g. versions of the source table and row counts.
    """

    field: str
    before: Any
    after: Any
    effect: Effect
    place: str = ""
    note: str = ""

    @property
    def exchange(self) -> str:
        """``8 -> 10``, digests cut short."""
        return f"{short(self.before)} -> {short(self.after)}"

    @property
    def sentence(self) -> str:
        """``model.params.max_depth: 8 -> 10``."""
        return f"{self.field}: {self.exchange}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def find_changes(build: Build, head: Entry) -> list[Change]:
    """Every input that differs, those that make a new model first.

    Args:
        build: What would be deployed.
        head: The ledger's head, whose evidence says what the champion was made of.
    """
    before, after = _inputs(head.evidence), _inputs({"ingredients": build.ingredients, "rules": build.rules})
    found = list(_differences(before, after))
    if any(path == "model_code" for path, *_ in found):  # it is a part of the code, which is not said twice
        found = [difference for difference in found if difference[0] != "code"]
    changes = [_change(build, head, *difference) for difference in found]
    return sorted(changes, key=lambda change: change.effect != "new model")


def inputs_of(build: Build) -> dict[str, str]:
    """Every input with its value in a few words: the fields of the config, rows, code, environment."""
    train, test = build.fingerprints
    environment = f"{len(build.environment)} versions"
    config = {name: short(value) for name, value in sorted(build.config.meaning.items())}
    own = {"train rows": short(train), "test rows": short(test), "code": short(build.code)}
    return {**config, **own, "model code": short(build.model_code), "environment": environment}


def touched_by(change: Change, build: Build) -> str:
    """The input (of `inputs_of`) that a change is in."""
    if change.field in build.environment:
        return "environment"
    return re.split(r"[.\[]", change.field, maxsplit=1)[0]


def short(value: object) -> str:
    """A value on a plan: texts as they are, digests cut short, None as unset."""
    text = value if isinstance(value, str) else "unset" if value is None else _text(value)
    return f"{text[:_SHORT]}.." if _DIGEST.fullmatch(text) else text


def _inputs(said: Mapping[str, Any]) -> dict[str, Any]:
    ingredients, rules = said["ingredients"], said["rules"]
    config = {**rules["config"], **ingredients["config"]}
    return {**ingredients, "config": config, "code": rules["code"]}


def _change(build: Build, head: Entry, path: str, before: object, after: object) -> Change:
    kind, _, rest = path.partition(".")
    field, place, note, effect = path.replace("_", " "), "", "", "new model"
    if kind == "config":
        file = build.config.path
        field, place = rest, document.place(file, rest) if file else ""
        effect = "new model" if re.split(r"[.\[]", rest)[0] in MODEL_FIELDS else "new rule"
    elif kind == "data":
        field, note = f"{rest} rows", _rows_note(build, head, rest)
    elif kind == "environment":
        field = rest or kind
    elif kind == "code":
        effect, place = "new code", _files(user_files(build.config.references))
    elif kind == "model_code":
        place = _files(model_code(build.config))
    return Change(field, before, after, effect, place, note)  # type: ignore[arg-type]  # one of three texts


def _rows_note(build: Build, head: Entry, part: str) -> str:
    """``features.flights v88 -> v91, 585 -> 600 rows``."""
    old, new = head.evidence[part]["rows"], build.rows[part == "test"]
    rows = f"{old:,} -> {new:,} rows" if old != new else f"{new:,} rows as before"
    versions, table = (head.evidence["source_version"], build.source_version), build.config.source.table
    if table is None or None in versions or versions[0] == versions[1]:
        return rows
    return f"{table} v{versions[0]} -> v{versions[1]}, {rows}"


def _files(files: Mapping[str, Path]) -> str:
    shown = [os.path.relpath(path) for path in files.values()]
    more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
    return f"{Path(shown[0]).as_posix()}{more}" if shown else ""


def _differences(before: object, after: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Each leaf that differs: the way to it, its old and its new value."""
    old, new = _children(before), _children(after)
    if old is None or new is None or (isinstance(before, list) and len(old) != len(new)):
        if _text(before) != _text(after):
            yield path, before, after
        return
    for name in dict.fromkeys([*old, *new]):
        way = f"{path}{name}" if path else name.removeprefix(".")
        yield from _differences(old.get(name), new.get(name), way)


def _children(value: object) -> dict[str, Any] | None:
    """What is inside a value, by the way to it; None of a leaf."""
    if isinstance(value, dict):
        return {f".{name}": value[name] for name in sorted(value)}
    if isinstance(value, list):
        return {f"[{index}]": item for index, item in enumerate(value)}
    return None


def _text(value: object) -> str:
    """Equal exactly if the values are: 1 is not 1.0, nor True."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)

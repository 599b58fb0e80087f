"""The difference of two versions: config, rows, columns, code, environment and scores.

Everything is read from what was recorded and published about them; what is large stays where it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from mlkit.errors import MlkitError
from mlkit.production.code_difference import changed_files
from mlkit.production.evidence import evidence_of
from mlkit.production.recipe import code_files
from mlkit.production.row_difference import Tables, column_shifts, columns_of, moved
from mlkit.production.rules import config_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mlkit.data.drift import Comparison
    from mlkit.production.code_difference import FileChange
    from mlkit.production.registry import ModelVersion
    from mlkit.production.row_difference import RowDifference
    from mlkit.production.stores import Stores

_FEW = 12  # lines of one part that are shown
_WIDE = 48  # characters of one value that are shown
_PARTS = ("train", "test")


class Change(NamedTuple):
    """One value in both versions.

    Attributes:
        before: In the first; None where it is not there.
        after: In the second; None where it is not there.
    """

    before: Any
    after: Any


class Scores(TypedDict):
    """What two versions were judged to be worth.

    Attributes:
        own: `metric` and `score` of each, `before` and `after`, on its own test rows.
        same: Both scores with `metric` and `rows`, where they met at the gate; None if they never did.
        same_test: Whether their test rows are the same.
    """

    own: dict[str, dict[str, Any]]
    same: dict[str, Any] | None
    same_test: bool


@dataclasses.dataclass(frozen=True)
class Difference:
    """What tells one version from another.

    Attributes:
        project: The project.
        before: Number of the first version.
        after: Number of the second.
        config: Fields of the config that differ, by their path.
        rows: What became of the `train` and of the `test` rows.
        exchanged: Rows that were `train_to_test` and `test_to_train`.
        columns: Columns of the train rows that were `added` and `removed`.
        shifts: How each feature of the train rows is spread now, beside before.
        environment: Packages (and Python) of other versions.
        code: Digests of the user's code that differ: of all of it, of the `model`'s; and the `commit`.
        files: Files that travelled with the models and differ, by path.
        scores: Of each on its own test rows, and on the same rows where they met at the gate.
        notes: What could not be compared, and why.
    """

    project: str
    before: int
    after: int
    config: dict[str, Change]
    rows: dict[str, RowDifference]
    exchanged: dict[str, int]
    columns: dict[str, list[str]]
    shifts: dict[str, Comparison]
    environment: dict[str, Change]
    code: dict[str, Change]
    files: dict[str, FileChange]
    scores: Scores
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for part in ("config", "environment", "code"):
            values[part] = {name: change._asdict() for name, change in values[part].items()}
        for part in ("rows", "shifts", "files"):
            values[part] = {name: found.to_dict() for name, found in values[part].items()}
        return {**values, "notes": list(self.notes)}

    def __repr__(self) -> str:
        """What differs, part by part; of a part without a difference, that."""
        texts = {
            "config": [f"{path}: {_text(change)}" for path, change in self.config.items()],
            "rows": [f"{part:<5}  {found.sentence}" for part, found in self.rows.items()] + self._exchanged(),
            "columns": [f"{what} {', '.join(found)}" for what, found in self.columns.items() if found],
            "shift": [_shift(name, seen) for name, seen in moved(self.shifts).items()],
            "with": [f"{name} {_text(change)}" for name, change in self.environment.items()],
            "code": self._code(),
            "scores": _scores(self.scores),
            "note": list(self.notes),
        }
        lines = [f"{self.project} v{self.before} -> v{self.after}"]
        for part, found in texts.items():
            shown = found[:_FEW] + ([f"and {len(found) - _FEW} more: --json"] if len(found) > _FEW else [])
            if shown or part != "note":
                lines += [f"  {part:<8}  {shown[0] if shown else 'no difference'}"]
                lines += [f"  {'':<8}  {text}" for text in shown[1:]]
        return "\n".join([*lines, f"  next      mlkit explain {self.project} {self.after}"])

    def _exchanged(self) -> list[str]:
        ways = {way.replace("_", " "): rows for way, rows in self.exchanged.items() if rows}
        return [f"{rows:,} rows went from {way}" for way, rows in ways.items()]

    def _code(self) -> list[str]:
        named = [f"{what}: {_text(change)}" for what, change in self.code.items()]
        return named + [
            f"{path}: {found.state}, +{found.added} -{found.removed} lines"
            for path, found in self.files.items()
        ]


def diff(stores: Stores, before: int, after: int) -> Difference:
    """What tells one version from another.

    Args:
        stores: Of which project.
        before: Number of the first version.
        after: Number of the second.

    Raises:
        UsageError: No such version (CLI005), or one without a record (CLI075).
        IntegrityError: A table of one of them is gone.
    """
    versions, decisions = zip(*(evidence_of(stores, number) for number in (before, after)), strict=True)
    old, new = (decision.record for decision in decisions)
    kinds = [columns_of(stores, record["train"]["table"]) for record in (old, new)]
    common = [name for name in kinds[0] if name in kinds[1]]
    key = [name for name in old["key"] if sorted(old["key"]) == sorted(new["key"]) and name in common]
    tables = Tables(stores, key, common)
    notes: list[str] = []
    folders = [_folder(stores, version, notes) for version in versions]
    environments = [record["ingredients"]["environment"] for record in (old, new)]
    return Difference(
        project=stores.project,
        before=before,
        after=after,
        config=_changes(*(_flat(config_of(record)) for record in (old, new))),
        rows={part: tables.rows(old[part], new[part]) for part in _PARTS},
        exchanged=_exchanged(tables, old, new),
        columns={
            "added": [name for name in kinds[1] if name not in kinds[0]],
            "removed": [name for name in kinds[0] if name not in kinds[1]],
        },
        shifts=_shifts(stores, folders[0], old, new, notes),
        environment=_changes(*environments),
        code=_changes(*map(_code_of, (old, new))),
        files=_files(*folders),
        scores=_scores_of(old, new),
        notes=tuple(notes),
    )


def _flat(value: Any, path: str = "") -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Leaves by their path; a list of plain values is one leaf."""
    if isinstance(value, dict) and value:
        inner = [(f"{path}.{name}" if path else str(name), value[name]) for name in value]
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        inner = [(f"{path}[{place}]", item) for place, item in enumerate(value)]
    else:
        return {path: value}
    return {name: leaf for start, item in inner for name, leaf in _flat(item, start).items()}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Change]:
    """What differs by name; as JSON, for 1 is not 1.0, nor true."""
    pairs = {name: Change(before.get(name), after.get(name)) for name in {**before, **after}}
    return {name: change for name, change in pairs.items() if _json(change.before) != _json(change.after)}


def _exchanged(tables: Tables, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, int]:
    """Rows that changed sides; where nothing changed, nothing is read."""
    ways = (("train", "test"), ("test", "train"))
    same = all(old[part]["fingerprint"] == new[part]["fingerprint"] for part in _PARTS)
    return {f"{a}_to_{b}": 0 if same else tables.shared(old[a], new[b]) for a, b in ways}


def _shifts(
    stores: Stores,
    folder: Path | None,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    notes: list[str],
) -> dict[str, Comparison]:
    if folder is None or old["train"]["fingerprint"] == new["train"]["fingerprint"]:
        return {}
    with _noted(notes, "the spread of the columns"):
        return column_shifts(stores, folder, new["train"]["table"])
    return {}


def _code_of(record: Mapping[str, Any]) -> dict[str, Any]:
    origin = record["origin"]
    commit = origin.get("commit")
    state = f"{commit} and changes" if commit and origin.get("dirty") else commit
    return {"all": record["code"], "model": record["ingredients"]["model_code"], "commit": state}


def _folder(stores: Stores, version: ModelVersion, notes: list[str]) -> Path | None:
    with _noted(notes, f"the files of v{version.version}"):
        stores.registry.verify(version.model_id, manifest_digest=version.manifest_digest)
        return stores.registry.folder(version.model_id)
    return None


def _files(before: Path | None, after: Path | None) -> dict[str, FileChange]:
    return changed_files(code_files(before), code_files(after)) if before and after else {}


@contextlib.contextmanager
def _noted(notes: list[str], what: str) -> Iterator[None]:
    """Note what cannot be compared and go on: the rest still says much."""
    try:
        yield
    except MlkitError as exc:
        notes.append(f"{what} cannot be compared: {exc.path}: {exc.message} [{exc.code}]")


def _scores_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> Scores:
    own = {
        who: {"metric": record["metric"], "score": record["scores"]["candidate"]}
        for who, record in (("before", old), ("after", new))
    }
    return {"own": own, "same": _met(old, new), "same_test": _print_of(old) == _print_of(new)}


def _met(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any] | None:
    """Both scores on the same rows, if one was judged while the other served."""
    for judged, served, names in ((new, old, ("after", "before")), (old, new, ("before", "after"))):
        champion, scores = judged["champion"], judged["scores"]
        if champion and champion["model_id"] == served["candidate"]["model_id"]:
            found = dict(zip(names, (scores["candidate"], scores["champion"]), strict=True))
            return {"metric": judged["metric"], "rows": scores["rows"], **found}
    return None


def _print_of(record: Mapping[str, Any]) -> str:
    return str(record["test"]["fingerprint"])


def _scores(scores: Mapping[str, Any]) -> list[str]:
    before, after = (scores["own"][who] for who in ("before", "after"))
    where = "the same test rows" if scores["same_test"] else "its own test rows"
    numbers = f"{_number(before['score'])} -> {after['metric']} {_number(after['score'])}"
    lines = [f"{before['metric']} {numbers}, each on {where}"]
    if met := scores["same"]:
        pair = f"{_number(met['before'])} -> {_number(met['after'])}"
        lines.append(f"{met['metric']} {pair} on the same {met['rows']:,} rows, at the gate")
    return lines


def _shift(name: str, seen: Comparison) -> str:
    share = f"{100 * seen.effect:.1f} % of the rows have moved"
    cells = [
        f"{cell.label} {100 * cell.reference:.1f} % -> {100 * cell.window:.1f} %" for cell in seen.moved[:2]
    ]
    return f"{name}: {share}{'; ' if cells else ''}{', '.join(cells)}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _text(change: Change) -> str:
    """Before and after, short; of lists what came and what went."""
    before, after = change
    if isinstance(before, list) and isinstance(after, list):
        signs = [f"+{_short(item)}" for item in after if item not in before]
        signs += [f"-{_short(item)}" for item in before if item not in after]
        return ", ".join(signs) or "another order"
    return f"{_short(before)} -> {_short(after)}"


def _short(value: object) -> str:
    text = "unset" if value is None else value if isinstance(value, str) else _json(value)
    return f"{text[: _WIDE - 2]}.." if len(text) > _WIDE else text


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)

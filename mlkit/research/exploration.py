"""Looking around: snapshots of any data, the rows a study may see, splits tried against each other."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from mlkit.boundary import expect_a
from mlkit.code import load_function, reference_of
from mlkit.console import say
from mlkit.data.contract import Contract
from mlkit.data.contract_sql import infer_frame
from mlkit.data.parts import Parts, cut_rows, study_folds
from mlkit.data.parts_sql import cut_frame, study_frame_folds
from mlkit.data.snapshot import Snapshot, contract_of, publish_rows, scan_rows
from mlkit.data.source import Source, open_data, open_rows, open_source, prepare_rows
from mlkit.data.stream import infer_contract
from mlkit.digest.spark_frame import is_spark, translated
from mlkit.digest.sql import quoted
from mlkit.errors import ConfigError, DataError
from mlkit.model.evaluation import check_metric_name, get_metric, infer_task
from mlkit.model.spark_training import as_frame_rows, check_frame_source
from mlkit.model.training import as_rows
from mlkit.nearest import nearest
from mlkit.research.study.search import check_whole
from mlkit.research.study.trials import StudySetting
from mlkit.workspace import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from mlkit.data.source import FrameKind
    from mlkit.data.split import Folds, Split
    from mlkit.data.split_sql import FrameFolds
    from mlkit.engines.base import Engine, Frame
    from mlkit.model.evaluation import Task
    from mlkit.model.spark_training import FrameRows
    from mlkit.model.training import Rows

    Read = Callable[[], pa.Table | pa.RecordBatchReader | Frame]

_LABELS = 1000  # a target with more different values holds no classes
_NO_FEATURE = ("timestamp", "timestamp_utc", "date", "binary")


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a project predicts, from what, and how it is judged.

    Attributes:
        name: The project.
        target: Label column.
        metric: Name of a metric, or ``module:function``.
        direction: Direction of one's own metric.
        key: Columns that identify a row.
        split: The rule for test rows.
        task: Kind of prediction; None to infer it from the target.
        features: Columns the estimator sees; None for all that are left.

    Raises:
        ConfigError: The metric is neither a known one nor named as one's own (CFG013).
    """

    name: str
    target: str
    metric: str
    direction: Any
    key: tuple[str, ...]
    split: Split
    task: Task | None
    features: tuple[str, ...] | None

    def __post_init__(self) -> None:
        """Refuse a misspelt metric; one's own is looked for when it is needed."""
        check_metric_name(self.metric)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what is predicted, how it is judged and split."""
        return {
            "name": self.name,
            "target": self.target,
            "metric": self.metric,
            "key": list(self.key),
            "split": self.split.dump(),
            "task": self.task,
        }


@dataclasses.dataclass(frozen=True)
class Material:
    """What a study works on: its setting, the rows it may see, and their folds."""

    setting: StudySetting
    rows: Rows | FrameRows
    folds: Folds | FrameFolds


def take_snapshot(
    problem: Problem,
    data: object,
    *,
    prepare: object,
    contract: object,
    engine: Engine,
    frame: FrameKind | None = None,
) -> Snapshot:
    """Prepare, check and publish rows under the fingerprint of their content.

    Args:
        problem: The project's.
        data: Any dataframe, the name of a table, or a `Source`.
        prepare: ``module:function``, or a function; None for rows that are prepared already.
        contract: What prepared rows keep; by default inferred from them (dtypes only).
        engine: Where tables live.
        frame: What `prepare` takes; by default what the source says, which is a pandas frame if it is silent.

    Raises:
        DataError: There is no target among the columns (DAT040), or the rows hold what no store could.
        ContractError: The rows break the contract; nothing was written.
        StudyError: `prepare` failed.
    """
    stored = _stored(data)
    if stored is not None and frame is not None:
        data = stored = stored.replace(frame=frame)
    source, why = _named_source(stored, prepare)
    with _prepared_rows(data, source, prepare, engine, frame) as read:
        columns = read().schema.names
        _check_target(problem.target, columns)
        agreed = Contract.of(contract) if contract is not None else _contract(source, read, engine)
        prefix = f"{problem.name}__snapshot"
        snapshot = publish_rows(engine, read(), agreed, prefix=prefix, key=problem.key, source=source)
    if snapshot.reused:
        say(f"snapshot {snapshot.fingerprint} was taken before: reused, nothing written")
    return dataclasses.replace(snapshot, unnamed=why)


def look_at_split(problem: Problem, snapshot: Snapshot, split: Split | None) -> Parts:
    """The parts of a snapshot under a split (the project's by default)."""
    expect_a("Snapshot", snapshot, path="snapshot", fix="give project.snapshot(dataframe)")
    return cut_rows(snapshot.to_arrow(), split or problem.split, key=problem.key, target=problem.target)


def gather(problem: Problem, snapshot: Snapshot, *, cv: int, seed: int, in_spark: bool = False) -> Material:
    """Everything a study needs of a snapshot; the test rows are counted and left behind.

    Args:
        problem: The project's.
        snapshot: The rows.
        cv: Number of folds.
        seed: Seed of the study.
        in_spark: Leave the rows in Spark, for estimators that train there.

    Raises:
        UsageError: A seed that no config could hold.
        DataError: A target (DAT040) or feature that is not there, the target among the features, an empty
            part or fold, or rows that are too many to come here (DAT070).
        ConfigError: The metric or the split does not fit the task, or it is no snapshot (CFG009).
    """
    check_whole("seed", seed, least=0, most=2**32 - 1)
    expect_a("Snapshot", snapshot, path="snapshot", fix="give project.snapshot(dataframe)")
    _check_target(problem.target, snapshot.contract.columns)
    features = _features(snapshot.contract, problem)
    if not problem.key and not problem.split.by and not problem.split.time:
        say("no key: rows are split by their whole content, so another column would reshuffle them")
    found = (_cut_in_spark if in_spark else _cut_here)(problem, snapshot, features, cv, seed)
    metric = get_metric(problem.metric, direction=problem.direction, task=found.task)
    setting = StudySetting(
        project=problem.name,
        snapshot=snapshot,
        split=problem.split,
        key=problem.key,
        target=problem.target,
        features=features,
        task=found.task,
        metric=metric,
        train=found.fingerprints[0],
        test=found.fingerprints[1],
        train_rows=found.counts[0],
        test_rows=found.counts[1],
        cv=cv,
        seed=seed,
    )
    return Material(setting, found.rows, found.folds)


class _Cut(NamedTuple):
    """A snapshot cut for a study: task, train rows and folds; fingerprints and counts of train and test."""

    task: Task
    rows: Rows | FrameRows
    folds: Folds | FrameFolds
    fingerprints: tuple[str, str]
    counts: tuple[int, int]


def _cut_here(problem: Problem, snapshot: Snapshot, features: tuple[str, ...], cv: int, seed: int) -> _Cut:
    rule: dict[str, Any] = {"split": problem.split, "key": problem.key, "target": problem.target}
    parts = cut_rows(snapshot.to_arrow(), **rule)
    task = problem.task or _inferred_task(parts.train, problem.target)
    rows = as_rows(parts.train, snapshot.contract, features=features, target=problem.target)
    folds = study_folds(parts, cv, **rule, seed=seed)
    return _Cut(task, rows, folds, parts.fingerprints, (parts.train.num_rows, parts.test.num_rows))


def _cut_in_spark(
    problem: Problem, snapshot: Snapshot, features: tuple[str, ...], cv: int, seed: int
) -> _Cut:
    rule: dict[str, Any] = {"split": problem.split, "key": problem.key, "target": problem.target}
    check_frame_source(snapshot.source, snapshot.engine)
    parts = cut_frame(scan_rows(snapshot.engine, snapshot.table, snapshot.contract), **rule)
    task = problem.task or _inferred_task(_some_labels(parts.train, problem.target), problem.target)
    rows = as_frame_rows(
        parts.train,
        snapshot.contract,
        features=features,
        target=problem.target,
        rows=parts.rows[0],
        most=snapshot.engine.fetch_bytes,
    )
    folds = study_frame_folds(parts, cv, **rule, seed=seed)
    return _Cut(task, rows, folds, parts.fingerprints, parts.rows)


def _some_labels(frame: Frame, target: str) -> pa.Table:
    """Different labels of rows in Spark, enough of them to tell what they are."""
    with translated("read the labels"):
        labels: pa.Table = frame.selectExpr(quoted(target)).distinct().limit(_LABELS).toArrow()
    return labels


def _check_target(target: str, columns: Collection[str]) -> None:
    if target not in columns:
        fix = nearest(target, columns)
        raise DataError("DAT040", "the target is not among the columns", path=target, fix=fix)


def _features(contract: Contract, problem: Problem) -> tuple[str, ...]:
    if problem.features is None:
        return default_features(contract, problem)
    for name in problem.features:
        if name not in contract.columns:
            fix = nearest(name, contract.columns)
            raise DataError("DAT045", "this feature is not among the columns", path=name, fix=fix)
    if problem.target in problem.features:
        fix = f"leave {problem.target!r} out of features="
        raise DataError("DAT044", "the target is also a feature", path="features", fix=fix)
    return problem.features


def default_features(contract: Contract, problem: Problem) -> tuple[str, ...]:
    """All columns but target, key and time, in name order; what no estimator takes is left out aloud."""
    taken = {problem.target, *problem.key, *problem.split.by, problem.split.time}
    names = [name for name in sorted(contract.columns, key=str.encode) if name not in taken]
    left_out = [name for name in names if contract.columns[name].dtype in _NO_FEATURE]
    if left_out:
        say(f"not used as features: {', '.join(left_out)} (turn dates into numbers in prepare)")
    features = tuple(name for name in names if name not in left_out)
    if not features:
        raise DataError("DAT001", "no columns are left to learn from", path="features", fix="prepare some")
    return features


def _named_source(stored: Source | None, prepare: object) -> tuple[Source | None, str]:
    """The source that names the data, or why there is none."""
    try:
        reference = _reference(prepare)
    except ConfigError as exc:
        return None, f"prepare cannot be imported by name: {exc.message}"
    if stored is None:
        return None, "the snapshot was taken from a dataframe in memory"
    return stored if reference is None else stored.replace(prepare=reference), ""


def _stored(data: object) -> Source | None:
    if isinstance(data, str):
        return Source(table=str(table_name(data)))
    return data if isinstance(data, Source) else None


@contextlib.contextmanager
def _prepared_rows(
    data: object, source: Source | None, prepare: object, engine: Engine, frame: FrameKind | None
) -> Iterator[Read]:
    """Rows to read as often as needed; they are in memory only where a function made them."""
    if source is not None or prepare is None:
        with open_rows(source or data, engine) as read:
            yield read
    else:
        rows = _unnamed_rows(data, prepare, engine, frame)
        yield lambda: rows


def _unnamed_rows(data: object, prepare: object, engine: Engine, frame: FrameKind | None) -> pa.Table | Frame:
    stored = _stored(data)
    if stored is None:
        rows = open_data(data, engine)
    else:
        rows, frame = open_source(stored.replace(prepare=None), engine).rows, stored.frame
    if isinstance(prepare, str):
        name, function = prepare, load_function(prepare)
    else:
        name, function = getattr(prepare, "__name__", "prepare"), prepare
    return prepare_rows(rows, function, name=name, engine=engine, frame=frame or "pandas")


def _reference(prepare: object) -> str | None:
    return prepare if prepare is None or isinstance(prepare, str) else reference_of(prepare)


def _contract(source: Source | None, read: Read, engine: Engine) -> Contract:
    """The contract of a feature table that is used as it is; else dtypes taken from the rows."""
    if source is not None and source.table is not None and source.prepare is None:
        stored = contract_of(engine, table_name(source.table))
        if stored is not None:
            return stored
    rows, origin = read(), str(source or "data")
    if isinstance(rows, pa.Table):
        return Contract.infer(rows)
    return infer_frame(rows, origin=origin) if is_spark(rows) else infer_contract(rows, origin=origin)


def _inferred_task(table: pa.Table, target: str) -> Task:
    task = infer_task(table.column(target), name=target)
    found = f"from {target}, {table.schema.field(target).type}"
    say(f"task: {task} ({found}); pass task= to say otherwise")
    return task

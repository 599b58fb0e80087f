"""Splits of rows that stay in Spark: every row is in the part and the fold that it is in here."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
import re

import numpy as np
import pyarrow as pa
import pytest

from mlkit.data.order_sql import ordinal
from mlkit.data.parts import cut_rows, study_folds
from mlkit.data.parts_sql import cut_frame, study_frame_folds
from mlkit.data.source import ordered
from mlkit.data.split import MAX_FOLDS, Split, assign_folds, assign_parts
from mlkit.data.split_sql import frame_folds, part_sql
from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import MlkitError
from tests.conftest import not_on_classic, on_each_spark, on_one_spark
from tests.data.frames import as_frame

pytestmark = pytest.mark.newest_only

START = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - naive on purpose
COUNT = 300


def make_rows(seed: int = 0, count: int = COUNT) -> pa.Table:
    """A unique key, a group with missing ones, times of every type with ties, and classes of every type."""
    generator = np.random.default_rng(seed)
    ticks = generator.integers(-(2**40), 2**50, count // 2)
    times = generator.choice(ticks, count)
    days = generator.integers(-4000, 30000, count).astype(np.int32)
    wide = generator.choice([-(2**63), -(2**63) + 1, -1, 0, 2**63 - 1, 2**62], count)
    floats = np.round(generator.normal(size=count) * 1e6, 3)
    floats[:3] = [0.0, -0.0, 1e-5]
    return pa.table(
        {
            "id": np.arange(count),
            "grou`p.é": pa.array(generator.integers(0, 40, count), mask=generator.random(count) < 0.1),
            "instant": pa.array(times).cast(pa.timestamp("us", "UTC")),
            "naive": pa.array(times).cast(pa.timestamp("us")),
            "day": pa.array(days).cast(pa.date32()),
            "tiny": pa.array(generator.integers(-128, 128, count).astype(np.int8)),
            "wide": wide,
            "real": floats,
            "single": floats.astype(np.float32),
            "label": generator.choice(["a", "b", "c"], count, p=[0.6, 0.3, 0.1]),
            "number": generator.choice([1, 2], count),
            "x": generator.normal(size=count),
        }
    )


TIMES = ["instant", "naive", "day", "tiny", "wide", "real", "single"]
RULES = {
    "key": Split(seed=-7, validation=0.3),
    "group": Split(by="grou`p.é", seed=2**63 - 1),
    "classes": Split(stratify=True, test=0.15, validation=0.25),
    "classes without validation": Split(stratify=True, test=0.3, seed=3),
    **{name: Split(time=name, test=0.3, validation=0.1) for name in TIMES},
    "no test row would fit": Split(time="instant", test=0.001),
}
KEY = ("id",)


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Rows to split."""
    return make_rows()


@pytest.fixture(scope="module")
def frame(spark, rows):
    """The same rows in Spark."""
    return as_frame(spark, rows)


def by_id(frame, *expressions: str) -> list[int] | list[list[int]]:
    """What an expression, or each of several, says of each row in the order of the keys."""
    rows = sorted(tuple(map(int, row)) for row in frame.selectExpr("id", *expressions).collect())
    found = [list(column) for column in list(zip(*rows, strict=True))[1:]]
    return found if len(expressions) > 1 else found[0]


def outcome(function, *arguments, **options):
    """What a function gives; of an error its type, code, message and path."""
    try:
        return function(*arguments, **options)
    except MlkitError as exc:
        return type(exc), exc.code, exc.message, exc.path


@on_each_spark("rule", RULES, on_jvm=["group", "classes", "instant", "naive", "day", "wide", "real"])
def test_every_row_is_in_the_part_it_is_in_here(rows, frame, rule) -> None:
    """By hash, by group, by time of any type, and stratified, ties and duplicates included."""
    names = {"key": KEY, "target": "label"}
    expected = outcome(assign_parts, rows, RULES[rule], **names)
    if isinstance(expected, tuple):
        assert outcome(cut_frame, frame, RULES[rule], **names) == expected
    else:
        assert by_id(frame, part_sql(frame, RULES[rule], **names)) == expected.tolist()


@on_each_spark("rule", ["key", "group", "classes", "naive", "wide"], on_jvm=["group", "classes", "naive"])
def test_every_row_is_in_the_fold_it_is_in_here(rows, frame, rule) -> None:
    """Folds of a study follow the rule of the split, with a seed of their own."""
    options = {"split": RULES[rule].replace(validation=0.0), "key": KEY, "target": "label", "seed": 5}
    here, there = assign_folds(rows, 4, **options), frame_folds(frame, 4, **options)
    assert (there.count, there.forward) == (here.count, here.forward)
    parts = [part for pair in there.pairs() for part in pair]
    expected = [np.isin(np.arange(COUNT), ids).astype(int).tolist() for pair in here.pairs() for ids in pair]
    found = by_id(frame, there.expression, *(f"CAST({part} AS INT)" for part in parts))
    assert found == [here.ids.tolist(), *expected]


@on_each_spark("seed", range(3), on_jvm=[0])
def test_without_a_key_whole_rows_are_hashed(spark, seed) -> None:
    """Equal rows stay together, on both sides alike, whatever the rule."""
    table = make_rows(seed, 80).select(["instant", "label", "number", "x"])
    table = table.take(np.random.default_rng(seed).integers(0, 80, 120)).append_column(
        "id", pa.array(range(120))
    )
    frame = as_frame(spark, table)
    content = table.drop_columns("id")
    for split in (Split(seed=seed), Split(stratify=True, test=0.4, seed=seed)):
        part = part_sql(frame.drop("id"), split, target="number")
        assert by_id(frame, part) == assign_parts(content, split, target="number").tolist()


CUTS = [Split(), Split(validation=0.3), Split(stratify=True), Split(stratify=True, validation=0.3)]


@on_each_spark("split", CUTS, on_jvm=CUTS[-1:])
def test_both_parts_have_the_fingerprints_that_they_have_here(rows, frame, split) -> None:
    """Train, test, the validation rows among train, and the folds of a study on them."""
    names = {"key": KEY, "target": "label"}
    here, there = cut_rows(ordered(rows), split, **names), cut_frame(frame, split, **names)
    assert there.fingerprints == here.fingerprints == (fingerprint(there.train), fingerprint(there.test))
    assert there.rows == (here.train.num_rows, here.test.num_rows)
    assert repr(there).splitlines()[0] == f"Frame{str(here).splitlines()[0]}  (in Spark)"
    held_out = here.train.filter(pa.array(here.held_out))["id"].to_pylist()
    assert there.validation == len(held_out)
    found = there.train.where(there.held_out).selectExpr("id").collect()
    assert sorted(row[0] for row in found) == sorted(held_out)
    folds = study_folds(here, 3, split=split, seed=1, **names)
    in_spark = study_frame_folds(there, 3, split=split, seed=1, **names)
    in_key_order = np.argsort(here.train["id"].to_numpy())
    assert by_id(there.train, in_spark.expression) == folds.ids[in_key_order].tolist()


LAST = {"one class is rare": ["a"] * 59 + ["b"], "a label is missing": ["a", "b"] * 29 + ["a", None]}


@pytest.mark.parametrize(
    ("changes", "split"),
    [
        ({}, Split(by="nothing")),
        ({}, Split(time="nothing")),
        ({"t": ["2024"] * 60}, Split(time="t")),
        ({"t": [True, False] * 30}, Split(time="t")),
        ({"t": [1, None] * 30}, Split(time="t")),
        ({"t": [1.0, float("nan")] * 30}, Split(time="t")),
        ({"t": [1] * 60}, Split(time="t")),
        ({"id": [1] * 60}, Split()),
        ({"label": LAST["one class is rare"]}, Split(stratify=True)),
        ({"label": LAST["a label is missing"]}, Split(stratify=True)),
        ({"label": [0.5] * 60}, Split(stratify=True)),
    ],
)
@on_one_spark
def test_what_cannot_be_split_is_refused_in_the_same_words(spark, changes, split) -> None:
    """Missing columns, times and labels, classes too rare, parts that stay empty."""
    table = pa.table({"id": range(60), "t": range(60), "label": ["a", "b"] * 30, **changes})
    names = {"key": KEY, "target": "label"}
    expected = outcome(cut_rows, table, split, **names)
    assert isinstance(expected, tuple)
    assert outcome(cut_frame, as_frame(spark, table), split, **names) == expected


@on_one_spark
def test_no_rows_leave_a_part_empty(spark) -> None:
    """Under every rule."""
    table = pa.table(
        {"id": pa.array([], pa.int64()), "t": pa.array([], pa.int64()), "label": pa.array([], pa.string())}
    )
    for split in (Split(), Split(time="t"), Split(stratify=True)):
        expected = outcome(cut_rows, table, split, key=KEY, target="label")
        assert outcome(cut_frame, as_frame(spark, table), split, key=KEY, target="label") == expected


@on_one_spark
@pytest.mark.parametrize("count", [1, MAX_FOLDS + 1, 60])
def test_folds_that_cannot_be_are_refused_in_the_same_words(spark, count) -> None:
    """Too few, too many, or one that would stay empty."""
    table = pa.table({"id": range(60), "label": ["a", "b"] * 30})
    options = {"split": Split(), "key": KEY, "target": "label"}
    expected = outcome(assign_folds, table, count, **options)
    assert isinstance(expected, tuple)
    assert outcome(frame_folds, as_frame(spark, table), count, **options) == expected


ODD = [0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1.0, 1.0000000000000002, 0.9999999999999999, 3.0, 1e300]
ODD += [np.nextafter(2.0**power, way) for power in (-1022, -1021, -60, 3, 49, 53, 1023) for way in (0, 1e308)]


@not_on_classic
def test_floats_are_put_in_order_exactly(spark) -> None:
    """By the bits that they have in memory, from the smallest to infinity."""
    values = np.array([*ODD, *np.random.default_rng(0).normal(size=200), np.inf])
    values = np.concatenate([values, -values, 10.0 ** np.arange(-300, 300, 7.0)])
    frame = as_frame(spark, pa.table({"id": range(len(values)), "x": values}))
    bits = np.abs(values).view(np.int64) * np.where(values < 0, -1, 1)
    assert by_id(frame, ordinal("x", pa.float64())) == bits.tolist()


@on_each_spark("rule", ["classes", "naive", "real"], on_jvm=["real"])
def test_no_row_is_sorted_or_moved_to_be_split(frame, rule) -> None:
    """The part of a row follows from the row and constants: no exchange, no window, no function of ours."""
    if os.environ.get("MLKIT_TEST_REMOTE_CONNECT"):
        pytest.skip("looked at where the plan is that of the client's own Spark")
    part = part_sql(frame, RULES[rule], key=KEY, target="label")
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        frame.where(f"({part}) = 0").explain()
    assert not re.search("udf|python|exchange|window|sort", shown.getvalue().lower())


def test_a_frame_of_chance_is_refused(spark) -> None:
    """Rows that are others each time they are read have no fingerprint to go by."""
    frame = spark.range(200).selectExpr("id", "uuid() AS x")
    if not type(frame).__module__.startswith("pyspark.sql.connect"):
        pytest.skip("Spark in this process draws the seed once for a frame, which then stays the same")
    with pytest.raises(MlkitError, match="DAT050"):
        cut_frame(frame, Split(), key=KEY, target="x")


@not_on_classic
def test_the_zone_of_a_session_moves_no_row(spark, rows) -> None:
    """Wall clocks are put in order as they are, instants as they are, also where clocks go back."""
    frame = as_frame(spark, rows)
    before = spark.conf.get("spark.sql.session.timeZone")
    try:
        spark.conf.set("spark.sql.session.timeZone", "Europe/Paris")
        for name in ("naive", "instant"):
            found = by_id(frame, part_sql(frame, Split(time=name), key=KEY))
            assert found == assign_parts(rows, Split(time=name), key=KEY).tolist()
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)

"""Splits: decided by content, the same everywhere and for ever, and exact where a share is exact."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.data.source import read_dataframe
from mlkit.data.split import (
    MAX_FOLDS,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    assign_folds,
    assign_parts,
    cuts,
    fold_seed,
    row_codes,
)
from mlkit.errors import ConfigError, MlkitError
from tests.digest import oracle

SEEDS = st.integers(-(2**63), 2**63 - 1)
STATES = st.integers(0, 2**32 - 1)
QUICK = settings(max_examples=25, deadline=None)
START = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - naive on purpose
TIMES = {
    "int8": pa.array(range(-128, 128), pa.int8()),
    "int64": pa.array([-(2**63), *range(254), 2**63 - 1], pa.int64()),
    "float": pa.array([-np.inf, *np.linspace(-1, 1, 254), np.inf]),
    "date": pa.array([dt.date(1960, 1, 1) + dt.timedelta(day) for day in range(256)]),
    "date64": pa.array([dt.date(1960, 1, 1) + dt.timedelta(day) for day in range(256)], pa.date64()),
    "instant": pa.array([START + dt.timedelta(hours=hour) for hour in range(256)], pa.timestamp("us", "UTC")),
}


def rows(count: int, state: int = 0, *, first: int = 0) -> pa.Table:
    """Rows with a unique key, a group of about five rows, a time of about three, and a class."""
    generator = np.random.default_rng(state)
    return pa.table(
        {
            "id": np.arange(first, first + count),
            "group": generator.integers(0, max(count // 5, 1), count),
            "time": generator.integers(0, max(count // 3, 1), count),
            "label": generator.choice(["a", "b", "c"], count, p=[0.6, 0.3, 0.1]),
            "x": generator.normal(size=count),
        }
    )


def shuffled(table: pa.Table, state: int) -> pa.Table:
    """The same rows in another order."""
    return table.take(np.random.default_rng(state).permutation(table.num_rows))


def by_id(table: pa.Table, parts) -> dict:
    """Part of each row by its key."""
    return dict(zip(table["id"].to_pylist(), np.asarray(parts).tolist(), strict=True))


@QUICK
@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()), min_size=1, max_size=30), SEEDS)
def test_codes_are_those_of_the_specification(keys, seed) -> None:
    """The code of a row is one more hash of lane 0 of its key, computed here by the slow oracle."""
    table = pa.table({"k": pa.array(keys, pa.int64()), "x": [1.5] * len(keys)})
    lane0 = oracle.lanes({"k": keys}, table.select(["k"]).schema)[0]
    expected = [oracle.chain([seed, lane], 42) >> 32 for lane in lane0]
    assert row_codes(table, ["k"], seed=seed).tolist() == expected
    assert fold_seed(seed) == oracle.chain([seed, 1], 42) >> 32


def test_codes_never_change() -> None:
    """Three codes written down: whoever changes them moves the test rows of every model there is."""
    table = pa.table({"id": [0, 1, 2], "name": ["a", None, ""]})
    assert row_codes(table, ["id"], seed=7).tolist() == [772246460, 3111393471, 1955267237]
    assert row_codes(table, [], seed=-1).tolist() == [540031062, 2983909442, 322978614]
    assert fold_seed(0) == 1928250572


@QUICK
@given(STATES, SEEDS, st.sampled_from([(0.2, 0.0), (0.1, 0.3), (0.5, 0.25)]))
def test_parts_are_cut_as_the_specification_says(state, seed, shares) -> None:
    """A row is in the first part whose exact cut is above its code: test, validation, train."""
    table = rows(200, state)
    test, validation = (Fraction(str(share)) for share in shares)
    first = int(2**32 * test + Fraction(1, 2))
    second = int(2**32 * (test + validation) + Fraction(1, 2))
    assert cuts(shares) == [first, second, 2**32]
    expected = [
        TEST if code < first else VALIDATION if code < second else TRAIN
        for code in row_codes(table, ["id"], seed=seed).tolist()
    ]
    split = Split(test=shares[0], validation=shares[1], seed=seed)
    assert assign_parts(table, split, key=["id"]).tolist() == expected


def test_cuts_are_exact_where_floats_are_not() -> None:
    """A tenth and a fifth are three tenths, though not as floats."""
    assert cuts([0.1, 0.2])[1] == cuts([0.3])[0] == 1288490189
    assert cuts([0.2], end=10) == [2, 10]


@QUICK
@given(STATES, SEEDS, st.integers(1, 300))
def test_an_old_row_never_changes_side(state, seed, more) -> None:
    """Rows and columns may arrive in any order: under a key each old row stays where it was."""
    old = rows(150, state)
    both = pa.concat_tables([old, rows(more, state + 1, first=150)])
    later = shuffled(both, state).append_column("new", pa.array(np.arange(150.0 + more)))
    split = Split(seed=seed, validation=0.2)
    before = by_id(old, assign_parts(old, split, key=["id"]))
    after = by_id(later, assign_parts(later, split, key=["id"]))
    assert before.items() <= after.items()
    folds = by_id(old, assign_folds(old, 4, split=split, key=["id"], seed=5).ids)
    assert folds.items() <= by_id(later, assign_folds(later, 4, split=split, key=["id"], seed=5).ids).items()


@QUICK
@given(STATES, SEEDS, st.sampled_from([Split(), Split(stratify=True), Split(time="time")]))
def test_duplicates_never_straddle(state, seed, rule) -> None:
    """Without a key, equal rows are in one part and one fold, whatever the rule."""
    distinct = rows(120, state).drop_columns("id")
    copies = np.random.default_rng(state).integers(1, 4, 120)
    which = np.repeat(np.arange(120), copies)
    order = np.random.default_rng(state + 1).permutation(len(which))
    table, which = distinct.take(which[order]), which[order]
    split = rule.replace(seed=seed)
    for ids in (
        assign_parts(table, split, target="label"),
        assign_folds(table, 3, split=split, target="label", seed=1).ids,
    ):
        assert len({(row, int(part)) for row, part in zip(which, ids, strict=True)}) == 120


@QUICK
@given(STATES, st.sampled_from([Split(), Split(stratify=True), Split(by=("group",)), Split(time="time")]))
def test_every_library_and_order_gives_the_same_parts(state, split) -> None:
    """Pandas, Polars, Arrow with other types, shuffled: one row, one part, one fold."""
    table = rows(150, state)
    narrow = table.set_column(0, "id", table["id"].cast(pa.int32()))
    frames = [table.to_pandas(), pl.from_arrow(shuffled(table, 1)), shuffled(narrow, 2)]
    frames.append(frames[0].sample(frac=1, random_state=3).astype({"label": "category", "group": "float64"}))
    parts, folds = [], []
    for frame in frames:
        read = read_dataframe(frame)
        parts.append(by_id(read, assign_parts(read, split, key=["id"], target="label")))
        folds.append(by_id(read, assign_folds(read, 3, split=split, key=["id"], target="label").ids))
    assert all(each == parts[0] for each in parts)
    assert all(each == folds[0] for each in folds)


@QUICK
@given(STATES, SEEDS)
def test_stratified_parts_keep_the_share_of_each_class(state, seed) -> None:
    """Of each class, every part and every fold holds its share within one row."""
    table = rows(300, state)
    split = Split(test=0.2, validation=0.1, seed=seed, stratify=True)
    parts = assign_parts(table, split, key=["id"], target="label")
    folds = assign_folds(table, 5, split=split, key=["id"], target="label", seed=3)
    labels = np.array(table["label"].to_pylist())
    for name in ("a", "b", "c"):
        members = labels == name
        for part, share in ((TEST, 0.2), (VALIDATION, 0.1), (TRAIN, 0.7)):
            assert abs((parts[members] == part).sum() - members.sum() * share) <= 1
        assert np.ptp(np.bincount(folds.ids[members], minlength=5)) <= 1


@pytest.mark.parametrize("kind", TIMES)
def test_the_latest_rows_are_the_test_rows(kind) -> None:
    """Test is after validation is after train, for every type of time, at the ends of its range too."""
    table = shuffled(pa.table({"when": TIMES[kind], "rank": np.arange(256)}), 0)
    parts = assign_parts(table, Split(test=0.25, validation=0.125, time="when"))
    rank = table["rank"].to_numpy()
    assert sorted(rank[parts == TEST]) == list(range(192, 256))
    assert sorted(rank[parts == VALIDATION]) == list(range(160, 192))
    assert sorted(rank[parts == TRAIN]) == list(range(160))


@QUICK
@given(STATES)
def test_equal_times_stay_together(state) -> None:
    """Ties go to the later part, which therefore grows by less than one tie."""
    table = rows(200, state)
    time = table["time"].to_numpy()
    test = assign_parts(table, Split(time="time")) == TEST
    assert time[test].min() > time[~test].max()
    assert 40 <= test.sum() < 40 + np.bincount(time).max()


@QUICK
@given(STATES, st.integers(2, 6))
def test_forward_folds_learn_from_the_past_only(state, count) -> None:
    """By time, each fold is scored by a model of all earlier rows, and as many rows as the others."""
    table = rows(300, state)
    time = table["time"].to_numpy()
    pairs = list(assign_folds(table, count, split=Split(time="time")).pairs())
    assert len(pairs) == count
    assert all(time[fit].max() < time[held_out].min() for fit, held_out in pairs)
    widest_tie = np.bincount(time).max()
    assert all(abs(len(held_out) - 300 / (count + 1)) <= 2 * widest_tie for _, held_out in pairs)


@QUICK
@given(STATES, SEEDS, st.integers(2, 10))
def test_folds_hold_out_each_row_once(state, seed, count) -> None:
    """Folds are (code * k) >> 32 and cover the rows; fit and held-out rows never meet."""
    table = rows(400, state)
    folds = assign_folds(table, count, split=Split(), key=["id"], seed=seed)
    codes = row_codes(table, ["id"], seed=fold_seed(seed)).tolist()
    assert folds.ids.tolist() == [code * count >> 32 for code in codes]
    held_out = np.concatenate([score for _, score in folds.pairs()])
    assert sorted(held_out) == list(range(400))
    assert all(not np.intersect1d(fit, score).size for fit, score in folds.pairs())


@pytest.mark.parametrize("rule", [Split(), Split(by="group"), Split(stratify=True)])
def test_folds_are_balanced_and_independent_of_the_split(rule) -> None:
    """With seed 0 for both, train rows still fill every fold; one hash for both would empty the first."""
    table = rows(20_000)
    train = table.filter(assign_parts(table, rule, key=["id"], target="label") == TRAIN)
    ids = assign_folds(train, 5, split=rule, key=["id"], target="label", seed=0).ids
    shares = np.bincount(ids, minlength=5) / len(ids)
    assert shares.min() > 0.18
    assert shares.max() < 0.22


@QUICK
@given(STATES, SEEDS)
def test_groups_stay_whole(state, seed) -> None:
    """All rows of a group, and those without one, are in one part and one fold."""
    table = rows(250, state)
    group = table["group"].to_pylist()
    group = pa.array([None if value == 3 else value for value in group])
    table = table.set_column(1, "group", group)
    split = Split(by="group", seed=seed)
    for ids in (assign_parts(table, split, key=["id"]), assign_folds(table, 3, split=split, key=["id"]).ids):
        assert len(set(zip(group.to_pylist(), ids.tolist(), strict=True))) == len(group.unique())


def test_a_group_is_the_same_under_another_name() -> None:
    """Only values are hashed, so the same key gives the same part in every table."""
    table = rows(100)
    renamed = table.rename_columns(["flight", *table.column_names[1:]])
    assert assign_parts(table, Split(), key=["id"]).tolist() == (
        assign_parts(renamed, Split(), key=["flight"]).tolist()
    )


def test_another_seed_is_another_split() -> None:
    """Seeds matter, the negative ones too."""
    table = rows(200)
    found = {tuple(assign_parts(table, Split(seed=seed), key=["id"])) for seed in (0, 1, -1, 2**63 - 1)}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("values", "code", "path"),
    [
        ({"test": 0}, "CFG012", "test"),
        ({"test": 1}, "CFG012", "test"),
        ({"test": -0.1}, "CFG012", "test"),
        ({"test": "0.2"}, "CFG009", "test"),
        ({"test": float("nan")}, "CFG009", "test"),
        ({"validation": 1.0}, "CFG012", "validation"),
        ({"test": 0.7, "validation": 0.3}, "CFG012", "test"),
        ({"seed": 2**63}, "CFG009", "seed"),
        ({"seed": 1.5}, "CFG009", "seed"),
        ({"by": "a", "time": "b"}, "CFG012", "time"),
        ({"time": "b", "stratify": True}, "CFG012", "stratify"),
        ({"by": [1]}, "CFG009", "by.0"),
        ({"tset": 0.1}, "CFG006", "tset"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(values, code, path) -> None:
    """Each mistake has its code and names the field, in Python and in YAML alike."""
    for build, prefix in (
        (lambda: Split(**values), ""),
        (lambda: Split.from_values(values, path="split"), "split."),
    ):
        with pytest.raises(ConfigError) as caught:
            build()
        assert (caught.value.code, caught.value.path) == (code, prefix + path)


def test_a_rule_survives_its_file() -> None:
    """Share and seed are always written; the rest only where it differs from the default."""
    assert Split().dump() == {"test": 0.2, "seed": 0}
    split = Split(test=0.3, by=("a", "b"), seed=-5)
    assert Split.from_values(split.dump()) == split
    assert Split(by="a") == Split.from_values({"by": ["a"]})


ONE_KEY = pa.table({"id": [1] * 50, "label": ["a"] * 50})
FEW = pa.table({"id": range(50), "label": ["a"] * 48 + ["b", "b"], "time": pa.array([None, *range(49)])})


@pytest.mark.parametrize(
    ("table", "split", "code", "path"),
    [
        (ONE_KEY, Split(), "DAT003", "split"),
        (ONE_KEY.slice(0, 0), Split(), "DAT003", "split"),
        (pa.table({"when": [5] * 9}), Split(time="when"), "DAT003", "split"),
        (rows(50), Split(test=0.2, validation=1e-9), "DAT003", "split"),
        (rows(50), Split(by=("gruop",)), "DAT045", "gruop"),
        (rows(50), Split(time="tmie"), "DAT045", "tmie"),
        (FEW, Split(time="time"), "DAT056", "time"),
        (pa.table({"t": [1.0, float("nan"), 3.0]}), Split(time="t"), "DAT056", "t"),
        (pa.table({"t": ["monday", "friday"]}), Split(time="t"), "DAT046", "t"),
        (pa.table({"t": pa.array([1, 2], pa.duration("s"))}), Split(time="t"), "DAT046", "t"),
        (FEW.slice(0, 49), Split(stratify=True), "CFG012", "split.stratify"),
        (FEW, Split(stratify=True, test=0.7, validation=0.2), "CFG012", "split.stratify"),
        (pa.table({"label": [0.5, 1.5]}), Split(stratify=True), "CFG012", "split.stratify"),
        (pa.table({"label": ["a", None]}), Split(stratify=True), "DAT041", "label"),
    ],
)
def test_rows_that_do_not_fit_the_rule_are_refused(table, split, code, path) -> None:
    """Nothing is guessed: an empty part, a missing column, time or label, or a class too rare is an error."""
    with pytest.raises(MlkitError) as caught:
        assign_parts(table, split, key=["id"] if "id" in table.column_names else [], target="label")
    assert (caught.value.code, caught.value.path) == (code, path)


@pytest.mark.parametrize(
    ("table", "count", "code"),
    [
        (rows(100), 1, "CLI021"),
        (rows(100), MAX_FOLDS + 1, "CLI021"),
        (rows(20), MAX_FOLDS, "DAT003"),
        (ONE_KEY, 2, "DAT003"),
    ],
)
def test_folds_that_cannot_be_are_refused(table, count, code) -> None:
    """Too few folds, too many, or one that would stay empty."""
    with pytest.raises(MlkitError) as caught:
        assign_folds(table, count, split=Split(), key=["id"])
    assert (caught.value.code, caught.value.path) == (code, "cv")


def test_frames_of_pandas_nullable_types_split_alike() -> None:
    """Int64 with a missing group is the float column that pandas would make of it."""
    nullable = pd.DataFrame({"g": pd.array([1, None, 3] * 20, dtype="Int64"), "x": range(60)})
    floats = nullable.astype({"g": "float64"})
    first, second = (row_codes(read_dataframe(frame), ["g"], seed=1) for frame in (nullable, floats))
    assert first.tolist() == second.tolist()

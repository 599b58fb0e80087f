"""Streams that tables can hold, and frames whose dtypes follow from the contract alone."""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.data import plain
from mlkit.data.contract import Column, Contract
from mlkit.data.frame import admit, to_frame, to_target
from mlkit.digest.fingerprint import fingerprint
from mlkit.errors import ConfigError, ContractError, DataError, UnsupportedTypeError

UTC = dt.UTC
NOON = dt.datetime.fromisoformat("2024-05-01T12:00:00.000007")
TEXTS = ["a", None, "", "a long text that does not fit into a view", "a"]


def admitted(table):
    """All rows that pass `admit`."""
    return admit(table.to_reader()).read_all()


def one(array, name="x"):
    """A table of one column."""
    return pa.table({name: array})


def views(values, kind):
    """An array of views, which pa.array makes by way of plain text."""
    return pa.array(values).cast(kind)


# ------------------------------------------------------------------------------------- admit: types


ADMITTED = {
    "uint8": (pa.array([0, 255, None], pa.uint8()), pa.int16()),
    "uint16": (pa.array([0, 65535, None], pa.uint16()), pa.int32()),
    "uint32": (pa.array([0, 2**32 - 1, None], pa.uint32()), pa.int64()),
    "uint64": (pa.array([0, 2**63 - 1, None], pa.uint64()), pa.int64()),
    "float16": (pa.array(np.array([0.5, -0.0, np.nan], np.float16)), pa.float32()),
    "large_string": (pa.array(TEXTS, pa.large_string()), pa.string()),
    "string_view": (views(TEXTS, pa.string_view()), pa.string()),
    "large_binary": (pa.array([b"a", None], pa.large_binary()), pa.binary()),
    "binary_view": (views([b"a", None], pa.binary_view()), pa.binary()),
    "fixed_size_binary": (pa.array([b"ab", None], pa.binary(2)), pa.binary()),
    "dictionary": (pa.array(TEXTS).dictionary_encode(), pa.string()),
    "dictionary of views": (
        pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), views(["a", "b"], pa.string_view())),
        pa.string(),
    ),
    "dictionary of uint8": (pa.array([1, 2, 1], pa.uint8()).dictionary_encode(), pa.int16()),
    "runs": (pc.run_end_encode(pa.array([1, 1, None, 2])), pa.int64()),
    "timestamp s": (pa.array([1, None], pa.timestamp("s")), pa.timestamp("us")),
    "timestamp ns": (pa.array([1000, None], pa.timestamp("ns")), pa.timestamp("us")),
    "zoned": (pa.array([10**9, None], pa.timestamp("ns", "Europe/Paris")), pa.timestamp("us", "UTC")),
    "date64": (pa.array([NOON.date(), None], pa.date64()), pa.date32()),
    "decimal256": (pa.array([Decimal("1.50"), None], pa.decimal256(38, 2)), pa.decimal128(38, 2)),
    "large_list": (pa.array([[1], None, []], pa.large_list(pa.uint8())), pa.list_(pa.int16())),
    "fixed_size_list": (pa.array([[1, 2], None], pa.list_(pa.uint16(), 2)), pa.list_(pa.int32())),
    "struct": (
        pa.array([{"a": ["x"]}, None], pa.struct([("a", pa.list_(pa.large_string()))])),
        pa.struct([("a", pa.list_(pa.string()))]),
    ),
    "kept": (pa.array([True, None]), pa.bool_()),
}


@pytest.mark.parametrize("case", ADMITTED)
def test_admitted_types_keep_the_fingerprint(case):
    """Every encoding becomes the type that a Delta table holds, and no value changes its meaning."""
    array, expected = ADMITTED[case]
    rows = admitted(one(array))
    assert rows.schema.field("x").type == expected
    assert fingerprint(rows) == fingerprint(one(array))


REFUSED = {
    "null": (pa.nulls(2), "DAT034", "x"),
    "duration": (pa.array([1], pa.duration("s")), "DAT024", "x"),
    "time": (pa.array([1], pa.time32("s")), "DAT025", "x"),
    "nested duration": (pa.array([[1]], pa.list_(pa.duration("s"))), "DAT024", "x[]"),
    "deep time": (
        pa.array([{"a": [{"b": 1}]}], pa.struct([("a", pa.list_(pa.struct([("b", pa.time64("us"))])))])),
        "DAT025",
        "x.a[].b",
    ),
    "map": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "DAT030", "x"),
    "interval": (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "DAT030", "x"),
    "extension": (pa.array([b"0" * 16], pa.uuid()), "DAT030", "x"),
    "union": (pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]), "DAT030", "x"),
    "wide decimal": (pa.array([Decimal(1)], pa.decimal256(39, 0)), "DAT030", "x"),
    "negative scale": (pa.array([Decimal(100)], pa.decimal128(5, -2)), "DAT030", "x"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_types_name_column_and_way_out(case):
    """What no table holds exactly is refused before a row is read, with path, code and fix."""
    array, code, path = REFUSED[case]
    with pytest.raises(UnsupportedTypeError) as caught:
        admit(one(array).to_reader())
    assert (caught.value.code, caught.value.path) == (code, path)
    assert caught.value.fix


LOSSY = {
    "uint64": (pa.array([1, 2**63], pa.uint64()), "DAT027"),
    "nanoseconds": (pa.array([1000, 1001], pa.timestamp("ns")), "DAT032"),
    "far future": (pa.array([2**62], pa.timestamp("s")), "DAT028"),
    "date with time": (pa.array([86_400_001], pa.int64()).view(pa.date64()), "DAT032"),
    "dictionary": (pa.array([2**63], pa.uint64()).dictionary_encode(), "DAT027"),
}


@pytest.mark.parametrize("case", LOSSY)
@pytest.mark.parametrize("nested", [False, True])
def test_values_that_would_change_are_refused_and_never_shown(case, nested):
    """The error names the column and quotes no value, not even through its cause."""
    array, code = LOSSY[case]
    if nested:
        array = pa.StructArray.from_arrays([array, pa.array(["ok"] * len(array))], ["a", "b"])
    with pytest.raises(DataError) as caught:
        admitted(one(array))
    error = caught.value
    assert (error.code, error.path) == (code, "x.a" if nested else "x")
    assert str(2**63) not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_values_are_refused_while_streaming():
    """A stream whose later batch does not fit still yields its earlier ones."""
    schema = pa.schema([("x", pa.uint64())])
    batches = [pa.record_batch([pa.array([value], pa.uint64())], schema) for value in (1, 2**63)]
    reader = admit(pa.RecordBatchReader.from_batches(schema, batches))
    assert reader.read_next_batch().to_pydict() == {"x": [1]}
    with pytest.raises(DataError, match="DAT027"):
        reader.read_next_batch()


def test_nothing_is_read_before_it_is_asked_for():
    """Memory stays bounded by a batch, because no batch is pulled ahead."""
    pulled = []

    def batches():
        for value in range(3):
            pulled.append(value)
            yield pa.record_batch({"x": [value]})

    reader = admit(pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), batches()))
    assert pulled == []
    reader.read_next_batch()
    assert pulled == [0]


@pytest.mark.parametrize("case", ["large_string", "string_view", "dictionary", "runs of text", "list"])
def test_batches_are_cut_where_offsets_would_overflow(case, monkeypatch):
    """Text beyond the 32-bit offsets of a plain column is spread over more batches."""
    monkeypatch.setattr(plain, "MAX_CHUNK_BYTES", 64)
    texts = ["a text of twenty byte"] * 16
    array = {
        "large_string": pa.array(texts, pa.large_string()),
        "string_view": views(texts, pa.string_view()),
        "dictionary": pa.array(texts).dictionary_encode(),
        "runs of text": pc.run_end_encode(pa.array(texts)),
        "list": pa.array([[text] for text in texts], pa.large_list(pa.large_string())),
    }[case]
    table = one(array).append_column("n", pa.array(range(16)))
    batches = list(admit(table.to_reader()))
    assert len(batches) >= 8
    assert pa.Table.from_batches(batches).column("n").to_pylist() == list(range(16))
    assert fingerprint(pa.Table.from_batches(batches)) == fingerprint(table)


def test_nullability_stays_and_metadata_goes():
    """A table keeps what its columns promise, not the notes of the library that made them."""
    field = pa.field("x", pa.uint8(), nullable=False, metadata={"note": "kept by nobody"})
    table = pa.table([pa.array([1], pa.uint8())], schema=pa.schema([field], metadata={"pandas": "{}"}))
    schema = admitted(table).schema
    assert schema == pa.schema([pa.field("x", pa.int16(), nullable=False)])
    assert schema.metadata is None
    assert schema.field("x").metadata is None


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_plain_table_passes_unchanged(data):
    """Admitting twice changes nothing more: the types are a fixed point, the fingerprint is kept."""
    kinds = st.sampled_from(
        [pa.uint8(), pa.uint32(), pa.int64(), pa.float64(), pa.large_string(), pa.bool_()]
    )
    values = {
        "u": st.integers(0, 255),
        "i": st.integers(0, 127),
        "f": st.floats(),
        "l": st.text(),
        "b": st.booleans(),
    }
    rows = data.draw(st.integers(0, 8))
    columns = {}
    for name in ("a", "b"):
        kind = data.draw(kinds)
        cells = st.none() | values[str(kind)[0] if str(kind) != "double" else "f"]
        columns[name] = pa.array(data.draw(st.lists(cells, min_size=rows, max_size=rows)), kind)
    table = pa.table(columns)
    once = admitted(table)
    assert fingerprint(once) == fingerprint(table)
    assert admitted(once).schema == once.schema


# ------------------------------------------------------------------------------------- admit: names


NAMES = {
    "no column": ([], "DAT001"),
    "twice": (["a", "a"], "DAT010"),
    "by case only": (["Ab", "aB"], "DAT011"),
    "empty": ([""], "DAT015"),
    "blank": (["  "], "DAT015"),
    **{f"character {char!r}": ([f"a{char}b"], "DAT016") for char in " ,;{}()\n\t=`"},
    "long": (["a" * 256], "DAT017"),
    "leading space": ([" a"], "DAT018"),
    "trailing space": (["a "], "DAT018"),
    "no-break space": (["a\u00a0"], "DAT018"),
    "NUL": (["a\0b"], "DAT018"),
    "reserved": (["_Change_Type"], "DAT019"),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_that_some_engine_refuses(case):
    """Each rule for column names has its own code, and says what to do."""
    names, code = NAMES[case]
    schema = pa.schema([(name, pa.int64()) for name in names])
    with pytest.raises(DataError) as caught:
        admit(pa.RecordBatchReader.from_batches(schema, []))
    assert caught.value.code == code
    assert caught.value.fix


def test_names_inside_a_struct_are_looked_at_too():
    """A field name is a column name of some engine, and its path says where it stands."""
    table = one(pa.array([{"a b": 1}]), "user")
    with pytest.raises(DataError) as caught:
        admit(table.to_reader())
    assert (caught.value.code, caught.value.path) == ("DAT016", "user.a b")


@pytest.mark.parametrize("name", ["a", "Größe", "a.b", "a-b", "x" * 255, "列", "a/b"])
def test_names_that_every_engine_takes(name):
    """What Spark and Delta take is not refused."""
    assert admitted(one(pa.array([1]), name)).column_names == [name]


# ----------------------------------------------------------------------------------------- to_frame

CATEGORY = Column(dtype="category", nullable=True, categories=("b", "a", "c"))
NUMBERED = Column(dtype="category", categories=(3, 1))
NAN = float("nan")

FRAMES = {
    "bool": (Column(dtype="bool"), pa.array([True, False]), "bool", [True, False]),
    "bool?": (Column(dtype="bool", nullable=True), pa.array([True, None]), "float64", [1.0, NAN]),
    "int8": (Column(dtype="int8"), pa.array([1, -2], pa.int8()), "int64", [1, -2]),
    "int64": (Column(dtype="int64"), pa.array([2**53 + 1]), "int64", [2**53 + 1]),
    "int32?": (Column(dtype="int32", nullable=True), pa.array([1, None], pa.int32()), "float64", [1.0, NAN]),
    "float32": (Column(dtype="float32"), pa.array([0.5], pa.float32()), "float64", [0.5]),
    "float64": (Column(dtype="float64", nullable=True), pa.array([0.1, None]), "float64", [0.1, NAN]),
    "decimal": (Column(dtype="decimal(5,2)"), pa.array([Decimal("1.10")]), "float64", [1.1]),
    "string": (Column(dtype="string", nullable=True), pa.array(["a", None]), "object", ["a", NAN]),
    "date": (Column(dtype="date", nullable=True), pa.array([NOON.date(), None]), "datetime64[us]", None),
    "timestamp": (Column(dtype="timestamp"), pa.array([NOON]), "datetime64[us]", [pd.Timestamp(NOON)]),
    "utc": (
        Column(dtype="timestamp_utc"),
        pa.array([NOON], pa.timestamp("us", "UTC")),
        "datetime64[us, UTC]",
        [pd.Timestamp(NOON, tz=UTC)],
    ),
    "category": (CATEGORY, pa.array(["c", None, "b"]), "category", ["c", NAN, "b"]),
    "int category": (NUMBERED, pa.array([1, 3]), "category", [1, 3]),
}


@pytest.mark.parametrize("case", FRAMES)
def test_dtype_follows_from_the_contract(case):
    """Each dtype of a contract has one dtype in frames, on every version of pandas."""
    column, array, dtype, expected = FRAMES[case]
    frame = to_frame(one(array), Contract(columns={"x": column}), ["x"])
    assert str(frame["x"].dtype) == dtype
    if expected is not None:
        assert frame["x"].isna().tolist() == [value is NAN for value in expected]
        assert frame["x"].dropna().tolist() == [value for value in expected if value is not NAN]


@pytest.mark.parametrize("case", [name for name in FRAMES if FRAMES[name][0].nullable])
def test_dtype_does_not_follow_from_the_values(case):
    """A nullable column has the same dtype with missing values, without any, and without rows."""
    column, array, dtype, _ = FRAMES[case]
    contract = Contract(columns={"x": column})
    for rows in (array.drop_null(), pa.nulls(2), array.slice(0, 0)):
        assert str(to_frame(one(rows), contract, ["x"])["x"].dtype) == dtype


@pytest.mark.parametrize("array", [
    pa.array(["c", None, "b"], pa.large_string()),
    views(["c", None, "b"], pa.string_view()),
    pa.array(["c", None, "b"]).dictionary_encode(),
    pa.chunked_array([["c"], [None, "b"]]),
])  # fmt: skip
def test_frames_do_not_depend_on_the_library(array):
    """However a library encodes its texts, the frame is the same."""
    contract = Contract(columns={"x": CATEGORY})
    frame = to_frame(one(array), contract, ["x"])
    assert frame["x"].cat.categories.tolist() == ["b", "a", "c"]
    assert frame["x"].cat.categories.dtype == object
    assert frame["x"].cat.codes.tolist() == [2, -1, 0]


def test_a_frame_has_the_asked_columns_in_their_order():
    """Order and labels come from the call, further columns of the table are ignored."""
    contract = Contract(columns={name: Column(dtype="int64") for name in ("a", "b", "c")})
    table = pa.table({"c": [3], "b": [2], "a": [1], "extra": ["x"]})
    frame = to_frame(table, contract, ["b", "a"])
    assert frame.columns.tolist() == ["b", "a"]
    assert frame.columns.dtype == object
    assert isinstance(frame.index, pd.RangeIndex)
    assert frame.iloc[0].tolist() == [2, 1]


def test_a_frame_is_the_same_bytes_on_every_version():
    """Golden: rows, bits and dtypes of one frame of every dtype, written under pandas 2.2 and 3.1 alike."""
    state = hashlib.sha256()
    for column, array, *_ in FRAMES.values():
        values = to_frame(one(array), Contract(columns={"x": column}), ["x"])["x"]
        state.update(str(values.dtype).encode())
        plain_values = values.cat.codes if column.categories else values
        if plain_values.dtype == object:
            state.update(repr(plain_values.tolist()).encode())
        else:
            state.update(np.asarray(plain_values, dtype=plain_values.dtype.base).tobytes())
    assert state.hexdigest()[:16] == "1acff74fad1ce850"


def test_negative_zero_becomes_zero():
    """-0.0 equals 0.0 in the digest, so it must not give a model other bits."""
    contract = Contract(columns={"x": Column(dtype="float64")})
    frame = to_frame(one(pa.array([-0.0])), contract, ["x"])
    assert not np.signbit(frame["x"].to_numpy()).any()


@given(st.lists(st.decimals(-(10**17), 10**17, places=9), min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_decimals_become_the_nearest_float(values):
    """Rounded once and correctly, so no version of Arrow can move a bit."""
    contract = Contract(columns={"x": Column(dtype="decimal(38,9)")})
    frame = to_frame(one(pa.array(values, pa.decimal128(38, 9))), contract, ["x"])
    assert frame["x"].tolist() == [float(value) for value in values]


def test_unknown_categories_are_counted():
    """A category that the model never saw stops the rows, and only its count is told."""
    contract = Contract(columns={"x": CATEGORY})
    with pytest.raises(DataError) as caught:
        to_frame(one(pa.array(["a", "zebra", "zebra", None])), contract, ["x"])
    assert (caught.value.code, caught.value.path) == ("DAT047", "x")
    assert "2 of 4" in caught.value.message
    assert "zebra" not in str(caught.value)


def test_missing_values_need_a_nullable_column():
    """Where the contract allows none, a missing value is a violation with its count."""
    contract = Contract(columns={"x": Column(dtype="int64")})
    with pytest.raises(ContractError, match=r"DAT060.*found 2 in 3 rows"):
        to_frame(one(pa.array([1, None, None])), contract, ["x"])


REFUSED_FRAMES = {
    "unknown to the contract": (["y"], pa.array([1]), "DAT045"),
    "missing in the table": (["x"], None, "DAT045"),
    "twice": (["x", "x"], pa.array([1]), "DAT010"),
    "nested": (["x"], pa.array([[1]]), "DAT021"),
    "text": (["x"], pa.array(["a"]), "DAT046"),
}


@pytest.mark.parametrize("case", REFUSED_FRAMES)
def test_refused_frames(case):
    """What is no feature of this contract is refused by its code."""
    columns, array, code = REFUSED_FRAMES[case]
    table = pa.table({"z": [1]}) if array is None else one(array)
    with pytest.raises(DataError) as caught:
        to_frame(table, Contract(columns={"x": Column(dtype="int64")}), columns)
    assert caught.value.code == code


def test_bytes_are_no_feature():
    """Bytes can be stored under a contract, and cannot be learned from."""
    contract = Contract(columns={"x": Column(dtype="binary")})
    with pytest.raises(DataError, match="DAT022"):
        to_frame(one(pa.array([b"a"])), contract, ["x"])


def test_a_frame_needs_columns():
    """A model of no features is a mistake of the config."""
    with pytest.raises(ConfigError):
        to_frame(one(pa.array([1])), Contract(columns={"x": Column(dtype="int64")}), [])


# ---------------------------------------------------------------------------------------- to_target

TARGETS = {
    "int": (Column(dtype="int8"), pa.array([1, 2], pa.int8()), np.int64, [1, 2]),
    "bool": (Column(dtype="bool"), pa.array([True, False]), np.bool_, [True, False]),
    "float": (Column(dtype="float32"), pa.array([0.5, -0.0], pa.float32()), np.float64, [0.5, 0.0]),
    "decimal": (Column(dtype="decimal(4,1)"), pa.array([Decimal("0.1")]), np.float64, [0.1]),
    "string": (Column(dtype="string"), pa.array(["a", "b"]), object, ["a", "b"]),
    "category": (CATEGORY, pa.array(["a", "b"]), object, ["a", "b"]),
    "int category": (NUMBERED, pa.array([3, 1]), np.int64, [3, 1]),
    "nullable int": (Column(dtype="int64", nullable=True), pa.array([1]), np.int64, [1]),
    "upcast by pandas": (Column(dtype="int64"), pa.array([1.0, 2.0]), np.int64, [1, 2]),
}


@pytest.mark.parametrize("case", TARGETS)
def test_labels_keep_their_kind(case):
    """Integers stay integers, bools bools and texts texts, so that classifiers see their classes."""
    column, array, dtype, expected = TARGETS[case]
    labels = to_target(one(array).append_column("other", array), Contract(columns={"x": column}), "x")
    assert labels.dtype == dtype
    assert labels.shape == (len(array),)
    assert labels.tolist() == expected


WRONG_LABELS = {
    "missing": (Column(dtype="float64", nullable=True), pa.array([1.0, None, NAN]), "DAT041", "1 of 3"),
    "all missing": (Column(dtype="float64", nullable=True), pa.nulls(2), "DAT041", "2 of 2"),
    "missing text": (Column(dtype="string", nullable=True), pa.array(["a", None]), "DAT041", "1 of 2"),
    "not finite": (Column(dtype="float64"), pa.array([1.0, NAN, float("inf")]), "DAT042", "2 of 3"),
    "unknown category": (CATEGORY, pa.array(["zebra"]), "DAT047", "1 of 1"),
    "instant": (Column(dtype="timestamp"), pa.array([NOON]), "DAT046", "timestamp"),
    "absent": (Column(dtype="int64"), None, "DAT045", "missing: x"),
}


@pytest.mark.parametrize("case", WRONG_LABELS)
def test_labels_that_nothing_can_be_learned_from(case):
    """Missing and not finite labels are counted, and refused before an estimator sees them."""
    column, array, code, message = WRONG_LABELS[case]
    table = pa.table({"z": [1]}) if array is None else one(array)
    with pytest.raises(DataError) as caught:
        to_target(table, Contract(columns={"x": column}), "x")
    assert (caught.value.code, caught.value.path) == (code, "x")
    assert message in caught.value.message

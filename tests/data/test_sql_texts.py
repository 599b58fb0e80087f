"""SQL that is written for Spark, read by sqlite: ranks, times as numbers, the weight of rows."""

from __future__ import annotations

import datetime as dt
import math
import struct

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.data.order_sql import has_order, ordinal
from mlkit.data.ranks_sql import GROUP, NUMBER, group_sizes, smallest
from mlkit.engines.sizes import Size, check_size, fetch, size_of
from mlkit.errors import DataError
from tests.data.spark_in_sqlite import SqliteFrame, connected, in_sqlite

longs = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.sampled_from([-(2**63), 2**63 - 1, 2**62, -(2**62) - 1]),
)
doubles = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([5e-324, 2.0**-1022, 2.0**1023, 1.7976931348623157e308, math.inf, -0.0, 1.0]),
)


def numbered(rows) -> SqliteFrame:
    """A frame of groups and numbers."""
    connection = connected()
    connection.execute(f"CREATE TABLE t ({GROUP} INTEGER, {NUMBER} INTEGER)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    return SqliteFrame(connection, "SELECT * FROM t")


def computed(sql: str, value) -> object:
    """What an expression over the column `x` says of a value."""
    return connected().execute(f"SELECT {in_sqlite(sql)} FROM (SELECT ? AS x)", (value,)).fetchone()[0]


@settings(max_examples=50)
@given(st.dictionaries(longs, st.lists(longs, min_size=1, max_size=25), min_size=1, max_size=4), st.data())
def test_numbers_at_ranks_are_those_of_sorting(groups, data):
    """Whatever the numbers: ties, both ends of what a long holds, groups of very different numbers."""
    frame = numbered([(group, number) for group, numbers in groups.items() for number in numbers])
    ranks = {
        group: data.draw(st.lists(st.integers(1, len(numbers)), max_size=4))
        for group, numbers in groups.items()
    }
    found = smallest(frame, ranks)
    assert found == {group: [sorted(groups[group])[rank - 1] for rank in ranks[group]] for group in ranks}
    assert group_sizes(frame) == {group: len(numbers) for group, numbers in groups.items()}


def test_no_rank_asks_nothing():
    """Nor does a group of which none is wanted; both are there in the answer."""
    frame = numbered([(1, 5)])
    assert smallest(frame, {1: [], 2: []}) == {1: [], 2: []}
    assert smallest(frame, {}) == {}
    assert frame.asked == []


def test_few_questions_find_a_rank():
    """One number is found by asking for its ends alone; sixty-four bits take a few rounds of counting."""
    same = numbered([(1, 7)] * 50)
    assert smallest(same, {1: [1, 50]}) == {1: [7, 7]}
    assert len(same.asked) == 1
    wide = numbered([(1, step * 2**56 - 2**63) for step in range(256)])
    assert smallest(wide, {1: [128]}) == {1: [127 * 2**56 - 2**63]}
    assert len(wide.asked) <= 6


@given(doubles, doubles)
def test_doubles_as_whole_numbers_keep_their_order(one, other):
    """They are the bits of the double, so equal ones are equal, later ones greater; both zeros are one."""
    found = []
    for value in (one, other):
        (bits,) = struct.unpack("<q", struct.pack("<d", abs(value)))
        found.append(computed(ordinal("x", pa.float64()), value))
        assert found[-1] == (-bits if value < 0 else bits)
    assert (found[0] < found[1]) == (one < other)
    assert (found[0] == found[1]) == (one == other)


@given(st.datetimes(dt.datetime(1583, 1, 1), dt.datetime(9999, 12, 31)))  # noqa: DTZ001 - wall clocks
def test_wall_clocks_count_microseconds(moment):
    """From their parts, before 1970 too; the day alone counts days."""
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock
    microseconds = (moment - epoch) // dt.timedelta(microseconds=1)
    # sqlite has no exact decimals, with which Spark counts the seconds: nearest instead of cut
    sql = ordinal("x", pa.timestamp("us")).replace("* 1000000 AS BIGINT", "* 1000000 + 0.5 AS BIGINT")
    assert computed(sql, moment.isoformat(sep=" ", timespec="microseconds")) == microseconds
    assert computed(ordinal("x", pa.date32()), moment.date().isoformat()) == microseconds // 86_400_000_000


def test_an_instant_is_counted_by_spark_itself():
    """With a zone it needs none of the session's; whole numbers are taken as they are."""
    assert ordinal("t", pa.timestamp("us", "UTC")) == "unix_micros(t)"
    assert computed(ordinal("x", pa.int8()), -5) == -5


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.int8(), True),
        (pa.float32(), True),
        (pa.date32(), True),
        (pa.timestamp("us"), True),
        (pa.timestamp("us", "UTC"), True),
        (pa.bool_(), False),
        (pa.string(), False),
        (pa.decimal128(9, 2), False),
        (pa.list_(pa.int8()), False),
    ],
)
def test_types_that_can_be_times(kind, expected):
    """Numbers, days and instants; decimals are none, and truth values have no order worth a split."""
    assert has_order(kind) is expected


def weighed(types, rows) -> SqliteFrame:
    """A frame of typed columns."""
    connection = connected()
    names = ", ".join(f'"{name}"' for name, _ in types)
    connection.execute(f"CREATE TABLE t ({names})")
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(types))})", rows)
    return SqliteFrame(connection, "SELECT * FROM t", types=types)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("boolean", [True, None], 2),
        ("short", [1, 2, 3], 6),
        ("integer", [1], 4),
        ("long", [1, None], 16),
        ("double", [0.5], 8),
        ("timestamp", ["x"], 8),
        ("decimal(38,2)", [1, 2], 32),
        ("void", [None], 0),
        ("string", ["", None, "é", "abc"], 4 * 4 + 2 + 3),
        ("varchar(5)", ["ab"], 6),
        ({"type": "map"}, ["x"], 16),
    ],
)
def test_what_values_weigh(kind, values, expected):
    """Bytes as Arrow holds them, an offset for each text; missing ones take their place."""
    frame = weighed([("x", kind)], [(value,) for value in values])
    assert size_of(frame) == Size(len(values), expected)
    assert len(frame.asked) == 1


def test_no_rows_weigh_nothing():
    """A sum over no rows is missing, and counts as none; no columns are refused."""
    assert size_of(weighed([("x", "long"), ("s", "string")], [])) == Size(0, 0)
    with pytest.raises(DataError, match="DAT001"):
        size_of(SqliteFrame(connected(), "SELECT 1"))


def test_columns_weigh_together():
    """Within a few percent of what then arrives, as Arrow counts it."""
    texts = ["a" * (number % 50) for number in range(1000)]
    table = pa.table({"n": pa.array(range(1000)), "s": texts})
    found = size_of(weighed([("n", "long"), ("s", "string")], zip(range(1000), texts, strict=True)))
    assert found.rows == 1000
    assert found.bytes == pytest.approx(table.nbytes, rel=0.03)


@pytest.mark.parametrize(
    ("most", "further", "fits"),
    [(None, 0, True), (16, 0, True), (15, 0, False), (36, 10, True), (35, 10, False), (None, 10**12, True)],
)
def test_rows_that_may_come(most, further, fits):
    """Up to the last byte, with what each row takes beside the frame; the error has both sizes."""
    frame = weighed([("x", "long")], [(1,), (2,)])
    if fits:
        assert check_size(frame, most=most, what="flights", further=further) == 2
        return
    with pytest.raises(DataError, match="found 2 rows of") as caught:
        check_size(frame, most=most, what="flights", further=further)
    assert (caught.value.code, caught.value.path) == ("DAT070", "flights")
    assert "fetch_gb" in caught.value.fix


def test_rows_that_are_too_many_are_never_sent():
    """They are weighed first, and not even that where no bound is set."""

    class Sending(SqliteFrame):
        """Says that it sent its rows."""

        def toArrow(self):  # noqa: N802 - a name of Spark
            self.asked.append("sent")
            return pa.table({"x": [1, 2]})

    frame = weighed([("x", "long")], [(1,), (2,)])
    types = [("x", "long")]
    sending = Sending(frame._connection, "SELECT * FROM t", types=types)
    with pytest.raises(DataError, match="DAT070"):
        fetch(sending, most=15, what="flights")
    assert "sent" not in sending.asked
    assert fetch(sending, most=16, what="flights").num_rows == 2
    sending.asked.clear()
    assert fetch(sending, most=None, what="flights").num_rows == 2
    assert sending.asked == ["sent"]

"""Feature tables: a batch enters whole under the contract, or it is refused whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pandera.pandas as pandera
import polars as pl
import pyarrow as pa
import pytest

from mlkit.data.contract import Column, Contract
from mlkit.data.features import FeatureTable, publish_features
from mlkit.digest.fingerprint import fingerprint
from mlkit.engines.base import FEATURES, TableName
from mlkit.engines.local import LocalEngine
from mlkit.errors import ContractError, DataError, MlkitError, RaceLostError, UsageError

TABLE = TableName(FEATURES, "flights")
CONTRACT = Contract(
    columns={
        "id": Column(dtype="int64", checks={"greater_than_or_equal_to": 0}),
        "delay": Column(
            dtype="float64", nullable=True, checks={"in_range": {"min_value": -60, "max_value": 600}}
        ),
    }
)


def batch(ids, delay=1.0) -> pd.DataFrame:
    """Rows with these keys and one delay."""
    return pd.DataFrame({"id": list(ids), "delay": delay})


@pytest.fixture
def engine(tmp_path) -> LocalEngine:
    """An empty lake."""
    return LocalEngine(tmp_path / "lake")


def publish(engine, data, *, contract=None, key=("id",)) -> FeatureTable:
    """Publish a batch to the one table of these tests."""
    return publish_features(engine, TABLE, data, contract=contract, key=key)


def content(engine) -> dict:
    """Delay by key, as it stands in the table."""
    rows = engine.read(TABLE).read_all()
    return dict(zip(rows["id"].to_pylist(), rows["delay"].to_pylist(), strict=True))


def test_rows_are_added_and_replaced_by_key(engine) -> None:
    """Known keys get the new values, new keys are added, others stay, in one commit."""
    first = publish(engine, batch(range(4)), contract=CONTRACT)
    second = publish(engine, batch([3, 4], 9.0))
    assert content(engine) == {0: 1.0, 1: 1.0, 2: 1.0, 3: 9.0, 4: 9.0}
    assert second.version == first.version + 1
    assert (first.rows, second.rows) == (4, 5)
    assert (first.changed, second.changed) == (True, True)
    assert second.fingerprint == fingerprint(engine.read(TABLE)) != first.fingerprint
    assert publish(engine, batch([0, 5])).changed
    assert content(engine)[5] == 1.0


def test_a_batch_that_is_there_already_writes_nothing(engine) -> None:
    """Repeating a publication, in part or in another library, keeps the version."""
    first = publish(engine, batch(range(4)), contract=CONTRACT)
    again = publish(engine, pl.DataFrame({"delay": [1.0, 1.0], "id": pl.Series([2, 0], dtype=pl.Int8)}))
    assert again.changed is False
    assert (again.version, again.fingerprint, again.rows) == (first.version, first.fingerprint, 4)
    assert engine.describe(TABLE).version == first.version


def test_a_batch_that_breaks_the_contract_is_refused_whole(engine) -> None:
    """Column, check, count and keys are named, no value is, and the old rows stay."""
    first = publish(engine, batch(range(4)), contract=CONTRACT)
    bad = pd.concat([batch([10, 11], 5.0), batch([12, 13, 14, 15], 987.5)])
    with pytest.raises(ContractError) as caught:
        publish(engine, bad)
    assert caught.value.code == "DAT060"
    assert caught.value.path == "delay"
    assert "delay: in_range fails in 4 rows (keys 12, 13, 14)" in str(caught.value)
    assert "987" not in str(caught.value)
    assert engine.describe(TABLE).version == first.version
    assert content(engine) == dict.fromkeys(range(4), 1.0)


@pytest.mark.parametrize(
    ("data", "code", "path"),
    [
        (batch([5, 5]), "DAT049", "id"),
        (pd.DataFrame({"id": pd.array([5, None], dtype="Int64"), "delay": 1.0}), "DAT049", "id"),
        (batch([]).astype({"id": "int64", "delay": "float64"}), "DAT002", "features.flights"),
        (batch([5]).assign(extra=1), "DAT045", "extra"),
        (batch([5])[["id"]], "DAT045", "delay"),
        (batch([5], "late"), "DAT046", "delay"),
        (batch([5], "12.5"), "DAT054", "delay"),
        (batch([2.5]), "DAT046", "id"),
        ({"id": [5]}, "DAT021", ""),
    ],
)
def test_rows_that_do_not_belong_here_are_refused(engine, data, code, path) -> None:
    """Keys twice or missing, other columns, other types: nothing is written."""
    version = publish(engine, batch(range(4)), contract=CONTRACT).version
    with pytest.raises(DataError) as caught:
        publish(engine, data)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert engine.describe(TABLE).version == version


def test_a_first_batch_that_breaks_its_contract_makes_no_table(engine) -> None:
    """There is nothing to clean up, and the next try is again the first."""
    with pytest.raises(ContractError):
        publish(engine, batch([-1]), contract=CONTRACT)
    assert engine.tables(FEATURES) == []
    assert publish(engine, batch([1]), contract=CONTRACT).rows == 1


def test_the_contract_is_kept_and_used_again(engine) -> None:
    """Later batches need not bring it; bringing an equal one, e.g. as pandera schema, is fine."""
    publish(engine, batch([1]), contract=CONTRACT)
    assert publish(engine, batch([2])).contract == CONTRACT
    assert publish(engine, batch([3]), contract=CONTRACT.to_pandera()).contract == CONTRACT
    model = pandera.DataFrameSchema({"id": pandera.Column(int), "delay": pandera.Column(float)})
    for other, named in (
        (model, "differ in id, delay"),
        (CONTRACT.replace(unique=("id", "delay")), "differ in unique"),
    ):
        with pytest.raises(UsageError) as caught:
            publish(engine, batch([4]), contract=other)
        assert caught.value.code == "CLI027"
        assert named in str(caught.value)


def test_the_store_itself_keeps_the_contract(engine) -> None:
    """A writer who goes around mlkit meets the conditions of the table."""
    version = publish(engine, batch([1]), contract=CONTRACT).version
    rows = pa.table({"id": [-7], "delay": [1.0]}, schema=CONTRACT.arrow_schema())
    with pytest.raises(DataError, match="DAT061"):
        engine.append(TABLE, rows.to_reader(), expected_version=version)


def test_without_a_contract_dtypes_are_kept(engine, monkeypatch, capsys) -> None:
    """It is said aloud, once, and from then on it is a contract like any other."""
    monkeypatch.delenv("MLKIT_QUIET")
    publish(engine, batch([1]))
    assert "dtypes are taken from this batch" in capsys.readouterr().err
    publish(engine, batch([2]))
    assert capsys.readouterr().err == ""
    with pytest.raises(DataError, match="DAT046"):
        publish(engine, batch([3], "late"))


def test_another_key_is_refused(engine) -> None:
    """The key is a property of the table; its columns may be named in any order."""
    contract = CONTRACT.replace(columns={**CONTRACT.columns, "day": Column(dtype="int64")})
    publish(engine, batch([1]).assign(day=1), contract=contract, key=("id", "day"))
    assert publish(engine, batch([1]).assign(day=2), key=("day", "id")).key == ("id", "day")
    assert len(engine.read(TABLE).read_all()) == 2
    with pytest.raises(UsageError) as caught:
        publish(engine, batch([1]).assign(day=3), key=("id",))
    assert (caught.value.code, caught.value.path) == ("CLI028", "features.flights")


def test_a_table_of_somebody_else_is_left_alone(engine) -> None:
    """A table without a recorded key was not published here, so nothing is merged into it."""
    engine.create(TABLE, pa.table({"id": [1], "delay": [2.0]}).to_reader())
    with pytest.raises(UsageError, match="not recorded"):
        publish(engine, batch([1]))


class Meddler(LocalEngine):
    """An engine in which somebody else publishes just before a step."""

    meddle = None

    def _other_first(self, step: str) -> None:
        if self.meddle and self.meddle[0] == step:
            other, self.meddle = self.meddle[1], None
            other(LocalEngine(self._root))

    def create(self, *arguments, **options):
        """Somebody else creates first."""
        self._other_first("create")
        return super().create(*arguments, **options)

    def read(self, *arguments, **options):
        """Somebody else publishes after the table was described."""
        self._other_first("read")
        return super().read(*arguments, **options)

    def merge(self, *arguments, **options):
        """Somebody else merges first."""
        self._other_first("merge")
        return super().merge(*arguments, **options)


def test_the_slower_of_two_first_publishers_joins_the_faster(tmp_path) -> None:
    """Its rows are merged under the contract that won; under another contract or key they are refused."""
    engine = Meddler(tmp_path / "a")
    engine.meddle = ("create", lambda other: publish(other, batch([1]), contract=CONTRACT))
    assert publish(engine, batch([2], 3.0), contract=CONTRACT).rows == 2
    for rows, contract, key, code in (
        (batch([-2]), None, ("id",), "DAT060"),
        (batch([2]), CONTRACT, ("delay",), "CLI028"),
    ):
        engine = Meddler(tmp_path / code)
        engine.meddle = ("create", lambda other: publish(other, batch([1]), contract=CONTRACT))
        with pytest.raises(MlkitError) as caught:
            publish(engine, rows, contract=contract, key=key)
        assert caught.value.code == code
        assert content(engine) == {1: 1.0}


@pytest.mark.parametrize("step", ["read", "merge"])
def test_the_slower_of_two_later_publishers_writes_nothing(tmp_path, step) -> None:
    """It is told that it lost; publishing again adds its rows to those of the other."""
    engine = Meddler(tmp_path)
    publish(engine, batch([1]), contract=CONTRACT)
    engine.meddle = (step, lambda other: publish(other, batch([2])))
    with pytest.raises(RaceLostError):
        publish(engine, batch([3]))
    assert sorted(content(engine)) == [1, 2]
    assert publish(engine, batch([3])).rows == 3


RACER = """
import sys
from pathlib import Path
from tests.data.test_features import CONTRACT, batch, publish
from mlkit.engines.local import LocalEngine
from mlkit.errors import RaceLostError

engine, number = LocalEngine(Path(sys.argv[1])), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
rows = batch(range(number * 10, number * 10 + 10), float(number))
while True:
    try:
        publish(engine, rows, contract=CONTRACT)
        break
    except RaceLostError:
        pass
"""


@pytest.mark.slow
def test_publishers_in_several_processes_all_get_in(engine) -> None:
    """Three racers that try again after a lost race leave one table with the rows of all, each once."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(engine._root), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(3)
    ]
    assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 3
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate(timeout=60)
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert content(engine) == {key: float(key // 10) for key in range(30)}


def test_its_text_says_what_comes_next(engine) -> None:
    """Name, version, rows, key; the same as plain values."""
    table = publish(engine, batch([1]), contract=CONTRACT)
    assert f"FeatureTable features.flights  version {table.version}  1 rows  (changed)" in repr(table)
    assert "nothing new, nothing written" in repr(publish(engine, batch([1])))
    assert table.to_dict() == {
        "table": "features.flights",
        "version": table.version,
        "rows": 1,
        "fingerprint": table.fingerprint,
        "key": ["id"],
        "changed": True,
    }

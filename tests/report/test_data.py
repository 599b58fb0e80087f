"""Data in a report: what rows are known by, exact counts, samples that are the same everywhere."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.dummy import DummyRegressor

from mlkit import ModelProject
from mlkit.engines.base import TRAINING
from mlkit.production.stores import Stores
from mlkit.report.context import open_context
from mlkit.report.profile import find_duplicates, profile_tables
from mlkit.report.sample import smallest_rows
from mlkit.report.sections import data as section_of
from mlkit.report.sections import data_columns
from mlkit.report.sections.data import data_section
from mlkit.report.sections.data_columns import table_report
from mlkit.workspace import table_name

ONCE = "only one row has this"


def told(section):
    """What a section says, as plain values."""
    return section.to_dict()["values"]


def publish(engine, rows, name="rows"):
    """A table of rows."""
    rows = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
    made = engine.publish(TRAINING, f"project__{name}", rows.to_reader())
    return made.name


@pytest.fixture(scope="module")
def context(lived):
    """The project that has lived."""
    return open_context(Stores(lived.workspace, lived.name))


@pytest.fixture(scope="module")
def section(context):
    """Its section."""
    return data_section(context)


def test_the_rows_behind_what_serves(context, section) -> None:
    """Fingerprints and counts are those of the decision; the contract holds; train and test stand apart."""
    record = context.explanation.decision.record
    assert told(section)["fingerprints"] == {part: record[part]["fingerprint"] for part in ("train", "test")}
    assert told(section)["rows"] == {part: record[part]["rows"] for part in ("train", "test")}
    assert record["train"]["fingerprint"] in section.body
    assert "holds for every row: 6 columns" in section.markdown
    assert "delay by part" in section.body
    assert not section.is_open
    assert {finding.code for finding in section.findings} == {"RPT080"}


def test_counts_are_exact_over_all_rows(context, section) -> None:
    """Those of pandas over both parts, whatever the sample was."""
    record = context.explanation.decision.record
    tables = [table_name(record[part]["table"]) for part in ("train", "test")]
    parts = [context.engine.read(table).read_all() for table in tables]
    whole = pa.concat_tables(parts).to_pandas()
    found = {each["name"]: each for each in told(section)["columns"]}
    assert list(found) == parts[0].column_names
    for name in ("hour", "distance", "delay"):
        column = whole[name]
        said = found[name]
        assert (said["rows"], said["missing"]) == (len(column), 0)
        assert (said["low"], said["high"]) == (column.min(), column.max())
        assert said["mean"] == pytest.approx(column.mean())
        assert said["distinct"] == (column.nunique() if column.nunique() <= 1000 else None)


def test_no_data_no_section(home) -> None:
    """Nothing was studied or deployed."""
    project = ModelProject("nothing", target="y", metric="rmse")
    assert data_section(open_context(Stores(project.workspace, project.name))) is None


@pytest.fixture(scope="module")
def wide():
    """500 rows of 60 columns: one constant, one mostly missing, others of noise."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(500, 56)), columns=[f"n{place:02}" for place in range(56)])
    frame["always"] = 1.0
    frame["rarely"] = np.where(np.arange(500) < 400, np.nan, 1.5)
    frame["y"] = frame["n00"] + generator.normal(size=500)
    frame["id"] = np.arange(500)
    return frame


def test_many_columns_are_told_worst_first(home, wide, monkeypatch) -> None:
    """Before a deployment it is the snapshot; constant columns, then those with most missing values."""
    given = []
    monkeypatch.setattr(data_columns, "table_report", lambda rows, *, rows_shown: given.append(rows) or "")
    project = ModelProject("wide", target="y", key="id", metric="rmse")
    snapshot = project.snapshot(wide)
    project.study(lambda trial: DummyRegressor(), snapshot, trials=1, cv=2)
    section = data_section(open_context(Stores(project.workspace, "wide")))
    assert told(section)["fingerprints"] == {"snapshot": snapshot.fingerprint}
    assert len(told(section)["columns"]) == 60
    assert "The worst 40 of 60 columns" in section.body
    rows = re.findall(r"^\| (\w+) \|", section.markdown, re.MULTILINE)
    assert rows[1:3] == ["always", "rarely"]
    if given:  # where skrub is installed
        assert given[0].column_names[:2] == ["always", "rarely"]
        assert given[0].num_columns == data_columns.MOST_REPORTED
    found = {finding.code: finding.sentence for finding in section.findings}
    assert "always" in found["RPT081"]
    assert "rarely" in found["RPT082"]


def test_without_skrub_the_table_is_there_all_the_same(context, monkeypatch) -> None:
    """And what to install is said."""
    monkeypatch.setattr(data_columns.importlib.util, "find_spec", lambda name: None)
    section = data_section(context)
    assert "pip install &#x27;mlkit-sdk[report]&#x27;" in section.body
    assert "per_mile" in section.body
    assert len(section.body) < 60_000


def test_the_table_report_shows_no_row_unless_asked() -> None:
    """It is a page in itself, without a request; a text of one row alone is nowhere in it."""
    pytest.importorskip("skrub")
    words = [ONCE, *(["often"] * 60), *(["seldom"] * 39)]
    rows = pa.table({"word": words, "number": np.arange(100.0)})
    hidden = table_report(rows)
    assert 'data-manager="SampleTable"' in hidden
    assert "often" in hidden
    sample = re.search(r'<table[^>]*data-manager="SampleTable".*?</table>', hidden, re.DOTALL)[0]
    assert "<tbody" not in sample
    assert "often" not in sample
    assert 'src="http' not in hidden
    shown = table_report(rows, rows_shown=4)
    sample = re.search(r'<table[^>]*data-manager="SampleTable".*?</table>', shown, re.DOTALL)[0]
    assert ONCE in sample


def test_rows_that_cannot_be_read_are_told(context, monkeypatch) -> None:
    """What is recorded stays; why there is no more is said."""
    from mlkit.errors import StoreError  # noqa: PLC0415 - only here

    def gone(*_):
        raise StoreError("STO010", "there is no such table")

    monkeypatch.setattr(section_of, "profile_tables", gone)
    section = data_section(context)
    assert "there is no such table [STO010]" in section.body
    assert told(section)["fingerprints"]["train"] in section.body
    assert [(finding.code, finding.severity) for finding in section.findings] == [("RPT080", "not run")]


# ----------------------------------------------------------------------------------- samples and counts


@pytest.fixture
def frame():
    """1,000 rows of every kind that a table holds, with missing values."""
    generator = np.random.default_rng(3)
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return pa.table(
        {
            "id": np.arange(1000),
            "word": generator.choice(["a", "b", None], 1000),
            "real": np.where(generator.random(1000) < 0.1, np.nan, generator.normal(size=1000)),
            "flag": generator.random(1000) < 0.5,
            "at": [day + dt.timedelta(minutes=int(minute)) for minute in generator.integers(0, 99, 1000)],
        }
    )


def test_a_sample_does_not_depend_on_the_order_of_rows(workspace, frame) -> None:
    """Nor on how they are stored: the same rows have the smallest digests, in the same order."""
    order = np.random.default_rng(0).permutation(1000)
    mixed = frame.take(pa.array(order)).append_column("extra", pa.array([1] * 1000))
    one = publish(workspace.engine, frame, "one")
    other = publish(workspace.engine, mixed, "other")
    first = smallest_rows(workspace.engine, one, most=50, by=["id"], columns=["id", "word"])
    second = smallest_rows(workspace.engine, other, most=50, by=["id"], columns=["id", "word"])
    assert first.rows.equals(second.rows)
    assert (first.rows.num_rows, first.of) == (50, 1000)
    assert first.said == "50 of 1,000 rows, chosen by digest"
    assert smallest_rows(workspace.engine, one, most=5000).said == "all 1,000 rows"


def test_a_sample_of_many_batches_holds_few_rows_at_a_time(workspace, monkeypatch) -> None:
    """What is cut on the way is what would have been cut at the end."""
    rows = pd.DataFrame({"id": np.arange(5000)})
    table = publish(workspace.engine, rows)
    whole = smallest_rows(workspace.engine, table, most=100)
    monkeypatch.setattr("mlkit.report.sample._AT_A_TIME", 0)
    batches = pa.Table.from_pandas(rows).to_batches(max_chunksize=70)
    monkeypatch.setattr(
        type(workspace.engine),
        "scan",
        lambda *_, **__: pa.RecordBatchReader.from_batches(batches[0].schema, batches),
    )
    assert smallest_rows(workspace.engine, table, most=100).rows.equals(whole.rows)


def test_duplicates_are_rows_that_only_the_key_tells_apart(workspace) -> None:
    """Within and across the parts; without a column but the key there is nothing to compare."""
    train = pd.DataFrame({"id": [1, 2, 3, 4], "a": [1.0, 1.0, 2.0, None], "b": ["x", "x", "y", "z"]})
    test = pd.DataFrame({"id": [5, 6], "a": [2.0, 9.0], "b": ["y", "y"]})
    tables = [publish(workspace.engine, part, name) for part, name in ((train, "train"), (test, "test"))]
    found = find_duplicates(workspace.engine, *tables, without=["id"])
    assert (found.rows, found.repeated, found.straddling, found.test_rows) == (6, 2, 1, 2)
    assert find_duplicates(workspace.engine, *tables, without=[]).repeated == 0
    alone = find_duplicates(workspace.engine, tables[0], None, without=["id"])
    assert (alone.repeated, alone.straddling) == (1, None)
    assert find_duplicates(workspace.engine, *tables, without=["id", "a", "b"]) is None


def test_spark_counts_the_same(workspace, frame, sail, tmp_path) -> None:
    """The same profile, sample and duplicates, where the rows stay in Spark."""
    from mlkit import open_workspace  # noqa: PLC0415 - only here

    (tmp_path / "mlkit.toml").write_text(f'[targets.sail.spark]\nremote = "{sail}"\n')
    remote = open_workspace("sail").engine
    here, there = publish(workspace.engine, frame, "both"), publish(remote, frame, "both")
    assert here.name == there.name
    names = ("name", "rows", "missing", "distinct")
    assert [[getattr(each, name) for name in names] for each in profile_tables(remote, [there, there])] == [
        [getattr(each, name) for name in names] for each in profile_tables(workspace.engine, [here, here])
    ]
    for one, other in zip(
        profile_tables(remote, [there]), profile_tables(workspace.engine, [here]), strict=True
    ):
        assert one.mean == (None if other.mean is None else pytest.approx(other.mean))
    samples = [
        smallest_rows(engine, table, most=20, by=["id"], columns=["id", "word"])
        for engine, table in ((remote, there), (workspace.engine, here))
    ]
    assert samples[0].rows.to_pylist() == samples[1].rows.to_pylist()
    assert samples[0].of == samples[1].of
    assert find_duplicates(remote, there, there, without=["id"]) == find_duplicates(
        workspace.engine, here, here, without=["id"]
    )

"""The difference of two versions: every part that decides a model, and nothing that does not."""

from __future__ import annotations

import json
import shutil
import sys

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit import Gate, open_workspace
from mlkit.errors import IntegrityError, UsageError
from mlkit.production.code_difference import changed_files
from mlkit.production.difference import diff
from mlkit.production.row_difference import Tables
from mlkit.production.runner import deploy
from mlkit.production.stores import Stores
from tests.conftest import make_flights
from tests.production.scenes import DTYPES, NAME, STUMP, frozen, publish

OWN = """\
from sklearn.linear_model import Ridge


class Mine(Ridge):
    too_late = 9

    def predict(self, X):
        return super().predict(X) + self.too_late
"""


@pytest.fixture
def grown(stores, flights, edit_module):
    """Two versions: other parameters and rows, a new column, and code that prepares rows otherwise."""
    deploy(frozen(model=STUMP), stores, origin={"commit": "c1"})
    later = make_flights(900)
    later.loc[:599] = flights
    later.loc[:9, "distance"] += 10_000.0
    later.loc[600:, "hour"] = 22
    publish(stores.engine, later)
    edit_module("return frame", 'frame["is_late"] = frame["hour"] > 20\n    return frame')
    columns = {name: {"dtype": dtype} for name, dtype in {**DTYPES, "is_late": "bool"}.items()}
    config = frozen(
        contract={"columns": columns},
        features=("hour", "distance", "per_mile", "is_late"),
        gate=Gate(threshold=30),
    )
    report = deploy(config, stores, origin={"commit": "c2", "dirty": ["my_prepare.py"]})
    assert report.outcome == "promoted"
    return stores


def test_every_part_is_told(grown):
    """Config by path, rows by key, columns, their spread, code, scores, and where both met."""
    found = diff(grown, 1, 2)
    assert found.config["model.class"] == ("sklearn.tree.DecisionTreeRegressor", "sklearn.linear_model.Ridge")
    assert found.config["model.params.max_depth"] == (1, None)
    assert found.config["gate.threshold"] == (25, 30)
    assert found.config["contract.columns.is_late.dtype"].after == "bool"
    assert found.columns == {"added": ["is_late"], "removed": []}
    for part in found.rows.values():
        assert part.before == part.unchanged + part.changed + part.removed
        assert part.after == part.unchanged + part.changed + part.added
        assert part.removed == 0
    assert 0 < sum(part.changed for part in found.rows.values()) <= 10
    assert 250 < sum(part.added for part in found.rows.values()) <= 300
    assert found.exchanged == {"train_to_test": 0, "test_to_train": 0}
    assert found.shifts["hour"].effect > found.shifts["distance"].effect
    assert found.code["commit"] == ("c1", "c2 and changes")
    assert set(found.code) == {"all", "commit"}
    assert (found.environment, found.files, found.notes) == ({}, {}, ())
    met = found.scores["same"]
    decision = grown.decisions.find(grown.ledger.head().run_key)[-1].record["scores"]
    assert (met["before"], met["after"], met["rows"]) == (
        decision["champion"],
        decision["candidate"],
        decision["rows"],
    )
    told = repr(found)
    for word in (
        "+is_late",
        "-is_ua",
        "changed",
        "hour: ",
        "c1 -> c2 and changes",
        "at the gate",
        "no difference",
    ):
        assert word in told
    json.dumps(found.to_dict(), allow_nan=False)
    back = diff(grown, 2, 1)
    assert back.rows["train"].removed == found.rows["train"].added
    assert (back.scores["same"]["before"], back.scores["same"]["after"]) == (met["after"], met["before"])
    assert back.columns == {"added": [], "removed": ["is_late"]}


def test_a_version_does_not_differ_from_itself(stores):
    """And no row is read to say so: the fingerprints are equal."""
    deploy(frozen(), stores)
    table = stores.ledger.head().evidence["train"]["table"]
    shutil.rmtree(stores.workspace.folder / "lake" / table.replace(".", "/") / "_delta_log")
    same = diff(stores, 1, 1)
    assert (same.config, same.environment, same.code, same.files, same.shifts) == ({}, {}, {}, {}, {})
    assert all(part.sentence.startswith("the same ") for part in same.rows.values())


def test_code_that_travelled_is_compared_file_by_file(stores, tmp_path, edit_module):
    """With the lines that came and went."""
    (tmp_path / "my_models.py").write_text(OWN)
    config = frozen(model={"class": "my_models.Mine", "params": {}}, serialization="cloudpickle")
    deploy(config, stores)
    edit_module("too_late = 9", "too_late = 0\n    reviewed = True", name="my_models")
    assert deploy(config, stores).version == 2
    found = diff(stores, 1, 2)
    assert set(found.code) == {"all", "model"}
    (name,) = found.files
    change = found.files[name]
    assert (name, change.state, change.added, change.removed) == ("my_models.py", "changed", 2, 1)
    assert "+    reviewed = True" in change.text
    assert "my_models.py: changed, +2 -1 lines" in repr(found)
    sys.modules.pop("my_models", None)


def test_files_come_and_go(tmp_path):
    """Also such that are no text."""
    for folder, files in (
        ("a", {"x.py": b"1\n", "y.npy": b"\xff"}),
        ("b", {"y.npy": b"\xfe", "z.py": b"1\n2\n"}),
    ):
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_bytes(content)
    before, after = ({path.name: path for path in (tmp_path / folder).iterdir()} for folder in "ab")
    found = changed_files(before, after)
    assert {name: (seen.state, seen.added, seen.removed) for name, seen in found.items()} == {
        "x.py": ("removed", 0, 1),
        "y.npy": ("changed", 0, 0),
        "z.py": ("added", 2, 0),
    }
    assert changed_files(before, before) == {}


def test_what_is_damaged_is_noted_and_the_rest_compared(grown):
    """Files that cannot be trusted are not read; a table that is gone is an error."""
    first = grown.ledger.entries()[0]
    (grown.registry.folder(first.model_id) / "mlkit_config.yaml").write_text("")
    found = diff(grown, 1, 2)
    assert (found.shifts, found.files) == ({}, {})
    assert "the files of v1 cannot be compared" in found.notes[0]
    assert "INT022" in repr(found)
    assert found.config["gate.threshold"] == (25, 30)
    shutil.rmtree(grown.workspace.folder / "lake" / first.evidence["test"]["table"].replace(".", "/"))
    with pytest.raises(IntegrityError):
        diff(grown, 1, 2)


def test_versions_that_are_not_there(stores):
    """By number, and by what is recorded about them."""
    deploy(frozen(model=STUMP), stores)
    location = stores.registry.folder(stores.ledger.head().model_id).as_uri()
    stores.tracking.client.create_model_version(NAME, location)
    for number, code in ((2, "CLI075"), (9, "CLI005")):
        with pytest.raises(UsageError) as caught:
            diff(stores, 1, number)
        assert caught.value.code == code


def published(stores, rows) -> dict:
    """A table as records have it."""
    made = stores.engine.publish("training", "rows", pa.Table.from_pandas(rows).to_reader())
    return {"table": str(made.name), "fingerprint": made.fingerprint, "rows": made.rows}


ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(ROWS, ROWS, st.booleans())
def test_counts_are_those_of_sets_and_multisets(workspace_for_rows, left, right, with_key) -> None:
    """By key as dictionaries differ, without one as bags of rows do."""
    if with_key:
        left, right = list(dict(left).items()), list(dict(right).items())
    tables = Tables(workspace_for_rows, ["id"] if with_key else [], ["id", "value"])
    records = [
        published(workspace_for_rows, pd.DataFrame(rows, columns=["id", "value"])) for rows in (left, right)
    ]
    found = tables.rows(*records)
    same = sum(min(left.count(row), right.count(row)) for row in set(left))
    assert found.unchanged == same
    if not with_key:
        assert (found.changed, found.added, found.removed) == (None, len(right) - same, len(left) - same)
        return
    old, new = dict(left), dict(right)
    both = old.keys() & new.keys()
    assert (found.added, found.removed) == (len(new.keys() - both), len(old.keys() - both))
    assert found.changed == sum(old[key] != new[key] for key in both)


@pytest.fixture(scope="module")
def workspace_for_rows(tmp_path_factory):
    """Stores that only hold rows."""
    return Stores(open_workspace("local", home=tmp_path_factory.mktemp("rows")), NAME)

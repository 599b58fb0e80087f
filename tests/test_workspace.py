"""Targets and names: where things are, and what no store would refuse or confuse."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.engines.base import TableName
from mlkit.errors import ConfigError, NamingError
from mlkit.workspace import open_workspace, project_name, table_name

# From the list of bad names that stores were seen to accept: what it is -> the code it must get.
BAD = {
    "": "NAM001",
    "   ": "NAM001",
    "\n": "NAM001",
    "Flights": "NAM002",
    "9lives": "NAM002",
    "_hidden": "NAM002",
    "flight-delay": "NAM002",
    "-rf": "NAM002",
    "flight delay": "NAM002",
    "x; DROP TABLE y": "NAM002",
    "a" * 64: "NAM002",
    ".": "NAM003",
    "..": "NAM003",
    "a/b": "NAM003",
    "a\\b": "NAM003",
    "c:flights": "NAM003",
    "a%2fb": "NAM003",
    "flights\n": "NAM004",
    "flights ": "NAM004",
    "fli\x00ghts": "NAM004",
    "fli\tghts": "NAM004",
    "flіghts": "NAM005",  # noqa: RUF001 - a Cyrillic letter
    "ﬂights": "NAM005",
    "flights\u202e": "NAM005",
    "latest": "NAM006",
    "champion": "NAM006",
    "v3": "NAM006",
    "none": "NAM006",
    "select": "NAM006",
    "order": "NAM006",
    "con": "NAM006",
    "lpt1": "NAM006",
    "yes": "NAM006",
    "a__train": "NAM006",
    "a_": "NAM006",
    "fl`ights": "NAM008",
    "fl'ights": "NAM008",
    'fl"ights': "NAM008",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_project_name_has_its_code(name) -> None:
    """Each kind of bad name is told apart, and the way out is shown."""
    with pytest.raises(NamingError) as caught:
        project_name(name)
    assert (caught.value.code, caught.value.path) == (BAD[name], "name")
    assert caught.value.fix


@pytest.mark.parametrize("name", [None, 3, b"flights", ["flights"]])
def test_a_name_is_text(name) -> None:
    """Anything else is refused by its type."""
    with pytest.raises(NamingError, match=r"found (NoneType|int|bytes|list)"):
        project_name(name)


@pytest.mark.parametrize("name", ["a", "flight_delay", "x1", "v3_model", "champions", "selected", "a" * 63])
def test_a_good_project_name_is_given_back(name) -> None:
    """Words that only contain a reserved one are fine."""
    assert project_name(name) == name


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=70))
def test_a_name_that_passes_is_plain(name) -> None:
    """Nothing passes that is not made of the few characters that every store takes."""
    with contextlib.suppress(NamingError):
        assert set(project_name(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
        assert 0 < len(name) <= 63


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flights", TableName("features", "flights")),
        ("features.flights", TableName("features", "flights")),
        ("training.x__train__0a", TableName("training", "x__train__0a")),
        ("monitoring.order", TableName("monitoring", "order")),
        ("t" * 255, TableName("features", "t" * 255)),
    ],
)
def test_a_table_is_named_with_or_without_its_schema(text, expected) -> None:
    """Without one it is a feature table; words of SQL are fine, for tables are always quoted."""
    assert table_name(text) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("main.features.flights", "NAM007"),
        ("elsewhere.flights", "NAM007"),
        (".flights", "NAM007"),
        ("Features.flights", "NAM007"),
        ("features.", "NAM001"),
        ("features.Flights", "NAM002"),
        ("features.a/b", "NAM003"),
        ("features.flights\n", "NAM004"),
        ("features.flіghts", "NAM005"),  # noqa: RUF001 - a Cyrillic letter
        ("features.fl`ights", "NAM008"),
        ("t" * 256, "NAM010"),
        (None, "NAM002"),
    ],
)
def test_a_bad_table_name_has_its_code(text, code) -> None:
    """The whole name is shown as the place of the mistake."""
    with pytest.raises(NamingError) as caught:
        table_name(text)
    assert (caught.value.code, caught.value.path) == (code, str(text))


def test_another_schema_may_be_the_default() -> None:
    """Rooms that keep tables of their own name them in short."""
    assert table_name("ledger", schema="monitoring") == TableName("monitoring", "ledger")
    with pytest.raises(NamingError, match=r"e\.g\. monitoring\.ledger"):
        table_name("elsewhere.ledger", schema="monitoring")


def test_the_local_target_is_a_folder(tmp_path, monkeypatch) -> None:
    """By argument, by variable, or in the working directory; nothing is made before it is needed."""
    monkeypatch.delenv("MLKIT_HOME", raising=False)
    monkeypatch.delenv("MLKIT_TARGET", raising=False)
    monkeypatch.chdir(tmp_path)
    assert open_workspace().home == tmp_path / ".mlkit"
    monkeypatch.setenv("MLKIT_HOME", "stores")
    assert open_workspace().home == tmp_path / "stores"
    workspace = open_workspace("local", home=tmp_path / "other one")
    assert workspace.home == tmp_path / "other one"
    assert workspace.artifacts == f"{(tmp_path / 'other one').as_uri()}/artifacts"
    assert f"'sqlite:///{tmp_path}/other one/mlflow.db'" in repr(workspace)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_target_is_refused(monkeypatch) -> None:
    """Whether it was typed or stands in the environment, the way back is shown."""
    monkeypatch.setenv("MLKIT_TARGET", "porduction")
    for target in (None, "porduction"):
        with pytest.raises(ConfigError) as caught:
            open_workspace(target)
        assert (caught.value.code, caught.value.path) == ("CFG030", "target")
        assert "local" in caught.value.fix
    assert open_workspace("local").target == "local"


def test_the_engine_is_opened_once_and_late(tmp_path) -> None:
    """Naming a workspace loads neither Delta nor MLflow."""
    loaded = "print({'deltalake', 'mlflow'} & set(sys.modules))"
    program = f"import sys, mlkit.workspace as w; w.open_workspace(); {loaded}"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"
    workspace = open_workspace(home=tmp_path)
    assert workspace.engine is workspace.engine
    assert workspace.engine.tables("features") == []
    assert not Path(tmp_path / "lake").exists()


def test_a_home_that_no_store_could_use_is_refused(tmp_path) -> None:
    """A file, or a path that addresses cannot hold, is an error at once and makes no stray folder."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="CFG030"):
        open_workspace(home=tmp_path / "file")
    with pytest.raises(NamingError, match="NAM003"):
        open_workspace(home=tmp_path / "a?b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert "~" not in str(open_workspace(home="~/models").home)

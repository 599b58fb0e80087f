"""Targets and names: where things are, and what no store would refuse or confuse."""

from __future__ import annotations

import contextlib
import functools
import secrets
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit import fingerprint
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


TARGETS = """
[targets.team]
tracking_uri = "https://mlflow.example.com"
experiment_root = "mlkit"

[targets.connect.spark]
remote = "sc://localhost:15002"

[targets.prod]
catalog = "main"
schemas = {training = "ml_training"}
tracking_uri = "databricks"
experiment_root = "/Shared/mlkit"

[targets.prod.spark]
profile = "prod"
serverless = true
"""


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A function that opens a target of a file."""
    (tmp_path / "mlkit.toml").write_text(TARGETS)
    monkeypatch.chdir(tmp_path)
    for name in ("MLKIT_HOME", "MLKIT_TARGET", "MLKIT_CONFIG", "DATABRICKS_RUNTIME_VERSION"):
        monkeypatch.delenv(name, raising=False)
    return open_workspace


def test_an_unknown_target_is_refused(opened, monkeypatch) -> None:
    """Whether it was typed or stands in the environment, the nearest known one is shown."""
    monkeypatch.setenv("MLKIT_TARGET", "prodd")
    for target in (None, "prodd"):
        with pytest.raises(ConfigError) as caught:
            opened(target)
        assert (caught.value.code, caught.value.path) == ("CFG030", "target")
        assert "known: local, team, connect, prod" in caught.value.message
        assert "--target prod" in caught.value.fix
    assert opened("local").target == "local"


def test_a_target_without_an_address_keeps_its_runs_here(opened, tmp_path) -> None:
    """In a folder of its own: its tables are elsewhere, so it shares no run and no alias with another."""
    connect, local = opened("connect"), opened()
    assert connect.folder == tmp_path / ".mlkit" / "targets" / "connect"
    assert connect.tracking_uri == connect.registry_uri == f"sqlite:///{connect.folder}/mlflow.db"
    assert connect.artifacts == f"{connect.folder.as_uri()}/artifacts"
    assert local.tracking_uri == f"sqlite:///{tmp_path}/.mlkit/mlflow.db"
    assert connect.home == local.home
    assert connect.address_of(TableName("training", "x")) == "training.x"
    assert local.address_of(TableName("training", "x")) == f"{tmp_path}/.mlkit/lake/training/x"
    assert (connect.experiment_name("flights"), connect.model_name("flights")) == ("flights", "flights")


def test_a_target_with_a_server_leaves_files_to_it(opened) -> None:
    """The server decides where they are; rows stay here."""
    team = opened("team")
    assert team.tracking_uri == team.registry_uri == "https://mlflow.example.com"
    assert team.artifacts is None
    assert team.experiment_name("flights") == "mlkit/flights"
    assert team.ui_command == "python -m webbrowser https://mlflow.example.com"
    assert "targets/team/lake" in repr(team)


def test_a_target_on_databricks_has_its_names(opened, monkeypatch) -> None:
    """Profile in each address, models of three levels; inside a job there is no profile and none needed."""
    prod = opened("prod")
    assert (prod.tracking_uri, prod.registry_uri) == ("databricks://prod", "databricks-uc://prod")
    assert (prod.in_unity, prod.artifacts) == (True, None)
    assert prod.experiment_name("flights") == "/Shared/mlkit/flights"
    assert prod.model_name("flights") == "main.ml_training.flights"
    assert prod.address_of(TableName("training", "x")) == "main.ml_training.x"
    assert prod.ui_command == "databricks experiments get-by-name /Shared/mlkit/PROJECT --profile prod"
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    assert (prod.tracking_uri, prod.registry_uri) == ("databricks", "databricks-uc")


def test_a_workspace_says_where_everything_is(opened, tmp_path) -> None:
    """As plain values, as text and as HTML."""
    prod = opened("prod")
    values = prod.to_dict()
    assert values["config"] == str(tmp_path / "mlkit.toml")
    assert values["spec"]["spark"] == {"profile": "prod", "serverless": True}
    assert (values["target"], values["registry_uri"]) == ("prod", "databricks-uc://prod")
    assert "databricks://prod" in repr(prod)
    assert prod._repr_html_().startswith("<pre>Workspace(target=&#x27;prod&#x27;")
    assert open_workspace("prod", config=tmp_path / "mlkit.toml").to_dict() == values


@pytest.mark.newest_only
def test_the_engine_of_a_target_with_spark(opened, sail, tmp_path) -> None:
    """Rows lie in the catalog behind the address, under the names that the target gives its schemas."""
    (tmp_path / "mlkit.toml").write_text(
        f'[targets.sail]\nschemas = {{training = "of_a_test"}}\nspark = {{remote = "{sail}"}}\n'
    )
    workspace = opened("sail")
    prefix = f"t{secrets.token_hex(8)}"
    published = workspace.engine.publish("training", prefix, pa.table({"x": [1, 2, 3]}).to_reader())
    assert workspace.engine.tables("training", prefix=prefix) == [published.name]
    assert published.fingerprint == fingerprint(pa.table({"x": [1, 2, 3]}))
    session = workspace.engine.scan(published.name).sparkSession
    assert session.table(workspace.address_of(published.name)).count() == 3
    session.stop()  # at the end of the process there may be no server any more


def test_the_engine_is_opened_once_and_late(tmp_path) -> None:
    """Naming a workspace of any kind loads neither Delta, MLflow nor Spark."""
    (tmp_path / "mlkit.toml").write_text(TARGETS)
    loaded = "print({'deltalake', 'mlflow', 'pyspark', 'databricks'} & set(sys.modules))"
    each = "[w.open_workspace(name) for name in ('local', 'team', 'connect', 'prod')]"
    program = f"import sys, mlkit.workspace as w; {each}; {loaded}"
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run([sys.executable, "-c", program]).stdout == "set()\n"
    uses_local = "import sys, mlkit; mlkit.open_workspace().engine.tables('features'); "
    assert "pyspark" not in run([sys.executable, "-c", f"{uses_local}{loaded}"]).stdout
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

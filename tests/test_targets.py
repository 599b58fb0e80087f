"""The file of targets: strict, clear about mistakes, and without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlkit.errors import ConfigError, MlkitError, NamingError, SecurityError
from mlkit.targets import Alert, BundleTarget, ServingTarget, SparkTarget, Target, find_config, read_targets

PROD = """
[targets.prod]
catalog = "prod"
schemas = { training = "ml_training" }
tracking_uri = "databricks"
experiment_root = "/Shared/mlkit"
fetch_gb = 8

[targets.prod.spark]
profile = "prod"
serverless = true

[targets.prod.serving]
endpoint = "{project}-prod"

[targets.prod.bundle]
mode = "production"
host = "https://prod.example.com"
root_path = "/Workspace/Shared/.bundle/${bundle.name}/prod"
run_as = "66666666-7777-8888-9999-000000000000"
managers = ["ml-platform"]
notify = ["oncall@example.com"]
deploy_cron = "0 0 5 * * ?"
timezone = "Europe/Paris"
cluster = { node_type_id = "m5.large", num_workers = 2 }
"""


def read(tmp_path, text) -> dict[str, Target]:
    """Targets of a file with this text."""
    path = tmp_path / "mlkit.toml"
    path.write_text(text)
    return read_targets(path)


def mistake(tmp_path, text) -> MlkitError:
    """The error of a file with this text."""
    with pytest.raises(MlkitError) as caught:
        read(tmp_path, text)
    return caught.value


def test_without_a_file_there_is_local(tmp_path, monkeypatch):
    """It needs none, and a file without it has it too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLKIT_CONFIG", raising=False)
    assert read_targets() == {"local": Target()}
    assert read(tmp_path, "") == {"local": Target()}
    assert list(read(tmp_path, PROD)) == ["local", "prod"]
    assert read(tmp_path, "[targets.local]\nfetch_gb = 2")["local"].fetch_gb == 2.0


def test_a_whole_target_is_read(tmp_path):
    """Every table of it, with the defaults of what is left out."""
    prod = read(tmp_path, PROD)["prod"]
    assert prod.schemas == {"features": "features", "training": "ml_training", "monitoring": "monitoring"}
    assert (prod.on_databricks, prod.profile, prod.fetch_gb) == (True, "prod", 8.0)
    assert prod.spark == SparkTarget(profile="prod", serverless=True)
    assert prod.spark.on_databricks
    assert prod.serving.endpoint_of("flight_delay") == "flight_delay-prod"
    assert (prod.serving.workload_size, prod.serving.scale_to_zero) == ("Small", True)
    assert prod.bundle.managers == ("ml-platform",)
    assert prod.bundle.cluster == {"node_type_id": "m5.large", "num_workers": 2}
    assert (prod.bundle.environment_version, prod.bundle.score_cron, prod.bundle.paused) == ("5", None, False)


def test_the_file_is_found_from_below(tmp_path, monkeypatch):
    """Up to the root of the repository; what lies above that is somebody else's."""
    monkeypatch.delenv("MLKIT_CONFIG", raising=False)
    (tmp_path / "mlkit.toml").write_text("")
    deep = tmp_path / "repository" / "src" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_config() == tmp_path / "mlkit.toml"
    (tmp_path / "repository" / ".git").mkdir()
    assert find_config() is None
    (tmp_path / "repository" / "mlkit.toml").write_text("")
    assert find_config() == tmp_path / "repository" / "mlkit.toml"
    monkeypatch.setenv("MLKIT_CONFIG", str(tmp_path / "other.toml"))
    assert find_config() == tmp_path / "other.toml"
    with pytest.raises(ConfigError) as caught:
        read_targets()
    assert (caught.value.code, caught.value.path) == ("CFG001", str(tmp_path / "other.toml"))


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("[targets.prod", "CFG040", ":1"),
        ('[targets.a]\nx = "1\n', "CFG040", ":2"),
        ("[targets.a]\n[targets.a]", "CFG040", ":2"),
        ("[target.a]", "CFG006", ": target"),
        ("targets = 3", "CFG009", ": targets"),
        ("[targets.Prod]", "NAM002", ": targets.Prod"),
        ('[targets."a b"]', "NAM002", ": targets.a b"),
        ("[targets]\nprod = 3", "CFG009", ": targets.prod"),
        ('[targets.a]\ncatalogue = "x"', "CFG006", ": targets.a.catalogue"),
        ('[targets.a.spark]\nremot = "sc://x"', "CFG006", ": targets.a.spark.remot"),
        ("[targets.a]\nfetch_gb = true", "CFG009", ": targets.a.fetch_gb"),
        ("[targets.a]\nfetch_gb = 0", "CFG009", ": targets.a.fetch_gb"),
        ('[targets.a]\nfetch_gb = "4"', "CFG009", ": targets.a.fetch_gb"),
        ("[targets.a.bundle]\nmode = 'fast'", "CFG009", ": targets.a.bundle.mode"),
        ("[targets.a.serving]", "CFG021", ": targets.a.serving.endpoint"),
        ("[targets.a.serving]\nendpoint = 'a b'", "CFG009", ": targets.a.serving.endpoint"),
        ("[targets.a]\ntracking_uri = 'mlruns'", "CFG015", ": targets.a.tracking_uri"),
        ("[targets.a]\ntracking_uri = 'file:///x'", "CFG015", ": targets.a.tracking_uri"),
        ("[targets.a]\ntracking_uri = 'sqlite:///x.db'", "CFG015", ": targets.a.tracking_uri"),
        ("[targets.a]\ntracking_uri = 'databricks://'", "CFG015", ": targets.a.tracking_uri"),
        ("[targets.a.spark]\n[targets.a.schemas]\nlog = 'x'", "CFG006", ": targets.a.schemas.log"),
        ("[targets.a.spark]\n[targets.a.schemas]\ntraining = 'X'", "NAM002", ": targets.a.schemas.training"),
        ("[targets.a.spark]\n[targets.a.schemas]\ntraining = 'features'", "CFG016", ": targets.a.schemas"),
        ("[targets.a.spark]\nremote = 'localhost:15002'", "CFG009", ": targets.a.spark.remote"),
        ("[targets.a.spark]\nmaster = 'local[x]'", "CFG009", ": targets.a.spark.master"),
        ("[targets.a.spark]\nremote = 'sc://h'\nmaster = 'local'", "CFG042", ": targets.a.spark.master"),
        ("[targets.a.spark]\nremote = 'sc://h'\ncluster = 'x'", "CFG042", ": targets.a.spark.profile"),
        ("[targets.a.spark]\ncluster = 'x'\nserverless = true", "CFG042", ": targets.a.spark.serverless"),
        ("[targets.a]\ncatalog = 'x'", "CFG042", ": targets.a.catalog"),
        ("[targets.a]\nschemas = {training = 'x'}", "CFG042", ": targets.a.schemas"),
        ("[targets.a]\ntracking_uri = 'databricks'", "CFG042", ": targets.a.catalog"),
        (
            "[targets.a]\ntracking_uri = 'databricks'\ncatalog = 'x'",
            "CFG042",
            ": targets.a.experiment_root",
        ),
        (
            "[targets.a]\ntracking_uri = 'databricks'\ncatalog = 'x'\nexperiment_root = 'mlkit'",
            "CFG042",
            ": targets.a.experiment_root",
        ),
        ("[targets.local]\ntracking_uri = 'http://h'", "CFG042", ": targets.local.tracking_uri"),
        ("[targets.local.spark]\nmaster = 'local'", "CFG042", ": targets.local.spark"),
        ("[targets.a.bundle]\nhost = 'prod.example.com'", "CFG009", ": targets.a.bundle.host"),
        ("[targets.a.bundle]\nroot_path = 'x'", "CFG009", ": targets.a.bundle.root_path"),
        ("[targets.a.bundle]\ndeploy_cron = '5 * *'", "CFG009", ": targets.a.bundle.deploy_cron"),
        ("[targets.a.bundle]\nnotify = ['a@b.c', 'me']", "CFG009", ": targets.a.bundle.notify.1"),
        ("[targets.a.bundle]\nmanagers = 'ml'", "CFG009", ": targets.a.bundle.managers"),
        ("[targets.a.bundle]\nenvironment_version = 5", "CFG009", ": targets.a.bundle.environment_version"),
    ],
)
def test_a_mistake_is_named_with_file_and_field(tmp_path, text, code, path):
    """Also one inside a nested table; each says what to do."""
    error = mistake(tmp_path, text)
    assert error.code == code
    assert error.path.startswith(f"{tmp_path / 'mlkit.toml'}{path}")
    assert error.fix
    assert isinstance(error, NamingError if code.startswith("NAM") else ConfigError)
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("[targets.a]\ntracking_url = 'x'", "did you mean 'tracking_uri'?"),
        ("[targets.a.bundle]\nrunas = 'x'", "did you mean 'run_as'?"),
        ("[target.a]", "did you mean 'targets'?"),
        ("[targets.a.schemas]\ntrainings = 'x'", "did you mean 'training'?"),
        ("[targets.a]\nzzz = 1", "known here: catalog, schemas, tracking_uri"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(tmp_path, text, fix):
    """Or with all that are known."""
    assert mistake(tmp_path, text).fix.startswith(fix)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    """TOML is UTF-8."""
    (tmp_path / "mlkit.toml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match="CFG020"):
        read_targets(tmp_path / "mlkit.toml")


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("[targets.a]\ntoken = 'x'", "SEC003", "targets.a.token"),
        ("[targets.a.spark]\nclient_secret = 'x'", "SEC003", "targets.a.spark.client_secret"),
        ("[targets.a.spark]\napi-key = 'x'", "SEC003", "targets.a.spark.api-key"),
        (f"[targets.a]\ncatalog = 'dapi{'0a' * 16}'", "SEC003", "targets.a.catalog"),
        (f"[targets.a.bundle]\nmanagers = ['x', 'ghp_{'a' * 36}']", "SEC003", "targets.a.bundle.managers.1"),
        ("[targets.a]\ntracking_uri = 'https://me:pass@h'", "SEC005", "targets.a.tracking_uri"),
        ("[targets.a]\ntracking_uri = 'https://me@h'", "SEC005", "targets.a.tracking_uri"),
        ("[targets.a]\nregistry_uri = 'https://h?token=x'", "SEC005", "targets.a.registry_uri"),
        ("[targets.a.spark]\nremote = 'sc://h/;use_ssl=true;token=x'", "SEC005", "targets.a.spark.remote"),
        (
            "[targets.a.bundle.cluster.spark_env_vars]\nDB_PASSWORD = 'x'",
            "SEC003",
            "targets.a.bundle.cluster.spark_env_vars.DB_PASSWORD",
        ),
        (
            "[targets.a.bundle.cluster.spark_conf]\n'fs.azure.account.key.a.example.net' = 'hunter22'",
            "SEC003",
            "targets.a.bundle.cluster.spark_conf.fs.azure.account.key.a.example.net",
        ),
        (
            "[targets.a.bundle.cluster.spark_conf]\n'fs.s3a.access.key' = 'hunter22'",
            "SEC003",
            "targets.a.bundle.cluster.spark_conf.fs.s3a.access.key",
        ),
        (
            "[targets.a.bundle.cluster.spark_env_vars]\ndbPassword = 'hunter22'",
            "SEC003",
            "targets.a.bundle.cluster.spark_env_vars.dbPassword",
        ),
        ("[targets.a.spark]\nremote = 'sc://h/;x-api-key=hunter22'", "SEC005", "targets.a.spark.remote"),
        (f"[targets.a]\n# was dapi{'0a' * 16}\n", "SEC003", ":2"),
        ("[elsewhere]\npassword = 'x'", "SEC003", "elsewhere.password"),
    ],
)
def test_a_secret_is_refused_wherever_it_stands(tmp_path, text, code, path):
    """Before anything else is said about the file, and without repeating it."""
    error = mistake(tmp_path, text)
    assert isinstance(error, SecurityError)
    assert error.code == code
    assert error.path == f"{tmp_path / 'mlkit.toml'}{path if path.startswith(':') else f': {path}'}"
    value = text.rpartition("'")[0].rpartition("'")[2]
    assert len(value) <= 1 or value not in str(error)


def test_what_only_looks_like_a_secret_is_read(tmp_path):
    """A reference that Databricks fills in, a workspace path of a user, a column of tokens."""
    target = read(
        tmp_path,
        "[targets.a.bundle]\nroot_path = '/Workspace/Users/me@example.com/.bundle'\n"
        "[targets.a.bundle.cluster.spark_env_vars]\nDB_PASSWORD = '{{secrets/scope/key}}'\n"
        "[targets.a.bundle.cluster.custom_tags]\ntokenizer = 'words'\n",
    )["a"]
    assert target.bundle.cluster["custom_tags"] == {"tokenizer": "words"}


@pytest.mark.parametrize(
    ("tracking", "registry", "good"),
    [
        ("databricks", None, True),
        ("databricks", "databricks-uc", True),
        ("databricks://prod", "databricks-uc", True),
        ("databricks://prod", "databricks-uc://prod", True),
        ("databricks://prod", "databricks-uc://dev", False),
        ("databricks", "databricks", False),
        ("databricks", "https://h", False),
        (None, "databricks-uc", False),
        ("https://h", "databricks-uc", False),
        ("https://h", "https://h", True),
        ("https://h", "https://other", False),
        (None, "https://h", False),
    ],
)
def test_runs_and_versions_lie_in_one_store(tracking, registry, good):
    """MLflow cannot register across two, which would only show at the first deployment."""
    fields = {"tracking_uri": tracking, "registry_uri": registry}
    if tracking and tracking.startswith("databricks"):
        fields |= {"catalog": "main", "experiment_root": "/Shared/mlkit"}
    if good:
        assert Target(**fields).registry_uri == registry
        return
    with pytest.raises(ConfigError) as caught:
        Target(**fields)
    assert (caught.value.code, caught.value.path) == ("CFG041", "registry_uri")


def test_a_profile_may_stand_in_the_address_or_with_spark():
    """In either of the two; in both, it is one workspace."""
    fields = {"catalog": "main", "experiment_root": "/Shared/mlkit", "spark": SparkTarget(profile="b")}
    assert Target(tracking_uri="databricks://b", **fields).profile == "b"
    with pytest.raises(ConfigError, match="CFG041"):
        Target(tracking_uri="databricks://a", **fields)
    assert Target(tracking_uri="databricks", **fields).profile == "b"
    assert Target(spark=SparkTarget(profile="b")).profile == "b"
    assert Target(tracking_uri="https://h").profile is None


@pytest.mark.parametrize(
    "spark",
    [
        {},
        {"remote": "sc://localhost"},
        {"remote": "sc://host.example.com:443/;use_ssl=true;user_id=me"},
        {"master": "local[*]"},
        {"master": "local[2]", "format": "parquet"},
        {"profile": "dev", "cluster": "0123-456789-abc"},
        {"cluster": "0123-456789-abc"},
        {"serverless": True},
    ],
)
def test_each_way_to_open_a_session_is_taken(spark):
    """A server, a master, Databricks by profile or environment, or whatever session there is."""
    assert SparkTarget(**spark).dump() == spark
    assert SparkTarget(**spark).on_databricks == bool({"profile", "cluster", "serverless"} & spark.keys())


def test_specs_built_in_python_are_as_strict():
    """The same door, without a file."""
    with pytest.raises(ConfigError, match="CFG009"):
        BundleTarget(timezone="not a zone")
    with pytest.raises(ConfigError, match="CFG009"):
        ServingTarget(endpoint="e", workload_size="Huge")
    with pytest.raises(ConfigError, match="CFG009"):
        ServingTarget(endpoint="e", timeout_seconds=0)


PAGE = Path(__file__).parents[1] / "docs" / "reference" / "targets.md"


def test_the_page_describes_every_field(tmp_path):
    """And its example is a file that can be read."""
    page = PAGE.read_text(encoding="utf-8")
    example = read(tmp_path, page.partition("```toml")[2].partition("\n")[2].partition("```")[0])
    assert list(example) == ["local", "team", "connect", "prod"]
    rows = "".join(line for line in page.splitlines() if line.startswith("| `"))
    for spec in (Target, SparkTarget, ServingTarget, BundleTarget, Alert):
        assert [name for name in spec.model_fields if f"`{name}`" not in rows] == []

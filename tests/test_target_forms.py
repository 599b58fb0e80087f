"""What the texts of a target look like, field by field: addresses, schedules, names, and who is told."""

from __future__ import annotations

import pytest

from mlkit.errors import ConfigError, MlkitError, SecurityError
from mlkit.targets import (
    LOOPBACK,
    Alert,
    BundleTarget,
    ServingTarget,
    SparkTarget,
    Target,
    check_address,
    find_config,
    read_targets,
)
from mlkit.targets.forms import unknown_key


def refused(spec, **fields) -> MlkitError:
    """The error of a spec with these fields."""
    with pytest.raises(MlkitError) as caught:
        spec(**fields)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("url", ["https://a.example.com", "https://a:8443/x?y=1", *(
    f"http://{f'[{host}]' if ':' in host else host}:8000/x" for host in sorted(LOOPBACK)
)])  # fmt: skip
def test_addresses_that_a_report_may_be_sent_to(url):
    """Encrypted, or on this machine, by whichever of its names."""
    check_address(url, path="url")
    assert Alert(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example.com",
        "http://localhost.example.com",
        "https://me:hunter22@a.example.com",
        "https://me@a.example.com",
        "https://a.example.com/#hunter22",
        "https://a.example.com/x y",
        "https://a.example.com:port",
        "https://[::1",
        "https:///x",
        "ftp://a.example.com",
        "a.example.com",
        "",
    ],
)
def test_addresses_that_a_report_must_not_be_sent_to(url):
    """In the clear, with a user in it, or none at all; the address is not repeated, it may be a secret."""
    error = refused(Alert, url=url)
    assert (error.code, error.path) == ("CFG009", "url")
    assert "hunter22" not in str(error)


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"url": "https://h", "url_variable": "HOOK"}, "CFG042", "url_variable"),
        ({"url_variable": "1HOOK"}, "CFG009", "url_variable"),
        ({"url_variable": "https://h"}, "CFG009", "url_variable"),
        ({"command": "mail oncall"}, "CFG009", "command"),
        ({"timeout_seconds": 0}, "CFG009", "timeout_seconds"),
        ({"timeout_seconds": 301}, "CFG009", "timeout_seconds"),
        ({"timeout_seconds": True}, "CFG009", "timeout_seconds"),
    ],
)
def test_alerts_that_cannot_be_given(fields, code, path):
    """A shell's command line is no command, and the address stands in one place."""
    error = refused(Alert, **fields)
    assert (error.code, error.path) == (code, path)


def test_a_command_and_an_address_may_both_be_told():
    """Lists of a file become tuples; nothing set means that nobody is told."""
    alert = Alert(command=["mail", "-s", "drift"], url_variable="HOOK", timeout_seconds=300)
    assert alert.command == ("mail", "-s", "drift")
    assert alert == Alert(command=("mail", "-s", "drift"), url_variable="HOOK", timeout_seconds=300)
    assert (Alert().command, Alert().url, Alert().timeout_seconds) == ((), None, 10)


def test_replicas_are_named_by_project():
    """With or without a slash at the end; the endpoint likewise."""
    serving = ServingTarget(replicas=["http://a:8000/{project}/", "https://b.example.com"])
    assert serving.replicas_of("flights") == ("http://a:8000/flights", "https://b.example.com")
    assert ServingTarget(endpoint="{project}-{project}").endpoint_of("f") == "f-f"
    assert ServingTarget(endpoint="fixed").endpoint_of("f") == "fixed"


def test_how_long_replicas_are_waited_for():
    """A minute unless a time is set, though it be the one that is the default for endpoints."""
    replicas = {"replicas": ["http://a"]}
    assert ServingTarget(**replicas).replica_seconds == 60
    assert ServingTarget(**replicas, timeout_seconds=1200).replica_seconds == 1200
    assert ServingTarget(endpoint="e").timeout_seconds == 1200


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"endpoint": "e", "replicas": ["http://a"]}, "CFG042", "replicas"),
        ({}, "CFG021", "endpoint"),
        ({"replicas": []}, "CFG021", "endpoint"),
        ({"endpoint": "x" * 64}, "CFG009", "endpoint"),
        ({"endpoint": "{name}"}, "CFG009", "endpoint"),
        ({"replicas": ["http://a", "a:8000"]}, "CFG009", "replicas.1"),
        ({"replicas": ["http://me@a"]}, "CFG009", "replicas.0"),
        ({"replicas": ["http://a?x=1"]}, "CFG009", "replicas.0"),
        ({"replicas": ["http://a"], "admin_variable": "a b"}, "CFG009", "admin_variable"),
        ({"endpoint": "e", "timeout_seconds": 86401}, "CFG009", "timeout_seconds"),
    ],
)
def test_what_cannot_serve(fields, code, path):
    """One kind of serving, each address of the right form and counted from zero."""
    error = refused(ServingTarget, **fields)
    assert (error.code, error.path) == (code, path)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("host", ["https://p.example.com", "https://p:443/"], ["http://p", "https://p/x", "https://a@p", ""]),
        ("root_path", ["/Workspace/x"], ["/Workspace/x/", "/", "x", "/ x"]),
        (
            "timezone",
            ["UTC", "Europe/Paris", "America/Argentina/Ushuaia", "Etc/GMT+3"],
            ["", "Europe/", "+01:00"],
        ),
        ("score_cron", ["0 0 5 * * ?", "0 0 5 * * ? 2030"], ["0 5 * * *", "0  0 5 * * ?", "daily", ""]),
        ("drift_cron", ["0 0/30 8-18 ? * MON-FRI"], ["0 0 5 * * ? 2030 1"]),
        ("cleanup_cron", ["0 0 5 * * ?"], [" 0 0 5 * * ?"]),
        ("environment_version", ["1", "12"], ["0", "05", "5.0", ""]),
    ],
)
def test_texts_of_a_bundle(field, good, bad):
    """What Databricks would refuse at deployment is refused where it is written, by name."""
    for text in good:
        assert getattr(BundleTarget(**{field: text}), field) == text
    for text in bad:
        error = refused(BundleTarget, **{field: text})
        assert (error.code, error.path) == ("CFG009", field), text


@pytest.mark.parametrize("address", ["me", "me@", "a@b@c", "Me <me@example.com>", "a@x.com,b@x.com", ""])
def test_texts_that_are_no_mail_address(address):
    """The one that is wrong is counted from zero."""
    assert refused(BundleTarget, notify=("ok@example.com", address)).path == "notify.1"


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (
            "remote",
            ["sc://h", "sc://h:1/", "sc://h/;a=b;c="],
            ["sc://", "sc://h/x", "sc://h:x", "http://h", "sc://u@h"],
        ),
        (
            "master",
            ["local", "local[*]", "local[8]", "yarn", "k8s://h", "spark://h:7077"],
            ["local[]", "local[-1]", ""],
        ),
    ],
)
def test_texts_that_open_a_session(field, good, bad):
    """A user in the address is none of them."""
    for text in good:
        assert SparkTarget(**{field: text}).dump() == {field: text}
    for text in bad:
        assert refused(SparkTarget, **{field: text}).path == field, text


@pytest.mark.parametrize(
    ("catalog", "taken"),
    [
        ("main", True),
        ("1_a-b", True),
        ("a" * 255, True),
        ("a" * 256, False),
        ("-a", False),
        ("Main", False),
        ("ä", False),
    ],
)
def test_names_that_a_catalog_keeps_as_they_are(catalog, taken):
    """Capitals would be lowered by one store and kept by another."""
    fields = {"catalog": catalog, "spark": SparkTarget()}
    if taken:
        assert Target(**fields).catalog == catalog
    else:
        error = refused(Target, **fields)
        assert (error.code, error.path) == ("NAM002", "catalog")


@pytest.mark.parametrize("root", ["mlkit", "/Shared/mlkit", "/Users/me@example.com/x"])
def test_folders_of_experiments(root):
    """Any path of a folder; a slash at its end, an escape or a space is refused."""
    assert Target(tracking_uri="https://h", experiment_root=root).experiment_root == root
    for wrong in (f"{root}/", f"{root} x", f"{root}%20", "/", ""):
        error = refused(Target, tracking_uri="https://h", experiment_root=wrong)
        assert (error.code, error.path) == ("CFG009", "experiment_root"), wrong


def test_gigabytes_may_be_whole():
    """A number of a file may have no point; a truth value is none, and there are bounds."""
    assert Target(fetch_gb=8).fetch_gb == 8.0
    assert isinstance(Target(fetch_gb=8).fetch_gb, float)
    assert Target(fetch_gb=8) == Target(fetch_gb=8.0)
    for wrong in (True, 0, -1, 1024.1, float("nan"), "8", None):
        assert refused(Target, fetch_gb=wrong).path == "fetch_gb", wrong


def test_schemas_that_change_places():
    """Two names may be swapped, for each is still its own; one of three may not be taken twice."""
    target = Target(schemas={"features": "training", "training": "features"}, spark=SparkTarget())
    assert target.schemas == {"features": "training", "training": "features", "monitoring": "monitoring"}
    assert refused(Target, schemas={"features": "monitoring"}, spark=SparkTarget()).code == "CFG016"
    assert Target(schemas={"training": "training"}) == Target()


def test_where_runs_are_kept():
    """Only Databricks by its own name or with a profile is Databricks."""
    fields = {"catalog": "main", "experiment_root": "/Shared/x"}
    assert Target(tracking_uri="databricks://prod", **fields).profile == "prod"
    assert Target(tracking_uri="databricks", **fields).profile is None
    assert not Target(tracking_uri="https://databricks").on_databricks
    for wrong in ("Databricks", "databricks-uc", "databricks://", "https://me@h", "https://h?x", "h", ""):
        error = refused(Target, tracking_uri=wrong, **fields)
        assert (error.code, error.path) == ("CFG015", "tracking_uri"), wrong


@pytest.mark.parametrize(
    ("table", "good"),
    [
        ("[targets.local.alert]\ncommand = ['x']", True),
        ("[targets.local.serving]\nreplicas = ['http://a']", True),
        ("[targets.local.serving]\nendpoint = 'e'", False),
        ("[targets.local]\nexperiment_root = 'x'", False),
        ("[targets.local.bundle]\npaused = true", False),
    ],
)
def test_what_may_be_said_of_local(tmp_path, table, good):
    """Who is told and which services are refreshed; its stores are a folder."""
    (tmp_path / "x.toml").write_text(table)
    if good:
        assert list(read_targets(tmp_path / "x.toml")) == ["local"]
        return
    with pytest.raises(ConfigError, match="is the folder of local stores") as caught:
        read_targets(str(tmp_path / "x.toml"))
    assert caught.value.code == "CFG042"


@pytest.mark.parametrize("name", ["a", "a" * 63, "dev-eu_2"])
def test_names_of_targets(tmp_path, name):
    """Up to 63 characters from a letter on."""
    (tmp_path / "x.toml").write_text(f"[targets.{name}]")
    assert list(read_targets(tmp_path / "x.toml")) == ["local", name]
    for wrong in (f"{name}{'x' * 63}", f"-{name}", f"1{name}"):
        (tmp_path / "x.toml").write_text(f"[targets.{wrong}]")
        with pytest.raises(MlkitError, match="NAM002"):
            read_targets(tmp_path / "x.toml")


def test_a_secret_is_looked_for_in_lists_of_tables(tmp_path):
    """Its place is counted from zero, and the secret is not repeated."""
    (tmp_path / "x.toml").write_text(
        "[[elsewhere]]\na = 1\n[[elsewhere]]\nurls = ['x', 'https://h/?api_key=hunter22']"
    )
    with pytest.raises(SecurityError, match="SEC005") as caught:
        read_targets(tmp_path / "x.toml")
    assert caught.value.path.endswith(": elsewhere.1.urls.1")
    assert "hunter22" not in str(caught.value)


def test_a_folder_is_no_file_of_targets(tmp_path, monkeypatch):
    """Named in the environment it is an error that says which; found on the way it is passed by."""
    (tmp_path / "below" / "mlkit.toml").mkdir(parents=True)
    (tmp_path / "mlkit.toml").write_text("[targets.a]")
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.setenv("MLKIT_CONFIG", "")
    assert find_config() == tmp_path / "mlkit.toml"
    monkeypatch.setenv("MLKIT_CONFIG", str(tmp_path / "below" / "mlkit.toml"))
    with pytest.raises(ConfigError, match="CFG001") as caught:
        read_targets()
    assert "MLKIT_CONFIG" in caught.value.fix


def test_a_home_is_spelled_out(tmp_path, monkeypatch):
    """A tilde stands for it, in the environment and in a call."""
    (tmp_path / "t.toml").write_text("[targets.a]")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLKIT_CONFIG", "~/t.toml")
    assert find_config() == tmp_path / "t.toml"
    assert read_targets() == read_targets("~/t.toml") == {"local": Target(), "a": Target()}


def test_a_key_that_nobody_knows():
    """The nearest one is offered, else all in their order; the message has the key itself."""
    error = unknown_key("trackin", ["tracking", "spark"], path="p")
    assert (error.code, error.path, error.fix) == ("CFG006", "p", "did you mean 'tracking'?")
    assert unknown_key("x", ["b", "a"], path="p").fix == "known here: b, a"

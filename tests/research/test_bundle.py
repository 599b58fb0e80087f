"""The bundle: what Databricks is told follows from configs and targets, and undoes nothing."""

from __future__ import annotations

import itertools
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from mlkit import cli
from mlkit.errors import ConfigError
from mlkit.production.options import OPTIONS, parse
from mlkit.research.bundle import check_bundle, make_bundle, name_in, write_bundle
from mlkit.targets import read_targets
from tests.production.scenes import frozen

GOLDEN = Path(__file__).parents[1] / "golden" / "databricks.yml"
ALL = frozenset({"deploy", "score", "monitor", "cleanup", "rollback"})
TARGETS = """
[targets.laptop.spark]
remote = "sc://localhost:15002"

[targets.dev]
catalog = "dev"
spark = { serverless = true }
tracking_uri = "databricks"
experiment_root = "/Shared/dev"

[targets.staging]
catalog = "staging"
spark = { serverless = true }
tracking_uri = "databricks"
experiment_root = "/Shared/staging"

[targets.staging.bundle]
mode = "production"
host = "https://staging.example.com"
root_path = "/Workspace/Shared/flights"
run_as = "bob@example.com"
deploy_cron = "0 0 4 ? * MON"
timezone = "Europe/Paris"
environment_version = "6"
paused = true

[targets.prod]
catalog = "prod"
spark = {}
schemas = { training = "ml_training", monitoring = "ml_monitoring" }
tracking_uri = "databricks"
experiment_root = "/Shared/mlkit"

[targets.prod.bundle]
mode = "production"
host = "https://prod.example.com"
run_as = "11111111-2222-3333-4444-555555555555"
managers = ["ml-platform"]
viewers = ["analysts", "auditors"]
oncall = "ml-oncall"
notify = ["oncall@example.com"]
score_cron = "0 0 5 * * ?"
drift_cron = "0 30 6 * * ?"
cleanup_cron = "0 0 3 ? * SUN"

[targets.prod.bundle.cluster]
spark_version = "17.3.x-scala2.13"
node_type_id = "m5d.large"
num_workers = 2
"""
# What a job knows about itself; Databricks passes an unknown name in a known family on as an error.
REFERENCES = {
    "workspace.id": "1",
    "job.id": "22",
    "job.run_id": "333",
    "job.repair_count": "0",
    "task.execution_count": "1",
    "job.start_time.iso_datetime": "2026-08-30T05:00:00Z",
    "job.start_time.iso_date": "2026-08-30",
}
# What the bundle knows about itself.
OWN = {
    "bundle.name": "flight_delay",
    "bundle.target": "prod",
    "bundle.git.commit": "abc123",
    "bundle.git.origin_url": "https://git.example.com/flights.git",
}


@pytest.fixture
def targets(tmp_path):
    """Three targets on Databricks, and one that is not."""
    (tmp_path / "mlkit.toml").write_text(TARGETS)
    return read_targets(tmp_path / "mlkit.toml")


def config(name="flight_delay", **changes):
    """A config of a project, pinned to the Python of serverless compute."""
    return frozen(name=name, environment={"python": "3.12", "requirements": []}, **changes)


def bundle(targets, *configs, verbs=ALL, **options) -> dict:
    """The values of a bundle, as a YAML reader of its own sees them."""
    return yaml.safe_load(make_bundle(configs or [config()], targets, verbs=verbs, **options))


def resources(values: dict, target: str) -> dict:
    """The resources of one target: those of all, with its own laid over; lists are joined by their key."""
    return merged(values["resources"], values["targets"][target]["resources"])


def merged(one, other):
    """Both, as Databricks joins a target with what stands above it."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            key: merged(one[key], other[key]) if key in one and key in other else {**one, **other}[key]
            for key in {**one, **other}
        }
    if isinstance(one, list) and all("task_key" in item for item in [*one, *other]):
        tasks = {item["task_key"]: item for item in one}
        for item in other:
            tasks[item["task_key"]] = {**tasks[item["task_key"]], **item}
        return list(tasks.values())
    raise AssertionError(f"{one} and {other} would not be joined")


def texts(value) -> list[str]:
    """Every text in it, keys included."""
    if isinstance(value, dict):
        return [text for pair in value.items() for text in (pair[0], *texts(pair[1]))]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def test_the_file_is_as_reviewed(targets) -> None:
    """Byte for byte; `MLKIT_GOLDEN=write` writes it anew, for a reviewer to look at."""
    text = make_bundle([config()], targets, verbs=ALL)
    if os.environ.get("MLKIT_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_same_configs_give_the_same_bytes(targets) -> None:
    """In any order, and whatever of a config does not concern its jobs."""
    one, two = config("arrivals"), config("departures")
    texts = {make_bundle(order, targets, verbs=ALL) for order in itertools.permutations([one, two])}
    texts.add(make_bundle([config("arrivals", seed=9), two], targets, verbs=set(ALL)))
    assert len(texts) == 1
    assert make_bundle([one], targets, verbs=ALL) not in texts


@pytest.mark.newest_only
@pytest.mark.parametrize("verbs", [ALL, frozenset(OPTIONS)], ids=["all", "known"])
@pytest.mark.parametrize("target", ["dev", "staging", "prod"])
def test_databricks_would_take_every_resource(targets, verbs, target) -> None:
    """By its own package, which refuses unknown fields, missing ones and values that are none."""
    pytest.importorskip("databricks.bundles")
    from databricks.bundles.experiments import MlflowExperiment  # noqa: PLC0415 - not on every Python
    from databricks.bundles.jobs import Job  # noqa: PLC0415 - as above
    from databricks.bundles.registered_models import RegisteredModel  # noqa: PLC0415 - as above
    from databricks.bundles.volumes import Volume  # noqa: PLC0415 - as above

    kinds = {"jobs": Job, "experiments": MlflowExperiment, "registered_models": RegisteredModel}
    kinds["volumes"] = Volume
    found = resources(bundle(targets, config(), config("other"), verbs=verbs), target)
    made = [kinds[kind].from_dict(value) for kind, named in found.items() for value in named.values()]
    assert len(made) == 2 * (len(verbs & {"deploy", "rollback", *ALL}) + (0 if target == "dev" else 3))
    with pytest.raises(ValueError, match="retries"):
        Job.from_dict({**found["jobs"]["other_deploy"], "retries": 1})


@pytest.mark.parametrize("target", ["dev", "staging", "prod"])
def test_every_reference_leads_somewhere(targets, target) -> None:
    """To what jobs and bundles know, to a parameter of the same job, a task before it, or a resource."""
    values = bundle(targets, config(), config("other"))
    found = resources(values, target)
    for job in found["jobs"].values():
        tasks = [task["task_key"] for task in job["tasks"]]
        known = {*REFERENCES, *(f"job.parameters.{each['name']}" for each in job["parameters"])}
        known |= {f"tasks.{key}.values.should_retrain" for key in tasks}
        inside = " ".join(texts(job))
        assert set(re.findall(r"\{\{(.*?)\}\}", inside)) <= known
        assert inside.count("{{") == len(re.findall(r"\{\{[a-z_.]+\}\}", inside))
        before = {each["task_key"] for task in job["tasks"] for each in task.get("depends_on", [])}
        assert before <= set(tasks)
    known = {*OWN, *(f"resources.{kind}.{key}.id" for kind, named in found.items() for key in named)}
    assert set(re.findall(r"\$\{(.*?)\}", " ".join(texts(values)))) <= known


def test_no_two_resources_share_a_key(targets) -> None:
    """Not even of two kinds, or of projects whose names begin alike."""
    found = resources(bundle(targets, config("late"), config("late_deploy"), config("late_model")), "prod")
    keys = [key for named in found.values() for key in named]
    assert len(keys) == len(set(keys)) == 3 * 8


@pytest.mark.parametrize("verb", sorted(OPTIONS.keys() & ALL))
def test_the_packaged_runner_understands_its_jobs(targets, verb) -> None:
    """The parameters, filled in as a job does, are read by the runner itself, defaults included."""
    found = resources(bundle(targets, verbs={verb}), "prod")
    for job in found["jobs"].values():
        filled = {**{f"job.parameters.{p['name']}": p["default"] for p in job["parameters"]}, **REFERENCES}
        known = {f"{{{{{name}}}}}": text for name, text in filled.items()}
        known |= {f"${{{name}}}": text for name, text in OWN.items()}
        told = job["tasks"][0]["python_wheel_task"]["parameters"]
        for reference, text in known.items():
            told = [each.replace(reference, text) for each in told]
        name, options = parse(told, OPTIONS)
        assert (name, options["config"], options["target"]) == (verb, "flight_delay", "prod")
        assert options["attempt"] == "w1-j22-r333-p0-e1"


def test_a_job_calls_no_verb_that_the_runner_lacks(targets) -> None:
    """Score, drift and cleanup come with their verbs."""
    some = bundle(targets, verbs={"deploy", "rollback", "plan"})["resources"]["jobs"]
    assert list(some) == ["flight_delay_deploy", "flight_delay_rollback"]
    every = bundle(targets)["resources"]["jobs"]
    called = [job["tasks"][0]["python_wheel_task"]["parameters"][0] for job in every.values()]
    assert called == ["deploy", "score", "monitor", "cleanup", "rollback"]
    assert [job["name"].removeprefix("flight_delay-") for job in every.values()] == [
        *("deploy", "score", "drift", "cleanup", "rollback")
    ]


@pytest.mark.parametrize("target", ["dev", "staging", "prod"])
def test_nothing_in_it_undoes_a_promotion_or_drops_a_snapshot(targets, target) -> None:
    """No alias, endpoint or schema; what holds evidence is not destroyed with the bundle."""
    found = resources(bundle(targets), target)
    stores = set() if target == "dev" else {"experiments", "registered_models", "volumes"}
    assert set(found) == {"jobs"} | stores
    assert not {"aliases", "entity_version", "endpoint"} & set(texts(found))
    kept = [value for kind in found.keys() - {"jobs"} for value in found[kind].values()]
    assert all(value["lifecycle"] == {"prevent_destroy": True} for value in kept)


@pytest.mark.parametrize("target", ["dev", "staging", "prod"])
def test_jobs_run_one_at_a_time_and_a_gate_is_asked_once(targets, target) -> None:
    """Whoever waits is queued; serverless compute, which retries by itself, is told not to."""
    jobs = resources(bundle(targets), target)["jobs"]
    assert all((job["max_concurrent_runs"], job["queue"]) == (1, {"enabled": True}) for job in jobs.values())
    first = {key.removeprefix("flight_delay_"): job["tasks"][0] for key, job in jobs.items()}
    assert {key: task["max_retries"] for key, task in first.items()} == {
        "deploy": 0,
        "score": 2,
        "drift": 0,
        "cleanup": 0,
        "rollback": 0,
    }
    assert all(task["disable_auto_optimization"] for task in first.values())


def test_compute_is_serverless_or_a_cluster(targets) -> None:
    """Either way the task gets the wheel of its own package."""
    values = bundle(targets, wheels="out/wheels")
    serverless = resources(values, "staging")["jobs"]["flight_delay_deploy"]
    (environment,) = serverless["environments"]
    wheel = "./out/wheels/flight_delay_model-*.whl"
    assert environment["spec"] == {"environment_version": "6", "dependencies": [wheel]}
    assert serverless["tasks"][0]["environment_key"] == environment["environment_key"]
    classic = resources(values, "prod")["jobs"]["flight_delay_deploy"]
    (cluster,) = classic["job_clusters"]
    assert cluster["new_cluster"]["data_security_mode"] == "SINGLE_USER"
    assert (classic["tasks"][0]["libraries"], "environments" in classic) == ([{"whl": wheel}], False)
    assert values["artifacts"]["flight_delay_model"] == {"type": "whl", "files": [{"source": wheel}]}


def test_who_may_do_what(targets) -> None:
    """Groups manage or look; who is on call may roll back; the model belongs to whom the jobs run as."""
    described = bundle(targets)["targets"]
    principal = {"service_principal_name": "11111111-2222-3333-4444-555555555555"}
    assert described["prod"]["run_as"] == principal
    assert described["staging"]["run_as"] == {"user_name": "bob@example.com"}
    assert described["prod"]["permissions"] == [
        {"level": "CAN_MANAGE", **principal},
        {"level": "CAN_MANAGE", "group_name": "ml-platform"},
        *({"level": "CAN_VIEW", "group_name": group} for group in ("analysts", "auditors")),
    ]
    found = described["prod"]["resources"]
    allowed = {key: job.get("permissions") for key, job in found["jobs"].items()}
    assert allowed.pop("flight_delay_rollback") == [{"level": "CAN_MANAGE_RUN", "group_name": "ml-oncall"}]
    assert set(allowed.values()) == {None}
    model = found["registered_models"]["flight_delay_model"]
    assert (model["owner"], len(model["grants"])) == (principal["service_principal_name"], 2)


def test_where_and_when(targets) -> None:
    """Names are those that the target's stores use; a development target is the default."""
    described = bundle(targets)["targets"]
    assert list(described) == ["dev", "staging", "prod"]
    assert [name for name, target in described.items() if target.get("default")] == ["dev"]
    assert described["staging"]["presets"] == {"trigger_pause_status": "PAUSED"}
    assert described["staging"]["workspace"]["root_path"] == "/Workspace/Shared/flights"
    assert described["prod"]["workspace"]["root_path"].endswith("/${bundle.name}/${bundle.target}")
    found = described["prod"]["resources"]
    assert found["experiments"]["flight_delay_experiment"]["name"] == "/Shared/mlkit/flight_delay"
    assert found["registered_models"]["flight_delay_model"]["schema_name"] == "ml_training"
    assert found["volumes"]["flight_delay_reports"]["schema_name"] == "ml_monitoring"
    when = described["staging"]["resources"]["jobs"]["flight_delay_deploy"]["schedule"]
    assert when == {"quartz_cron_expression": "0 0 4 ? * MON", "timezone_id": "Europe/Paris"}
    assert "schedule" not in found["jobs"]["flight_delay_deploy"]


def test_what_an_installation_would_fail_by_is_said(targets, monkeypatch, capsys) -> None:
    """A wheel pinned to another Python than that of the environment; a cluster has one of its own."""
    monkeypatch.setenv("MLKIT_QUIET", "0")
    bundle(targets, frozen())
    told = capsys.readouterr().err
    assert "flight_delay is pinned to Python 3.11, environment 5 of target dev has Python 3.12" in told
    assert "of target prod" not in told
    bundle(targets)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("toml", "configs", "code"),
    [
        ("", ["flight_delay"], "CFG039"),
        ('[targets.laptop.spark]\nremote = "sc://localhost"\n', ["flight_delay"], "CFG039"),
        (TARGETS, [], "CFG039"),
        (TARGETS, ["late", "other", "late"], "CFG044"),
        ("[targets.dev.spark]\n[targets.dev.bundle.cluster]\nnum_workers = 1\n", ["flight_delay"], "CFG045"),
        (
            '[targets.dev]\ncatalog = "dev"\ntracking_uri = "databricks"\nexperiment_root = "/x"\n',
            ["flight_delay"],
            "CFG042",
        ),
    ],
)
def test_what_makes_no_bundle(tmp_path, toml, configs, code) -> None:
    """It is said what is missing."""
    (tmp_path / "mlkit.toml").write_text(toml)
    with pytest.raises(ConfigError) as caught:
        make_bundle(list(map(config, configs)), read_targets(tmp_path / "mlkit.toml"), verbs=ALL)
    assert caught.value.code == code


# ------------------------------------------------------------------------------------------------ the file


@pytest.fixture
def file(targets, tmp_path) -> Path:
    """A bundle that mlkit has written."""
    return write_bundle(make_bundle([config()], targets, verbs=ALL), tmp_path / "databricks.yml")


def test_a_file_that_is_up_to_date_is_left_untouched(targets, file) -> None:
    """Neither its bytes nor its time; line ends may be those of another system."""
    text = make_bundle([config()], targets, verbs=ALL)
    os.utime(file, (1, 1))
    file.chmod(0o400)
    write_bundle(text, file)
    assert file.stat().st_mtime == 1
    assert check_bundle(text, file)
    file.unlink()
    file.write_bytes(text.replace("\n", "\r\n").encode())
    assert check_bundle(text, file)


def test_a_stale_file_is_replaced(targets, file) -> None:
    """It is mlkit's own, and nobody touched it."""
    text = make_bundle([config(), config("other")], targets, verbs=ALL, name=name_in(file))
    assert not check_bundle(text, file)
    assert write_bundle(text, file).read_text() == text


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("max_retries: 0", "max_retries: 3", 1),
        lambda text: text + "\n",
        lambda text: text.replace("# Written", "# written"),
        lambda text: text.partition("\n")[2],
        lambda text: "bundle:\n  name: mine\n",
        lambda text: "",
    ],
)
def test_what_was_edited_by_hand_is_not_replaced(targets, file, edit) -> None:
    """Unless one insists; the error says how."""
    file.write_text(edited := edit(file.read_text()))
    text = make_bundle([config(), config("other")], targets, verbs=ALL)
    with pytest.raises(ConfigError) as caught:
        write_bundle(text, file)
    assert caught.value.code == "CFG038"
    assert "mlkit bundle --force" in caught.value.fix
    assert file.read_text() == edited
    assert write_bundle(text, file, force=True).read_text() == text


def test_what_is_no_text_is_not_replaced_either(targets, file) -> None:
    """Whatever it is, it is not ours."""
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError) as caught:
        write_bundle("", file)
    assert caught.value.code == "CFG038"


def test_a_bundle_keeps_its_name(targets, file) -> None:
    """Under another one Databricks would make every job anew, and forget the old ones."""
    assert name_in(file) == "flight_delay"
    text = make_bundle([config("arrivals"), config()], targets, verbs=ALL, name=name_in(file))
    assert yaml.safe_load(text)["bundle"]["name"] == "flight_delay"
    assert yaml.safe_load(make_bundle([config("arrivals"), config()], targets, verbs=ALL))["bundle"] == {
        "name": "arrivals",
        "databricks_cli_version": ">= 1.0.0",
        "engine": "direct",
    }
    file.write_text("bundle:\n  name: mine\n")
    assert name_in(file) is name_in(file.with_name("none.yml")) is None


def test_the_command(home, tmp_path, capsys) -> None:
    """It writes the jobs of all configs under models/, says when they are stale, and replaces no other's."""
    (tmp_path / "mlkit.toml").write_text(TARGETS)
    for name in ("arrivals", "departures"):
        config(name).write()
    assert cli.main(["bundle", "--check"]) == 2
    assert "CFG043" in capsys.readouterr().err
    assert not Path("databricks.yml").exists()
    assert cli.main(["bundle", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "path": "databricks.yml",
        "projects": ["arrivals", "departures"],
        "targets": ["dev", "staging", "prod"],
    }
    assert cli.main(["bundle", "--check"]) == 0
    jobs = yaml.safe_load(Path("databricks.yml").read_text())["resources"]["jobs"]
    assert {job["tasks"][0]["python_wheel_task"]["parameters"][0] for job in jobs.values()} <= set(OPTIONS)
    Path("databricks.yml").write_text("mine: true\n")
    assert cli.main(["bundle"]) == 2
    assert "CFG038" in capsys.readouterr().err
    assert cli.main(["bundle", "--to", "other.yml", "--wheels", "out"]) == 0
    assert "./out/arrivals_model-*.whl" in Path("other.yml").read_text()
    assert cli.main(["bundle", "--force"]) == 0
    assert cli.main(["bundle", "--check"]) == 0


def test_the_guide_describes_targets_that_are_understood(tmp_path) -> None:
    """Its mlkit.toml makes a bundle."""
    guide = Path(__file__).parents[2] / "docs" / "guides" / "databricks-bundle.md"
    (toml,) = re.findall(r"(?ms)^```toml\n(.*?)^```$", guide.read_text())
    (tmp_path / "mlkit.toml").write_text(toml)
    described = bundle(read_targets(tmp_path / "mlkit.toml"))["targets"]
    assert list(described) == ["dev", "prod"]

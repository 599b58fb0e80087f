"""Frozen configs: strict to whoever edits them, blind to layout, and readable for ever."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlkit import FrozenConfig, Gate
from mlkit.errors import EXIT_USAGE, ConfigError, MlkitError
from mlkit.frozen import find, provenance_path

GOLDEN = Path(__file__).parent / "golden" / "frozen_v1.yaml"
DIGEST = "ad573022f9ac494a76ec0f39b7c7383acdfb688fcb80b057e9663a30890bd7b7"
STEPS = ("model", "params", "steps")
TREE = (*STEPS, 1, "tuple", 1, "params")


@pytest.fixture
def text():
    """The file as a reviewer sees it."""
    return GOLDEN.read_text(encoding="utf-8")


@pytest.fixture
def load(tmp_path):
    """A function that loads a config from text or values."""

    def from_document(document):
        text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False)
        (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
        return FrozenConfig.load(tmp_path / "c.yaml")

    return from_document


def edited(*place, to, remove=False):
    """The values of the golden file with one of them changed."""
    values = yaml.safe_load(GOLDEN.read_text(encoding="utf-8"))
    inner = values
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = to
    if remove:
        del inner[place[-1]]
    return values


def test_the_golden_file_keeps_its_digest(text):
    """A config of version one means the same for every later mlkit, and is written as it was."""
    config = FrozenConfig.load(GOLDEN)
    assert config.digest == DIGEST
    assert config.to_yaml() == text


def test_written_and_loaded_it_is_equal(tmp_path):
    """File, values, digest and the bytes of the next file."""
    config = FrozenConfig.load(GOLDEN)
    path = config.write(tmp_path / "deep" / "c.yaml").path
    again = FrozenConfig.load(path)
    assert (again.meaning, again.digest, again.to_yaml()) == (config.meaning, DIGEST, path.read_text())
    assert again.to_dict()["digest"] == DIGEST
    assert again.path == path
    assert provenance_path(path) == tmp_path / "deep" / "c.provenance.json"


def test_the_digest_is_blind_to_layout(load, text):
    """Comments, the order of keys, flow or block style, defaults that are written out."""
    values = yaml.safe_load(text)
    backwards = {key: values[key] for key in reversed(values)}
    backwards["contract"]["columns"] = dict(reversed(values["contract"]["columns"].items()))
    without_comments = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert load(backwards).digest == DIGEST
    assert load(yaml.safe_dump(values, default_flow_style=True)).digest == DIGEST
    assert load(f"# reviewed by ann\n\n{without_comments}\n").digest == DIGEST
    assert load(edited("split", "validation", to=0.0)).digest == DIGEST
    assert load(edited("serialization", to=None, remove=True)).digest == DIGEST


@pytest.mark.parametrize(
    "place", [("gate", "threshold"), ("contract", "columns", "hour", "checks", "in_range", "max_value")]
)
def test_25_is_25_0_where_a_number_is_a_number(load, place):
    """A threshold or a bound means the same, however it is typed."""
    values = [load(edited(*place, to=number)).digest for number in (20, 20.0)]
    assert values[0] == values[1] != DIGEST


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (None, ".nan"), (True, 1), ("1", 1)])
def test_parameters_of_a_model_are_exactly_what_they_are(load, text, one, other):
    """One feature is not all of them, and missing is not nan."""
    digests = set()
    for value in (one, other):
        raw = yaml.safe_dump(edited(*TREE, "max_features", to=value)).replace("'.nan'", ".nan")
        digests.add(load(raw).digest)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("name",), "other"),
        (("key",), []),
        (("features",), ["distance", "hour", "carrier"]),
        (("metric",), "mae"),
        (("seed",), 4),
        (("serialization",), "cloudpickle"),
        (("source", "table"), "features.other"),
        (("source", "prepare"), "flight_delay:other"),
        (("split", "test"), 0.3),
        (("split", "seed"), 8),
        (("split", "validation"), 0.1),
        (("gate", "threshold"), 24),
        (("gate", "min_improvement"), 0),
        (("contract", "columns", "hour", "dtype"), "int32"),
        (("contract", "columns", "hour", "nullable"), True),
        (("contract", "unique"), ["hour", "flight_id"]),
        (("environment", "python"), "3.12"),
        (("environment", "requirements"), ["numpy==2.1.4", "scikit-learn==1.6.1"]),
        ((*TREE, "max_depth"), 7),
        ((*STEPS, 0, "tuple", 1, "class"), "sklearn.preprocessing.OneHotEncoder"),
    ],
)
def test_the_digest_is_sensitive_to_every_field(load, place, value):
    """One edit anywhere is another config."""
    values = edited(*place, to=value)
    if "OneHot" in str(value):
        values["model"]["params"]["steps"][0]["tuple"][1]["params"] = {}
    assert load(values).digest != DIGEST


def test_target_and_task_are_in_the_digest(load):
    """They need other fields to fit."""
    other = edited("target", to="hour")
    other["features"] = ["distance", "carrier"]
    binary = edited("task", to="binary")
    binary["metric"] = "log_loss"
    assert len({load(other).digest, load(binary).digest, DIGEST}) == 3


@pytest.mark.parametrize(
    ("change", "code", "path", "said"),
    [
        (edited("seeds", to=1), "CFG006", "seeds", "did you mean 'seed'"),
        (edited("gate", "treshold", to=1), "CFG006", "gate.treshold", "did you mean 'threshold'"),
        (edited("split", "by_the_way", to=1), "CFG006", "split.by_the_way", "known here"),
        (edited("seed", to=None, remove=True), "CFG021", "seed", "add it"),
        (edited("gate", to=None, remove=True), "CFG021", "gate", "add it"),
        (edited("seed", to="3"), "CFG009", "seed", "integer"),
        (edited("seed", to=True), "CFG009", "seed", "integer"),
        (edited("seed", to=1.5), "CFG009", "seed", "integer"),
        (edited("seed", to=-1), "CFG009", "seed", "greater than or equal to 0"),
        (edited("seed", to=2**32), "CFG009", "seed", "less than 4294967296"),
        (edited("features", to="hour"), "CFG009", "features", "tuple"),
        (edited("features", to=[]), "CFG009", "features", "at least 1"),
        (edited("features", to=["hour", "speed"]), "CFG034", "features", "'speed'"),
        (edited("features", to=["hour", "hour"]), "CFG034", "features", "twice"),
        (edited("features", to=["hour", "delay"]), "DAT044", "features", "remove 'delay'"),
        (edited("target", to="delays"), "CFG034", "target", "did you mean 'delay'?"),
        (edited("key", to=["id"]), "CFG034", "key", "'id'"),
        (edited("name", to="Flight Delay"), "NAM002", "name", "lowercase"),
        (edited("name", to="latest"), "NAM006", "name", ""),
        (edited("format", to=2), "CFG019", "format", "newer mlkit"),
        (edited("format", to="1"), "CFG009", "format", ""),
        (edited("task", to="ranking"), "CFG009", "task", "regression"),
        (edited("metric", to="rsme"), "CFG013", "metric", "did you mean 'rmse'"),
        (edited("metric", to="log_loss"), "CFG014", "metric", "regression"),
        (edited("metric", to="my:metric"), "CFG013", "gate.direction", "which scores are better"),
        (edited("gate", "direction", to="maximize"), "CFG013", "gate.direction", "leave the direction out"),
        (edited("gate", "threshold", to="25"), "CFG009", "gate.threshold", "number"),
        (edited("split", "test", to=1.0), "CFG012", "split.test", ""),
        (edited("split", "validation", to=0.8), "CFG012", "split.test", "no rows to train on"),
        (edited("source", "table", to=None), "CFG032", "source.table", "load function"),
        (edited("serialization", to="pickle"), "CFG009", "serialization", "cloudpickle"),
        (
            edited("contract", "columns", "hour", "dtype", to="int46"),
            "CFG009",
            "contract.columns.hour.dtype",
            "",
        ),
        (edited(*TREE, "max_deep", to=1), "CFG011", "model.params.steps[1].params.max_deep", "max_depth"),
        (edited("model", "klass", to="x"), "CFG006", "model.klass", ""),
        (edited("model", to={"params": {}}), "CFG009", "model", "class path"),
        (edited("model", "class", to="sklearn.pipeline.Pipelin"), "CFG024", "model", "Pipeline"),
        (edited("model", "class", to="os.system"), "SEC004", "model", "may import"),
        (edited("environment", "python", to=3.11), "CFG009", "environment.python", "string"),
        (
            edited("environment", "requirements", to=["numpy==2.1.3", "scipy>=1"]),
            "CFG009",
            "environment.requirements.1",
            "name==version",
        ),
    ],
)
def test_a_mistake_is_named_with_its_path(load, change, code, path, said):
    """Which key, what was expected, what to do; never a traceback of pydantic."""
    with pytest.raises(MlkitError) as caught:
        load(change)
    error = caught.value
    assert (error.code, error.path) == (code, path)
    assert said in f"{error.message} {error.fix}"


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("seed: 3", "seed: 3\nseed: 4", "CFG005", 11),
        ("seed: 3", "seed: !!python/object:os.system 3", "SEC001", 10),
        ("seed: 3", "seed: [3", "CFG004", 11),
        ("seed: 3", "seed: 0x3", "CFG008", 10),
        ("name: flight_delay", "name: no", "CFG008", 4),
        ("task: regression", "task: &t regression\nname: *t", "SEC002", 6),
    ],
)
def test_what_is_no_plain_yaml_is_named_with_its_line(load, text, tmp_path, old, new, code, line):
    """Before anything is understood."""
    with pytest.raises(MlkitError) as caught:
        load(text.replace(old, new, 1))
    assert caught.value.code == code
    assert re.search(rf"c\.yaml:{line}\b", caught.value.path)


def test_what_is_built_in_python_is_checked_alike():
    """A changed copy goes through the same door."""
    config = FrozenConfig.load(GOLDEN)
    assert config.replace(gate=Gate(threshold=20)).gate.threshold == 20
    with pytest.raises(ConfigError) as caught:
        config.replace(seed=-1)
    assert (caught.value.path, caught.value.exit_code) == ("seed", EXIT_USAGE)


def test_a_config_is_found_by_name_or_path(tmp_path, monkeypatch):
    """Under models/ by its name; otherwise the known ones are listed."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="none yet") as caught:
        FrozenConfig.load("flight_delay")
    assert caught.value.code == "CFG001"
    written = FrozenConfig.load(GOLDEN).write()
    assert written.path == Path("models/flight_delay.yaml")
    assert find("flight_delay") == written.path
    assert FrozenConfig.load("models/flight_delay.yaml").digest == DIGEST
    with pytest.raises(ConfigError, match="known under models/: flight_delay"):
        FrozenConfig.load("flight_dealy")
    with pytest.raises(ConfigError) as caught:
        FrozenConfig.load("models/other.yaml")
    assert caught.value.code == "CFG001"


def test_it_tells_what_it_is_and_what_is_next():
    """The model in one line, the data, the gate, and the next command."""
    told = repr(FrozenConfig.load(GOLDEN))
    assert DIGEST[:12] in told
    assert "HistGradientBoostingRegressor(" in told
    assert "mlkit deploy flight_delay" in told


def test_references_are_all_that_is_imported(load):
    """What a package has to carry: source, model, and a metric of one's own."""
    assert FrozenConfig.load(GOLDEN).references == [
        "flight_delay:prepare",
        "sklearn.ensemble:HistGradientBoostingRegressor",
        "sklearn.pipeline:Pipeline",
        "sklearn.preprocessing:OrdinalEncoder",
    ]
    own = edited("metric", to="mlkit.model.evaluation:better")
    own["gate"]["direction"] = "minimize"
    assert load(own).references[-1] == "mlkit.model.evaluation:better"


def test_pins_are_told_apart():
    """Python is one of them; what every model stands on opens no door for names in the config."""
    environment = FrozenConfig.load(GOLDEN).environment
    assert environment.pins == {"python": "3.11", "numpy": "2.1.3", "scikit-learn": "1.6.1"}
    assert environment.packages == []
    assert environment.replace(python="2.7", requirements=("numpy==0.1", "none-such==1.0")).drift() == [
        f"python 2.7 pinned, {'.'.join(platform.python_version_tuple()[:2])} here",
        f"numpy 0.1 pinned, {np.__version__} here",
        "none-such 1.0 pinned, absent here",
    ]
    assert environment.replace(requirements=(f"numpy=={np.__version__}",)).drift()[1:] == []
    assert environment.replace(requirements=("pydantic==2.10.0",)).packages == ["pydantic"]

"""Model folders: written whole, verified before they are read, and safe to read."""

from __future__ import annotations

import importlib
import importlib.util
import json
import marshal
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlkit.errors import ConfigError, IntegrityError, SecurityError, StoreError
from mlkit.tracking import models
from mlkit.tracking.models import MANIFEST, choose_serialization, load_model, save_model, verify_manifest

# Before 3.10, MLflow wrote no skops.
skops_only = pytest.mark.newest_only
FORMAT = choose_serialization(Ridge())
FILE = {"skops": "model.skops", "cloudpickle": "model.pkl"}[FORMAT]
PINS = ("numpy==2.1.0", "scikit-learn==1.6.0")
FRAME = pd.DataFrame(
    {"hour": [1, 2, 3, 4], "distance": [1.5, 2.5, None, 0.5], "is_ua": [True, False, True, True]}
)
ESTIMATOR = """\
from sklearn.base import BaseEstimator, RegressorMixin

from my_package.numbers import factor


class Own(RegressorMixin, BaseEstimator):
    def fit(self, frame, target):
        self.mean_ = float(target.mean())
        return self

    def predict(self, frame):
        return frame["hour"].to_numpy() * factor() + self.mean_
"""


def ridge():
    """A fitted pipeline that any format holds."""
    return make_pipeline(StandardScaler(), Ridge()).fit(FRAME[["hour"]], [1.0, 2.0, 3.0, 5.0])


def saved(folder, estimator=None, **changes):
    """A folder with a model; gives the folder and the digest of its manifest."""
    arguments = {"serialization": FORMAT, "example": FRAME[["hour"]], "output": "f", "requirements": PINS}
    digest = save_model(folder / "model", estimator or ridge(), **{**arguments, **changes})
    return folder / "model", digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An estimator in a package of the user's own; gives the class and the files it needs."""
    source = tmp_path / "source"
    (source / "my_package").mkdir(parents=True)
    (source / "my_package" / "__init__.py").write_text("")
    (source / "my_package" / "numbers.py").write_text("def factor():\n    return 10\n")
    (source / "my_package" / "estimators.py").write_text(ESTIMATOR)
    (source / "my_package" / "secret.env").write_text("TOKEN=1")
    (source / "unrelated.py").write_text("")
    monkeypatch.syspath_prepend(str(source))
    own = importlib.import_module("my_package.estimators").Own
    yield (
        own,
        {
            f"my_package/{name}": source / "my_package" / name
            for name in ("__init__.py", "numbers.py", "estimators.py")
        },
    )
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        del sys.modules[name]


@pytest.mark.parametrize("serialization", [pytest.param("skops", marks=skops_only), "cloudpickle"])
def test_a_model_comes_back_and_predicts_the_same(tmp_path, serialization):
    """In both formats, bit by bit."""
    folder, digest = saved(tmp_path, serialization=serialization)
    again = load_model(folder, manifest_digest=digest)
    assert np.array_equal(again.predict(FRAME[["hour"]]), ridge().predict(FRAME[["hour"]]))


def test_the_folder_says_what_the_model_takes_and_needs(tmp_path):
    """Signature, input example, pins and extra files are there, under the manifest."""
    folder, digest = saved(tmp_path, example=FRAME, extra={"mlkit_config.yaml": "a: 1\n"})
    described = yaml.safe_load((folder / "MLmodel").read_text())
    inputs = json.loads(described["signature"]["inputs"])
    assert [(each["name"], each["type"]) for each in inputs] == [
        ("hour", "long"),
        ("distance", "double"),
        ("is_ua", "boolean"),
    ]
    assert json.loads(described["signature"]["outputs"])[0]["type"] == "double"
    pins = (folder / "requirements.txt").read_text().split()
    assert [pin for pin in pins if not pin.startswith("mlflow==")] == list(PINS)
    assert json.loads((folder / "input_example.json").read_text())["columns"] == list(FRAME.columns)
    assert (folder / "mlkit_config.yaml").read_text() == "a: 1\n"
    manifest = json.loads((folder / MANIFEST).read_text())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert manifest["files"].keys() == files - {MANIFEST}
    verify_manifest(folder, manifest_digest=digest)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.Categorical(["a", "b"]), "string"),
        (pd.Categorical([1, 2]), "long"),
        (np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[us]"), "datetime"),
        (np.array(["x", None], dtype=object), "string"),
    ],
)
def test_the_signature_follows_the_dtype(values, kind):
    """Never the values: a column that happens to be whole numbers stays what it is."""
    signature = models._signature(pd.DataFrame({"a": values}), "O")
    assert signature.inputs.to_dict()[0]["type"] == kind
    assert signature.outputs.to_dict()[0]["type"] == "string"


@pytest.mark.parametrize(
    ("damage", "code", "named"),
    [
        (lambda folder: _flip(folder / FILE), "INT022", FILE),
        (lambda folder: (folder / "MLmodel").unlink(), "INT022", "MLmodel"),
        (lambda folder: (folder / "extra.py").write_text(""), "INT022", "extra.py"),
        (lambda folder: (folder / "python_env.yaml").write_text(""), "INT022", "python_env.yaml"),
        (lambda folder: (folder / MANIFEST).unlink(), "INT020", MANIFEST),
        (lambda folder: _flip(folder / MANIFEST), "INT021", MANIFEST),
        (lambda folder: (folder / "link").symlink_to("/etc"), "INT023", "link"),
    ],
)
def test_any_other_file_is_refused(tmp_path, damage, code, named):
    """Changed, missing, added, linked: the file is named and nothing is loaded."""
    folder, digest = saved(tmp_path)
    damage(folder)
    with pytest.raises(IntegrityError) as caught:
        load_model(folder, manifest_digest=digest)
    assert (caught.value.code, caught.value.path) == (code, named)


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_manifest_that_was_made_to_fit_is_another_manifest(tmp_path):
    """Whoever changes a file and lists it anew does not know what the ledger recorded."""
    folder, digest = saved(tmp_path)
    (folder / "requirements.txt").write_text("evil==1.0\n")
    models._write_manifest(folder)
    with pytest.raises(IntegrityError) as caught:
        load_model(folder, manifest_digest=digest)
    assert caught.value.code == "INT021"


def test_a_folder_that_cannot_be_read_is_an_error_of_the_store(tmp_path, monkeypatch):
    """Not of the model: it may be whole."""
    folder, digest = saved(tmp_path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(models, "_sha256", refuse)
    with pytest.raises(StoreError) as caught:
        verify_manifest(folder, manifest_digest=digest)
    assert caught.value.code == "STO023"


@skops_only
@pytest.mark.parametrize(
    "estimator",
    [RandomForestClassifier(2), HistGradientBoostingRegressor(max_iter=2), KNeighborsRegressor(1)],
)
def test_the_allow_list_covers_the_library(tmp_path, estimator):
    """Types that skops itself would ask about, such as trees and losses, are known here."""
    fitted = estimator.fit(FRAME[["hour"]], [0, 1, 0, 1])
    assert choose_serialization(fitted) == "skops"
    folder, digest = saved(tmp_path, fitted)
    assert list(load_model(folder, manifest_digest=digest).predict(FRAME[["hour"]])) == list(
        fitted.predict(FRAME[["hour"]])
    )


@skops_only
@pytest.mark.parametrize("function", [os.system, np.load, np.testing.assert_equal, subprocess.run])
def test_skops_does_not_hold_what_runs_foreign_code(tmp_path, function):
    """Functions of other modules, and those of numpy that read files."""
    fitted = make_pipeline(FunctionTransformer(function), Ridge())
    assert choose_serialization(fitted) == "cloudpickle"
    with pytest.raises(SecurityError, match="cloudpickle") as caught:
        saved(tmp_path, fitted)
    assert caught.value.code == "SEC007"


@skops_only
def test_what_skops_cannot_write_is_a_mistake_of_the_config(tmp_path):
    """A lambda inside is said to need the other format, and works with it."""
    fitted = make_pipeline(FunctionTransformer(lambda frame: frame), Ridge()).fit(
        FRAME[["hour"]], [1, 2, 3, 4]
    )
    assert choose_serialization(fitted) == "cloudpickle"
    with pytest.raises((ConfigError, SecurityError), match="cloudpickle"):
        saved(tmp_path, fitted)
    folder, digest = saved(tmp_path, fitted, serialization="cloudpickle")
    assert load_model(folder, manifest_digest=digest).predict(FRAME[["hour"]]).shape == (4,)


@skops_only
def test_the_artifact_cannot_widen_the_allow_list(tmp_path, monkeypatch):
    """Types that MLmodel trusts are trusted by nobody here, even under a manifest that fits."""
    monkeypatch.setattr(models, "_ALLOWED", ("posix.", "nt.", *models._ALLOWED))
    folder, _ = saved(tmp_path, make_pipeline(FunctionTransformer(os.system), Ridge()))
    monkeypatch.undo()
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert any(name.endswith(".system") for name in described["flavors"]["sklearn"]["skops_trusted_types"])
    digest = models._write_manifest(folder)
    with pytest.raises(SecurityError) as caught:
        load_model(folder, manifest_digest=digest)
    assert caught.value.code == "SEC007"


def test_an_old_mlflow_without_skops_says_so(tmp_path, monkeypatch):
    """The safest format that can be written is then the other one."""
    monkeypatch.setattr(models, "_mlflow_has_skops", lambda: False)
    assert choose_serialization(ridge()) == "cloudpickle"
    with pytest.raises(ConfigError, match="mlflow") as caught:
        saved(tmp_path, serialization="skops")
    assert caught.value.code == "CFG031"


def test_code_travels_only_as_far_as_it_is_needed(tmp_path, package):
    """The files that were named, in their package; nothing that lies beside them."""
    own, code = package
    folder, _ = saved(tmp_path, own().fit(FRAME, pd.Series([1.0])), serialization="cloudpickle", code=code)
    carried = {path.relative_to(folder / "code").as_posix() for path in (folder / "code").rglob("*.*")}
    assert carried == set(code)


def test_another_process_loads_it_with_mlflow_alone(tmp_path, package):
    """Neither mlkit nor the user's source tree is there; the example passes the signature."""
    own, code = package
    (tmp_path / "own").mkdir()
    fitted = own().fit(FRAME, pd.Series([1.0]))
    folders = [
        saved(tmp_path / "own", fitted, serialization="cloudpickle", code=code)[0],
        saved(tmp_path)[0],
    ]
    program = (
        "import sys, mlflow.pyfunc\n"
        f"models = [mlflow.pyfunc.load_model(folder) for folder in {list(map(str, folders))!r}]\n"
        "answers = [model.predict(model.input_example).tolist() for model in models]\n"
        "import json; print(json.dumps([answers, 'mlkit' in sys.modules]))\n"
    )
    command = [sys.executable, "-I", "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    answers, has_mlkit = json.loads(done.stdout.splitlines()[0])
    assert answers[0] == [11.0, 21.0, 31.0, 41.0]
    assert np.array_equal(answers[1], ridge().predict(FRAME[["hour"]]))
    assert not has_mlkit


def test_a_model_keeps_the_code_it_was_made_with(tmp_path, package):
    """However the working tree changes, and without a trace in this process or in the folder."""
    own, code = package
    folder, digest = saved(
        tmp_path, own().fit(FRAME, pd.Series([1.0])), serialization="cloudpickle", code=code
    )
    code["my_package/numbers.py"].write_text("def factor():\n    return 1000\n")
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        del sys.modules[name]
    factor = importlib.import_module("my_package.numbers").factor
    before = (list(sys.path), set(sys.modules), sys.pycache_prefix, sys.dont_write_bytecode)
    model = load_model(folder, manifest_digest=digest)
    assert model.predict(FRAME)[0] == 11.0
    assert factor() == 1000
    assert sys.modules["my_package.numbers"].factor is factor
    assert (list(sys.path), set(sys.modules), sys.pycache_prefix, sys.dont_write_bytecode) == before
    verify_manifest(folder, manifest_digest=digest)
    assert not list(folder.rglob("__pycache__"))


def test_compiled_code_in_the_folder_is_not_run(tmp_path, package):
    """A `.pyc` that says it belongs to the source stands in no manifest, and is not looked at."""
    own, code = package
    folder, digest = saved(
        tmp_path, own().fit(FRAME, pd.Series([1.0])), serialization="cloudpickle", code=code
    )
    _plant(folder / "code" / "my_package" / "numbers.py", "def factor():\n    return 666\n")
    verify_manifest(folder, manifest_digest=digest)
    assert load_model(folder, manifest_digest=digest).predict(FRAME)[0] == 11.0


def _plant(source, text):
    stat = source.stat()
    head = importlib.util.MAGIC_NUMBER + b"\0\0\0\0" + int(stat.st_mtime).to_bytes(4, "little")
    compiled = Path(importlib.util.cache_from_source(str(source)))
    compiled.parent.mkdir()
    content = head + stat.st_size.to_bytes(4, "little") + marshal.dumps(compile(text, str(source), "exec"))
    compiled.write_bytes(content)

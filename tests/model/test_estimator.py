"""An estimator, written down and built again, is the same estimator; nothing else is ever built."""

from __future__ import annotations

import functools
import inspect
import json
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor, StackingRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LogisticRegression, Ridge, SGDRegressor
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.svm import SVR
from sklearn.utils import all_estimators

from mlkit.errors import ConfigError, SecurityError
from mlkit.model.estimator import build, describe, references, same, seeded, steps_text

if TYPE_CHECKING:
    from collections.abc import Callable

RIDGE = "sklearn.linear_model.Ridge"


class Holder(BaseEstimator):
    """Keeps any value; this file is the user's own code to mlkit."""

    def __init__(self, value: Any = None, other: Any = (1, float("nan"), None)) -> None:
        self.value = value
        self.other = other


class Forgetful(BaseEstimator):
    """Breaks scikit-learn's rule that an estimator keeps its arguments."""

    def __init__(self, value: int = 1) -> None:
        self.doubled = 2 * value


class Changing(BaseEstimator):
    """Breaks scikit-learn's rule that arguments are kept as they are, as catboost does."""

    def __init__(self, value: Any = (1,)) -> None:
        self.value = list(value)


class Collector(BaseEstimator):
    """Takes any argument, as boosters do, and cannot be built without one of them."""

    def __init__(self, first: Any, **others: Any) -> None:
        self.arguments = {"first": first, **others}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """As scikit-learn asks for them."""
        return dict(self.arguments)

    def set_params(self, **params: Any) -> Collector:
        """As scikit-learn sets them."""
        self.arguments.update(params)
        return self


class MarkerNamed(BaseEstimator):
    """Has parameters that are called like the markers of a description."""

    def __init__(self, ref: Any = None, tuple: Any = None) -> None:  # noqa: A002 - the point of the class
        self.ref = ref
        self.tuple = tuple


def keep(values: Any) -> Any:
    """A function that another process can import."""
    return values


def nested() -> Callable[[Any], Any]:
    """A function that no other process can import."""

    def inside(values: Any) -> Any:
        return values

    return inside


named_lambda = lambda values: values  # noqa: E731 - a lambda with a name is still a lambda


def through_text(values: dict[str, Any]) -> dict[str, Any]:
    """What a YAML file gives back."""
    loaded: dict[str, Any] = yaml.safe_load(yaml.safe_dump(values, sort_keys=False))
    return loaded


def text(values: object) -> str:
    """Equal for equal plain values, nan included."""
    return json.dumps(values, sort_keys=True)


def built_again(estimator: Any) -> Any:
    """Built from YAML text, with the checks that hold for every estimator."""
    values = describe(estimator)
    assert text(through_text(values)) == text(values)
    again = build(through_text(values))
    assert type(again) is type(estimator)
    assert text(describe(again)) == text(values)
    assert same(seeded(again, 1), seeded(estimator, 1))
    return again


def required_arguments(kind: type) -> dict[str, Any]:
    """Simple children for the estimators that cannot be built without any."""
    child = LogisticRegression(C=0.5) if "Classifier" in kind.__name__ else Ridge(alpha=0.5)
    simple = {
        "estimators": [("a", child), ("b", clone(child))],
        "estimator": child,
        "base_estimator": child,
        "param_grid": {"alpha": [0.1, 1], "fit_intercept": [True]},
        "param_distributions": [{"alpha": [0.1, 1.0]}, {"solver": ["svd"]}],
        "transformers": [("scale", StandardScaler(), ["x"]), ("rest", "drop", slice(0, 2))],
        "transformer_list": [("scale", StandardScaler())],
        "steps": [("scale", StandardScaler()), ("end", child)],
        "dictionary": np.eye(2),
    }
    parameters = inspect.signature(kind).parameters.values()
    return {each.name: simple[each.name] for each in parameters if each.default is each.empty}


class TestRoundTrip:
    @pytest.mark.parametrize("kind", [kind for _, kind in all_estimators()])
    def test_every_estimator_of_scikit_learn(self, kind):
        """Every class survives under a public path, with nothing written but what it requires."""
        if issubclass(kind, FrozenEstimator):
            pytest.skip("stands for fitted state")
        with warnings.catch_warnings(action="ignore"):
            estimator = kind(**required_arguments(kind))
            values = describe(estimator)
            assert same(clone(built_again(estimator)), clone(estimator))
        assert "._" not in values["class"]
        assert set(values["params"]) == set(required_arguments(kind))

    @pytest.mark.parametrize("kind", all_estimators(type_filter=["regressor", "classifier"]))
    def test_every_parameter_away_from_its_default(self, kind):
        """A value unlike the default is written for each parameter of each predictor."""
        with warnings.catch_warnings(action="ignore"):
            estimator = kind[1](**required_arguments(kind[1]))
            names = set(estimator.get_params(deep=False)) - set(required_arguments(kind[1]))
            for name in names:
                setattr(estimator, name, (name, 0.25))
            again = built_again(estimator)
        assert {name: getattr(again, name) for name in names} == {name: (name, 0.25) for name in names}

    def test_composition(self):
        """Pipelines, column transformers, unions and stacks keep their tuples, names and order."""
        numbers = make_pipeline(SimpleImputer(missing_values=np.nan), FunctionTransformer(np.log1p, np.expm1))
        categories = [np.array(["b", "a", None], dtype=object), np.array(["x"], dtype=object)]
        columns = ColumnTransformer(
            [
                ("numbers", numbers, make_column_selector(dtype_include=np.number)),
                ("texts", OneHotEncoder(categories=categories, dtype=np.float32), ["color", "size"]),
                ("tail", "passthrough", slice(-2, None)),
                ("gone", "drop", np.array([True, False])),
            ],
            remainder=StandardScaler(with_mean=False),
            transformer_weights={"numbers": np.float64(2.0)},
        )
        stack = StackingRegressor(
            [("near", Ridge(alpha=2)), ("tree", RandomForestRegressor(max_depth=np.int64(3)))]
        )
        union = FeatureUnion([("all", "passthrough"), ("best", SelectKBest(f_regression, k=2))])
        estimator = Pipeline([("columns", columns), ("union", union), ("stack", stack)])

        again = built_again(estimator)

        assert isinstance(again.steps[0], tuple)
        assert again.named_steps["columns"].transformers[0][1].steps[1][1].func is np.log1p
        assert again.named_steps["columns"].transformers[1][1].dtype is np.float32
        assert again.named_steps["columns"].transformers[1][1].categories[0].tolist() == ["b", "a", None]
        assert again.named_steps["columns"].transformers[2][2] == slice(-2, None)
        assert type(again.named_steps["stack"].estimators[1][1].max_depth) is int

    def test_the_text_a_reviewer_reads(self):
        """Public paths, only what differs from the defaults, tuples marked as such."""
        estimator = Pipeline([("scale", StandardScaler()), ("fit", Ridge(alpha=0.5, solver="svd"))])
        assert describe(estimator) == {
            "class": "sklearn.pipeline.Pipeline",
            "params": {
                "steps": [
                    {"tuple": ["scale", {"class": "sklearn.preprocessing.StandardScaler", "params": {}}]},
                    {"tuple": ["fit", {"class": RIDGE, "params": {"alpha": 0.5, "solver": "svd"}}]},
                ]
            },
        }

    def test_gaussian_process_kernels(self):
        """Kernels are described through their operators."""
        kernel = ConstantKernel(2.0, "fixed") * RBF(np.array([1.0, 0.5]), (1e-3, 1e3)) ** 2 + WhiteKernel(0.1)
        again = built_again(GaussianProcessRegressor(kernel=kernel, alpha=1e-6))
        assert again.kernel == kernel
        assert again.kernel.bounds.tolist() == kernel.bounds.tolist()

    @pytest.mark.parametrize(
        "splitter",
        [
            KFold(4, shuffle=True, random_state=3),
            GroupKFold(3),
            ShuffleSplit(2, test_size=0.25),
            TimeSeriesSplit(3, gap=1),
            RepeatedKFold(n_splits=3, n_repeats=2, random_state=1),
            RepeatedStratifiedKFold(n_splits=4),
            PredefinedSplit(np.array([0, 0, 1, -1])),
        ],
        ids=lambda splitter: type(splitter).__name__,
    )
    def test_splitters(self, splitter):
        """Splitters inside a search are described by their arguments."""
        search = GridSearchCV(Lasso(), {"alpha": np.logspace(-2, 0, 3)}, cv=splitter)
        again = built_again(search)
        assert repr(again.cv) == repr(splitter)
        assert again.param_grid["alpha"].tolist() == search.param_grid["alpha"].tolist()

    @pytest.mark.parametrize(
        ("name", "params"),
        [
            ("xgboost.XGBRegressor", {"max_depth": 3, "reg_lambda": 2.0, "missing": -1.0}),
            ("xgboost.XGBClassifier", {"monotone_constraints": {"a": 1}, "any_other": 5}),
            ("xgboost.XGBRFRegressor", {"subsample": None}),
            ("lightgbm.LGBMRegressor", {"num_iterations": 7, "max_bin": 63, "n_jobs": 1}),
            ("lightgbm.LGBMClassifier", {"class_weight": {0: 1.0, 1: 5.0}}),
            ("catboost.CatBoostRegressor", {"iterations": 5, "verbose": False, "loss_function": "MAE"}),
            ("catboost.CatBoostClassifier", {"class_weights": [1.0, 2.0], "cat_features": ["a"]}),
        ],
    )
    def test_boosters(self, name, params):
        """Estimators that take any keyword keep all of them and nothing else."""
        module, _, kind = name.rpartition(".")
        estimator = getattr(pytest.importorskip(module), kind)(**params)
        again = built_again(estimator)
        assert describe(estimator)["class"] == name
        assert set(describe(estimator)["params"]) == set(params)
        assert text(sorted(map(repr, again.get_params().items()))) == text(
            sorted(map(repr, estimator.get_params().items()))
        )

    def test_any_keyword_without_a_default_instance(self):
        """When no default instance can be built, all parameters are written."""
        assert set(describe(Collector(1, second=None))["params"]) == {"first", "second"}
        assert built_again(Collector(1, second=None)).arguments == {"first": 1, "second": None}

    def test_code_of_the_user(self, tmp_path, monkeypatch):
        """Classes and functions of a module of one's own are built without being pinned."""
        folder = tmp_path / "own_models"
        folder.mkdir()
        (folder / "__init__.py").write_text("from own_models._parts import Mine\n")
        (folder / "_parts.py").write_text(
            "from sklearn.linear_model import Ridge\n\n"
            "class Mine(Ridge):\n    pass\n\n"
            "def double(values):\n    return 2 * values\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        parts = import_module("own_models._parts")
        estimator = make_pipeline(FunctionTransformer(parts.double), parts.Mine(alpha=3.0))
        try:
            assert built_again(estimator).steps[0][1].func is parts.double
            assert {"own_models:Mine", "own_models._parts:double"} <= set(references(describe(estimator)))
        finally:
            sys.modules.pop("own_models")
            sys.modules.pop("own_models._parts")

    def test_output_container(self):
        """What `set_output` chose is kept, as a clone keeps it."""
        estimator = make_pipeline(StandardScaler(), Ridge()).set_output(transform="pandas")
        again = built_again(estimator)
        assert describe(again)["params"]["steps"][0]["tuple"][1]["output"] == "pandas"
        assert again.steps[0][1]._sklearn_output_config == {"transform": "pandas"}

    def test_fitted_is_described_as_unfitted(self):
        """Only parameters are seen of a fitted estimator."""
        fitted = Ridge(alpha=0.5).fit([[0.0], [1.0]], [0.0, 1.0])
        assert describe(fitted) == describe(Ridge(alpha=0.5))
        assert not hasattr(built_again(fitted), "coef_")

    def test_parameters_called_like_markers(self):
        """A parameter named `ref` or `tuple` is no marker."""
        again = built_again(MarkerNamed(ref="os:system", tuple=[1]))
        assert (again.ref, again.tuple) == ("os:system", [1])
        assert references(describe(again)) == references(describe(MarkerNamed()))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.text(max_size=5) | st.sampled_from(["class", "ref", "tuple", "array", "mapping", "slice", "dtype"])
ARRAYS = st.builds(
    lambda values, dtype: np.array(values).astype(dtype),
    st.lists(st.lists(st.integers(0, 99), min_size=2, max_size=2), min_size=1, max_size=4),
    st.sampled_from(["bool", "int8", "uint16", "int64", "float32", ">f8", "<i4", "<U2", "object"]),
)
OTHERS = st.sampled_from(
    [
        np.log1p,
        np.mean,
        np.float32,
        float,
        keep,
        rbf_kernel,
        Ridge(alpha=3.0),
        KFold(3),
        RBF(0.5),
        slice(1, None),
    ]
)
VALUES = st.recursive(
    SCALARS | ARRAYS | OTHERS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(st.integers() | st.booleans() | st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def typed(value: Any) -> str:
    """A text in which different types and values look different."""
    if isinstance(value, dict):
        return f"dict({sorted((typed(key), typed(each)) for key, each in value.items())})"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({[typed(each) for each in value]})"
    if isinstance(value, np.ndarray):
        return f"array({value.dtype.str}, {value.shape}, {typed(value.tolist())})"
    return f"{type(value).__name__}({value!r})"


class TestValues:
    @settings(deadline=None, max_examples=200)
    @given(VALUES)
    def test_any_value_comes_back(self, value):
        """Type by type and value by value, through YAML text."""
        assert typed(built_again(Holder(value)).value) == typed(value)

    @settings(deadline=None, max_examples=50)
    @given(VALUES, VALUES)
    def test_same_means_equal_values(self, left, right):
        """Two estimators are the same exactly if their parameters are, types included."""
        assert same(Holder(left), Holder(right)) == (typed(left) == typed(right))

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (np.float64(0.1), 0.1),
            (np.float32(0.5), 0.5),
            (np.int8(3), 3),
            (np.bool_(True), True),
            (np.str_("a"), "a"),
            ((1, 2), {"tuple": [1, 2]}),
            (slice(5), {"slice": [None, 5, None]}),
            (np.array([1.5, np.inf]), {"array": [1.5, np.inf], "dtype": "float64"}),
            (np.array(["ab", "c"]), {"array": ["ab", "c"], "dtype": "<U2"}),
            (np.array([np.int64(1), "a"], dtype=object), {"array": [1, "a"], "dtype": "object"}),
            (np.log1p, {"ref": "numpy:log1p"}),
            (np.mean, {"ref": "numpy:mean"}),
            (np.linalg.norm, {"ref": "numpy.linalg:norm"}),
            (np.float32, {"ref": "numpy:float32"}),
            (float, {"ref": "builtins:float"}),
            (f_regression, {"ref": "sklearn.feature_selection:f_regression"}),
            ({0: 1, 1: 5}, {"mapping": [[0, 1], [1, 5]]}),
            ({(0, 1): 2}, {"mapping": [[{"tuple": [0, 1]}, 2]]}),
            ({"ref": 1}, {"mapping": [["ref", 1]]}),
            ({np.str_("a"): 1}, {"a": 1}),
        ],
    )
    def test_how_a_value_is_written(self, value, written):
        """The forms that a config file holds."""
        described = describe(Holder(value))["params"]["value"]
        assert text(described) == text(written)
        assert text(describe(build(describe(Holder(value))))["params"]["value"]) == text(written)

    def test_order_of_a_dict(self):
        """Equal dicts are the same, in whatever order they were filled."""
        assert same(Holder({10: 0, 9: 1, "ref": 2}), Holder({"ref": 2, 9: 1, 10: 0}))
        assert same(Holder({"a": 0, "b": 1}), Holder({"b": 1, "a": 0}))

    def test_ufuncs_of_scipy(self):
        """A ufunc is found where it lives, although it does not say."""
        special = pytest.importorskip("scipy.special")
        assert describe(Holder(special.expit))["params"]["value"] == {"ref": "scipy.special:expit"}

    @pytest.mark.parametrize("value", [1, True, np.float64(2.0), "1.0"])
    def test_a_default_of_another_type_is_written(self, value):
        """1 and True are not the default 1.0; what would be written like the default is left out."""
        assert describe(Ridge(alpha=value))["params"] == {"alpha": value}
        assert describe(Ridge(alpha=np.float64(1.0)))["params"] == {}

    def test_nan_is_nan(self):
        """A nan is the default nan, also inside a tuple."""
        assert describe(SimpleImputer(missing_values=np.float64("nan")))["params"] == {}
        assert describe(Holder(other=(1, np.float32("nan"), None)))["params"] == {}
        assert describe(Holder(other=(True, np.nan, None)))["params"].keys() == {"other"}


class TestRefusedByDescribe:
    @pytest.mark.parametrize(
        ("value", "code", "fix"),
        [
            (lambda values: values, "CFG025", "module"),
            (named_lambda, "CFG025", "module"),
            (nested(), "CFG025", "module"),
            (Ridge().fit, "CFG025", "module"),
            (functools.partial(keep), "CFG009", "functions of a module"),
            (np.random.RandomState(0), "CFG009", "int"),
            (np.random.default_rng(0), "CFG009", "int"),
            (np.random.default_rng(0).normal, "CFG025", "module"),
            (Ridge, "CFG009", "instance"),
            (len, "CFG009", "of your own"),
            (np.load, "CFG009", "of your own"),
            (yaml.YAMLError, "CFG009", "instance"),
            (object(), "CFG009", "give numbers"),
            ({1, 2}, "CFG009", "give numbers"),
            (b"a b", "CFG009", "give numbers"),
            (1j, "CFG009", "give numbers"),
            (np.datetime64("2020-01-01"), "CFG009", "give numbers"),
            (np.timedelta64(1, "s"), "CFG009", "give numbers"),
            (iter([1]), "CFG009", "give numbers"),
            (np.zeros(1001), "CFG009", "of your own"),
            (np.array(1.0), "CFG009", "list"),
            (np.zeros((0, 3)), "CFG009", "list"),
            (np.array([1j]), "CFG009", "list"),
            (np.array([(1, 2), None], dtype=object), "CFG009", "list"),
            (np.array([[1], [2, 3]], dtype=object), "CFG009", "list"),
            (np.array(["2020"], dtype="M8[D]"), "CFG009", "list"),
            (FrozenEstimator(Ridge()), "CFG009", "inside"),
            (Forgetful(), "CFG009", "own name"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_with_code_path_and_way_out(self, value, code, fix):
        """What no file can hold names the field and says what to give in its place."""
        estimator = Pipeline([("first", StandardScaler()), ("held", Holder([0, value]))])
        with pytest.raises(ConfigError) as caught:
            describe(estimator)
        assert caught.value.code == code
        assert caught.value.path.startswith("model.params.steps[1].params.value[1]")
        assert fix in caught.value.fix

    def test_function_in_a_pipeline(self):
        """The path leads through the step to the parameter."""
        estimator = make_pipeline(StandardScaler(), FunctionTransformer(lambda values: values))
        with pytest.raises(ConfigError) as caught:
            describe(estimator)
        assert caught.value.path == "model.params.steps[1].params.func"

    def test_open_handle(self, tmp_path):
        """A file that is open belongs to this process."""
        with (tmp_path / "open.txt").open("w") as handle, pytest.raises(ConfigError, match="TextIOWrapper"):
            describe(Holder(handle))

    @pytest.mark.parametrize("kind", ["function", "class"])
    def test_code_of_the_notebook(self, monkeypatch, kind):
        """What stands in `__main__` exists in no other process."""
        main = sys.modules["__main__"]
        of_main = type("OfMain", (Holder,), {"__module__": "__main__"})
        function = eval("lambda values: values", {"__name__": "__main__"})  # noqa: S307 - our own text
        function.__name__ = function.__qualname__ = "of_main"
        monkeypatch.setattr(main, "OfMain", of_main, raising=False)
        monkeypatch.setattr(main, "of_main", function, raising=False)
        with pytest.raises(ConfigError) as caught:
            describe(of_main() if kind == "class" else Holder(function))
        assert caught.value.code == "CFG025"

    @pytest.mark.parametrize("value", [Ridge, None, 3, "Ridge()", KFold(3)])
    def test_no_estimator(self, value):
        """Only estimators are described; a class is not one yet."""
        with pytest.raises(ConfigError) as caught:
            describe(value)
        assert (caught.value.code, caught.value.path) == ("CFG009", "model")

    def test_a_value_that_contains_itself(self):
        """A list inside itself has no end to write."""
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(ConfigError, match="contain themselves"):
            describe(Holder(endless))

    def test_metadata_requests(self):
        """Requests are kept by a clone, but no description holds them."""
        estimator = Ridge()
        estimator._metadata_request = {}
        with pytest.raises(ConfigError, match="metadata requests"):
            describe(estimator)

    def test_parameters_that_the_class_does_not_take(self):
        """The base class of catboost tells parameters that it cannot be built with."""
        catboost = pytest.importorskip("catboost")
        with pytest.raises(ConfigError) as caught:
            describe(catboost.CatBoost({"iterations": 5}))
        assert caught.value.path == "model.params.iterations"


def ridge(**params: Any) -> dict[str, Any]:
    """A description with these parameters, right or wrong."""
    return {"class": RIDGE, "params": params}


class TestRefusedByBuild:
    @pytest.mark.parametrize(
        ("values", "code", "path", "fix"),
        [
            (None, "CFG009", "model", "class path"),
            ([ridge()], "CFG009", "model", "class path"),
            ({}, "CFG009", "model", "class path"),
            ({"class": 3}, "CFG009", "model.class", ""),
            ({"class": RIDGE, "params": None}, "CFG009", "model.params", ""),
            ({"class": RIDGE, "parms": {}}, "CFG006", "model.parms", "'params'"),
            ({"class": "sklearn.linear_model.Rigde"}, "CFG024", "model", "'Ridge'"),
            ({"class": "sklearn.linear_models.Ridge"}, "CFG023", "model", ""),
            ({"class": "sklearn.model_selection.KFold"}, "CFG009", "model.class", "estimator"),
            ({"class": "sklearn.pipeline.Pipeline"}, "CFG021", "model.params.steps", "add it"),
            (ridge(alpah=1.0), "CFG011", "model.params.alpah", "'alpha'"),
            (ridge(zzz=1.0), "CFG011", "model.params.zzz", "alpha, copy_X"),
            (ridge(alpha={"tuple": 1}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"slice": [1]}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"ref": 1}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"ref": "numpy:log2p"}), "CFG024", "model.params.alpha", "'log2'"),
            (ridge(alpha={"tuple": [1], "x": 1}), "CFG006", "model.params.alpha.x", "tuple"),
            (ridge(alpha={0: 1}), "CFG009", "model.params.alpha", "mapping"),
            (ridge(alpha={"mapping": {"a": 1}}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"mapping": [[1, 2, 3]]}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"mapping": [[[1], 2]]}), "CFG009", "model.params.alpha", "keys"),
            (ridge(alpha={"mapping": [[1, 2], [True, 3]]}), "CFG005", "model.params.alpha", ""),
            (ridge(alpha={"array": [1]}), "CFG009", "model.params.alpha.dtype", ""),
            (ridge(alpha={"array": [1], "dtype": "f8,f8"}), "CFG009", "model.params.alpha.dtype", ""),
            (ridge(alpha={"array": [1.5], "dtype": "int64"}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"array": [300], "dtype": "int8"}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"array": ["abc"], "dtype": "<U2"}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"array": [[1], [2, 3]], "dtype": "int64"}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha={"array": [[1], 2], "dtype": "object"}), "CFG009", "model.params.alpha", ""),
            (ridge(alpha=(1, 2)), "CFG009", "model.params.alpha", ""),
            (ridge(alpha=np.float64(1)), "CFG009", "model.params.alpha", ""),
            ({**ridge(), "output": "pandas"}, "CFG009", "model.output", "leave it out"),
        ],
    )
    def test_with_code_path_and_way_out(self, values, code, path, fix):
        """What was mistyped is named with its place and the nearest right name."""
        with pytest.raises(ConfigError) as caught:
            build(values)
        assert (caught.value.code, caught.value.path) == (code, path)
        assert fix in caught.value.fix

    def test_refused_by_the_class_itself(self):
        """What a constructor refuses is told with the place of its parameters."""
        splitter = {"class": "sklearn.model_selection.KFold", "params": {"n_splits": 1}}
        values = {"class": f"{__name__}.Holder", "params": {"value": splitter}}
        with pytest.raises(ConfigError, match="KFold refuses") as caught:
            build(values, path="config.model")
        assert caught.value.path == "config.model.params.value.params"

    def test_output_of_an_unknown_kind(self):
        """Only the containers scikit-learn knows are taken."""
        values = {"class": "sklearn.preprocessing.StandardScaler", "params": {}, "output": "arrow"}
        with pytest.raises(ConfigError, match="polars"):
            build(values)

    def test_values_that_contain_themselves(self):
        """A description without an end is an error, not a crash."""
        values = ridge()
        values["params"]["alpha"] = [values]
        with pytest.raises(ConfigError, match="contain themselves"):
            build(values)

    def test_params_may_be_left_out(self):
        """A class path alone is enough."""
        assert same(build({"class": RIDGE}), Ridge())

    def test_a_private_path_is_understood(self):
        """An old or hand-written path that leads to the same class is taken."""
        name = f"{HistGradientBoostingRegressor.__module__}.HistGradientBoostingRegressor"
        assert "._" in name
        assert same(build({"class": name}), HistGradientBoostingRegressor())


class TestSecurity:
    @pytest.mark.parametrize(
        "reference",
        [
            "os:system",
            "subprocess:Popen",
            "builtins:eval",
            "builtins:__import__",
            "numpy.f2py:compile",
            "numpy.f2py.__main__:main",
            "numpy.ctypeslib:load_library",
            "numpy.testing:rundocs",
            "numpy:load",
            "numpy:save",
            "numpy:fromfile",
            "numpy:os.system",
            "sklearn.base:os.system",
            "sklearn.datasets:load_svmlight_file",
            "sklearn.utils:os",
            "scipy.io:loadmat",
            "pandas:read_pickle",
            "joblib:load",
            "__main__:anything",
            "antigravity:fly",
            "",
            "numpy",
            ":eval",
            "..os:system",
            "nowhere_to_be_found:anything",
        ],
    )
    def test_a_function_that_no_config_may_name(self, reference):
        """Refused by its text alone, wherever it stands, although numpy and sklearn are pinned."""
        held = {"mapping": [[0, {"tuple": ["a", {"ref": reference}]}]]}
        values = {"class": f"{__name__}.Holder", "params": {"value": held}}
        with pytest.raises(SecurityError) as caught:
            build(values, trusted=("os", "subprocess", "builtins", "numpy", "sklearn", "antigravity"))
        assert caught.value.code == "SEC004"
        assert caught.value.path.startswith("model.params.value")
        assert "antigravity" not in sys.modules

    @pytest.mark.parametrize(
        "name",
        [
            "os.system",
            "subprocess.Popen",
            "builtins.eval",
            "Ridge",
            "",
            "numpy.f2py.crackfortran.Whatever",
            "numpy.random.RandomState",
            "pandas.DataFrame",
            "re.Pattern",
            "sklearn.utils.Bunch",
            "sklearn.base.clone",
            "sklearn.base.ClassifierMixin",
        ],
    )
    def test_a_class_that_is_no_model(self, name):
        """Foreign classes, and classes of known libraries that are no estimators, are refused."""
        for values in ({"class": name}, ridge(alpha={"class": name, "params": {}})):
            with pytest.raises(SecurityError) as caught:
                build(values)
            assert caught.value.code == "SEC004"

    @pytest.mark.parametrize(
        "reference", ["sklearn.preprocessing:StandardScaler", "numpy:pi", "numpy:ndarray"]
    )
    def test_a_reference_that_is_no_function(self, reference):
        """Of known libraries, too, only functions and dtypes are taken."""
        with pytest.raises(SecurityError):
            build(ridge(alpha={"ref": reference}))

    def test_nothing_is_imported_before_all_names_were_judged(self):
        """A harmless name that stands first is not imported either."""
        values = {"criterion": [{"ref": "numpy:log1p"}, {"ref": "os:system"}]}
        loaded = sys.modules.pop("sklearn.ensemble")
        try:
            with pytest.raises(SecurityError) as caught:
                build({"class": "sklearn.ensemble.RandomForestRegressor", "params": values})
            assert "sklearn.ensemble" not in sys.modules
        finally:
            sys.modules["sklearn.ensemble"] = loaded
        assert caught.value.path == "model.params.criterion[1]"

    def test_an_installed_package_must_be_pinned(self, tmp_path, monkeypatch):
        """Third-party code outside the known libraries is not even imported unless it is trusted."""
        installed = tmp_path / "site-packages"
        installed.mkdir()
        (installed / "somewhere_else.py").write_text(
            "from os import system\nfrom subprocess import Popen\n"
            "from sklearn.linear_model import Ridge\n"
            "class Their(Ridge):\n    pass\n"
        )
        monkeypatch.syspath_prepend(installed)
        values = {"class": "somewhere_else.Their", "params": {"alpha": 2.0}}
        with pytest.raises(SecurityError):
            build(values)
        assert "somewhere_else" not in sys.modules
        try:
            assert build(values, trusted=("somewhere_else",)).alpha == 2.0
            for name in ("system", "Popen"):
                with pytest.raises(SecurityError):
                    build(ridge(alpha={"ref": f"somewhere_else:{name}"}), trusted=("somewhere_else",))
        finally:
            sys.modules.pop("somewhere_else", None)

    def test_what_a_module_of_ones_own_imports(self, tmp_path, monkeypatch):
        """A refused function stays refused under the name of a module that imports it."""
        (tmp_path / "own_door.py").write_text("from os import system\nfrom numpy import load, log1p\n")
        monkeypatch.syspath_prepend(tmp_path)
        try:
            for name in ("system", "load"):
                with pytest.raises(SecurityError):
                    build(ridge(alpha={"ref": f"own_door:{name}"}))
            assert build(ridge(alpha={"ref": "own_door:log1p"})).alpha is np.log1p
        finally:
            sys.modules.pop("own_door", None)


class TestSeeded:
    def estimator(self) -> Pipeline:
        """Open states in a search, its folds and a stack."""
        inner = GridSearchCV(
            RandomForestRegressor(), {"max_depth": [2, 3]}, cv=KFold(3, shuffle=True), refit=True
        )
        outer = StackingRegressor(
            [("forest", RandomForestRegressor()), ("fixed", SGDRegressor(random_state=5))]
        )
        return Pipeline([("search", inner), ("stack", outer)])

    def test_every_open_state_gets_its_own_number(self):
        """Parts get different numbers in range; a number that was given stays."""
        parts = seeded(self.estimator(), 7)
        search, stack = parts.named_steps["search"], parts.named_steps["stack"]
        fixed = [search.estimator.random_state, search.cv.random_state, stack.estimators[0][1].random_state]
        assert all(type(number) is int and 0 <= number < 2**31 for number in fixed)
        assert len(set(fixed)) == len(fixed)
        assert stack.estimators[1][1].random_state == 5

    def test_the_input_stays_as_it_is(self):
        """A clone is seeded, its splitters included."""
        estimator = self.estimator()
        seeded(estimator, 7)
        assert same(estimator, self.estimator())

    @settings(deadline=None, max_examples=10)
    @given(st.integers(0, 2**32 - 1))
    def test_a_function_of_seed_and_place(self, seed):
        """The same seed gives the same numbers, another seed gives others."""
        first = seeded(self.estimator(), seed)
        assert same(first, seeded(self.estimator(), seed))
        assert not same(first, seeded(self.estimator(), seed + 1))
        assert same(first, seeded(first, seed + 1))
        assert same(build(describe(first)), first)

    def test_a_pinned_number(self):
        """The derivation is part of what a config means: it never changes."""
        assert seeded(RandomForestRegressor(), 0).random_state == 1258174919

    @pytest.mark.parametrize(
        ("splitter", "is_seeded"),
        [
            (KFold(3), False),
            (KFold(3, shuffle=True), True),
            (ShuffleSplit(2), True),
            (RepeatedKFold(n_splits=2, n_repeats=2), True),
            (TimeSeriesSplit(2), False),
            (5, False),
        ],
        ids=repr,
    )
    def test_splitters_that_shuffle(self, splitter, is_seeded):
        """Only folds that are drawn are seeded, wherever the splitter is kept."""
        for value in (splitter, [splitter], {"cv": (splitter,)}):
            again = seeded(Holder(value), 1)
            assert same(again, Holder(value)) != is_seeded
            assert same(build(describe(again)), again)

    @pytest.mark.parametrize(
        ("name", "params", "field"),
        [
            ("xgboost.XGBRegressor", {}, "random_state"),
            ("xgboost.XGBRegressor", {"seed": 4}, None),
            ("lightgbm.LGBMClassifier", {}, "random_state"),
            ("lightgbm.LGBMClassifier", {"random_seed": 4}, None),
            ("catboost.CatBoostRegressor", {}, "random_seed"),
            ("catboost.CatBoostRegressor", {"random_state": 4}, None),
        ],
    )
    def test_boosters(self, name, params, field):
        """Each booster's own name is used once, and none if a seed was given by another name."""
        module, _, kind = name.rpartition(".")
        estimator = getattr(pytest.importorskip(module), kind)(**params)
        given_before, found = estimator.get_params(), seeded(estimator, 3).get_params()
        changed = {key for key in found if repr(found[key]) != repr(given_before.get(key))}
        assert changed == ({field} if field else set())

    def test_target_encoder(self):
        """Its folds are drawn by default, so that they are fixed, on every version of scikit-learn."""
        draw = np.random.default_rng(0)
        frame, target = draw.integers(0, 3, (60, 1)).astype(str), draw.normal(size=60)
        first, second = (seeded(TargetEncoder(), 1).fit_transform(frame, target) for _ in range(2))
        assert first.tolist() == second.tolist()

    def test_what_is_frozen_stays_frozen(self):
        """A fitted estimator that a clone shares with its original is not touched."""
        inside = RandomForestRegressor()
        seeded(Holder(FrozenEstimator(inside)), 1)
        assert inside.random_state is None

    @pytest.mark.parametrize("value", [None, Ridge, Forgetful()], ids=["none", "class", "forgetful"])
    def test_no_estimator(self, value):
        """What does not tell its arguments is an error of the config, and so is a class."""
        with pytest.raises(ConfigError) as caught:
            seeded(value, 1)
        assert caught.value.path == "model"

    def test_what_scikit_learn_cannot_clone(self):
        """An estimator that rewrites its arguments is seeded all the same."""
        estimator = make_pipeline(Changing(), RandomForestRegressor())
        again = seeded(estimator, 1)
        assert again.steps[0][1].value == [1]
        assert again.steps[1][1].random_state is not None
        assert estimator.steps[1][1].random_state is None


class TestSummaries:
    def test_references(self):
        """Every class and function, once, in order."""
        estimator = make_pipeline(FunctionTransformer(np.log1p), FunctionTransformer(keep), Ridge(), Ridge())
        assert references(describe(estimator)) == sorted(
            [
                f"{__name__}:keep",
                "numpy:log1p",
                "sklearn.linear_model:Ridge",
                "sklearn.pipeline:Pipeline",
                "sklearn.preprocessing:FunctionTransformer",
            ]
        )

    @pytest.mark.parametrize(
        ("estimator", "line"),
        [
            (Ridge(), "Ridge"),
            (
                make_pipeline(StandardScaler(), Ridge(alpha=0.5)),
                "Pipeline(StandardScaler -> Ridge(alpha=0.5))",
            ),
            (
                ColumnTransformer(
                    [("a", "drop", ["x"]), ("b", OneHotEncoder(), ["y"])], remainder="passthrough"
                ),
                "ColumnTransformer('drop', OneHotEncoder, remainder='passthrough')",
            ),
            (
                FunctionTransformer(np.log1p, kw_args={"a": 1}),
                "FunctionTransformer(func=log1p, kw_args={a: 1})",
            ),
            (LogisticRegression(class_weight={0: 1, 1: 5}), "LogisticRegression(class_weight={0: 1, 1: 5})"),
            (TransformedTargetRegressor(SVR(C=2)), "TransformedTargetRegressor(regressor=SVR(C=2))"),
            (Holder((slice(1), [1])), "Holder(value=(slice(None, 1, None), [1]))"),
            (Holder(np.arange(9)), "Holder(value=array([0, 1, 2, 3, ...]))"),
            (Holder("x" * 99), f"Holder(value='{'x' * 35}...')"),
            (Holder("a\nb"), "Holder(value='a\\nb')"),
        ],
    )
    def test_steps_text(self, estimator, line):
        """One line that says what the model is."""
        assert steps_text(describe(estimator)) == line

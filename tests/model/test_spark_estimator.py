"""Estimators that train on Spark: described, checked without a session, built again, and seeded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlkit.errors import ConfigError, MlkitError, SecurityError, StudyError
from mlkit.model.estimator import build, check, describe, references, same, seeded, steps_text
from mlkit.model.spark_estimator import trains_on_spark

pytest.importorskip("pyspark.ml")
pytestmark = pytest.mark.newest_only

from pyspark.ml import Pipeline, classification, feature, regression  # noqa: E402 - it may not be there
from pyspark.ml.linalg import Vectors  # noqa: E402 - as above
from pyspark.sql import SparkSession  # noqa: E402 - as above

MODULES = (classification, feature, regression)
LEFT_OUT = {"SQLTransformer", "StopWordsRemover"}  # refused; and one that asks a JVM for its defaults
KINDS = sorted(
    {
        kind
        for module in MODULES
        for name in module.__all__
        if isinstance(kind := getattr(module, name), type)
        and hasattr(kind, "copy")
        and not name.endswith(("Model", "Summary"))
        and name not in LEFT_OUT
    },
    key=lambda kind: kind.__name__,
)


@pytest.fixture(scope="module", autouse=True)
def session(sail):
    """A session of Connect, which estimators need; the server takes no part."""
    session = SparkSession.builder.remote(sail).create()
    yield session
    session.stop()


def pipeline(**changes) -> Pipeline:
    """Two steps, the second of them random."""
    assembler = feature.VectorAssembler(inputCols=["hour", "distance"], outputCol="features")
    forest = regression.RandomForestRegressor(labelCol="delay", **{"numTrees": 5, **changes})
    return Pipeline(stages=[assembler, forest])


def test_a_pipeline_reads_like_what_was_written() -> None:
    """Class paths by public module, and of the parameters those that are not at their default."""
    described = describe(pipeline(maxDepth=5, subsamplingRate=0.5))
    assert described == {
        "class": "pyspark.ml.Pipeline",
        "params": {
            "stages": [
                {
                    "class": "pyspark.ml.feature.VectorAssembler",
                    "params": {"inputCols": ["hour", "distance"], "outputCol": "features"},
                },
                {
                    "class": "pyspark.ml.regression.RandomForestRegressor",
                    "params": {"labelCol": "delay", "numTrees": 5, "subsamplingRate": 0.5},
                },
            ]
        },
    }
    assert trains_on_spark(described)
    assert references(described) == [
        "pyspark.ml.feature:VectorAssembler",
        "pyspark.ml.regression:RandomForestRegressor",
        "pyspark.ml:Pipeline",
    ]
    assert steps_text(described).startswith("Pipeline(VectorAssembler(inputCols=['hour', 'distance']")
    assert " -> RandomForestRegressor(labelCol='delay', numTrees=5" in steps_text(described)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_estimator_of_spark_makes_the_round_trip(kind) -> None:
    """Each parameter is set to a value of its own, where its default tells what values it takes."""
    estimator = kind()
    for param in estimator.params:
        value = estimator.getOrDefault(param) if estimator.hasDefault(param) else None
        if isinstance(value, bool):
            estimator.set(param, not value)
        elif isinstance(value, int | float) and value == value:  # noqa: PLR0124 - not nan
            estimator.set(param, value + 1 if value < 2**53 else 5)
        elif param.name.endswith("Col") and isinstance(value, str | None):
            estimator.set(param, f"my_{param.name}")
    described = describe(estimator)
    check(described)
    built = build(described)
    assert type(built) is kind
    assert describe(built) == described
    assert len(described["params"]) == len(estimator._paramMap)
    assert describe(build({"class": described["class"]})) == {"class": described["class"], "params": {}}


def test_at_least_the_known_ones_are_there() -> None:
    """The test above would say nothing of an empty list."""
    assert len(KINDS) > 45


def test_values_that_are_no_plain_ones() -> None:
    """An estimator inside another, a vector, a list of lists."""
    one_vs_rest = classification.OneVsRest(classifier=classification.LogisticRegression(regParam=0.1))
    assert same(build(describe(one_vs_rest)), one_vs_rest)
    product = feature.ElementwiseProduct(scalingVec=Vectors.dense([1.0, 2.0]))
    assert describe(product)["params"] == {"scalingVec": [1.0, 2.0]}
    assert build(describe(product)).getScalingVec() == Vectors.dense([1.0, 2.0])
    bucketizer = feature.Bucketizer(splitsArray=[[0.0, 1.0, float("inf")]], inputCols=["a"], outputCols=["b"])
    assert same(build(describe(bucketizer)), bucketizer)


def test_a_random_name_of_a_column_is_refused() -> None:
    """It would be another one in production; no parameter is left to guess."""
    assembler = feature.VectorAssembler(inputCols=["hour"])
    model = regression.LinearRegression(featuresCol=assembler.getOutputCol())
    with pytest.raises(ConfigError, match="drawn at random") as caught:
        describe(Pipeline(stages=[assembler, model]))
    assert caught.value.path == "model.params.stages[1].params.featuresCol"


@pytest.mark.parametrize(
    ("values", "code", "path"),
    [
        ({"class": "pyspark.ml.feature.SQLTransformer"}, "SEC004", "model"),
        ({"class": "pyspark.sql.SparkSession"}, "SEC004", "model"),
        ({"class": "pyspark.ml.regression.LinearRegresion"}, "CFG024", "model"),
        ({"class": "pyspark.ml.linalg.DenseVector"}, "SEC004", "model"),
        (
            {"class": "pyspark.ml.regression.LinearRegression", "params": {"regparam": 1}},
            "CFG011",
            "model.params.regparam",
        ),
        ({"class": "pyspark.ml.Pipeline", "output": "pandas"}, "CFG006", "model.output"),
        (
            {"class": "pyspark.ml.Pipeline", "params": {"stages": [{"class": "os.system"}]}},
            "SEC004",
            "model.params.stages[0]",
        ),
    ],
)
def test_what_is_wrong_is_said_without_a_session(values, code, path) -> None:
    """A config is checked where it is loaded, which may be far from any Spark."""
    with pytest.raises(MlkitError) as caught:
        check(values)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_a_value_that_spark_refuses_is_named() -> None:
    """Spark says which type it wants; the parameter is found by its path."""
    values = {"class": "pyspark.ml.regression.LinearRegression", "params": {"maxIter": "many"}}
    check(values)
    with pytest.raises(ConfigError, match="refuses this value") as caught:
        build(values)
    assert caught.value.path == "model.params.maxIter"


def test_open_seeds_follow_from_one_number() -> None:
    """Spark's own default is the hash of a name, which Python draws anew in each process."""
    seeds = [seeded(pipeline(), seed).getStages()[1].getSeed() for seed in (1, 1, 2)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert seeded(pipeline(seed=7), 1).getStages()[1].getSeed() == 7
    original = pipeline()
    seeded(original, 1)
    assert not original.getStages()[1].isSet("seed")


def test_estimators_of_other_libraries_fit() -> None:
    """Xgboost's for Spark: some of its parameters are known by its instances only."""
    spark = pytest.importorskip("xgboost.spark")
    estimator = spark.SparkXGBRegressor(features_col=["hour"], label_col="delay", max_depth=3, num_workers=2)
    described = describe(estimator)
    assert described["class"] == "xgboost.spark.SparkXGBRegressor"
    assert described["params"]["max_depth"] == 3
    assert trains_on_spark(described)
    check(described)
    assert same(build(described), estimator)
    drawn = seeded(build(described), 5)
    assert drawn.getOrDefault("random_state") == seeded(estimator, 5).getOrDefault("random_state") > 0
    with pytest.raises(ConfigError, match="unknown parameter"):
        build({**described, "params": {"max_dept": 3}})


def test_without_a_session_it_is_said_what_is_missing() -> None:
    """In a process that never opened one."""
    script = (
        "from mlkit.model.estimator import build, check\n"
        "values = {'class': 'pyspark.ml.regression.LinearRegression', 'params': {'maxIter': 3}}\n"
        "check(values)\n"
        "try: build(values)\n"
        "except Exception as exc: print(type(exc).__name__, exc.code)\n"
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SPARK")}
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    assert done.stdout.split() == [StudyError.__name__, "RUN023"]


def test_nothing_of_spark_is_imported_to_describe_others() -> None:
    """A machine without Spark describes, checks and builds everything else."""
    script = (
        "import sys\n"
        "from sklearn.linear_model import Ridge\n"
        "from mlkit.model.estimator import build, check, describe\n"
        "check(describe(build(describe(Ridge()))))\n"
        "print('pyspark' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_class_that_runs_sql_is_refused_when_it_is_described() -> None:
    """A study says so before a config is written."""
    with pytest.raises(ConfigError, match="not among the names"):
        describe(feature.SQLTransformer(statement="SELECT 1 FROM __THIS__"))
    assert SecurityError is not ConfigError
